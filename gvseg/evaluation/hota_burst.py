"""HOTA as BURST scores it: by class, over common and uncommon classes, or in an open world.

BURST annotates one frame a second, with categories in part: for each video it knows categories that
are present, that are certainly absent (`neg_category_ids`), and that are annotated on some objects
only (`not_exhaustive_category_ids`). Hence its own rules beside those of HOTA:

* The official evaluators hand the boxes around the masks, not the masks, to the function that finds
  the IoU. So do we unless told otherwise: every published number is one of boxes.
* Frames without any true mask are left out, whatever is predicted there. Here one of no pixels is
  none; the official evaluators count it as missed.
* Objects of 45 categories, distractors, are no truth; a few categories are merged into others.
* At most 300 masks count in a frame, those with the best scores.
* With classes to be guessed, a mask that finds no object of its class with IoU 0.5 is left out
  where it may be right: if the frame has no such object and the class is not known to be absent, or
  if the class is not annotated throughout.
* With exemplars, an identity is the true one, and its class is that of the object, whatever is
  predicted. (Of the two official evaluators TrackEval does so. The authors' own reads the predicted
  category, so they agree where the true one is predicted.)
* In an open world all objects are of one class and unmatched predictions cost nothing but
  association: OWTA. Its frames are those with an object of the group that is scored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from gvseg.evaluation.hota import (
    ALPHAS,
    EPSILON,
    HotaCounts,
    class_frames,
    count_tracks,
    mean_scores,
)
from gvseg.evaluation.mask_overlaps import Overlaps, box_overlaps_of_segments
from gvseg.evaluation.overlaps import ComparedFrame, VideoComparison

if TYPE_CHECKING:  # these import torch and detectron2
    from gvseg.data.benchmark import Record
    from gvseg.data.segments import FrameLabels
    from gvseg.structures import FrameSegments

# Category ids, from BURST's evaluation (burstapi and TrackEval, `burst_helpers`).
# fmt: off
DISTRACTORS = frozenset((
    20, 63, 108, 180, 188, 204, 212, 247, 303, 403, 407, 415, 490, 504, 507, 513, 529, 567, 569,
    588, 672, 691, 702, 708, 711, 720, 736, 737, 798, 813, 815, 827, 831, 851, 877, 883, 912, 971,
    976, 1130, 1133, 1134, 1169, 1184, 1220,
))
COMMON = frozenset((  # those that COCO has too
    4, 13, 34, 35, 36, 41, 45, 58, 60, 78, 79, 81, 91, 95, 99, 118, 126, 133, 139, 154, 174, 185,
    211, 221, 229, 235, 237, 276, 299, 347, 371, 382, 392, 428, 429, 452, 475, 480, 502, 544, 579,
    621, 625, 642, 699, 714, 717, 729, 747, 779, 805, 829, 852, 896, 926, 937, 961, 979, 980, 982,
    993, 1001, 1018, 1038, 1057, 1091, 1097, 1099, 1115, 1117, 1122, 1132, 1135, 1144, 1155, 1162,
    1215, 1229,
))
# fmt: on
MERGED = {153: 943, 201: 1175, 207: 554, 504: 347, 720: 347, 912: 529, 967: 529}

MAX_MASKS = 300  # in one frame
MIN_IOU = 0.5  # of a prediction that is kept where it could not be called wrong
_OPEN_WORLD_CATEGORY = 1  # what the official evaluator calls everything, and looks up in its lists

GROUPS = ("all", "common", "uncommon")


class Guidance(str, Enum):
    """What a tracker is told or asked beside masks and identities."""

    CLASS = "class"
    EXEMPLAR = "exemplar"
    OPEN_WORLD = "open_world"


class BurstHotaMetric:
    """HOTA, or OWTA in an open world, over the videos of a split of BURST.

    The records are those of `gvseg.data.burst_json`. The class of a predicted track is the best one
    over the video, as `TrackScores` finds it.

    Args:
        guidance: the task.
        category_ids: (K,) BURST's id of each class that is predicted.
        category_names: by BURST's id.
        compare: whether boxes overlap, as in the official evaluators, or masks.
    """

    def __init__(
        self,
        guidance: Guidance | str,
        category_ids: Sequence[int],
        category_names: Mapping[int, str],
        compare: Callable[[FrameSegments, FrameSegments], Overlaps] = box_overlaps_of_segments,
    ) -> None:
        self.guidance = Guidance(guidance)
        self.counts: dict[int | str, HotaCounts] = defaultdict(HotaCounts)  # by category or group
        self._category_ids = tuple(category_ids)
        self._category_names = dict(category_names)
        self._compare = compare
        self._video: VideoComparison | None = None

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next annotated frame of a video.

        Raises:
            ValueError: a predicted class is out of range, an identity is listed twice under it, or,
                with exemplars, the video has no object of this identity.
        """
        if self._video is None:
            self._video = VideoComparison(len(self._category_ids), compare=self._compare)
        if self.guidance is Guidance.EXEMPLAR:
            unknown = set(prediction.ids.tolist()) - record["category_ids"].keys()
            if unknown:
                raise ValueError(
                    f"Video {record['video_id']}, frame "
                    f"{record['file_names'][prediction.frame_index]}: the video has no object "
                    f"{min(unknown)}; identities are those of the exemplars."
                )
        self._video.add(record, truth, prediction)

    def end_video(self, record: Record) -> None:
        """Count the tracks of the video and forget its frames."""
        assert self._video is not None
        video, self._video = self._video, None
        categories: dict[int, int] = record["category_ids"]
        if self.guidance is Guidance.OPEN_WORLD:
            self._count_open_world(record, video, categories)
            return
        frames = _frames_with_objects(
            video.frames,
            {id_ for id_, category in categories.items() if category not in DISTRACTORS},
        )
        class_of_truth = {
            id_: MERGED.get(category, category) for id_, category in categories.items()
        }
        if self.guidance is Guidance.EXEMPLAR:
            visible = {id_ for frame in frames for id_ in frame.truth_ids.tolist()}
            class_of_id = {id_: class_of_truth[id_] for id_ in visible}
            frames = [
                frame.select(prediction=np.flatnonzero(np.isin(frame.ids, list(visible))))
                for frame in frames
            ]
        else:
            guessed = {
                id_: self._category_ids[video.track_scores.best_class(id_)]
                for id_ in video.track_scores.ids
            }
            class_of_id = {id_: MERGED.get(category, category) for id_, category in guessed.items()}
        frames = [_best_masks(frame) for frame in frames]
        for category, part in class_frames(frames, class_of_truth, class_of_id).items():
            if self.guidance is Guidance.CLASS:
                part = [_without_doubtful(frame, category, record) for frame in part]
            self.counts[category] += count_tracks(part)

    def _count_open_world(
        self, record: Record, video: VideoComparison, categories: dict[int, int]
    ) -> None:
        for group in GROUPS:
            ids = {
                id_
                for id_, category in categories.items()
                if category not in DISTRACTORS and _is_of(category, group)
            }
            frames = [_best_masks(frame) for frame in _frames_with_objects(video.frames, ids)]
            if frames:
                self.counts[group] += count_tracks(
                    [_without_doubtful(frame, _OPEN_WORLD_CATEGORY, record) for frame in frames]
                )

    def merge(self, other: BurstHotaMetric) -> None:
        """Add what another process counted."""
        for key, counts in other.counts.items():
            self.counts[key] += counts

    def compute(self) -> dict[str, float]:
        """Return scores in 0..1 of each group, means over classes and thresholds, and by class."""
        names = ("HOTA", "DetA", "AssA", "LocA")
        if self.guidance is Guidance.OPEN_WORLD:
            names = ("OWTA", "DetRe", "AssA", "LocA")
        scores: dict[str, float] = {}
        for group in GROUPS:
            means = mean_scores(self._present(group).values())
            scores |= {f"{name}_{group}": float(means[name].mean()) for name in names}
            if group == "all":
                by_alpha = zip(ALPHAS, means[names[0]], strict=True)
        scores |= {f"{names[0]}_all@{alpha:.2f}": float(value) for alpha, value in by_alpha}
        if self.guidance is not Guidance.OPEN_WORLD:
            for category, counts in sorted(self._present("all").items()):
                name = self._category_names[category]
                scores[f"HOTA-{name}"] = float(counts.scores()["HOTA"].mean())
        return scores

    def notes(self) -> list[str]:
        """Say why scores are NaN."""
        return [
            f"Scores of {group} classes are undefined: the truth has no object of them."
            for group in GROUPS
            if not self._present(group)
        ]

    def _present(self, group: str) -> dict[int, HotaCounts]:
        """Return the counts of the classes in a group of which the truth has an object."""
        if self.guidance is Guidance.OPEN_WORLD:
            return {0: self.counts[group]} if group in self.counts else {}
        return {
            int(category): counts
            for category, counts in self.counts.items()
            if counts.num_objects and category not in DISTRACTORS and _is_of(int(category), group)
        }


