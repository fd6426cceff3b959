"""Video semantic segmentation: mIoU and its kin, and consistency over time (mVC), as VSPW scores.

T frames, (H, W) pixels, K classes. Labels are class indices; 255 in the truth is void. A prediction
should name a class for every pixel; one outside 0..K-1 counts as a miss of what is there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gvseg.data.benchmark import Record
from gvseg.data.segments import IGNORE_LABEL, FrameLabels, class_map
from gvseg.structures import FrameSegments


def confusion_matrix(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Count labelled pixels by true and predicted class: (K, K+1) int64, last column "no class".

    Two rows of three pixels, two classes::

        truth  0 0 1     prediction  0 1 1     counts  1 2 0
               0 1 255               1 7 0             0 1 1
    """
    is_labelled = truth != IGNORE_LABEL
    rows = truth[is_labelled].astype(np.int64)
    columns = prediction[is_labelled].astype(np.int64)
    columns = np.where((columns >= 0) & (columns < num_classes), columns, num_classes)
    cells = np.bincount(
        rows * (num_classes + 1) + columns, minlength=num_classes * (num_classes + 1)
    )
    return cells.reshape(num_classes, num_classes + 1)


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


def video_consistency(truth: np.ndarray, prediction: np.ndarray, window: int) -> np.ndarray:
    """Return the consistency of each window of frames, (T - window,), NaN where truth never rests.

    Of the pixels whose true label stays the same over the window (void is a label like any other),
    the share on which the prediction stays the same. As in the official code the two are not
    compared with each other, so a constant wrong label is consistent, and the last window is left
    out.

    Args:
        truth: (T, H, W) labels.
        prediction: (T, H, W) labels.
        window: frames.

    Four frames of one row of two pixels, window 2. Truth rests on both pixels between frames 0 and
    1, on one between 1 and 2; frames 2 and 3 are the window left out: scores 1/2 and 1::

        truth  0 5 | 0 5 | 0 6 | 0 6     prediction  1 2 | 1 3 | 1 3 | 1 3
    """
    scores = []
    for start in range(max(len(truth) - window, 0)):
        frames = slice(start, start + window)
        truth_rests = (truth[frames] == truth[start]).all(axis=0)
        prediction_rests = (prediction[frames] == prediction[start]).all(axis=0)
        scores.append(_share(truth_rests, prediction_rests))
    return np.array(scores)


def _share(truth_rests: np.ndarray, prediction_rests: np.ndarray) -> float:
    num_resting = np.count_nonzero(truth_rests)
    if num_resting == 0:
        return float("nan")
    return np.count_nonzero(truth_rests & prediction_rests) / num_resting


class RestingPixels:
    """For how many frames in a row each pixel has kept its label."""

    def __init__(self, labels: np.ndarray) -> None:
        self._labels = labels
        self._num_frames = np.ones(labels.shape, dtype=np.int32)

    def update(self, labels: np.ndarray) -> None:
        """Take in the next frame, (H, W)."""
        self._num_frames = np.where(labels == self._labels, self._num_frames + 1, 1)
        self._labels = labels

    def over(self, window: int) -> np.ndarray:
        """Return where the label was the same in all of the last `window` frames, (H, W) bool."""
        return self._num_frames >= window


class VideoSemanticMetric:
    """mIoU over all frames and mVC over all windows of a set, fed frame by frame.

    Gives the numbers of `semantic_scores` and of the mean of `video_consistency` over the windows
    of all videos, in memory of one frame.

    Args:
        class_names: K names.
        windows: lengths for which mVC is wanted.
    """

    def __init__(self, class_names: Sequence[str], windows: Sequence[int] = (8, 16)) -> None:
        self.class_names = tuple(class_names)
        num_classes = len(self.class_names)
        self.confusion = np.zeros((num_classes, num_classes + 1), dtype=np.int64)
        self.consistency_sum = dict.fromkeys(windows, 0.0)
        self.num_windows = dict.fromkeys(windows, 0)
        self._truth: RestingPixels | None = None
        self._prediction: RestingPixels | None = None

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next frame of a video."""
        true_classes = class_map(truth.segments)
        predicted_classes = class_map(prediction)
        self.confusion += confusion_matrix(true_classes, predicted_classes, len(self.class_names))
        if self._truth is None or self._prediction is None:
            self._truth = RestingPixels(true_classes)
            self._prediction = RestingPixels(predicted_classes)
        else:
            # Only now is it known that the frame before is not the last, so its window counts.
            self._score_windows(self._truth, self._prediction)
            self._truth.update(true_classes)
            self._prediction.update(predicted_classes)

    def _score_windows(self, truth: RestingPixels, prediction: RestingPixels) -> None:
        for window in self.consistency_sum:
            # NaN while the video is shorter than the window: nothing has rested for so long.
            share = _share(truth.over(window), prediction.over(window))
            if not np.isnan(share):
                self.consistency_sum[window] += share
                self.num_windows[window] += 1

    def end_video(self, record: Record) -> None:
        """Forget the pixels of the video."""
        self._truth = self._prediction = None

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
        """Say why a score is NaN."""
        notes = []
        if not self.confusion.any():
            notes.append("mIoU is undefined: no pixel of the truth is labelled.")
        for window, num_windows in self.num_windows.items():
            if num_windows == 0:
                notes.append(
                    f"mVC{window} is undefined: no video has over {window} frames with a pixel at "
                    "rest."
                )
        return notes
