"""Arguments for `ms_deform_attn`, and what the tests of several files compare them with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gvseg.ops import ms_deform_attn_reference
from gvseg.ops.reference import sampling_dtype

Shapes = tuple[tuple[int, int], ...]


@dataclass
class Arguments:
    value: Tensor
    spatial_shapes: Shapes
    sampling_locations: Tensor
    attention_weights: Tensor

    @property
    def tensors(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.value, self.sampling_locations, self.attention_weights

    @property
    def sizes(self) -> list[int]:
        """The shapes as the operators of the library take them."""
        return [size for shape in self.spatial_shapes for size in shape]

    def to(self, dtype: torch.dtype) -> Arguments:
        """The values in a dtype, locations and weights in the one that goes with it."""
        sampling = sampling_dtype(dtype)
        return replace(
            self,
            value=self.value.detach().to(dtype),
            sampling_locations=self.sampling_locations.detach().to(sampling),
            attention_weights=self.attention_weights.detach().to(sampling),
        )


def make_arguments(
    shapes: Shapes,
    *,
    batch: int = 2,
    queries: int = 7,
    heads: int = 3,
    channels: int = 8,
    points: int = 2,
    seed: int = 0,
) -> Arguments:
    """Random values, weights and locations, a fifth of the latter outside of the level.

    Positions are a tenth of a pixel or more away from pixel centres, where the gradient jumps, so
    that rounding never decides on which side a sample lies.
    """
    generator = torch.Generator().manual_seed(seed)
    pixels = sum(height * width for height, width in shapes)
    samples = (batch, queries, heads, len(shapes), points)
    extent = torch.tensor([(width, height) for height, width in shapes])[:, None]
    whole = torch.rand((*samples, 2), generator=generator) * (extent * 1.25 + 4) - 2
    whole = (whole - extent * 0.125).floor()
    position = whole + 0.1 + 0.8 * torch.rand((*samples, 2), generator=generator)
    weights = torch.randn((*samples[:3], len(shapes) * points), generator=generator).softmax(-1)
    return Arguments(
        torch.randn((batch, pixels, heads, channels), generator=generator),
        shapes,
        (position + 0.5) / extent,
        weights.view(samples),
    )


def with_pixel_0_alone_touched_first(arguments: Arguments) -> None:
    """Make pixel 0 of a level of 4x4 infinite and have no query but the first see it."""
    arguments.value[:, 0] = torch.inf
    arguments.sampling_locations[:, 0] = 0.1
    # And beyond the right border, where the row's first pixel must not stand in.
    arguments.sampling_locations[:, 1:] = torch.tensor([0.9, 0.1])
    arguments.sampling_locations[:, 2:] = -5.0


def reference_run(arguments: Arguments, grad_output: Tensor) -> tuple[Tensor, ...]:
    """Output and gradients of value, locations and weights in float64."""
    exact = arguments.to(torch.float64)
    tensors = [tensor.requires_grad_() for tensor in exact.tensors]
    value, locations, weights = tensors
    output = ms_deform_attn_reference(value, exact.spatial_shapes, locations, weights)
    return output.detach(), *torch.autograd.grad(output, tensors, grad_output.double())


def relative_error(actual: Tensor, expected: Tensor) -> float:
    """Largest difference, relative to the largest expected number."""
    if expected.numel() == 0:
        assert actual.shape == expected.shape
        return 0.0
    scale = expected.abs().max().clamp_min(1e-12)
    return ((actual.double() - expected).abs().max() / scale).item()
