"""From a config to the segmenter that it describes."""

from __future__ import annotations

from torch import nn

from detectron2.config import CfgNode
from detectron2.modeling import BACKBONE_REGISTRY, META_ARCH_REGISTRY, build_model


def build_segmenter(cfg: CfgNode) -> nn.Module:
    """Return the meta-architecture with random weights, on `MODEL.DEVICE`.

    Raises:
        ValueError: a part that the config names does not exist, or a setting makes no sense.
    """
    for key, name, registry in (
        ("META_ARCHITECTURE", cfg.MODEL.META_ARCHITECTURE, META_ARCH_REGISTRY),
        ("BACKBONE.NAME", cfg.MODEL.BACKBONE.NAME, BACKBONE_REGISTRY),
    ):
        if name not in registry:
            known = ", ".join(sorted(registered for registered, _ in registry))
            raise ValueError(f"MODEL.{key} is {name!r}; choose one of {known}.")
    return build_model(cfg)
