"""The definition of multi-scale deformable attention in plain PyTorch.

B batch, Q queries, M heads, D channels of a head, L levels, P points, S = sum of H*W over levels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

_VALUE_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)


def check_arguments(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> None:
    """Refuse what `ms_deform_attn` cannot compute.

    Raises:
        ValueError: a shape, dtype or device does not fit; the message names the argument.
    """
    _require(value.dim() == 4, f"value must be (B, S, M, D), got {tuple(value.shape)}.")
    _require(
        value.dtype in _VALUE_DTYPES,
        f"value must be float32, float64, float16 or bfloat16, got {value.dtype}.",
    )
    batch, length, heads, _ = value.shape
    _require(len(spatial_shapes) > 0, "spatial_shapes must name at least one level.")
    for height, width in spatial_shapes:
        _require(
            height > 0 and width > 0,
            f"spatial_shapes must be positive, got {tuple(spatial_shapes)}.",
        )
    pixels = sum(height * width for height, width in spatial_shapes)
    _require(
        pixels == length,
        f"spatial_shapes {tuple(spatial_shapes)} cover {pixels} pixels, but value has {length}.",
    )
    _require(
        sampling_locations.dim() == 6,
        f"sampling_locations must be (B, Q, M, L, P, 2), got {tuple(sampling_locations.shape)}.",
    )
    _, queries, _, _, points, _ = sampling_locations.shape
    expected = (batch, queries, heads, len(spatial_shapes), points)
    for name, tensor, shape in (
        ("sampling_locations", sampling_locations, (*expected, 2)),
        ("attention_weights", attention_weights, expected),
    ):
        _require(
            tuple(tensor.shape) == shape,
            f"{name} must be {shape} to fit the other arguments, got {tuple(tensor.shape)}.",
        )
        _require(
            tensor.dtype == sampling_dtype(value.dtype),
            f"{name} must be {sampling_dtype(value.dtype)} for {value.dtype} values, got "
            f"{tensor.dtype}.",
        )
        _require(
            tensor.device == value.device,
            f"{name} must be on {value.device} like value, got {tensor.device}.",
        )


def sampling_dtype(value_dtype: torch.dtype) -> torch.dtype:
    """The dtype of locations and weights.

    In bfloat16 a sample of a level that is 160 pixels wide would be off by up to 0.3 pixels.
    """
    return torch.float64 if value_dtype == torch.float64 else torch.float32


def ms_deform_attn_reference(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """What `gvseg.ops.ms_deform_attn` returns, level by level with `grid_sample`."""
    check_arguments(value, spatial_shapes, sampling_locations, attention_weights)
    batch, _, heads, channels = value.shape
    queries = sampling_locations.shape[1]
    head_major = value.to(sampling_locations.dtype).permute(0, 2, 3, 1).flatten(0, 1)
    levels = head_major.split([height * width for height, width in spatial_shapes], dim=-1)
    grids = (2 * sampling_locations - 1).transpose(1, 2).flatten(0, 1)  # (B*M, Q, L, P, 2)
    weights = attention_weights.transpose(1, 2).flatten(0, 1).unsqueeze(1)  # (B*M, 1, Q, L, P)
    output = value.new_zeros((batch * heads, channels, queries), dtype=sampling_locations.dtype)
    for index, (pixels, (height, width)) in enumerate(zip(levels, spatial_shapes, strict=True)):
        sampled = F.grid_sample(
            pixels.unflatten(-1, (height, width)),
            grids[:, :, index],
            mode="bilinear",
            padding_mode="zeros",
            align_corners=False,
        )  # (B*M, D, Q, P)
        output = output + (sampled * weights[:, :, :, index]).sum(-1)
    output = output.view(batch, heads * channels, queries).transpose(1, 2)
    return output.to(value.dtype).contiguous()


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
