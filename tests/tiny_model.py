"""A model small enough to build and train in a test, and how to get one."""

from pathlib import Path

import torch

from detectron2.config import CfgNode
from detectron2.modeling import build_model

import gvseg.modeling  # noqa: F401  registers the meta-architecture
from gvseg.config import load_config

CONFIGS = Path(__file__).parents[1] / "configs"
BASE = CONFIGS / "base" / "mask2former_effnet_lite0.yaml"
TINY = [
    "MODEL.DEVICE", "cpu",
    "MODEL.TIMM.WEIGHTS", "",
    "MODEL.SEM_SEG_HEAD.CONVS_DIM", "32",
    "MODEL.SEM_SEG_HEAD.MASK_DIM", "16",
    "MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS", "1",
    "MODEL.MASK_FORMER.HIDDEN_DIM", "32",
    "MODEL.MASK_FORMER.NHEADS", "4",
    "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "7",
    "MODEL.MASK_FORMER.DEC_LAYERS", "3",
    "MODEL.MASK_FORMER.TRAIN_NUM_POINTS", "64",
]  # fmt: skip
FIVE_CLASSES = ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "5"]


def tiny_config(*overrides: str, config_file: Path = BASE) -> CfgNode:
    """Read a config, made tiny."""
    return load_config(config_file, [*TINY, *overrides])


def build_tiny(*overrides: str) -> torch.nn.Module:
    """Build a tiny model of five classes, always with the same weights."""
    torch.manual_seed(0)
    return build_model(tiny_config(*FIVE_CLASSES, *overrides))
