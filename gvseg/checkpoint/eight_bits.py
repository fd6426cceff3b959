"""Weights in eight bits, for files a quarter of the size of float32.

Each row of a weight, what makes one output channel, has the scale of its greatest value, and its
values are stored as whole numbers from -127 to 127 of 1/127 of that. So a value moves by at most
1/254 of the greatest in its row. What has one dimension, such as biases, stays float16.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

_SCALE = "::scale"  # behind the name of a weight; no module can have a name with colons


def in_eight_bits(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors to store: rows of int8 with their scales, the rest in float16.

    What is no floating-point number stays as it is.
    """
    stored: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            stored[name] = tensor
        elif tensor.ndim < 2:
            stored[name] = tensor.half()
        else:
            rows = tensor.float().flatten(1)
            scales = rows.abs().amax(1) / 127
            # A row of zeros has any scale.
            whole = (rows / torch.where(scales > 0, scales, 1)[:, None]).round()
            stored[name] = whole.to(torch.int8).view_as(tensor)
            stored[name + _SCALE] = scales
    return stored


def from_eight_bits(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors with those that `in_eight_bits` took apart in float32, the rest unchanged."""
    restored = {}
    for name, tensor in tensors.items():
        if name.endswith(_SCALE):
            continue
        scales = tensors.get(name + _SCALE)
        if scales is not None:
            tensor = tensor.float() * scales.view(-1, *[1] * (tensor.ndim - 1))
        restored[name] = tensor
    return restored
