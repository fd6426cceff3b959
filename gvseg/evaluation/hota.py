"""HOTA, higher order tracking accuracy, and its parts (Luiten et al., IJCV 2021).

G true and P predicted tracks of a video, of which g and p are in one frame; A thresholds of IoU.
For each threshold detection accuracy DetA asks whether a mask was found, association accuracy AssA
whether it was found under the same identity as the others of its track, and HOTA is the root of
their product. Localisation accuracy LocA is the mean IoU of what was found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from gvseg.evaluation.overlaps import (
    ComparedFrame,
    VideoComparison,
    numbered,
    positions,
    some_names,
    true_classes,
    visible_objects,
)

if TYPE_CHECKING:  # these import torch and detectron2
    from gvseg.data.benchmark import Record
    from gvseg.data.segments import FrameLabels
    from gvseg.structures import FrameSegments

ALPHAS = np.arange(0.05, 0.99, 0.05)  # (A,), 19 of them, rounded as in TrackEval
EPSILON = float(np.finfo(float).eps)  # by which TrackEval lets an IoU miss a threshold


@dataclass(frozen=True)
class TrackFrame:
    """One frame of the tracks that are scored together."""

    truth: np.ndarray  # (g,) positions among the G true tracks
    prediction: np.ndarray  # (p,) positions among the P predicted tracks
    iou: np.ndarray  # (g, p)


def _zeros() -> np.ndarray:
    return np.zeros(len(ALPHAS))


@dataclass(frozen=True)
class HotaCounts:
    """What HOTA is computed from, (A,) each; the counts of several videos add up.

    Sums are over pairs of a true and a predicted mask that hit. With n such hits between the same
    two tracks of g and p masks, each of them adds n / (g + p - n) to the association, n / g to its
    recall and n / p to its precision.
    """

    hits: np.ndarray = field(default_factory=_zeros)
    misses: np.ndarray = field(default_factory=_zeros)
    false_alarms: np.ndarray = field(default_factory=_zeros)
    association: np.ndarray = field(default_factory=_zeros)
    association_recall: np.ndarray = field(default_factory=_zeros)
    association_precision: np.ndarray = field(default_factory=_zeros)
    localisation: np.ndarray = field(default_factory=_zeros)

    def __add__(self, other: HotaCounts) -> HotaCounts:
        sums = {
            each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(self)
        }
        return HotaCounts(**sums)

    @property
    def num_objects(self) -> int:
        """True masks."""
        return int(self.hits[0] + self.misses[0])

    def scores(self) -> dict[str, np.ndarray]:
        """Return HOTA and its parts for each threshold, (A,) in 0..1.

        As in TrackEval all are 0 where nothing is hit, but for LocA, which is 1.
        """
        hits, num_hits = self.hits, np.maximum(self.hits, 1)
        scores = {
            "DetA": hits / np.maximum(hits + self.misses + self.false_alarms, 1),
            "AssA": self.association / num_hits,
            "LocA": np.where(hits > 0, self.localisation / num_hits, 1.0),
            "DetRe": hits / np.maximum(hits + self.misses, 1),
            "DetPr": hits / np.maximum(hits + self.false_alarms, 1),
            "AssRe": self.association_recall / num_hits,
            "AssPr": self.association_precision / num_hits,
        }
        return {
            "HOTA": np.sqrt(scores["DetA"] * scores["AssA"]),
            **scores,
            "OWTA": np.sqrt(scores["DetRe"] * scores["AssA"]),
        }


def hota_counts(frames: Sequence[TrackFrame]) -> HotaCounts:
    """Count the tracks of one video.

    Masks are matched one to one in each frame, so that the sum over pairs of IoU times the affinity
    of their tracks is greatest, and the same pairs serve all thresholds.

    One object over four frames. Track 0 covers it exactly in the first two, track 1 in the others::

        hits 4, misses 0, false alarms 0: DetA 1
        between the object (4 masks) and either track (2) are 2 hits: each adds 2 / (4 + 2 - 2)
        AssA = 4 * 0.5 / 4, HOTA = sqrt(0.5)
    """
    num_true = _num_masks(frame.truth for frame in frames)
    num_predicted = _num_masks(frame.prediction for frame in frames)
    affinity = _track_affinity(frames, num_true, num_predicted)
    pairs, overlaps = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
    for frame in frames:
        cells = np.ix_(frame.truth, frame.prediction)
        rows, columns = linear_sum_assignment(affinity[cells] * frame.iou, maximize=True)
        pairs.append(frame.truth[rows] * len(num_predicted) + frame.prediction[columns])
        overlaps.append(frame.iou[rows, columns])
    pair, iou = np.concatenate(pairs), np.concatenate(overlaps)
    is_hit = iou[:, None] >= ALPHAS - EPSILON
    hits = is_hit.sum(axis=0)
    hits_of_pair, (truth, prediction) = _hits_by_pair(pair, is_hit, len(num_predicted))
    true_masks, predicted_masks = num_true[truth, None], num_predicted[prediction, None]
    union = true_masks + predicted_masks - hits_of_pair
    return HotaCounts(
        hits=hits.astype(float),
        misses=num_true.sum() - hits.astype(float),
        false_alarms=num_predicted.sum() - hits.astype(float),
        association=(hits_of_pair**2 / union).sum(axis=0),
        association_recall=(hits_of_pair**2 / true_masks).sum(axis=0),
        association_precision=(hits_of_pair**2 / predicted_masks).sum(axis=0),
        localisation=(iou[:, None] * is_hit).sum(axis=0),
    )


def _num_masks(tracks: Iterable[np.ndarray]) -> np.ndarray:
    """Return how many masks each track has, (G,) or (P,)."""
    return np.bincount(np.concatenate([np.zeros(0, dtype=np.int64), *tracks]))


def _track_affinity(
    frames: Sequence[TrackFrame], num_true: np.ndarray, num_predicted: np.ndarray
) -> np.ndarray:
    """Return how alike tracks are over the video before masks are matched, (G, P) in 0..1.

    A pair of masks counts for the share of its IoU in all the IoU that either of the two has.
    """
    common = np.zeros((len(num_true), len(num_predicted)))
    for frame in frames:
        iou = frame.iou
        total = iou.sum(axis=0) + iou.sum(axis=1, keepdims=True) - iou
        share = np.divide(iou, total, out=np.zeros_like(iou), where=total > EPSILON)
        common[np.ix_(frame.truth, frame.prediction)] += share
    total = num_true[:, None] + num_predicted - common
    return common / np.maximum(total, EPSILON)


def _hits_by_pair(
    pair: np.ndarray, is_hit: np.ndarray, num_predicted: int
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Count the hits of each pair of tracks that occurs, (pairs, A), and say which tracks."""
    pairs, of_pair = np.unique(pair, return_inverse=True)
    num_alphas = is_hit.shape[1]
    cells = (of_pair.reshape(-1, 1) * num_alphas + np.arange(num_alphas))[is_hit]
    hits = np.bincount(cells, minlength=len(pairs) * num_alphas).reshape(-1, num_alphas)
    return hits, np.divmod(pairs, max(num_predicted, 1))


