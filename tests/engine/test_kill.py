"""A training that is killed goes on as if nothing had happened."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.tiny_model import CONFIGS, TINY

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "train_net.py"), "--num-gpus", "0", "--config-file"]
WHOLE_METHOD = [
    *TINY, "SEED", "3", "SOLVER.MAX_ITER", "40", "SOLVER.STEPS", "[30]",
    "SOLVER.CHECKPOINT_PERIOD", "5", "SOLVER.IMS_PER_BATCH", "2", "DATALOADER.NUM_WORKERS", "1",
    "INPUT.MIN_SIZE_TRAIN", "[48]", "INPUT.MIN_SIZE_TEST", "48", "INPUT.SAMPLING_FRAME_NUM", "2",
    "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "12", "MODEL.GVSEG.QUERY_INIT", "task",
    "MODEL.GVSEG.CUE", "mixed", "MODEL.GVSEG.CONTRASTIVE.ENABLED", "True",
]  # fmt: skip
# A benchmark, what is particular to its training, and what its checkpoint must hold.
TRAININGS = {
    "classes": ("camvid", [], ("memory.embeds", "queues.embeds")),
    "things with extra frames, scaled": (
        "coco128",
        [
            *("INPUT.SAMPLING_EXTRA_FRAME_NUM", "2", "MODEL.GVSEG.QUERY_GRID", "4"),
            *("INPUT.LARGE_SCALE_JITTER", "False", "INPUT.COPY_PASTE_PROB", "0.0"),
            *("INPUT.MAX_SIZE_TRAIN", "64", "INPUT.MAX_SIZE_TEST", "64"),
            *("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.PRECISION", "float16"),
        ],
        ("queries.feed_forward",),
    ),
}


def start(output, benchmark, *arguments):
    config = str(CONFIGS / benchmark / "gvseg_effnet_lite0.yaml")
    command = [*COMMAND, config, *arguments, "OUTPUT_DIR", str(output)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(process):
    try:
        _, errors = process.communicate(timeout=300)
    finally:
        process.kill()
    assert process.returncode == 0, errors.decode()[-2000:]


def kill_after(process, checkpoint):
    """Kill a training with all its workers once a checkpoint is written."""
    while not checkpoint.is_file():
        assert process.poll() is None, process.stderr.read().decode()[-2000:]
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
@pytest.mark.usefixtures("small_benchmarks")
@pytest.mark.parametrize("name", TRAININGS)
def test_killed_training_ends_with_all_that_one_has_that_was_not(tmp_path, name):
    benchmark, particular, held = TRAININGS[name]
    keys = [*WHOLE_METHOD, *particular]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(whole, benchmark, *keys))
    # The name of the last checkpoint is written after it, so an earlier one may be resumed from.
    kill_after(start(broken, benchmark, *keys), broken / "model_0000019.pth")
    assert not (broken / "model_final.pth").exists()
    finish(start(broken, benchmark, "--resume", *keys))
    first, second = (
        torch.load(folder / "model_final.pth", weights_only=False) for folder in (whole, broken)
    )
    assert first["iteration"] == second["iteration"] == 39
    for part in held:
        assert any(part in key for key in first["model"])
    for key, tensor in first["model"].items():
        assert torch.equal(tensor, second["model"][key]), key
    scalers = [found["trainer"]["_trainer"]["scaler"] for found in (first, second)]
    assert scalers[0] == scalers[1]
    assert bool(scalers[0]) == ("SOLVER.AMP.ENABLED" in particular)
