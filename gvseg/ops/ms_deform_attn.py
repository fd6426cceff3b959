"""Multi-scale deformable attention (arXiv 2010.04159, Eq. 3): the function and the module.

B batch, Q queries, M heads, D channels of a head, C = M*D, L levels, P points, S = sum of H*W
over levels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gvseg.ops.library import is_compiled, log_backend
from gvseg.ops.reference import ms_deform_attn_reference, sampling_dtype


def ms_deform_attn(
    value: Tensor,
    spatial_shapes: Sequence[tuple[int, int]],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    """Weighted sum of bilinear samples around each query, for every head: (B, Q, M*D).

    Samples are taken as by `grid_sample(align_corners=False, padding_mode="zeros")`.

    Args:
        value: (B, S, M, D), the levels flattened one after the other.
        spatial_shapes: (H, W) of each level, as ints of Python: no device is waited for.
        sampling_locations: (B, Q, M, L, P, 2) as (x, y), where 0 to 1 spans a level; float32, or
            float64 where `value` is.
        attention_weights: (B, Q, M, L, P) after the softmax, of the dtype of the locations.

    Raises:
        ValueError: a shape, dtype or device does not fit; the message names the argument.
    """
    if not is_compiled(value.device.type):
        return ms_deform_attn_reference(
            value, spatial_shapes, sampling_locations, attention_weights
        )
    sizes = [size for shape in spatial_shapes for size in shape]
    return torch.ops.gvseg.ms_deform_attn(value, sizes, sampling_locations, attention_weights)


class MSDeformAttn(nn.Module):
    """Attend to a few points per head and level, placed by the query around its reference point.

    Parameter names are those of the published Mask2Former weights. Locations and weights are
    computed in float32 (float64 for float64 values) whatever autocast says; the values follow
    autocast.

    Args:
        embed_dim: channels C of queries and values.
        num_heads: M; must divide `embed_dim`.
        num_levels: L.
        num_points: P, points of each head on each level.
    """

    def __init__(self, *, embed_dim: int, num_heads: int, num_levels: int, num_points: int) -> None:
        super().__init__()
        if embed_dim % num_heads:
            raise ValueError(f"embed_dim {embed_dim} must be a multiple of num_heads {num_heads}.")
        self.num_heads = num_heads
        self.num_levels = num_levels
        self.num_points = num_points
        samples = num_heads * num_levels * num_points
        self.sampling_offsets = nn.Linear(embed_dim, samples * 2)
        self.attention_weights = nn.Linear(embed_dim, samples)
        self.value_proj = nn.Linear(embed_dim, embed_dim)
        self.output_proj = nn.Linear(embed_dim, embed_dim)
        self.reset_parameters()
        log_backend()

    def reset_parameters(self) -> None:
        """Start with each head looking in its own direction, point p at p pixels, all equal."""
        nn.init.zeros_(self.sampling_offsets.weight)
        angles = torch.arange(self.num_heads) * (2 * math.pi / self.num_heads)
        directions = torch.stack((angles.cos(), angles.sin()), dim=-1)
        directions = directions / directions.abs().amax(dim=-1, keepdim=True)
        distances = torch.arange(1, self.num_points + 1)
        offsets = directions[:, None, None] * distances[:, None]  # (M, 1, P, 2)
        with torch.no_grad():
            self.sampling_offsets.bias.copy_(offsets.expand(-1, self.num_levels, -1, -1).flatten())
        nn.init.zeros_(self.attention_weights.weight)
        nn.init.zeros_(self.attention_weights.bias)
        for projection in (self.value_proj, self.output_proj):
            nn.init.xavier_uniform_(projection.weight)
            nn.init.zeros_(projection.bias)

    def forward(
        self,
        query: Tensor,
        reference_points: Tensor,
        value_input: Tensor,
        spatial_shapes: Sequence[tuple[int, int]],
        padding_mask: Tensor | None = None,
    ) -> Tensor:
        """Return (B, Q, C) in the dtype that the projections compute in.

        Args:
            query: (B, Q, C), position encoding included.
            reference_points: (B, Q, L, 2) as (x, y) in 0 to 1.
            value_input: (B, S, C), the levels flattened one after the other.
            spatial_shapes: (H, W) of each level.
            padding_mask: (B, S), True where a pixel is padding and gives nothing.
        """
        value = self.value_proj(value_input)
        if padding_mask is not None:
            value = value.masked_fill(padding_mask.unsqueeze(-1), 0)
        value = value.unflatten(-1, (self.num_heads, -1))
        locations, weights = self._place(query, reference_points, spatial_shapes, value.dtype)
        return self.output_proj(ms_deform_attn(value, spatial_shapes, locations, weights))

    def _place(
        self,
        query: Tensor,
        reference_points: Tensor,
        spatial_shapes: Sequence[tuple[int, int]],
        value_dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor]:
        """Sampling locations (B, Q, M, L, P, 2) and attention weights (B, Q, M, L, P)."""
        dtype = sampling_dtype(value_dtype)
        samples = (self.num_heads, self.num_levels, self.num_points)
        with torch.autocast(query.device.type, enabled=False):
            query = query.to(dtype)
            offsets = _linear_in(dtype, self.sampling_offsets, query).unflatten(-1, (*samples, 2))
            scores = _linear_in(dtype, self.attention_weights, query)
            weights = scores.unflatten(-1, (self.num_heads, -1)).softmax(-1)
            extents = _extents(spatial_shapes, offsets)
            locations = reference_points.to(dtype)[:, :, None, :, None] + offsets / extents
            return locations, weights.unflatten(-1, samples[1:])


def _extents(spatial_shapes: Sequence[tuple[int, int]], like: Tensor) -> Tensor:
    """Return width and height of each level beside a tensor, (L, 1, 2).

    Filled in on the device: a copy from the host cannot be captured in a CUDA graph.
    """
    extents = like.new_empty((len(spatial_shapes), 1, 2))
    for extent, (height, width) in zip(extents, spatial_shapes, strict=True):
        extent[0, 0] = width
        extent[0, 1] = height
    return extents


def _linear_in(dtype: torch.dtype, layer: nn.Linear, features: Tensor) -> Tensor:
    """Apply a layer whose parameters may be stored in a half precision."""
    return F.linear(features, layer.weight.to(dtype), layer.bias.to(dtype))
