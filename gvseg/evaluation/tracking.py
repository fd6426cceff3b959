"""Why a score of tracks is low: what became of each annotated mask, and how often identities broke.

G true and P predicted tracks of a video, of which g and p are in one frame. In each frame true and
predicted masks are matched one to one, whatever their classes, where their IoU is 0.5 or more; an
object keeps the identity that it was last found under wherever that still matches. Each predicted
identity belongs to one object at most, so that as many matches as possible are with one's own.

The fate of a true mask, of which there is one for each visible object and frame:

* found: it matches the object's own identity, and that has the right class;
* wrong_class: it matches the object's own identity, but that has another class;
* swapped: it matches an identity that belongs to another object;
* split: it matches an identity that belongs to no object, or no single one: two or more predicted
  masks that lie within it for the most cover most of it;
* merged: it matches none, but a predicted mask covers most of it and most of another object;
* missed: none of these.

These are definitions of this project, made to be read beside AP and HOTA. Switches and
fragmentations are those of CLEAR MOT (Bernardin and Stiefelhagen, 2008): an object is found under
another identity than the last time, and it is found again after frames in which it was visible but
not found.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from gvseg.evaluation.mask_overlaps import Overlaps, PlacedOverlaps
from gvseg.evaluation.overlaps import (
    ComparedFrame,
    TrackScores,
    VideoComparison,
    numbered,
    positions,
    true_classes,
    visible_objects,
)

if TYPE_CHECKING:  # these import torch and detectron2
    from gvseg.data.benchmark import Record
    from gvseg.data.segments import FrameLabels
    from gvseg.structures import FrameSegments

MIN_IOU = 0.5
FATES = ("found", "wrong_class", "swapped", "split", "merged", "missed")
FOUND, WRONG_CLASS, SWAPPED, SPLIT, MERGED, MISSED = range(len(FATES))
NO_MATCH = -1
_KNOWN_BONUS = 2.0  # for the identity of last time; no other pair can make up for it, as IoU <= 1


@dataclass(frozen=True)
class VideoTally:
    """Counts over one video, or over several."""

    objects: int = 0
    identities: int = 0
    masks: int = 0  # true ones
    predicted_masks: int = 0
    matches: int = 0
    found: int = 0
    wrong_class: int = 0
    swapped: int = 0
    split: int = 0
    merged: int = 0
    missed: int = 0
    spurious: int = 0  # predicted masks without a match
    switches: int = 0
    fragmentations: int = 0

    def __add__(self, other: VideoTally) -> VideoTally:
        return VideoTally(
            **{name: count + getattr(other, name) for name, count in vars(self).items()}
        )


def follow(frames: Sequence[PlacedOverlaps], num_truth: int) -> list[np.ndarray]:
    """Return for each frame the identity that each true mask matches, (g,) positions, -1 for none.

    Args:
        frames: of a video, in order.
        num_truth: G.
    """
    last = np.full(num_truth, NO_MATCH)
    matches = []
    for frame in frames:
        iou = frame.overlaps.iou
        value = iou + _KNOWN_BONUS * (last[frame.truth][:, None] == frame.prediction)
        rows, columns = linear_sum_assignment(np.where(iou >= MIN_IOU, value, 0), maximize=True)
        is_match = iou[rows, columns] >= MIN_IOU
        match = np.full(len(frame.truth), NO_MATCH)
        match[rows[is_match]] = frame.prediction[columns[is_match]]
        has_match = match != NO_MATCH
        last[frame.truth[has_match]] = match[has_match]
        matches.append(match)
    return matches


def count_breaks(
    frames: Sequence[PlacedOverlaps], matches: Sequence[np.ndarray], num_truth: int
) -> tuple[int, int]:
    """Return the number of identity switches and of fragmentations.

    An object found as 1, 1, not at all, 2, absent, 1 has the switches 1-2 and 2-1. It has one
    fragmentation, at the frame where it was visible and not found.
    """
    switches = fragmentations = 0
    identities: list[list[int]] = [[] for _ in range(num_truth)]
    for frame, match in zip(frames, matches, strict=True):
        for track, identity in zip(frame.truth.tolist(), match.tolist(), strict=True):
            identities[track].append(identity)
    for of_object in identities:
        found = np.flatnonzero(np.array(of_object) != NO_MATCH)
        under = np.array(of_object, dtype=np.int64)[found]
        switches += int(np.count_nonzero(under[1:] != under[:-1]))
        fragmentations += int(np.count_nonzero(np.diff(found) > 1))
    return switches, fragmentations


def own_identities(
    frames: Sequence[PlacedOverlaps],
    matches: Sequence[np.ndarray],
    num_truth: int,
    num_predicted: int,
) -> np.ndarray:
    """Return the object that each predicted identity belongs to, (P,) positions, -1 for none."""
    counts = np.zeros((num_truth, num_predicted), dtype=np.int64)
    for frame, match in zip(frames, matches, strict=True):
        has_match = match != NO_MATCH
        counts[frame.truth[has_match], match[has_match]] += 1
    rows, columns = linear_sum_assignment(counts, maximize=True)
    is_used = counts[rows, columns] > 0
    owner = np.full(num_predicted, NO_MATCH)
    owner[columns[is_used]] = rows[is_used]
    return owner


def fates_of_unmatched(overlaps: Overlaps) -> np.ndarray:
    """Return what becomes of each true mask of a frame if it has no match, (g,) as in `FATES`."""
    common = overlaps.intersections
    covers = 2 * common > overlaps.truth_areas[:, None]
    is_merged = (covers & (covers.sum(axis=0) > 1)).any(axis=1)
    lies_within = 2 * common > overlaps.prediction_areas
    pixels_of_parts = (common * lies_within).sum(axis=1)
    is_split = (lies_within.sum(axis=1) > 1) & (2 * pixels_of_parts > overlaps.truth_areas)
    return np.select([is_split, is_merged], [SPLIT, MERGED], MISSED)


def tally_video(
    frames: Sequence[PlacedOverlaps], truth_classes: np.ndarray, classes: np.ndarray
) -> VideoTally:
    """Count what became of the objects of a video.

    Args:
        frames: in order, without empty masks.
        truth_classes: (G,) of the true tracks.
        classes: (P,) of the predicted ones.
    """
    num_truth, num_predicted = len(truth_classes), len(classes)
    matches = follow(frames, num_truth)
    owner = own_identities(frames, matches, num_truth, num_predicted)
    switches, fragmentations = count_breaks(frames, matches, num_truth)
    fates = np.zeros(len(FATES), dtype=np.int64)
    for frame, match in zip(frames, matches, strict=True):
        fate = fates_of_unmatched(frame.overlaps)
        has_match = match != NO_MATCH
        matched, truth = match[has_match], frame.truth[has_match]
        is_own, is_free = owner[matched] == truth, owner[matched] == NO_MATCH
        is_right = truth_classes[truth] == classes[matched]
        fate[has_match] = np.select(
            [is_own & is_right, is_own, is_free], [FOUND, WRONG_CLASS, SPLIT], SWAPPED
        )
        fates += np.bincount(fate, minlength=len(FATES))
    num_matches = sum(int(np.count_nonzero(match != NO_MATCH)) for match in matches)
    predicted_masks = sum(len(frame.prediction) for frame in frames)
    return VideoTally(
        objects=num_truth,
        identities=num_predicted,
        masks=sum(len(frame.truth) for frame in frames),
        predicted_masks=predicted_masks,
        matches=num_matches,
        spurious=predicted_masks - num_matches,
        switches=switches,
        fragmentations=fragmentations,
        **dict(zip(FATES, fates.tolist(), strict=True)),
    )


class TrackingMetric:
    """What became of the objects of a set of videos, fed frame by frame.

    Crowd regions are left out, along with predicted masks most of whose pixels lie in one; masks of
    no pixels do not count. The class of a predicted track is the best one over the video, as
    `TrackScores` finds it.

    Args:
        is_thing: (K,) bool; segments of other classes are left out.
    """

    def __init__(self, is_thing: Sequence[bool]) -> None:
        self._is_thing = tuple(is_thing)
        self._tallies: dict[str | int, VideoTally] = {}
        self._video: VideoComparison | None = None

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next frame of a video.

        Raises:
            ValueError: a predicted class is out of range, or an identity is listed twice under it.
        """
        if self._video is None:
            self._video = VideoComparison(len(self._is_thing), self._is_thing)
        self._video.add(record, truth, prediction)

    def end_video(self, record: Record) -> None:
        """Count what became of the objects of the video and forget its frames."""
        assert self._video is not None
        frames = [visible_objects(frame) for frame in self._video.frames]
        self._tallies[record["video_id"]] = _tally(frames, self._video.track_scores)
        self._video = None

    def merge(self, other: TrackingMetric) -> None:
        """Add the videos of another process."""
        self._tallies |= other._tallies

    def per_video(self) -> dict[str | int, dict[str, int]]:
        """Return the counts of `VideoTally` for each video, in the order of their ids."""
        return {video_id: dict(vars(self._tallies[video_id])) for video_id in sorted(self._tallies)}

    def compute(self) -> dict[str, float]:
        """Return shares in 0..1, NaN where there is nothing to share.

        Fates are shares of the true masks, `spurious` of the predicted ones, `switches` and
        `fragmentations` of the matches.
        """
        total = sum(self._tallies.values(), VideoTally())
        return {
            **{name: _share(getattr(total, name), total.masks) for name in FATES},
            "spurious": _share(total.spurious, total.predicted_masks),
            "switches": _share(total.switches, total.matches),
            "fragmentations": _share(total.fragmentations, total.matches),
        }

    def notes(self) -> list[str]:
        """Say why shares are NaN."""
        total = sum(self._tallies.values(), VideoTally())
        reasons = {
            "What became of objects is undefined: the truth has none.": total.masks,
            "The share of spurious masks is undefined: none is predicted.": total.predicted_masks,
            "Shares of switches and fragmentations are undefined: nothing matches.": total.matches,
        }
        return [reason for reason, count in reasons.items() if not count]


def _tally(frames: Sequence[ComparedFrame], track_scores: TrackScores) -> VideoTally:
    class_of_truth = true_classes(frames)
    ids = sorted({id_ for frame in frames for id_ in frame.ids.tolist()})
    truth_places, places = numbered(class_of_truth), numbered(ids)
    placed = [
        PlacedOverlaps(
            positions(frame.truth_ids, truth_places), positions(frame.ids, places), frame.overlaps
        )
        for frame in frames
    ]
    return tally_video(
        placed,
        np.array(list(class_of_truth.values()), dtype=np.int64),
        np.array([track_scores.best_class(id_) for id_ in ids], dtype=np.int64),
    )


def _share(count: int, total: int) -> float:
    return count / total if total else float("nan")
