"""Video semantic segmentation: mIoU and its kin, and consistency over time (mVC), as VSPW scores.

T frames, (H, W) pixels, K classes. Labels are class indices; 255 in the truth is void. A prediction
should name a class for every pixel; one outside 0..K-1 counts as a miss of what is there. Needs
NumPy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gvseg.evaluation.frame_pairs import (
    VOID,
    FramePairs,
    JointRuns,
    class_confusion,
    frame_name,
    index_map_of,
)

if TYPE_CHECKING:  # these import torch and detectron2
    from gvseg.data.benchmark import Record
    from gvseg.data.segments import FrameLabels
    from gvseg.structures import FrameSegments


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Count labelled pixels by true and predicted class: (K, K+1) int64, last column "no class".

    Raises:
        ValueError: sizes differ, or the truth has a class outside 0..K-1 that is not void.

    Two rows of three pixels, two classes::

        truth  0 0 1     prediction  0 1 1     counts  1 2 0
               0 1 255               1 7 0             0 1 1
    """
    _check_sizes(truth, prediction)
    runs = JointRuns.of(truth, prediction)
    rows, columns = (labels.astype(np.intp) for labels in runs.values)
    rows[rows == VOID] = num_classes
    if rows.min() < 0 or rows.max() > num_classes:
        raise ValueError(f"The truth has classes outside 0..{num_classes - 1} other than {VOID}.")
    columns[(columns < 0) | (columns >= num_classes)] = num_classes
    size = num_classes + 1
    return runs.count(rows * size + columns, (size, size))[:-1]


def class_iou(confusion: np.ndarray) -> np.ndarray:
    """Return the IoU of each class, (K,), NaN for classes that the truth does not have.

    For the counts 1 2 0 / 0 1 1: class 0 has 1 / (3 + 1 - 1), class 1 has 1 / (2 + 3 - 1).
    """
    num_classes = len(confusion)
    hits = np.diag(confusion)
    union = confusion.sum(axis=1) + confusion[:, :num_classes].sum(axis=0) - hits
    return np.where(confusion.sum(axis=1) > 0, hits / np.maximum(union, 1), np.nan)


def semantic_scores(confusion: np.ndarray) -> dict[str, float]:
    """Return mIoU, fwIoU, mACC and pACC in 0..1, NaN where the truth is all void.

    Means are over the classes that the truth has: a class seen in predictions alone lowers the IoU
    of those it was mistaken for, but is not itself a zero in the mean.

    For the counts 1 2 0 / 0 1 1: mIoU (1/3 + 1/4) / 2, fwIoU 3/5 * 1/3 + 2/5 * 1/4,
    mACC (1/3 + 1/2) / 2, pACC 2/5.
    """
    num_pixels = confusion.sum(axis=1)
    is_present = num_pixels > 0
    if not is_present.any():
        return dict.fromkeys(("mIoU", "fwIoU", "mACC", "pACC"), float("nan"))
    iou, hits = class_iou(confusion)[is_present], np.diag(confusion)[is_present]
    num_pixels = num_pixels[is_present]
    return {
        "mIoU": float(iou.mean()),
        "fwIoU": float((num_pixels * iou).sum() / num_pixels.sum()),
        "mACC": float((hits / num_pixels).mean()),
        "pACC": float(hits.sum() / num_pixels.sum()),
    }


def video_consistency(
    truth: np.ndarray, prediction: np.ndarray, window: int, *, strict: bool = False
) -> np.ndarray:
    """Return the consistency of each window of frames, NaN where truth never rests.

    As in the official code: of the pixels whose true label stays the same over the window (void is
    a label like any other), the share on which the prediction stays the same. The two are not
    compared with each other, so a constant wrong label is consistent. The last window is left out,
    so (T - window,).

    Args:
        truth: (T, H, W) labels.
        prediction: (T, H, W) labels.
        window: frames.
        strict: of the pixels whose true label stays the same and is not void, the share on which
            the prediction is right all the time; with the last window, so (T - window + 1,).

    Raises:
        ValueError: sizes differ.

    Four frames of one row of two pixels, window 2. Truth rests on both pixels between frames 0 and
    1, on one between 1 and 2; frames 2 and 3 are the window left out: scores 1/2 and 1. Strictly
    they are 0, 0, and 1/2 for the last window::

        truth  0 5 | 0 5 | 0 6 | 0 6     prediction  1 2 | 1 3 | 1 6 | 1 6
    """
    _check_sizes(truth, prediction)
    scores = []
    for start in range(max(len(truth) - window + strict, 0)):
        frames = slice(start, start + window)
        rests = (truth[frames] == truth[start]).all(axis=0)
        if strict:
            rests &= truth[start] != VOID
            holds = (prediction[frames] == truth[frames]).all(axis=0)
        else:
            holds = (prediction[frames] == prediction[start]).all(axis=0)
        scores.append(_share(rests, holds))
    return np.array(scores)


def _share(rests: np.ndarray, holds: np.ndarray) -> float:
    num_resting = np.count_nonzero(rests)
    if num_resting == 0:
        return float("nan")
    return np.count_nonzero(rests & holds) / num_resting


def _check_sizes(truth: np.ndarray, prediction: np.ndarray) -> None:
    if truth.shape != prediction.shape:
        raise ValueError(
            f"The prediction has the size {prediction.shape}, but the truth has {truth.shape}."
        )