def _is_of(category: int, group: str) -> bool:
    return group == "all" or (category in COMMON) == (group == "common")


def _frames_with_objects(frames: Sequence[ComparedFrame], ids: set[int]) -> list[ComparedFrame]:
    """Leave out other objects than those of some identities, and frames without any of them."""
    parts = [
        frame.select(truth=np.flatnonzero(np.isin(frame.truth_ids, list(ids)))) for frame in frames
    ]
    return [part for part in parts if len(part.truth_ids)]


def _best_masks(frame: ComparedFrame) -> ComparedFrame:
    if len(frame.ids) <= MAX_MASKS:
        return frame
    return frame.select(prediction=np.argsort(-frame.scores, kind="stable")[:MAX_MASKS])


def _without_doubtful(frame: ComparedFrame, category: int, record: Record) -> ComparedFrame:
    """Leave out predictions of a class that find nothing and cannot be called wrong either."""
    is_known_absent = category in record["neg_category_ids"]
    is_partly_annotated = category in record["not_exhaustive_category_ids"]
    if (len(frame.truth_ids) or is_known_absent) and not is_partly_annotated:
        return frame
    iou = frame.overlaps.iou
    iou[iou < MIN_IOU - EPSILON] = 0
    rows, columns = linear_sum_assignment(iou, maximize=True)
    # In the order of prediction, for the sake of ties.
    return frame.select(prediction=np.sort(columns[iou[rows, columns] > EPSILON]))
