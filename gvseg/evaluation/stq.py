"""Segmentation and tracking quality, STQ = sqrt(AQ * SQ), over whole videos.

K classes, N true and M predicted segments of one frame. A tube is all that has one class and one
identity in a video, so an object that changes its class is two.

SQ is the mean IoU of classes, of one confusion matrix over all frames of all videos. Pixels without
a true label are left out. A class counts if it is annotated or predicted on labelled pixels, and so
does "no class": labelled pixels without a predicted class lower the IoU of their class, and add a
zero to the mean.

AQ is the mean over true tubes of things, of all videos together, of

    1 / |g| * sum over predicted tubes p of things: |p and g| * |p and g| / |p or g|

whatever the class of p. Crowds are no tubes, and pixels in them count in no predicted tube; pixels
without a label do, so a prediction that leaks into void is the worse for it.

https://arxiv.org/abs/2102.11859, as deeplab2 computes it for KITTI-STEP. Needs NumPy alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from gvseg.evaluation.frame_pairs import FramePairs, class_confusion, frame_name

if TYPE_CHECKING:  # these import torch and detectron2
    from gvseg.data.benchmark import Record
    from gvseg.data.segments import FrameLabels
    from gvseg.structures import FrameSegments

Tube = tuple[int, int]  # class, identity


@dataclass
class TubeSizes:
    """Pixels of the tubes of one video."""

    true: Counter[Tube] = field(default_factory=Counter)
    predicted: Counter[Tube] = field(default_factory=Counter)  # outside of crowds
    shared: Counter[tuple[Tube, Tube]] = field(default_factory=Counter)

    def add(self, pairs: FramePairs, is_thing: np.ndarray) -> None:
        """Count one more frame.

        Args:
            pairs: the frame.
            is_thing: (K,) bool.
        """
        true_things = is_thing[pairs.true_classes]
        is_tube = np.flatnonzero(true_things & ~pairs.is_crowd)
        is_free = np.append(~(true_things & pairs.is_crowd), True)
        predicted = np.flatnonzero(is_thing[pairs.predicted_classes])
        rows = _tubes(pairs.true_classes, pairs.true_ids, is_tube)
        columns = _tubes(pairs.predicted_classes, pairs.predicted_ids, predicted)
        true_sizes = pairs.counts[is_tube].sum(axis=1)
        predicted_sizes = pairs.counts[is_free][:, predicted].sum(axis=0)
        for tube, size in zip(rows, true_sizes.tolist(), strict=True):
            self.true[tube] += size
        for tube, size in zip(columns, predicted_sizes.tolist(), strict=True):
            self.predicted[tube] += size
        shared = pairs.counts[is_tube][:, predicted]
        for row, column in np.argwhere(shared).tolist():
            self.shared[rows[row], columns[column]] += int(shared[row, column])

    def association(self) -> float:
        """Return the sum over true tubes of which AQ is the mean.

        A true tube of 8 pixels, of which a predicted one of 4 pixels covers 4 and another of 5
        covers 2: (4 * 4 / 8 + 2 * 2 / 11) / 8.
        """
        return sum(
            shared * shared / (self.true[true] + self.predicted[predicted] - shared)
            / self.true[true]
            for (true, predicted), shared in self.shared.items()
        )  # fmt: skip


def present_iou(confusion: np.ndarray) -> np.ndarray:
    """Return the IoU of each class and of "no class", (K+1,), NaN for those that do not occur.

    For the counts 3 1 0 / 0 4 0, both classes: 3 / 4 and 4 / 5. For 3 0 1 / 0 4 0 they have 3 / 4
    and 4 / 4, and "no class" 0 / 1.
    """
    hits = np.append(np.diag(confusion), 0)
    true_pixels = np.append(confusion.sum(axis=1), 0)
    unions = true_pixels + confusion.sum(axis=0) - hits
    return np.where(unions > 0, hits / np.maximum(unions, 1), np.nan)


class SegmentationTrackingMetric:
    """STQ of a set of videos, fed frame by frame. Holds the sizes of the tubes of one video.

    Args:
        class_names: K names.
        is_thing: (K,) bool.
        first_is_crowd: the flaw of VIPSeg's script, which numbers the segments of a video from 0 in
            the order of the annotation and takes number 0 for a crowd: the first segment that the
            annotation of a video lists is no tube if it is a thing, and real crowds are.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        is_thing: Sequence[bool],
        *,
        first_is_crowd: bool = False,
    ) -> None:
        self.class_names = tuple(class_names)
        self.is_thing = np.array(is_thing, dtype=bool)
        self.first_is_crowd = first_is_crowd
        num_classes = len(self.class_names)
        self.confusion = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
        self.association_sum = 0.0
        self.num_tubes = 0
        self._tubes = TubeSizes()
        self._first_id: int | None = None

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next frame of a video.

        Raises:
            ValueError: sizes differ, or a class is unknown.
        """
        frame = frame_name(record, prediction.frame_index)
        self.update_pairs(FramePairs.of_segments(truth, prediction, frame), frame)

    def update_pairs(self, pairs: FramePairs, frame: str = "a frame") -> None:
        """Take in the next frame of a video, its pixels counted.

        Args:
            pairs: the counts.
            frame: what the frame is called in errors.

        Raises:
            ValueError: a class is unknown.
        """
        num_classes = len(self.class_names)
        pairs.check_classes(num_classes, frame)
        if self.first_is_crowd:
            pairs = self._with_first_as_crowd(pairs)
        self.confusion += class_confusion(pairs, num_classes)
        self._tubes.add(pairs, self.is_thing)

    def end_video(self, record: Record | None = None) -> None:
        """Score the tubes of the video and forget them."""
        self.association_sum += self._tubes.association()
        self.num_tubes += len(self._tubes.true)
        self._tubes = TubeSizes()
        self._first_id = None

    def merge(self, other: SegmentationTrackingMetric) -> None:
        """Add what another process counted."""
        self.confusion += other.confusion
        self.association_sum += other.association_sum
        self.num_tubes += other.num_tubes

    def compute(self) -> dict[str, float]:
        """Return STQ, SQ, AQ and the IoU of each class, in 0..1, NaN where undefined.

        As officially, AQ is 0 where no object is annotated.
        """
        iou = present_iou(self.confusion)
        sq = float(np.nanmean(iou)) if self.confusion.any() else float("nan")
        aq = self.association_sum / max(self.num_tubes, 1)
        scores = {"STQ": float(np.sqrt(sq * aq)), "SQ": sq, "AQ": aq}
        for name, value in zip(self.class_names, iou[:-1], strict=True):
            scores[f"IoU-{name}"] = float(value)
        return scores

    def notes(self) -> list[str]:
        """Say why a score is NaN or 0 by definition, and which zeros the mean has."""
        if not self.confusion.any():
            return ["SQ, and with it STQ, is undefined: no pixel of the truth is labelled."]
        notes = []
        if self.num_tubes == 0:
            notes.append("AQ, and with it STQ, is 0 by definition: no object is annotated.")
        is_true = self.confusion.sum(axis=1) > 0
        is_predicted = self.confusion[:, :-1].sum(axis=0) > 0
        num_pixels = int(self.confusion[:, -1].sum())
        if num_pixels:
            notes.append(
                f"{num_pixels} labelled pixels have no predicted class. As officially, that counts "
                "in SQ as one more class, with an IoU of 0."
            )
        num_extra = int((is_predicted & ~is_true).sum())
        if num_extra:
            notes.append(
                f"{num_extra} classes are predicted, but not annotated. As officially, they count "
                "in SQ with an IoU of 0."
            )
        num_absent = int((~is_predicted & ~is_true).sum())
        if num_absent:
            notes.append(
                f"{num_absent} of {len(is_true)} classes are neither annotated nor predicted and "
                "do not count."
            )
        return notes

    def _with_first_as_crowd(self, pairs: FramePairs) -> FramePairs:
        if self._first_id is None and len(pairs.true_ids):
            self._first_id = int(pairs.true_ids[0])
        return replace(pairs, is_crowd=pairs.true_ids == self._first_id)


def _tubes(classes: np.ndarray, ids: np.ndarray, positions: np.ndarray) -> list[Tube]:
    return list(zip(classes[positions].tolist(), ids[positions].tolist(), strict=True))