class RunningConsistency:
    """`video_consistency` of one video, fed frame by frame; holds pixels of one frame.

    For each pixel it knows since which frame the truth rests and since which the prediction holds.

    Args:
        size: height and width in pixels.
        strict: compare the prediction with the truth, and leave void out.
    """

    def __init__(self, size: tuple[int, int], *, strict: bool) -> None:
        self.strict = strict
        self._num_frames = 0
        self._rests_since = np.zeros(size, dtype=np.int32)
        self._holds_since = np.zeros(size, dtype=np.int32)
        self._previous: tuple[np.ndarray, np.ndarray] | None = None

    def update(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Take in the next frame, labels (H, W)."""
        frame_index = self._num_frames
        self._num_frames += 1
        if self._previous is not None:
            self._rests_since[truth != self._previous[0]] = frame_index
            if not self.strict:
                self._holds_since[prediction != self._previous[1]] = frame_index
        if self.strict:
            # What does not hold in this frame can do so from the next one on.
            self._rests_since[truth == VOID] = self._num_frames
            self._holds_since[prediction != truth] = self._num_frames
        self._previous = truth, prediction

    def over(self, window: int) -> float:
        """Return the consistency of the last `window` frames, NaN where there are not so many."""
        first = self._num_frames - window
        if first < 0:
            return float("nan")
        return _share(self._rests_since <= first, self._holds_since <= first)


class VideoSemanticMetric:
    """mIoU over all frames and mVC over all windows of a set, fed frame by frame.

    Gives the numbers of `semantic_scores` and of the mean of `video_consistency` over the windows
    of all videos, in memory of one frame.

    Args:
        class_names: K names.
        windows: lengths for which mVC is wanted.
        strict: mVC compares the prediction with the truth, leaves void out, and counts the last
            window of each video.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        windows: Sequence[int] = (8, 16),
        *,
        strict: bool = False,
    ) -> None:
        self.class_names = tuple(class_names)
        self.strict = strict
        num_classes = len(self.class_names)
        self.confusion = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
        self.consistency_sum = dict.fromkeys(windows, 0.0)
        self.num_windows = dict.fromkeys(windows, 0)
        self._consistency: RunningConsistency | None = None

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next frame of a video.

        Raises:
            ValueError: sizes differ, or a class is unknown.
        """
        frame = frame_name(record, prediction.frame_index)
        pairs = FramePairs.of_segments(truth, prediction, frame)
        pairs.check_classes(len(self.class_names), frame)
        self.confusion += class_confusion(pairs, len(self.class_names))
        if self.consistency_sum:
            self._update_consistency(
                _class_map(truth.segments, f"The annotation of {frame}"),
                _class_map(prediction, f"The prediction of {frame}"),
            )

    def update_maps(
        self, truth: np.ndarray, prediction: np.ndarray, frame: str = "a frame"
    ) -> None:
        """Take in the next frame of a video, as labels (H, W) that the caller leaves as they are.

        Args:
            truth: class indices, 255 for void.
            prediction: class indices.
            frame: what the frame is called in errors.

        Raises:
            ValueError: sizes differ, or a class is unknown.
        """
        try:
            self.confusion += confusion_matrix(truth, prediction, len(self.class_names))
        except ValueError as error:
            raise ValueError(f"In {frame}: {error}") from None
        if self.consistency_sum:
            self._update_consistency(truth, prediction)

    def _update_consistency(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        if self._consistency is None:
            self._consistency = RunningConsistency(truth.shape, strict=self.strict)
        elif not self.strict:
            # Only now is it known that the frame before is not the last, so its window counts.
            self._score_windows(self._consistency)
        self._consistency.update(truth, prediction)
        if self.strict:
            self._score_windows(self._consistency)

    def _score_windows(self, consistency: RunningConsistency) -> None:
        for window in self.consistency_sum:
            share = consistency.over(window)
            if not np.isnan(share):
                self.consistency_sum[window] += share
                self.num_windows[window] += 1

    def end_video(self, record: Record | None = None) -> None:
        """Forget the pixels of the video."""
        self._consistency = None

    def merge(self, other: VideoSemanticMetric) -> None:
        """Add what another process counted."""
        self.confusion += other.confusion
        for window in self.consistency_sum:
            self.consistency_sum[window] += other.consistency_sum[window]
            self.num_windows[window] += other.num_windows[window]

    def compute(self) -> dict[str, float]:
        """Return all scores in 0..1, NaN where one is undefined."""
        scores = semantic_scores(self.confusion)
        for window, total in self.consistency_sum.items():
            num_windows = self.num_windows[window]
            scores[f"mVC{window}"] = float(total / num_windows) if num_windows else float("nan")
        for name, iou in zip(self.class_names, class_iou(self.confusion), strict=True):
            scores[f"IoU-{name}"] = float(iou)
        return scores

    def notes(self) -> list[str]:
        """Say why a score is NaN, and which pixels no prediction is given for."""
        notes = []
        if not self.confusion.any():
            notes.append("mIoU is undefined: no pixel of the truth is labelled.")
        for window, num_windows in self.num_windows.items():
            if num_windows == 0:
                num_frames = f"{window} frames" if self.strict else f"over {window} frames"
                notes.append(
                    f"mVC{window} is undefined: no video has {num_frames} with a pixel at rest."
                )
        num_classes = len(self.class_names)
        num_absent = num_classes - np.count_nonzero(self.confusion.any(axis=1))
        if num_absent:
            notes.append(
                f"{num_absent} of {num_classes} classes are not annotated and do not count."
            )
        num_pixels = int(self.confusion[:, -1].sum())
        if num_pixels:
            notes.append(
                f"{num_pixels} labelled pixels have no predicted class and count as misses. The "
                "official script would take them for pixels of other classes or fail."
            )
        return notes


def _class_map(segments: FrameSegments, what: str) -> np.ndarray:
    """Return the class of every pixel, (H, W) int16, 255 for void."""
    # Position -1 is void and so reads the last entry.
    classes = np.append(segments.classes, VOID).astype(np.int16)
    return np.take(classes, index_map_of(segments, what), mode="wrap")
