"""Where a query reads of an object that is pointed out (GvSeg, section 3.1, Eq. 7).

K objects, P points, T frames, C channels, (H, W) pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gvseg.modeling.losses import sample_points
from gvseg.structures import Exemplar, ObjectFeatures


@dataclass(frozen=True)
class ObjectPoints:
    """Points inside objects of a clip."""

    frames: Tensor  # (K,) int64, in which frame of the clip
    points: Tensor  # (K, P, 2) x and y in fractions of the padded frame


def exemplar_points(
    exemplars: Sequence[Exemplar],
    *,
    num_points: int,
    size: tuple[int, int],
    at_random: bool,
    device: torch.device,
) -> ObjectPoints:
    """Choose points inside exemplars; a point exemplar is all of its own.

    Args:
        exemplars: K of them, in pixels of the frames as the network sees them.
        num_points: P.
        size: (H, W) of the padded frames.
        at_random: draw them uniformly, for training, rather than spread them evenly.
        device: of the result.
    """
    points = np.zeros((len(exemplars), num_points, 2), dtype=np.float32)
    for row, exemplar in zip(points, exemplars, strict=True):
        # Where in the object, as numbers in 0..1 that mean the same for each kind.
        where = torch.rand(num_points, 2).numpy() if at_random else _spread(num_points)
        row[:] = _points_inside(exemplar, where)
    frames = [exemplar.frame_index for exemplar in exemplars]
    return ObjectPoints(
        torch.tensor(frames, dtype=torch.int64, device=device),
        torch.from_numpy(points / np.array(size[::-1], dtype=np.float32)).to(device),
    )


def read_objects(features: Tensor, objects: ObjectPoints) -> ObjectFeatures:
    """Return the mean of the features at the points of each object.

    Args:
        features: (T, C, h, w) of a clip.
        objects: K of them.
    """
    num_objects, num_points = objects.points.shape[:2]
    # All points in every frame, which is less than a copy of its frame for each object; and in
    # full precision, as half of it cannot tell neighbouring pixels of a wide frame apart.
    points = objects.points.flatten(0, 1).expand(len(features), -1, -1)
    sampled = sample_points(features.float(), points).unflatten(-1, (num_objects, num_points))
    of_objects = sampled[objects.frames, :, torch.arange(num_objects, device=features.device)]
    return ObjectFeatures(of_objects.mean(-1), objects.points.mean(1))


def _points_inside(exemplar: Exemplar, where: np.ndarray) -> np.ndarray:
    """Return x, y in pixels of points (P, 2) given as `where` in 0..1."""
    if exemplar.point is not None:
        return np.broadcast_to(exemplar.point, where.shape)
    if exemplar.box is not None:
        corner, opposite = exemplar.box[:2], exemplar.box[2:]
        return corner + where * (opposite - corner)
    assert exemplar.mask is not None
    rows, columns = np.nonzero(exemplar.mask)
    # Row by row is a way through the mask, of which the first number is the share.
    chosen = (where[:, 0] * len(rows)).astype(np.int64).clip(max=len(rows) - 1)
    return np.stack([columns[chosen], rows[chosen]], axis=1) + 0.5


def _spread(num_points: int) -> np.ndarray:
    """Return points (P, 2) that cover the unit square evenly: a Kronecker sequence."""
    index = np.arange(num_points)
    # The reciprocal of the golden ratio leaves the smallest gaps.
    return np.stack([(index + 0.5) / num_points, (index * 0.618033988749895 + 0.5) % 1], axis=1)