def mean_scores(counts_of_classes: Iterable[HotaCounts]) -> dict[str, np.ndarray]:
    """Return the plain mean over classes of each score, (A,), NaN without any class."""
    of_classes = [counts.scores() for counts in counts_of_classes]
    if not of_classes:
        return {name: np.full(len(ALPHAS), np.nan) for name in HotaCounts().scores()}
    return {
        name: np.mean([scores[name] for scores in of_classes], axis=0) for name in of_classes[0]
    }


def class_frames(
    frames: Iterable[ComparedFrame], class_of_truth: dict[int, int], class_of_id: dict[int, int]
) -> dict[int, list[ComparedFrame]]:
    """Take the frames of a video apart by class; frames without the class are left out.

    Args:
        frames: of one video.
        class_of_truth: of each true identity; those not in it are left out.
        class_of_id: likewise of each predicted identity.
    """
    by_class: dict[int, list[ComparedFrame]] = defaultdict(list)
    for frame in frames:
        # No class is negative.
        true = np.array([class_of_truth.get(id_, -1) for id_ in frame.truth_ids.tolist()])
        predicted = np.array([class_of_id.get(id_, -1) for id_ in frame.ids.tolist()])
        for class_index in sorted({*true.tolist(), *predicted.tolist()} - {-1}):
            part = frame.select(
                np.flatnonzero(true == class_index), np.flatnonzero(predicted == class_index)
            )
            by_class[class_index].append(part)
    return by_class


