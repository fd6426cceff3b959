"""Average precision of tracked instances, as the evaluators of YouTube-VIS and OVIS compute it.

Of one class in one video: G true and D detected tubes. A ranges of sizes, T thresholds of IoU,
R points of recall, M limits of the number of detections. The IoU of two tubes is taken over all
frames of the video at once.

The two benchmarks share one evaluator. Where it differs from COCO's: sizes are those of videos, the
size of a tube is its mean area over the frames where it has any, and a crowd region has an ordinary
IoU, so that a small detection inside a large crowd is an error.

YouTube-VIS 2022 is scored by its server once over short and once over long videos. Which are which
is not published; score two sets of videos to have the two numbers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gvseg.evaluation.mask_overlaps import PlacedOverlaps, sum_overlaps
from gvseg.evaluation.overlaps import (
    ComparedFrame,
    TrackScores,
    VideoComparison,
    numbered,
    positions,
    some_names,
)

if TYPE_CHECKING:  # these import torch and detectron2
    from gvseg.data.benchmark import Record
    from gvseg.data.segments import FrameLabels
    from gvseg.structures import FrameSegments

IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
RECALL_POINTS = np.linspace(0, 1, 101)
MAX_DETECTIONS = (1, 10, 100)  # in one video and class
_HIGHEST_IOU = 1 - 1e-10  # that a threshold may ask for

# Bounds of the mean area in pixels, both inclusive.
AREA_RANGES = {
    "": (0, 1e5**2),
    "s": (0, 128**2),
    "m": (128**2, 256**2),
    "l": (256**2, 1e5**2),
}
_BOUNDS = np.array(list(AREA_RANGES.values()))  # (A, 2)


@dataclass(frozen=True)
class ClassTubes:
    """True and detected tubes of one class in one video."""

    iou: np.ndarray  # (D, G)
    scores: np.ndarray  # (D,) order matters among equal ones
    areas: np.ndarray  # (D,) means over frames, 0 for a tube without pixels
    truth_areas: np.ndarray  # (G,)
    is_crowd: np.ndarray  # (G,) bool


@dataclass(frozen=True)
class Matches:
    """Which detections of one class in one video hit something, best score first."""

    scores: np.ndarray  # (D,) D at most 100
    is_hit: np.ndarray  # (A, T, D) bool
    is_ignored: np.ndarray  # (A, T, D) bool, neither right nor wrong
    num_objects: np.ndarray  # (A,) that are to be found


def match_tubes(tubes: ClassTubes) -> Matches:
    """Match detections, best first, each with the free object of which it has the highest IoU.

    Objects outside a range of sizes and crowds are ignored: a detection takes one only where no
    object proper is left for it, and is then ignored too, as is one without any match whose own
    size is out of range. A crowd stays free for others.
    """
    order = np.argsort(-tubes.scores, kind="mergesort")[: MAX_DETECTIONS[-1]]
    areas, num_objects = tubes.areas[order], len(tubes.truth_areas)
    is_out = _is_outside(tubes.truth_areas) | tubes.is_crowd  # (A, G)
    shape = (len(_BOUNDS), len(IOU_THRESHOLDS), len(order))
    is_hit, is_ignored = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    is_taken = np.zeros((*shape[:2], num_objects), dtype=bool)
    thresholds = np.minimum(IOU_THRESHOLDS, _HIGHEST_IOU)[:, None]
    range_index, threshold_index = np.indices(shape[:2])
    for detection, iou in enumerate(tubes.iou[order] if num_objects else ()):
        is_candidate = (iou >= thresholds) & (~is_taken | tubes.is_crowd)  # (A, T, G)
        is_proper = is_candidate & ~is_out[:, None]
        is_open = np.where(is_proper.any(-1, keepdims=True), is_proper, is_candidate)
        # Of objects with equal IoU the last one is taken.
        best = num_objects - 1 - np.argmax(np.where(is_open, iou, -1)[..., ::-1], axis=-1)
        hits = is_open.any(-1)
        is_hit[..., detection] = hits
        is_ignored[..., detection] = hits & is_out[range_index, best]
        is_taken[range_index, threshold_index, best] |= hits
    is_ignored |= ~is_hit & _is_outside(areas)[:, None]
    return Matches(tubes.scores[order], is_hit, is_ignored, (~is_out).sum(axis=1))


def _is_outside(areas: np.ndarray) -> np.ndarray:
    return (areas < _BOUNDS[:, :1]) | (areas > _BOUNDS[:, 1:])


def precision_and_recall(videos: Sequence[Matches]) -> tuple[np.ndarray, np.ndarray]:
    """Return the curves of one class, NaN in ranges of sizes of which there is no object.

    Args:
        videos: in the order that decides between equal scores.

    Returns:
        (A, T, R) precision at the points of recall with 100 detections, and (A, M, T) recall with
        each of the M numbers of detections that `MAX_DETECTIONS` allows.
    """
    num_objects = np.sum([matches.num_objects for matches in videos], axis=0)[:, None, None]
    counts = [_cumulated(videos, limit) for limit in MAX_DETECTIONS]
    final_recalls = [
        true.max(axis=-1, initial=0) / np.maximum(num_objects[..., 0], 1) for true, _ in counts
    ]
    true, false = counts[-1]
    recall = true / np.maximum(num_objects, 1)
    precision = true / (true + false + np.spacing(1))
    # The precision at a recall is the best at that recall or any higher one.
    precision = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    curves = np.zeros((*precision.shape[:2], len(RECALL_POINTS)))
    for index in np.ndindex(*precision.shape[:2]):
        reached = np.searchsorted(recall[index], RECALL_POINTS, side="left")
        reached = reached[reached < recall.shape[-1]]
        curves[index][: len(reached)] = precision[index][reached]
    is_defined = num_objects > 0
    return np.where(is_defined, curves, np.nan), np.where(
        is_defined, np.stack(final_recalls, axis=1), np.nan
    )


def _cumulated(videos: Sequence[Matches], limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Count right and wrong detections from the best score on, two of (A, T, N) float64."""
    scores = np.concatenate([matches.scores[:limit] for matches in videos])
    order = np.argsort(-scores, kind="mergesort")
    is_hit, is_ignored = (
        np.concatenate([flags[..., :limit] for flags in of_videos], axis=-1)[..., order]
        for of_videos in (
            [matches.is_hit for matches in videos],
            [matches.is_ignored for matches in videos],
        )
    )
    true = np.cumsum(is_hit & ~is_ignored, axis=-1, dtype=float)
    false = np.cumsum(~is_hit & ~is_ignored, axis=-1, dtype=float)
    return true, false


