"""Backbones from timm; ResNets come from detectron2 and Swin from `gvseg.modeling.swin`.

N frames, C channels, (H, W) pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers import Format, freeze_batch_norm_2d
from timm.models import FeatureInfo
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY, Backbone

from gvseg.checkpoint.imagenet import load_imagenet_weights, package_weights

NAMES = {4: "res2", 8: "res3", 16: "res4", 32: "res5"}  # by stride


@BACKBONE_REGISTRY.register()
class TimmBackbone(Backbone):
    """Any timm model that supports `features_only`, at strides 4 to 32.

    Args:
        name: as `timm.list_models` gives it, such as `tf_efficientnet_lite0` or `convnext_tiny`.
        weights: a file of ImageNet weights; "package" for those of the model's pip package; empty
            to start from random weights.
        norm: "FrozenBN" to keep statistics and scale of batch norms as loaded, "BN" to train them
            (not with `freeze_at`, as frozen stages would go on to change their statistics).
        freeze_at: stages that are not trained, as detectron2 counts them for its ResNets: 1 is all
            before res2, 2 goes to the end of res2, and so on; 0 trains everything.
    """

    @configurable
    def __init__(self, *, name: str, weights: str, norm: str, freeze_at: int = 0) -> None:
        super().__init__()
        if norm not in ("FrozenBN", "BN"):
            raise ValueError(f"MODEL.TIMM.NORM is {norm!r}; choose FrozenBN or BN.")
        if norm == "BN" and freeze_at > 0:
            raise ValueError(
                "MODEL.TIMM.NORM BN needs MODEL.BACKBONE.FREEZE_AT 0; or use FrozenBN."
            )
        if not timm.is_model(name):
            raise ValueError(f"MODEL.TIMM.NAME is {name!r}, which timm {timm.__version__} lacks.")
        body = _create(name)
        info = body.feature_info
        assert isinstance(info, FeatureInfo)
        strides = info.reduction()
        wanted = [index for index, stride in enumerate(strides) if stride in NAMES]
        if [strides[index] for index in wanted] != list(NAMES):
            raise ValueError(f"{name} has features at strides {strides}; 4, 8, 16, 32 are needed.")
        _check_any_size(body, name)
        self.wanted = wanted
        # Some families, Swin among them, give (N, h, w, C).
        self.channels_last = getattr(body, "output_fmt", Format.NCHW) == Format.NHWC
        self.body = body
        if weights:
            path = package_weights(name) if weights == "package" else Path(weights)
            load_imagenet_weights(self.body, path)
        if norm == "FrozenBN":
            self.body = freeze_batch_norm_2d(self.body)
        names = info.module_name()
        _freeze(self.body, [names[index] for index in wanted], freeze_at)
        channels = info.channels()
        self._out_features = list(NAMES.values())
        self._out_feature_strides = {name: stride for stride, name in NAMES.items()}
        self._out_feature_channels = {NAMES[strides[index]]: channels[index] for index in wanted}

    @classmethod
    def from_config(cls, cfg: CfgNode, input_shape: ShapeSpec) -> dict:
        options = cfg.MODEL.TIMM
        # MODEL.WEIGHTS holds the backbone too, so nothing else need be installed to run a model.
        weights = "" if cfg.MODEL.WEIGHTS else options.WEIGHTS
        return {
            "name": options.NAME,
            "weights": weights,
            "norm": options.NORM,
            "freeze_at": cfg.MODEL.BACKBONE.FREEZE_AT,
        }

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        """Return the features of (N, 3, H, W), each (N, C, h, w), by name."""
        features = self.body(frames)
        maps = {
            name: features[index]
            for name, index in zip(self._out_features, self.wanted, strict=True)
        }
        if self.channels_last:
            return {name: feature.permute(0, 3, 1, 2) for name, feature in maps.items()}
        return maps

    @property
    def size_divisibility(self) -> int:
        """Frames should be multiples of the coarsest stride."""
        return max(NAMES)


def _create(name: str) -> nn.Module:
    """Return a model of timm's that gives features, of frames of any size where it can."""
    family = timm.model_entrypoint(name).__module__.rsplit(".", 1)[-1]
    options: dict[str, Any] = {"strict_img_size": False} if family in _SIZED_ON_REQUEST else {}
    return timm.create_model(name, features_only=True, pretrained=False, **options)


def _check_any_size(body: nn.Module, name: str) -> None:
    """Raise a ValueError unless a model takes frames of a size that is nobody's own."""
    body.eval()
    try:
        with torch.no_grad():
            body(torch.zeros(1, 3, *_TRIAL_SIZE))
    except (AssertionError, RuntimeError) as error:
        raise ValueError(
            f"MODEL.TIMM.NAME is {name!r}, which does not take frames of any size: {error}"
        ) from error
    body.train()


_SIZED_ON_REQUEST = ("swin_transformer", "swin_transformer_v2", "swin_transformer_v2_cr")
_TRIAL_SIZE = (64, 96)


def _freeze(body: nn.Module, stage_ends: list[str], freeze_at: int) -> None:
    """Exclude the first stages of a model from training.

    Args:
        body: parameters are registered in the order in which they are used.
        stage_ends: names of the modules that end res2 to res5.
        freeze_at: see `TimmBackbone`.
    """
    if not 0 <= freeze_at <= len(stage_ends) + 1:
        raise ValueError(f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}; give 0 to 5.")
    if freeze_at == 0:
        return
    parameters = list(body.named_parameters())
    end = stage_ends[max(freeze_at - 2, 0)].replace(".", "_")  # timm writes stages_0 for stages.0
    inside = [
        index
        for index, (name, _) in enumerate(parameters)
        if name.replace(".", "_").startswith(f"{end}_")
    ]
    if not inside:
        raise ValueError(
            f"MODEL.BACKBONE.FREEZE_AT is {freeze_at}, but {type(body).__name__} has no stage "
            f"{end} of its own to freeze; set it to 0."
        )
    num_frozen = inside[0] if freeze_at == 1 else inside[-1] + 1
    for _, parameter in parameters[:num_frozen]:
        parameter.requires_grad_(False)
