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
COMMAND = [
    sys.executable, str(ROOT / "train_net.py"), "--num-gpus", "0",
    "--config-file", str(CONFIGS / "camvid" / "gvseg_effnet_lite0.yaml"),
]  # fmt: skip
WHOLE_METHOD = [
    *TINY, "SEED", "3", "SOLVER.MAX_ITER", "40", "SOLVER.STEPS", "[30]",
    "SOLVER.CHECKPOINT_PERIOD", "5", "SOLVER.IMS_PER_BATCH", "2", "DATALOADER.NUM_WORKERS", "1",
    "INPUT.MIN_SIZE_TRAIN", "[48]", "INPUT.MIN_SIZE_TEST", "48", "INPUT.SAMPLING_FRAME_NUM", "2",
    "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "12", "MODEL.GVSEG.QUERY_INIT", "task",
    "MODEL.GVSEG.CUE", "mixed", "MODEL.GVSEG.CONTRASTIVE.ENABLED", "True",
]  # fmt: skip


def start(output, *arguments):
    command = [*COMMAND, *arguments, *WHOLE_METHOD, "OUTPUT_DIR", str(output)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )


def finish(process):
    _, errors = process.communicate(timeout=300)
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
def test_killed_training_ends_with_the_weights_queues_and_memory_of_one_that_was_not(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    finish(start(whole))
    # The name of the last checkpoint is written after it, so an earlier one may be resumed from.
    kill_after(start(broken), broken / "model_0000019.pth")
    assert not (broken / "model_final.pth").exists()
    finish(start(broken, "--resume"))
    first, second = (
        torch.load(folder / "model_final.pth", weights_only=False) for folder in (whole, broken)
    )
    assert first["iteration"] == second["iteration"] == 39
    assert any(name.endswith("memory.embeds") for name in first["model"])
    assert any(name.endswith("queues.embeds") for name in first["model"])
    for name, tensor in first["model"].items():
        assert torch.equal(tensor, second["model"][name]), name
