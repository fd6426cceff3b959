"""How masks overlap: those of one frame, and those of tracks over a video.

G true and P predicted masks or tracks, T frames, (H, W) pixels. Needs NumPy and pycocotools alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from pycocotools import mask as coco_mask

if TYPE_CHECKING:  # imports torch
    from gvseg.structures import FrameSegments

RunLength = dict[str, Any]  # COCO's, compressed

_MOST_AREAS = 255  # in one call


@dataclass(frozen=True)
class Overlaps:
    """Pixels of true and predicted masks, and of what each pair has in common."""

    truth_areas: np.ndarray  # (G,) int64
    prediction_areas: np.ndarray  # (P,) int64
    intersections: np.ndarray  # (G, P) int64

    @property
    def iou(self) -> np.ndarray:
        """Intersection over union of each pair, (G, P), 0 for two empty masks."""
        unions = self.truth_areas[:, None] + self.prediction_areas - self.intersections
        return self.intersections / np.maximum(unions, 1)

    def select(self, truth: np.ndarray, prediction: np.ndarray) -> Overlaps:
        """Return the part for some true and predicted masks, each by positions or as (G,) bool."""
        return Overlaps(
            self.truth_areas[truth],
            self.prediction_areas[prediction],
            self.intersections[truth][:, prediction],
        )


def overlaps_of_run_lengths(
    truth: Sequence[RunLength], prediction: Sequence[RunLength]
) -> Overlaps:
    """Compare G true and P predicted masks of one frame.

    Raises:
        ValueError: masks of different sizes.
    """
    sizes = sorted({tuple(mask["size"]) for mask in (*truth, *prediction)})
    if len(sizes) > 1:
        raise _different_sizes(sizes)
    truth_areas, prediction_areas = _areas(truth), _areas(prediction)
    if not len(truth) or not len(prediction):
        nothing = np.zeros((len(truth), len(prediction)), dtype=np.int64)
        return Overlaps(truth_areas, prediction_areas, nothing)
    iou = coco_mask.iou(list(truth), list(prediction), [0] * len(prediction))
    # Given iou = i / (a + b - i), the intersection i is the whole number nearest to this.
    totals = truth_areas[:, None] + prediction_areas
    intersections = np.rint(iou * totals / (1 + iou)).astype(np.int64)
    return Overlaps(truth_areas, prediction_areas, intersections)


def _different_sizes(sizes: Sequence[tuple[int, ...]]) -> ValueError:
    return ValueError(f"Masks of one frame have the sizes {sizes} (height, width).")


def overlaps_of_segments(truth: FrameSegments, prediction: FrameSegments) -> Overlaps:
    """Compare all true with all predicted segments of one frame.

    Raises:
        ValueError: they have different sizes.
    """
    if truth.size != prediction.size:
        raise _different_sizes([truth.size, prediction.size])
    if truth.index_map is not None and prediction.index_map is not None:
        return _overlaps_of_maps(truth.index_map, prediction.index_map, len(truth), len(prediction))
    return overlaps_of_run_lengths(_run_lengths(truth), _run_lengths(prediction))


def box_overlaps_of_segments(truth: FrameSegments, prediction: FrameSegments) -> Overlaps:
    """Compare the boxes around all true with those around all predicted segments of one frame.

    An empty segment has an empty box.

    Raises:
        ValueError: they have different sizes.
    """
    if truth.size != prediction.size:
        raise _different_sizes([truth.size, prediction.size])
    truth_corners, prediction_corners = _corners(truth), _corners(prediction)
    extent = np.minimum(truth_corners[:, None, 1], prediction_corners[:, 1]) - np.maximum(
        truth_corners[:, None, 0], prediction_corners[:, 0]
    )
    return Overlaps(
        np.diff(truth_corners, axis=1).prod(axis=(1, 2)),
        np.diff(prediction_corners, axis=1).prod(axis=(1, 2)),
        np.maximum(extent, 0).prod(axis=2),
    )


def _corners(segments: FrameSegments) -> np.ndarray:
    """Return the first and the last corner of the box around each mask, (N, 2, 2) int64."""
    run_lengths = _run_lengths(segments)
    if not run_lengths:
        return np.zeros((0, 2, 2), dtype=np.int64)
    boxes = coco_mask.toBbox(run_lengths).astype(np.int64).reshape(-1, 2, 2)  # corner, extent
    return np.cumsum(boxes, axis=1)


def _overlaps_of_maps(
    truth: np.ndarray, prediction: np.ndarray, num_truth: int, num_predicted: int
) -> Overlaps:
    # Void, -1, becomes the first row and column.
    cells = (truth.astype(np.int64) + 1) * (num_predicted + 1) + prediction + 1
    counts = np.bincount(cells.ravel(), minlength=(num_truth + 1) * (num_predicted + 1))
    counts = counts.reshape(num_truth + 1, num_predicted + 1)
    return Overlaps(counts[1:].sum(axis=1), counts[:, 1:].sum(axis=0), counts[1:, 1:])


def _run_lengths(segments: FrameSegments) -> list[RunLength]:
    """Return the masks as run lengths along rows, not along columns as COCO has them.

    Sizes, areas and overlaps are the same, and encoding takes a twentieth of the time as no mask is
    transposed.
    """
    masks = segments.masks
    if masks is None:
        assert segments.index_map is not None
        masks = segments.index_map == np.arange(len(segments))[:, None, None]
    if len(segments) == 0:
        return []
    return coco_mask.encode(np.ascontiguousarray(masks).view(np.uint8).T)


def _areas(masks: Sequence[RunLength]) -> np.ndarray:
    # pycocotools 2.0.11 fails on more than 255 masks at once.
    starts = range(0, len(masks), _MOST_AREAS)
    parts = [coco_mask.area(list(masks[start : start + _MOST_AREAS])) for start in starts]
    return np.concatenate([np.zeros(0, dtype=np.int64), *parts]).astype(np.int64)


@dataclass(frozen=True)
class PlacedOverlaps:
    """Overlaps of one frame and which of a video's tracks they are of."""

    truth: np.ndarray  # (g,) positions among the G true tracks
    prediction: np.ndarray  # (p,) positions among the P predicted tracks
    overlaps: Overlaps  # of g true with p predicted masks


def sum_overlaps(frames: Iterable[PlacedOverlaps], num_truth: int, num_predicted: int) -> Overlaps:
    """Add up the frames of a video: overlaps of G true with P predicted tubes.

    A track that is absent from a frame adds nothing, so the other's pixels there are all union.
    """
    truth_areas = np.zeros(num_truth, dtype=np.int64)
    prediction_areas = np.zeros(num_predicted, dtype=np.int64)
    intersections = np.zeros((num_truth, num_predicted), dtype=np.int64)
    for frame in frames:
        truth_areas[frame.truth] += frame.overlaps.truth_areas
        prediction_areas[frame.prediction] += frame.overlaps.prediction_areas
        intersections[np.ix_(frame.truth, frame.prediction)] += frame.overlaps.intersections
    return Overlaps(truth_areas, prediction_areas, intersections)
