"""Let the mask of a query fade with the distance from where the query looks.

B clips, Q queries, C channels, (h, w) pixels of a map.  Of our own, in no paper.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

UNIT = 8.0  # mask pixels: 32 image pixels, in which distances are near 1


class PlacePrior(nn.Module):
    r"""Logits that fall off from a centre: \(-s_x (x - c_x)^2 - s_y (y - c_y)^2\).

    Pixels of two objects of a class look alike, and only slowly does a decoder learn to tell them
    apart by place; this says from the first step that an object is near its query. Each query sets
    its own centre, as an offset from the place it began with, and its own sharpness along x and y,
    so that a large object need not fade at all. Distances are in image pixels, not in fractions of
    the image, as sizes are to convolutions.

    Args:
        embed_dim: C.
    """

    def __init__(self, *, embed_dim: int) -> None:
        super().__init__()
        self.shape = nn.Linear(embed_dim, 4)  # offset of the centre, logarithm of the sharpness
        nn.init.zeros_(self.shape.weight)
        nn.init.zeros_(self.shape.bias)

    def forward(
        self, embeds: Tensor, centres: Tensor, full_size: tuple[int, int], size: tuple[int, int]
    ) -> Tensor:
        """Return what to add to mask logits, (B, Q, h, w) float32.

        Args:
            embeds: (B, Q, C).
            centres: where queries began, (B, Q, 2) as x and y in fractions of the frame; NaN of
                those that have no place, whose masks do not fade.
            full_size: (H, W) of the mask features, which sets the scale.
            size: (h, w) of the map to return, over the same frame.
        """
        with torch.autocast(embeds.device.type, enabled=False):
            offset, log_sharpness = self.shape(embeds.float()).chunk(2, -1)
            height, width = (length / UNIT for length in full_size)
            has_place = ~centres.isnan().any(-1)[..., None, None]
            # By numbers that the host knows: a tensor of them would be waited for.
            x, y = centres.nan_to_num(0.5).unbind(-1)
            x, y = x * width + offset[..., 0], y * height + offset[..., 1]
            sharpness = log_sharpness.exp()
            along_x = _fall_off(x, sharpness[..., 0], width, size[1])
            along_y = _fall_off(y, sharpness[..., 1], height, size[0])
            return (along_y[..., :, None] + along_x[..., None, :]) * has_place


def _fall_off(centre: Tensor, sharpness: Tensor, extent: float, length: int) -> Tensor:
    """Parabolas (B, Q, length) of centre and sharpness (B, Q), at the middles of pixels."""
    pixels = (torch.arange(length, device=centre.device) + 0.5) / length * extent
    return -sharpness[..., None] * (pixels - centre[..., None]).square()
