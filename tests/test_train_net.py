"""The command as a user types it: its options, and one line for each mistake."""

import subprocess
import sys
from pathlib import Path

import pytest

import train_net
from tests.tiny_model import CONFIGS, TINY

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


def test_evaluation_needs_weights(tmp_path):
    arguments = ["--config-file", str(COCO), "--eval-only", *SHORT, "OUTPUT_DIR", str(tmp_path)]
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS <file>"):
        train_net.main(train_net.parse_args(arguments))
    with pytest.raises(FileNotFoundError, match=r"gone\.pth"):
        train_net.main(train_net.parse_args([*arguments, "MODEL.WEIGHTS", "gone.pth"]))