class VideoInstanceApMetric:
    """AP and AR of tracks over all videos of a set, fed frame by frame.

    A detection is a pair of an identity and a class that it is listed under, with the score that
    `TrackScores` gives the pair and all masks of the identity. Of equal scores in one video the
    lower identity comes first, as do the earlier lines of a file of results where they are read as
    identities 1, 2 and so on. An identity listed with empty masks only is a detection too, and
    wrong.

    Args:
        class_names: K names.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self._matches: dict[int, list[tuple[str | int, Matches]]] = defaultdict(list)
        self._num_detections = 0
        self._video: VideoComparison | None = None

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next frame of a video.

        Raises:
            ValueError: a predicted class is out of range, or an identity is listed twice under it.
        """
        if self._video is None:
            self._video = VideoComparison(len(self.class_names))
        self._video.add(record, truth, prediction)

    def end_video(self, record: Record) -> None:
        """Match the tracks of the video and forget its frames."""
        assert self._video is not None
        frames, scores = self._video.frames, self._video.track_scores
        self._video = None
        for class_index, tubes in _tubes_by_class(record, frames, scores).items():
            self._matches[class_index].append((record["video_id"], match_tubes(tubes)))
            self._num_detections += len(tubes.scores)

    def merge(self, other: VideoInstanceApMetric) -> None:
        """Add the videos of another process."""
        for class_index, matches in other._matches.items():
            self._matches[class_index] += matches
        self._num_detections += other._num_detections

    def compute(self) -> dict[str, float]:
        """Return AP and AR in 0..1, over all classes and AP of each; NaN as `notes` explains."""
        num_classes = len(self.class_names)
        precision = np.full(
            (num_classes, len(_BOUNDS), len(IOU_THRESHOLDS), len(RECALL_POINTS)), np.nan
        )
        recall = np.full(
            (num_classes, len(_BOUNDS), len(MAX_DETECTIONS), len(IOU_THRESHOLDS)), np.nan
        )
        if self._num_detections:
            for class_index, matches in self._matches.items():
                in_order = [part for _, part in sorted(matches, key=lambda pair: pair[0])]
                precision[class_index], recall[class_index] = precision_and_recall(in_order)
        at_50, at_75 = (int(np.argmin(abs(IOU_THRESHOLDS - iou))) for iou in (0.5, 0.75))
        scores = {
            "AP": _mean(precision[:, 0]),
            "AP50": _mean(precision[:, 0, at_50]),
            "AP75": _mean(precision[:, 0, at_75]),
        }
        sizes = list(enumerate(AREA_RANGES))[1:]
        scores |= {f"AP{size}": _mean(precision[:, index]) for index, size in sizes}
        limits = enumerate(MAX_DETECTIONS)
        scores |= {f"AR{limit}": _mean(recall[:, 0, index]) for index, limit in limits}
        scores |= {f"AR{size}": _mean(recall[:, index, -1]) for index, size in sizes}
        for class_index, name in enumerate(self.class_names):
            scores[f"AP-{name}"] = _mean(precision[class_index, 0])
        return scores

    def notes(self) -> list[str]:
        """Say why scores are NaN."""
        num_objects = np.zeros((len(self.class_names), len(_BOUNDS)), dtype=np.int64)
        for class_index, matches in self._matches.items():
            num_objects[class_index] = sum(part.num_objects for _, part in matches)
        if not num_objects[:, 0].any():
            return ["All scores are undefined: the truth has no object."]
        if not self._num_detections:
            return ["All scores are undefined: nothing is predicted in any video."]
        notes = [
            f"AP{size} and AR{size} are undefined: the truth has no object of "
            f"{low:.0f} to {high:.0f} pixels."
            for index, (size, (low, high)) in enumerate(AREA_RANGES.items())
            if not num_objects[:, index].any()
        ]
        absent = [
            name
            for name, of_class in zip(self.class_names, num_objects[:, 0], strict=True)
            if not of_class
        ]
        if absent:
            notes.append(
                f"AP of {some_names(absent, len(self.class_names))} is undefined and left out of "
                "means: the truth has no such object."
            )
        return notes