def count_tracks(frames: Sequence[ComparedFrame]) -> HotaCounts:
    """Count all truth of the frames of a video against all prediction."""
    truth_ids = np.unique(np.concatenate([frame.truth_ids for frame in frames]))
    ids = np.unique(np.concatenate([frame.ids for frame in frames]))
    truth_places, places = numbered(truth_ids.tolist()), numbered(ids.tolist())
    return hota_counts(
        [
            TrackFrame(
                positions(frame.truth_ids, truth_places),
                positions(frame.ids, places),
                frame.overlaps.iou,
            )
            for frame in frames
        ]
    )


class HotaMetric:
    """HOTA of the things of a set of videos: the mean over the classes that the truth has.

    The class of a predicted track is the best one over the video, as `TrackScores` finds it. There
    is no threshold of scores, so predict no more than you mean. Crowd regions are left out, along
    with predicted masks most of whose pixels lie in one; masks of no pixels do not count.

    Args:
        class_names: K names.
        is_thing: (K,) bool; others are left out.
    """

    def __init__(self, class_names: Sequence[str], is_thing: Sequence[bool]) -> None:
        self.class_names = tuple(class_names)
        self.counts: dict[int, HotaCounts] = defaultdict(HotaCounts)  # by class index
        self._is_thing = tuple(is_thing)
        self._video: VideoComparison | None = None

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next frame of a video.

        Raises:
            ValueError: a predicted class is out of range, or an identity is listed twice under it.
        """
        if self._video is None:
            self._video = VideoComparison(len(self.class_names), self._is_thing)
        self._video.add(record, truth, prediction)

    def end_video(self, record: Record) -> None:
        """Count the tracks of the video and forget its frames."""
        assert self._video is not None
        frames = [visible_objects(frame) for frame in self._video.frames]
        track_scores = self._video.track_scores
        self._video = None
        class_of_id = {id_: track_scores.best_class(id_) for id_ in track_scores.ids}
        for class_index, part in class_frames(frames, true_classes(frames), class_of_id).items():
            self.counts[class_index] += count_tracks(part)

    def merge(self, other: HotaMetric) -> None:
        """Add what another process counted."""
        for class_index, counts in other.counts.items():
            self.counts[class_index] += counts

    def compute(self) -> dict[str, float]:
        """Return means over thresholds in 0..1, HOTA at each of them and of each class."""
        present = {
            class_index: counts for class_index, counts in self.counts.items() if counts.num_objects
        }
        means = mean_scores(present.values())
        scores = {name: float(values.mean()) for name, values in means.items() if name != "OWTA"}
        for alpha, value in zip(ALPHAS, means["HOTA"], strict=True):
            scores[f"HOTA@{alpha:.2f}"] = float(value)
        for class_index, name in enumerate(self.class_names):
            if self._is_thing[class_index]:
                counts = present.get(class_index)
                value = float("nan") if counts is None else counts.scores()["HOTA"].mean()
                scores[f"HOTA-{name}"] = float(value)
        return scores

    def notes(self) -> list[str]:
        """Say why scores are NaN."""
        absent = [
            name
            for class_index, name in enumerate(self.class_names)
            if self._is_thing[class_index]
            and not self.counts.get(class_index, HotaCounts()).num_objects
        ]
        if len(absent) == sum(self._is_thing):
            return ["All scores are undefined: the truth has no object."]
        if not absent:
            return []
        return [
            f"HOTA of {some_names(absent, sum(self._is_thing))} is undefined and left out of "
            "means: the truth has no such object."
        ]
