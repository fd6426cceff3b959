"""Every YAML that ships loads, names datasets that exist, and builds its model.

Those of the benchmarks of GvSeg's paper have its settings; see `test_paper_settings.py`.
"""

from pathlib import Path

import pytest
import torch
import yaml

from detectron2.modeling import build_model

import gvseg.modeling  # noqa: F401  registers what the YAMLs name
from gvseg.config import load_config
from gvseg.data import get_benchmark

ROOT = Path(__file__).resolve().parent.parent
ALL = sorted([*ROOT.glob("configs/**/*.yaml"), *ROOT.glob("projects/*/configs/**/*.yaml")])
LEAVES = [path for path in ALL if path.parent.name != "base"]
# Of shapes alone: neither weights nor a GPU are there in a default run, and building takes time.
OVERRIDES = ["MODEL.DEVICE", "meta", "MODEL.WEIGHTS", "", "MODEL.TIMM.WEIGHTS", ""]


def name_of(path):
    return str(path.relative_to(ROOT))


def test_configs_ship():
    assert LEAVES


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_config_loads(path):
    assert load_config(path).MODEL.META_ARCHITECTURE


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_model_builds(path):
    cfg = load_config(path, OVERRIDES)
    with torch.device("meta"):
        model = build_model(cfg)

    assert sum(parameter.numel() for parameter in model.parameters()) > 1e5


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_config_fits_its_datasets(path):
    cfg = load_config(path)
    names = [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]
    class_tables = {get_benchmark(name).classes for name in names}
    sets = cfg.MODEL.GVSEG.LABEL_SETS

    assert class_tables
    if sets:
        assert {get_benchmark(name).classes for name in sets} == class_tables
        assert sum(map(len, class_tables)) == cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    else:
        assert {len(classes) for classes in class_tables} == {cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES}


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_schedule_ends_within_the_training(path):
    solver = load_config(path).SOLVER

    assert all(0 < step < solver.MAX_ITER for step in solver.STEPS)
    assert solver.WARMUP_ITERS < solver.MAX_ITER


# The paper tests on BURST, at 720 pixels, what learnt smaller frames of YouTube-VOS.
TRAINED_AS_TESTED = [path for path in LEAVES if path.parent.name != "burst"]


@pytest.mark.parametrize("path", TRAINED_AS_TESTED, ids=name_of)
def test_frames_are_tested_at_a_size_that_was_trained(path):
    inputs = load_config(path).INPUT
    is_jittered = inputs.LARGE_SCALE_JITTER or inputs.DATASET_MAPPER_NAME.endswith("_lsj")
    smallest, largest = min(inputs.MIN_SIZE_TRAIN), max(inputs.MIN_SIZE_TRAIN)

    assert is_jittered or smallest <= inputs.MIN_SIZE_TEST <= largest


@pytest.mark.parametrize("path", LEAVES, ids=name_of)
def test_leaf_repeats_nothing_of_its_bases(path, tmp_path):
    """A key set again to the same value would hide a later change of the base."""
    content = yaml.safe_load(path.read_text())
    bases = content.pop("_BASE_")
    copy = tmp_path / "bases.yaml"
    paths = [
        str(path.parent.resolve() / name) for name in ([bases] if isinstance(bases, str) else bases)
    ]
    copy.write_text(yaml.safe_dump({"_BASE_": paths}))
    base = load_config(copy)

    repeated = [key for key, value in flatten(content) if value == value_at(base, key)]

    assert repeated == []


def flatten(content, prefix=""):
    """Keys as overrides name them, `MODEL.TIMM.NAME`, with their values."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def value_at(cfg, key):
    """Value as a YAML writes it, None for a key that only the leaf's project knows."""
    value = cfg
    for name in key.split("."):
        value = value.get(name) if value is not None else None
    return list(value) if isinstance(value, tuple) else value
