"""What MODEL_ZOO.md says of the bundled models is what they are."""

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from gvseg.checkpoint import load_weights
from gvseg.config import load_config
from gvseg.modeling.build import build_segmenter
from gvseg.tasks import model_task

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "MODEL_ZOO.md").read_text(encoding="utf-8")
FILES = sorted((ROOT / "demo" / "data").glob("*.safetensors"))
COLUMNS = ("model", "task", "config", "iterations", "parameters", "MB", "sha256")


def rows() -> list[dict[str, str]]:
    """The rows of the table of bundled models."""
    lines = PAGE.splitlines()
    start = lines.index(f"| {' | '.join(COLUMNS)} |")
    end = lines.index("", start)
    cells = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines[start:end]]
    return [dict(zip(COLUMNS, row, strict=True)) for row in cells[2:]]


ROWS = rows()
each_row = pytest.mark.parametrize("row", ROWS, ids=[row["model"] for row in ROWS])


def file_of(row: dict[str, str]) -> Path:
    return ROOT / "demo" / "data" / f"{row['model']}.safetensors"


def test_every_bundled_model_has_a_row_and_every_row_a_file():
    assert [file_of(row).name for row in ROWS] == [path.name for path in FILES]


def test_bundled_models_are_small_and_none_is_stored_in_single_precision():
    assert sum(path.stat().st_size for path in FILES) < 40e6
    for path in FILES:
        with safe_open(path, "pt") as tensors:
            shapes = {
                name: tensors.get_slice(name).get_shape()
                for name in tensors.keys()  # noqa: SIM118
                if tensors.get_slice(name).get_dtype() == "F32"
            }
        # Of weights in eight bits, each row has a scale in single precision.
        assert all(len(shape) == 1 for shape in shapes.values()), path
        assert all(name.endswith("::scale") for name in shapes), path


@each_row
def test_row_tells_the_file_and_its_size(row: dict[str, str]):
    content = file_of(row).read_bytes()
    assert hashlib.sha256(content).hexdigest() == row["sha256"]
    assert f"{len(content) / 1e6:.1f}" == row["MB"]


@each_row
def test_config_builds_the_model_which_the_file_fills(row: dict[str, str]):
    overrides = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.TIMM.WEIGHTS", ""]
    cfg = load_config(ROOT / row["config"], overrides)
    assert int(row["iterations"]) == cfg.SOLVER.MAX_ITER
    assert model_task(cfg.MODEL.GVSEG.TASK) == row["task"]
    model = build_segmenter(cfg)
    number = sum(parameter.numel() for parameter in model.parameters())
    assert f"{number / 1e6:.2f} M" == row["parameters"]
    load_weights(model, str(file_of(row)), allow_missing=False)
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())


@each_row
def test_every_model_has_commands_to_train_and_to_score_it(row: dict[str, str]):
    commands = re.findall(r"^python train_net\.py .*$", PAGE, re.MULTILINE)
    own = [command for command in commands if row["config"] in command]
    assert any("--eval-only" not in command for command in own)
    assert any(f"MODEL.WEIGHTS demo/data/{file_of(row).name}" in command for command in own)


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
@each_row
def test_make_trains_it_by_the_commands_of_the_page(row: dict[str, str]):
    arguments = ["make", "--dry-run", "train", f"TASK={row['task']}"]
    printed = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    configs = re.findall(r"train_net\.py --resume --config-file (\S+)", printed)
    commands = re.findall(r"train_net\.py --config-file (\S+) --num-gpus 0(?! --eval)", PAGE)
    assert configs[-1] == row["config"]
    assert set(configs) <= set(commands)
    assert len(configs) == (2 if row["task"] == "vis" else 1)
