"""True and predicted segments of one frame, and how many pixels each pair of them shares.

N true and M predicted segments, R runs, (H, W) pixels. Counts are all that VPQ and STQ need of a
frame, and they are taken in one pass over its pixels. Needs NumPy alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # these import torch and detectron2
    from gvseg.data.segments import FrameLabels
    from gvseg.structures import FrameSegments

VOID = 255  # class of void pixels in maps, as in detectron2

# Runs are worth finding while they are few; labels that change at every pixel are counted as such.
_MAX_RUNS_PER_PIXEL = 1 / 4


@dataclass(frozen=True)
class JointRuns:
    """Maps of labels, cut into runs of pixels on which none of them changes."""

    values: tuple[np.ndarray, ...]  # (R,) of each map
    lengths: np.ndarray | None  # (R,) pixels; None where every run is one pixel

    @classmethod
    def of(cls, *maps: np.ndarray) -> JointRuns:
        """Cut maps, (H, W) of integers each, row by row.

        For 5 5 5 7 and 1 1 2 2 the runs have the values 5 5 7 and 1 2 2, and the lengths 2 1 1.
        """
        pixels = [labels.ravel() for labels in maps]
        changes = np.zeros(pixels[0].size - 1, dtype=bool)
        for labels in pixels:
            changes |= labels[1:] != labels[:-1]
        if np.count_nonzero(changes) > _MAX_RUNS_PER_PIXEL * changes.size:
            return cls(tuple(pixels), None)
        starts = np.append(0, np.flatnonzero(changes) + 1)
        lengths = np.diff(starts, append=pixels[0].size)
        return cls(tuple(labels[starts] for labels in pixels), lengths)

    def count(self, cells: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        """Return the pixels in each cell of a table, given the flat cell of each run, (R,)."""
        counts = np.bincount(cells, self.lengths, shape[0] * shape[1])
        return counts.astype(np.int64).reshape(shape)


@dataclass(frozen=True)
class FramePairs:
    """One frame, as far as counts of pixels tell."""

    true_ids: np.ndarray  # (N,) int64, identity in the video
    true_classes: np.ndarray  # (N,) int64, contiguous class index
    true_areas: np.ndarray  # (N,) float64, pixels as the benchmark states them
    is_crowd: np.ndarray  # (N,) bool
    predicted_ids: np.ndarray  # (M,)
    predicted_classes: np.ndarray  # (M,)
    counts: np.ndarray  # (N+1, M+1) int64, pixels; the last row and the last column are void

    @classmethod
    def of_segments(
        cls, truth: FrameLabels, prediction: FrameSegments, frame: str = "a frame"
    ) -> FramePairs:
        """Count the pixels of segments that share out a frame. One without pixels is left out.

        Args:
            truth: in the order in which the annotation lists its segments.
            prediction: of the same size.
            frame: what the frame is called in errors.

        Raises:
            ValueError: sizes differ, or segments may overlap as each has its own mask.
        """
        if truth.size != prediction.size:
            raise ValueError(
                f"The prediction of {frame} has {_by(prediction.size)} pixels, but the annotation "
                f"has {_by(truth.size)} (height x width)."
            )
        true_map = index_map_of(truth.segments, f"The annotation of {frame}")
        predicted_map = index_map_of(prediction, f"The prediction of {frame}")
        num_true, num_predicted = len(truth.segments), len(prediction)
        runs = JointRuns.of(true_map, predicted_map)
        rows, columns = (positions.astype(np.intp) for positions in runs.values)
        rows[rows < 0], columns[columns < 0] = num_true, num_predicted
        counts = runs.count(rows * (num_predicted + 1) + columns, (num_true + 1, num_predicted + 1))
        is_seen = counts[:-1].any(axis=1)
        is_predicted = counts[:, :-1].any(axis=0)
        return cls(
            true_ids=truth.segments.ids[is_seen],
            true_classes=truth.segments.classes[is_seen],
            true_areas=np.asarray(truth.areas, dtype=np.float64)[is_seen],
            is_crowd=truth.is_crowd[is_seen],
            predicted_ids=prediction.ids[is_predicted],
            predicted_classes=prediction.classes[is_predicted],
            counts=counts[np.append(is_seen, True)][:, np.append(is_predicted, True)],
        )

    @classmethod
    def of_maps(
        cls,
        truth: tuple[np.ndarray, np.ndarray],
        prediction: tuple[np.ndarray, np.ndarray],
        *,
        is_crowd: np.ndarray | None = None,
        void: int = VOID,
    ) -> FramePairs:
        """Count the pixels of plain maps.

        A class and a number make an identity, as in KITTI-STEP: the same number in two classes is
        two objects. Number 0 is a region that is known by its class alone.

        Args:
            truth: classes (H, W), `void` where there is none, and numbers (H, W) of objects.
            prediction: likewise.
            is_crowd: (H, W) bool, pixels of the truth in which objects are not told apart; none by
                default.
            void: class of pixels without a segment.

        Raises:
            ValueError: maps of different shapes.
        """
        crowd = np.zeros(truth[0].shape, dtype=bool) if is_crowd is None else is_crowd
        shapes = [labels.shape for labels in (*truth, *prediction, crowd)]
        if len(set(shapes)) > 1:
            raise ValueError(f"Maps of one frame have the shapes {shapes}.")
        runs = JointRuns.of(*truth, *prediction, crowd)
        classes, numbers, other_classes, other_numbers, is_crowd_run = runs.values
        true_classes, true_ids, rows, first_run = _segments_of_runs(classes, numbers, void)
        predicted_classes, predicted_ids, columns, _ = _segments_of_runs(
            other_classes, other_numbers, void
        )
        shape = (len(true_ids) + 1, len(predicted_ids) + 1)
        counts = runs.count(rows * shape[1] + columns, shape)
        return cls(
            true_ids=true_ids,
            true_classes=true_classes,
            true_areas=counts[:-1].sum(axis=1).astype(np.float64),
            is_crowd=is_crowd_run[first_run],
            predicted_ids=predicted_ids,
            predicted_classes=predicted_classes,
            counts=counts,
        )

    def check_classes(self, num_classes: int, frame: str) -> None:
        """Raise a ValueError unless all segments have classes in 0..K-1."""
        for classes, what in (
            (self.true_classes, "annotation"),
            (self.predicted_classes, "prediction"),
        ):
            unknown = classes[(classes < 0) | (classes >= num_classes)]
            if len(unknown):
                raise ValueError(
                    f"The {what} of {frame} has segments of the classes {unknown.tolist()}; there "
                    f"are {num_classes}, counted from 0."
                )


def class_confusion(pairs: FramePairs, num_classes: int) -> np.ndarray:
    """Count labelled pixels by true and predicted class: (K, K+1) int64, last column "no class"."""
    columns = np.append(pairs.predicted_classes, num_classes)
    confusion = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
    np.add.at(confusion, (pairs.true_classes[:, None], columns), pairs.counts[:-1])
    return confusion


def index_map_of(segments: FrameSegments, what: str) -> np.ndarray:
    """Return the position of the segment at each pixel, (H, W), -1 for void.

    Raises:
        ValueError: segments may overlap, as each has its own mask.
    """
    if segments.index_map is None:
        raise ValueError(
            f"{what} has a mask for each segment, but pixels of panoptic and semantic segments "
            "belong to one; give an index map."
        )
    return segments.index_map


def frame_name(record: Mapping[str, Any], frame_index: int) -> str:
    """Return what a frame is called in errors, by its video and, where the record has it, file."""
    files = record.get("file_names")
    frame = files[frame_index] if files else frame_index
    return (
        f"video {record['video_id']}, frame {frame}" if "video_id" in record else f"frame {frame}"
    )


def _segments_of_runs(
    classes: np.ndarray, numbers: np.ndarray, void: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (N,) classes and (N,) identities, (R,) positions, N for void, and (N,) a run of each.

    A region that is known by its class alone has that class + 1 as its identity. Those of objects
    lie above all of these.
    """
    numbers_per_class = 1 << 32
    codes = (classes.astype(np.int64) + 1) * numbers_per_class + numbers
    codes[classes == void] = -1
    values, first_run, positions = np.unique(codes, return_index=True, return_inverse=True)
    positions = positions.reshape(-1)
    if len(values) and values[0] == -1:
        values, first_run = values[1:], first_run[1:]
        positions = np.where(positions == 0, len(values), positions - 1)
    class_number, number = values // numbers_per_class, values % numbers_per_class
    return class_number - 1, np.where(number > 0, values, class_number), positions, first_run


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
