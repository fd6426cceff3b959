"""Where a query reads of an object that is pointed out (GvSeg, section 3.1, Eq. 7).

K objects, P points, T frames, C channels, (H, W) pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gvseg.modeling.losses import sample_points
from gvseg.structures import Exemplar, ObjectFeatures


@dataclass(frozen=True)
class ObjectPoints:
    """Points inside objects of a clip."""

    frames: Tensor  # (K,) int64, in which frame of the clip
    points: Tensor  # (K, P, 2) x and y in fractions of the padded frame
    # (K, P, 2) outside of the objects, NaN where nothing is known to be; None: not wanted
    outside: Tensor | None = None


def exemplar_points(
    exemplars: Sequence[Exemplar],
    *,
    num_points: int,
    size: tuple[int, int],
    at_random: bool,
    device: torch.device,
    frame_size: tuple[int, int] | None = None,
) -> ObjectPoints:
    """Choose points inside exemplars; a point exemplar is all of its own.

    Args:
        exemplars: K of them, in pixels of the frames as the network sees them.
        num_points: P.
        size: (H, W) of the padded frames.
        at_random: draw them uniformly, for training, rather than spread them evenly.
        device: of the result.
        frame_size: (H, W) without padding, where points outside are wanted too.
    """
    points = np.zeros((len(exemplars), 2, num_points, 2), dtype=np.float32)
    for (inside, outside), exemplar in zip(points, exemplars, strict=True):
        # Where in the object, as numbers in 0..1 that mean the same for each kind.
        where = torch.rand(num_points, 2).numpy() if at_random else _spread(num_points)
        inside[:] = _points_inside(exemplar, where)
        if frame_size is not None:
            outside[:] = _points_outside(exemplar, where, frame_size)
    frames = [exemplar.frame_index for exemplar in exemplars]
    points /= np.array(size[::-1], dtype=np.float32)
    return ObjectPoints(
        torch.tensor(frames, dtype=torch.int64, device=device),
        torch.from_numpy(points[:, 0]).to(device),
        None if frame_size is None else torch.from_numpy(points[:, 1]).to(device),
    )


def read_objects(
    features: Tensor, objects: ObjectPoints, looks: Tensor | None = None
) -> ObjectFeatures:
    """Return the mean of the features at the points of each object, and its looks.

    Args:
        features: (T, C, h, w) of a clip.
        objects: K of them; with points outside where looks are wanted.
        looks: (T, D, h, w), where objects are known by them.
    """
    num_objects, num_points = objects.points.shape[:2]
    # All points in every frame, which is less than a copy of its frame for each object; and in
    # full precision, as half of it cannot tell neighbouring pixels of a wide frame apart.
    points = objects.points.flatten(0, 1).expand(len(features), -1, -1)
    sampled = sample_points(features.float(), points).unflatten(-1, (num_objects, num_points))
    of_objects = sampled[objects.frames, :, torch.arange(num_objects, device=features.device)]
    of_points = None
    if looks is not None:
        assert objects.outside is not None
        of_points = read_looks(looks, objects)
    return ObjectFeatures(of_objects.mean(-1), objects.points.mean(1), of_points)


def read_looks(looks: Tensor, objects: ObjectPoints) -> Tensor:
    """Return the looks at points inside and outside of objects, (K, 2, P, D); NaN at NaN.

    Args:
        looks: (T, D, h, w) of a clip.
        objects: K of them, with points outside.
    """
    assert objects.outside is not None
    points = torch.stack([objects.points, objects.outside], 1)  # (K, 2, P, 2)
    is_known = ~points.isnan().any(-1, keepdim=True)
    of_frames = points.nan_to_num(0.0).flatten(0, 2).expand(len(looks), -1, -1)
    read = sample_points(looks.float(), of_frames).unflatten(-1, points.shape[:3])
    of_objects = read[objects.frames, :, torch.arange(len(points), device=looks.device)]
    return of_objects.permute(0, 2, 3, 1).where(is_known, float("nan"))


def read_masks(features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean features (K, C) and centres (K, 2) of masks, and which have any pixel (K,).

    Args:
        features: (C, h', w') of a frame.
        masks: (K, h, w) bool in it.
    """
    height, width = features.shape[1:]
    weights = F.adaptive_avg_pool2d(masks[:, None].float(), (height, width))[:, 0].flatten(1)
    total = weights.sum(1)
    weights = weights / total.clamp_min(torch.finfo(total.dtype).tiny)[:, None]
    y = (torch.arange(height, device=features.device) + 0.5) / height
    x = (torch.arange(width, device=features.device) + 0.5) / width
    y, x = torch.meshgrid(y, x, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1)
    return weights @ features.float().flatten(1).T, weights @ places, total > 0


def _points_inside(exemplar: Exemplar, where: np.ndarray) -> np.ndarray:
    """Return x, y in pixels of points (P, 2) given as `where` in 0..1."""
    if exemplar.point is not None:
        return np.broadcast_to(exemplar.point, where.shape)
    if exemplar.box is not None:
        corner, opposite = exemplar.box[:2], exemplar.box[2:]
        return corner + where * (opposite - corner)
    assert exemplar.mask is not None
    return _points_of(exemplar.mask, where)


def _points_outside(
    exemplar: Exemplar, where: np.ndarray, frame_size: tuple[int, int]
) -> np.ndarray:
    """Return x, y in pixels of points (P, 2) that are not of the object; NaN if none is known."""
    if exemplar.point is not None:
        return np.full(where.shape, np.nan)
    if exemplar.mask is not None:
        return _points_of(~exemplar.mask, where)
    assert exemplar.box is not None
    is_outside = np.ones(frame_size, dtype=bool)
    left, top = np.floor(exemplar.box[:2]).astype(int)
    right, bottom = np.ceil(exemplar.box[2:]).astype(int)
    is_outside[top:bottom, left:right] = False
    return _points_of(is_outside, where)


def _points_of(mask: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Return the middles of pixels of a mask at shares `where` of them; NaN if it has none."""
    pixels = np.flatnonzero(mask)
    if not len(pixels):
        return np.full(where.shape, np.nan)
    # Row by row is a way through the mask, of which the first number is the share.
    chosen = (where[:, 0] * len(pixels)).astype(np.int64).clip(max=len(pixels) - 1)
    rows, columns = np.divmod(pixels[chosen], mask.shape[1])
    return np.stack([columns, rows], axis=1) + 0.5


def _spread(num_points: int) -> np.ndarray:
    """Return points (P, 2) that cover the unit square evenly: a Kronecker sequence."""
    index = np.arange(num_points)
    # The reciprocal of the golden ratio leaves the smallest gaps.
    return np.stack([(index + 0.5) / num_points, (index * 0.618033988749895 + 0.5) % 1], axis=1)