def _mean(values: np.ndarray) -> float:
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if defined.size else float("nan")


def _tubes_by_class(
    record: Record, frames: Sequence[ComparedFrame], track_scores: TrackScores
) -> dict[int, ClassTubes]:
    """Put the frames of a video together to tubes, for each class that occurs in it."""
    truth = _truth(record, frames)
    ids = track_scores.ids
    truth_places, places = numbered(truth), numbered(ids)
    placed = [
        PlacedOverlaps(
            positions(frame.truth_ids, truth_places), positions(frame.ids, places), frame.overlaps
        )
        for frame in frames
    ]
    iou = sum_overlaps(placed, len(truth), len(ids)).iou
    truth_areas = _mean_areas(
        len(truth),
        [
            (frame.truth, compared.stated_areas)
            for frame, compared in zip(placed, frames, strict=True)
        ],
    )
    areas = _mean_areas(
        len(ids), [(frame.prediction, frame.overlaps.prediction_areas) for frame in placed]
    )
    classes = np.array([class_index for class_index, _ in truth.values()], dtype=np.int64)
    is_crowd = np.array([is_crowd for _, is_crowd in truth.values()], dtype=bool)
    detected = [track_scores.of(id_) for id_ in ids]
    tubes = {}
    for class_index in sorted({*classes.tolist(), *(c for scores in detected for c in scores)}):
        of_truth = np.flatnonzero(classes == class_index)
        of_ids = np.flatnonzero([class_index in scores for scores in detected])
        tubes[class_index] = ClassTubes(
            iou=iou[np.ix_(of_truth, of_ids)].T,
            scores=np.array([detected[position][class_index] for position in of_ids], dtype=float),
            areas=areas[of_ids],
            truth_areas=truth_areas[of_truth],
            is_crowd=is_crowd[of_truth],
        )
    return tubes


def _truth(record: Record, frames: Iterable[ComparedFrame]) -> dict[int, tuple[int, bool]]:
    """Return class and crowd flag of each true identity, in the order of the annotation file.

    Records of the YouTube-VIS format list their tracks, those that are nowhere visible included,
    which are to be found all the same.
    """
    truth = {
        track["id"]: (track["class_index"], track["iscrowd"]) for track in record.get("tracks", ())
    }
    for frame in frames:
        for id_, class_index, is_crowd in zip(
            frame.truth_ids.tolist(),
            frame.truth_classes.tolist(),
            frame.is_crowd.tolist(),
            strict=True,
        ):
            truth.setdefault(id_, (class_index, is_crowd))
    return truth


def _mean_areas(num_tracks: int, frames: Iterable[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Return the mean area of each track over the frames where it has pixels, 0 without any."""
    total, num_frames = np.zeros(num_tracks), np.zeros(num_tracks)
    for tracks, areas in frames:
        total[tracks] += areas
        num_frames[tracks] += areas > 0
    return total / np.maximum(num_frames, 1)
