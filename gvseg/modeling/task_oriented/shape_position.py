r"""Shape-position descriptor: where an outline lies around its centre, and where in the frame.

N masks, (H, W) pixels, U angles, V radii, C channels.  GvSeg, section 3.1, Eqs. 3 and 4.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable

from gvseg.modeling.padding import image_size, in_frame, sizes_in_map

PIXELS_AT_ONCE = 1 << 22  # of masks: some 400 MB on a GPU, where all of them count


class ShapePositionDescriptor(nn.Module):
    r"""Describe masks by histograms of their outlines in polar coordinates.

    The outline is sampled at M anchor points (Eq. 3). Bin (i, j) holds \(1/\sqrt{C}\) for each
    point whose angle and distance, seen from the centroid, fall into it (Eq. 4), and
    \(-1/\sqrt{C}\) where the middle of the bin lies outside. The histogram is flattened angle by
    angle and brought to C channels, those of a query.

    What "outside" means decides whether a descriptor tells positions apart: bins move with the
    object, so outside of its own mask says nothing of where it is; outside of the frame does, if
    the bins reach as far as the frame does. Both readings are options.

    Args:
        embed_dim: C.
        num_angles: U.
        num_radii: V.
        num_points: M, anchor points of an outline.
        outside: `image`: bins whose middle is outside of the frame are negative; `object`: outside
            of the mask.
        radius: how far the bins reach: `image`, half the diagonal of the frame, or `object`, to the
            farthest point of the outline.
        projection: from U*V bins to C channels: `interpolate` along the flattened histogram, or
            `linear`, learnt. Interpolation is linear as in the paper, unless there are so few
            channels that it would pass over bins; each is the mean of its share of them then.
    """

    @configurable
    def __init__(
        self,
        *,
        embed_dim: int,
        num_angles: int = 36,
        num_radii: int = 12,
        num_points: int = 200,
        outside: str = "image",
        radius: str = "image",
        projection: str = "interpolate",
    ) -> None:
        super().__init__()
        for key, value, choices in (
            ("OUTSIDE", outside, ("image", "object")),
            ("RADIUS", radius, ("image", "object")),
            ("PROJECT", projection, ("interpolate", "linear")),
        ):
            if value not in choices:
                raise ValueError(
                    f"MODEL.GVSEG.DESCRIPTOR.{key} is {value!r}; choose {' or '.join(choices)}."
                )
        self.embed_dim = embed_dim
        self.num_angles = num_angles
        self.num_radii = num_radii
        self.num_points = num_points
        self.outside = outside
        self.radius = radius
        # Linear interpolation reads two neighbouring bins for each channel.
        self.interpolation = "linear" if num_angles * num_radii <= 2 * embed_dim else "area"
        self.linear = None
        if projection == "linear":
            self.linear = nn.Linear(num_angles * num_radii, embed_dim, bias=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        descriptor = cfg.MODEL.GVSEG.DESCRIPTOR
        return {
            "embed_dim": cfg.MODEL.MASK_FORMER.HIDDEN_DIM,
            "num_angles": descriptor.NUM_ANGLES,
            "num_radii": descriptor.NUM_RADII,
            "num_points": descriptor.NUM_POINTS,
            "outside": descriptor.OUTSIDE,
            "radius": descriptor.RADIUS,
            "projection": descriptor.PROJECT,
        }

    def forward(self, masks: Tensor, frame_sizes: Tensor | None = None) -> Tensor:
        """Return descriptors (..., C) float32 of masks; zeros of empty ones.

        Args:
            masks: (..., H, W) bool.
            frame_sizes: as of `histograms`.
        """
        histograms = self.histograms(masks.detach(), frame_sizes).flatten(0, -3).flatten(1)
        if self.linear is not None:
            described = self.linear(histograms)
        else:
            channels = F.interpolate(histograms[:, None], self.embed_dim, mode=self.interpolation)
            described = channels[:, 0]
        return described.unflatten(0, masks.shape[:-2])

    def histograms(self, masks: Tensor, frame_sizes: Tensor | None = None) -> Tensor:
        r"""Return H of Eq. 4, (..., U, V) float32.

        What lies beyond the frame is no part of a mask, and H is that of the frame without it.

        Args:
            masks: (..., H, W) bool.
            frame_sizes: rows and columns that the frame takes of each mask, which may be fractions
                of them, (..., 2) float32 or fewer dimensions; by default all.
        """
        shape, size = masks.shape[:-2], image_size(masks)
        if frame_sizes is None:
            frame_sizes = sizes_in_map([size], 1, masks.device)[0]
        masks = (masks & in_frame(frame_sizes, size)).flatten(0, -3)
        counts, outside = polar_histograms(
            masks,
            frame_sizes.expand(*shape, 2).reshape(-1, 2),
            self.num_angles,
            self.num_radii,
            self.radius == "object",
            self.outside == "object",
        )
        scale = 1 / math.sqrt(self.embed_dim)
        values = torch.where(outside, -scale, counts * (self.num_points * scale))
        values = values.masked_fill(~masks.flatten(1).any(1)[:, None, None], 0.0)
        return values.unflatten(0, shape)


def descriptor_change(before: Tensor, after: Tensor) -> Tensor:
    r"""Return \(\Delta H\), the relative change of descriptors (..., C): (...) (Eq. 10).

    From an empty mask to any other it is infinite, and between two empty ones zero.
    """
    change = (after - before).norm(dim=-1)
    return torch.where(change == 0, change, change / before.norm(dim=-1))


@torch.library.custom_op("gvseg::polar_histograms", mutates_args=())
def polar_histograms(
    masks: Tensor,
    frame_sizes: Tensor,
    num_angles: int,
    num_radii: int,
    reaches_object: bool,
    outside_object: bool,
) -> tuple[Tensor, Tensor]:
    """Return the share of each outline in every bin, and which bins lie outside, each (N, U, V).

    Anchor points spaced evenly on an outline are stood for by the half steps from its pixels to
    their neighbours, each weighted by its length: as with many points, and without tracing. An
    operator of its own, so that compilers need not look into it; no gradient passes through it.

    Args:
        masks: (N, H, W) bool, with nothing beyond their frames.
        frame_sizes: rows and columns of these, (N, 2) float32.
        num_angles: U.
        num_radii: V.
        reaches_object: bins reach to the farthest pixel of the outline, not half the diagonal.
        outside_object: bins count as outside where their middle is not on the mask.
    """
    height, width = image_size(masks)
    # What is computed of each pixel is a hundred times as large as its mask.
    at_once = max(PIXELS_AT_ONCE // max(height * width, 1), 1)
    parts = [
        _histograms(part, sizes, num_angles, num_radii, reaches_object, outside_object)
        for part, sizes in zip(masks.split(at_once), frame_sizes.split(at_once), strict=True)
    ]
    counts, outside = (torch.cat(values) for values in zip(*parts, strict=True))
    return counts, outside


@polar_histograms.register_fake
def _(
    masks: Tensor,
    frame_sizes: Tensor,
    num_angles: int,
    num_radii: int,
    reaches_object: bool,
    outside_object: bool,
) -> tuple[Tensor, Tensor]:
    shape = (masks.shape[0], num_angles, num_radii)
    return masks.new_empty(shape, dtype=torch.float32), masks.new_empty(shape, dtype=torch.bool)


def _histograms(
    masks: Tensor,
    frame_sizes: Tensor,
    num_angles: int,
    num_radii: int,
    reaches_object: bool,
    outside_object: bool,
) -> tuple[Tensor, Tensor]:
    """Return the shares and the bins of `polar_histograms`, of masks that fit into memory."""
    num_masks, height, width = masks.shape
    outline = _outline(masks)
    if masks.is_cuda:
        # How many outline pixels there are is unknown without waiting for the device: take all.
        pixel = torch.arange(outline.numel(), device=masks.device)
    else:
        pixel = outline.flatten().nonzero()[:, 0]
    row = pixel // (width + 2)
    mask, row, column = row // (height + 2), row % (height + 2) - 1, pixel % (width + 2) - 1
    centre_y, centre_x = _centroids(masks)
    offset_y, offset_x = row - centre_y[mask], column - centre_x[mask]
    if reaches_object:
        distance = torch.hypot(offset_y, offset_x) * outline.flatten()[pixel]
        reach = distance.new_zeros(num_masks).scatter_reduce_(0, mask, distance, "amax")
        # A single pixel reaches nowhere; half a pixel keeps its bins apart from one another.
        reach = reach.clamp_min(0.5)
    else:
        reach = torch.hypot(*frame_sizes.unbind(1)) / 2
    # One bin more at each angle, for what is beyond the others.
    covered = centre_y.new_zeros(num_masks * num_angles * (num_radii + 1))
    for step_y, step_x, length in _half_steps(outline, pixel):
        # The middle of the half of a step that belongs to this pixel.
        y, x = offset_y + step_y / 4, offset_x + step_x / 4
        distance = torch.hypot(y, x) / reach[mask]
        angle_bin = (torch.atan2(y, x) * (num_angles / (2 * math.pi))).floor().long() % num_angles
        # The farthest point lies on the edge of the last bin.
        radius_bin = (distance * num_radii).long().clamp_max(num_radii - 1)
        radius_bin = torch.where(distance <= 1, radius_bin, num_radii)
        bins = (mask * num_angles + angle_bin) * (num_radii + 1) + radius_bin
        covered.index_add_(0, bins, length)
    covered = covered.view(num_masks, num_angles, num_radii + 1)
    total = covered.sum((1, 2), keepdim=True).clamp_min(torch.finfo(torch.float32).tiny)
    counts = covered[..., :num_radii] / total
    middles = _bin_middles(centre_y, centre_x, reach, num_angles, num_radii)
    return counts, _is_outside(masks, frame_sizes, *middles, outside_object)


def _outline(masks: Tensor) -> Tensor:
    """Pixels of masks (N, H, W) on their outline, with a border of none: (N, H+2, W+2) bool.

    That is the mask without its erosion by a cross; what lies beyond the frame is background.
    """
    around = F.pad(masks, (1, 1, 1, 1))
    inner = around[:, :-2, 1:-1] & around[:, 2:, 1:-1] & around[:, 1:-1, :-2] & around[:, 1:-1, 2:]
    around[:, 1:-1, 1:-1] &= ~inner
    return around


def _half_steps(outline: Tensor, pixel: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """Yield each way to go, down and right, and what length P pixels cover that way, (P,) float32.

    It is half of the step where the neighbour is on the outline (N, H, W) too. A diagonal step
    counts unless a straight one leads there. A pixel without neighbours covers one step on itself.
    """
    width = outline.shape[2]
    flat = outline.flatten()
    last = len(flat) - 1

    def neighbour(step_y: int, step_x: int) -> Tensor:
        step = step_y * width + step_x
        return flat[(pixel + step).clamp(0, last)]  # pixels of the border are on no outline

    on_outline = flat[pixel]
    is_lone = on_outline
    for step_y, step_x in itertools.product((-1, 0, 1), repeat=2):
        if step_y == step_x == 0:
            continue
        leads_on = neighbour(step_y, step_x) & on_outline
        if step_y and step_x:
            leads_on = leads_on & ~neighbour(step_y, 0) & ~neighbour(0, step_x)
        is_lone = is_lone & ~leads_on
        yield step_y, step_x, leads_on * (math.hypot(step_y, step_x) / 2)
    yield 0, 0, is_lone * 1.0


def _centroids(masks: Tensor) -> tuple[Tensor, Tensor]:
    """Mean row and column of the pixels of each mask, (N,) float32, 0 of an empty one."""
    pixels = masks.float()
    rows, columns = pixels.sum(2), pixels.sum(1)
    area = rows.sum(1).clamp_min(1)
    # Not as matrix products, which autocast would round to half precision.
    centre_y = (rows * torch.arange(masks.shape[1], device=masks.device)).sum(1) / area
    centre_x = (columns * torch.arange(masks.shape[2], device=masks.device)).sum(1) / area
    return centre_y, centre_x


def _bin_middles(
    centre_y: Tensor, centre_x: Tensor, reach: Tensor, num_angles: int, num_radii: int
) -> tuple[Tensor, Tensor]:
    """Rows and columns of the middles of all bins, each (N, U, V)."""
    angles = (torch.arange(num_angles, device=reach.device) + 0.5) * (2 * math.pi / num_angles)
    radii = (torch.arange(num_radii, device=reach.device) + 0.5) / num_radii * reach[:, None]
    y = centre_y[:, None, None] + angles.sin()[:, None] * radii[:, None]
    x = centre_x[:, None, None] + angles.cos()[:, None] * radii[:, None]
    return y, x


def _is_outside(
    masks: Tensor, frame_sizes: Tensor, y: Tensor, x: Tensor, of_object: bool
) -> Tensor:
    """Whether points (N, U, V) lie outside of the frame, or of their masks (N, H, W)."""
    bottom, right = frame_sizes[:, :, None, None].unbind(1)
    # Pixel 0 has its middle at 0, so the frame begins at -1/2.
    is_inside = (y >= -0.5) & (y < bottom - 0.5) & (x >= -0.5) & (x < right - 0.5)
    if not of_object:
        return ~is_inside
    height, width = masks.shape[1:]
    row, column = y.round().long().clamp(0, height - 1), x.round().long().clamp(0, width - 1)
    on_mask = masks.flatten(1).gather(1, (row * width + column).flatten(1)).view_as(is_inside)
    return ~(is_inside & on_mask)
