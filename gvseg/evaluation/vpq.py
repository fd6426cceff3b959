"""Video panoptic quality, VPQ: how well tubes of segments agree over windows of frames.

T frames, K classes; a window has G true and P predicted tubes, N and M in one frame.

A window of n frames starts at every frame that has n - 1 after it, within its video; a video of
fewer frames has none. In it a tube is all that has one identity, of the class and the crowd flag
that it has in its first frame there. A pair of one class and of an IoU above 1/2, void left out of
the prediction, is a hit. True tubes without a hit are missed; predicted ones are false, unless more
than half of each is void or lies in the last listed crowd of its class. A class has

    PQ = sum of IoU over hits / (hits + false / 2 + missed / 2)

over all windows of all videos. VPQ_n is the mean over classes that are found or missed anywhere,
VPQ the mean of VPQ_n over n. https://arxiv.org/abs/2006.11339 (section 3); the scripts of VIPSeg
and of Cityscapes-VPS have the same core. Needs NumPy alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gvseg.evaluation.frame_pairs import FramePairs, frame_name

if TYPE_CHECKING:  # these import torch and detectron2
    from gvseg.data.benchmark import Record
    from gvseg.data.segments import FrameLabels
    from gvseg.structures import FrameSegments


@dataclass(frozen=True)
class VpqProtocol:
    """What differs between benchmarks."""

    windows: tuple[int, ...]  # in annotated frames
    class_splits_tubes: bool = False  # an object that changes its class becomes another one
    has_crowd: bool = True  # False: a crowd is a segment like any other

    def tube_keys(self, pairs: FramePairs, is_thing: np.ndarray) -> FramePairs:
        """Return a frame whose identities tell tubes apart, and whose crowds are those that count.

        Args:
            pairs: the frame.
            is_thing: (K,) bool.
        """
        true_classes, predicted_classes = pairs.true_classes, pairs.predicted_classes
        return replace(
            pairs,
            true_ids=self._keys(pairs.true_ids, true_classes, is_thing[true_classes]),
            predicted_ids=self._keys(
                pairs.predicted_ids, predicted_classes, is_thing[predicted_classes]
            ),
            is_crowd=pairs.is_crowd & self.has_crowd,
        )

    def _keys(self, ids: np.ndarray, classes: np.ndarray, is_thing: np.ndarray) -> np.ndarray:
        if self.class_splits_tubes:
            return ids * (1 << 16) + classes
        # A region of stuff that is known by its class has class + 1 as its identity. A linker
        # counts objects from 1 too, so such regions are told apart from objects by the sign.
        return np.where(~is_thing & (ids == classes + 1), -ids, ids)


VIPSEG = VpqProtocol((1, 2, 4, 6))  # as in the paper
VIPSEG_SCRIPT = VpqProtocol((1, 2, 4, 6, 8))  # as the benchmark's script averages
CITYSCAPES_VPS = VpqProtocol((1, 2, 3, 4))  # of labelled frames, every fifth of a video
# As deeplab2, from which KITTI-STEP comes: a number belongs to its class, and nothing is a crowd.
KITTI_STEP = VpqProtocol((1, 2, 3, 4), class_splits_tubes=True, has_crowd=False)
COCO = VpqProtocol((1,))  # of one frame VPQ is PQ, as panopticapi computes it


@dataclass(frozen=True)
class TubePairs:
    """True and predicted tubes of one window, in the order in which they first appear."""

    true_classes: np.ndarray  # (G,) int64
    true_areas: np.ndarray  # (G,) float64, pixels as stated
    is_crowd: np.ndarray  # (G,) bool
    predicted_classes: np.ndarray  # (P,) int64
    counts: np.ndarray  # (G+1, P+1) int64, pixels; the last row and the last column are void


@dataclass
class QualityCounts:
    """What PQ is made of, for each class."""

    iou: np.ndarray  # (K,) float64, summed over hits
    hits: np.ndarray  # (K,) int64
    false: np.ndarray  # (K,) int64
    missed: np.ndarray  # (K,) int64

    @classmethod
    def zeros(cls, num_classes: int) -> QualityCounts:
        """Return the counts of no window."""
        return cls(np.zeros(num_classes), *(np.zeros(num_classes, dtype=np.int64) for _ in "123"))

    def add(self, other: QualityCounts) -> None:
        """Count further windows."""
        self.iou += other.iou
        self.hits += other.hits
        self.false += other.false
        self.missed += other.missed

    @property
    def pq(self) -> np.ndarray:
        """Panoptic quality, (K,), NaN for classes that are neither true nor predicted."""
        return self._share(self.iou)

    @property
    def sq(self) -> np.ndarray:
        """Mean IoU of hits, (K,), 0 for classes of misses alone, NaN as in `pq`."""
        return np.where(np.isnan(self.pq), np.nan, self.iou / np.maximum(self.hits, 1))

    @property
    def rq(self) -> np.ndarray:
        """Recognition quality, the F1 score of finding, (K,), NaN as in `pq`."""
        return self._share(self.hits)

    def _share(self, sums: np.ndarray) -> np.ndarray:
        total = self.hits + self.false / 2 + self.missed / 2
        return np.where(total > 0, sums / np.where(total > 0, total, 1), np.nan)


def join_frames(frames: Sequence[FramePairs]) -> TubePairs:
    """Return the tubes of a window of frames: segments of one identity.

    Two frames, one object. It is predicted under one number, whose class changes::

        truth 1 1 1 1 | 1 1 . .     prediction 8 8 . . | 8 8 8 .     class of 8: 0 | 1

    The tubes have 6 and 5 pixels and share 4; the predicted one is of class 0, its first.
    """
    rows, first_true = _tubes([frame.true_ids for frame in frames])
    columns, first_predicted = _tubes([frame.predicted_ids for frame in frames])
    num_true, num_predicted = len(first_true), len(first_predicted)
    counts = np.zeros((num_true + 1, num_predicted + 1), dtype=np.int64)
    for frame, true_tubes, predicted_tubes in zip(frames, rows, columns, strict=True):
        cells = np.ix_(np.append(true_tubes, num_true), np.append(predicted_tubes, num_predicted))
        counts[cells] += frame.counts
    true_classes = np.concatenate([frame.true_classes for frame in frames])
    predicted_classes = np.concatenate([frame.predicted_classes for frame in frames])
    areas = np.concatenate([frame.true_areas for frame in frames])
    is_crowd = np.concatenate([frame.is_crowd for frame in frames])
    return TubePairs(
        true_classes=true_classes[first_true],
        true_areas=np.bincount(np.concatenate(rows), areas, num_true),
        is_crowd=is_crowd[first_true],
        predicted_classes=predicted_classes[first_predicted],
        counts=counts,
    )


def match_tubes(tubes: TubePairs, num_classes: int) -> QualityCounts:
    """Count the hits, the false and the missed tubes of one window.

    Raises:
        ValueError: an IoU above 1, as a stated area is smaller than its segment.

    One true tube of 10 pixels, two predicted ones of its class: 8 pixels of which 7 hit it and one
    is void, and 6 of which 4 are void and 2 hit the other pixels. The first has the IoU
    7 / (8 + 10 - 7 - 1), a hit. The second is no hit, but not false either: 4 of 6 pixels are void.
    """
    intersections, void = tubes.counts[:-1, :-1], tubes.counts[-1, :-1]
    predicted_areas = tubes.counts[:, :-1].sum(axis=0)
    may_match = (
        (intersections > 0)
        & (tubes.true_classes[:, None] == tubes.predicted_classes)
        & ~tubes.is_crowd[:, None]
    )
    true, predicted = np.nonzero(may_match)
    shared = intersections[true, predicted]
    unions = tubes.true_areas[true] + predicted_areas[predicted] - shared - void[predicted]
    if (shared > unions).any():
        raise ValueError(
            "A true segment has more pixels than the area that is stated for it, which gives an "
            "IoU above 1; correct the areas of the annotation."
        )
    iou = shared / unions
    is_hit = iou > 0.5
    true, predicted, iou = true[is_hit], predicted[is_hit], iou[is_hit]

    is_missed = ~tubes.is_crowd
    is_missed[true] = False
    ignored = void + _crowd_overlap(tubes)
    is_false = ~(ignored / predicted_areas > 0.5)
    is_false[predicted] = False
    hit_classes = tubes.true_classes[true]
    return QualityCounts(
        np.bincount(hit_classes, iou, num_classes),
        np.bincount(hit_classes, minlength=num_classes),
        np.bincount(tubes.predicted_classes[is_false], minlength=num_classes),
        np.bincount(tubes.true_classes[is_missed], minlength=num_classes),
    )


def class_mean(values: np.ndarray, is_counted: np.ndarray) -> float:
    """Return the mean over the classes that count, (K,) bool, and are not NaN; NaN without any."""
    values = values[is_counted & ~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


class VideoPanopticMetric:
    """VPQ of a set of videos, fed frame by frame. Holds the counts of the last n frames.

    Args:
        class_names: K names.
        is_thing: (K,) bool.
        protocol: whose definition.

    Attributes:
        counts: what PQ is made of, by window.
    """

    def __init__(
        self, class_names: Sequence[str], is_thing: Sequence[bool], protocol: VpqProtocol
    ) -> None:
        self.class_names = tuple(class_names)
        self.is_thing = np.array(is_thing, dtype=bool)
        self.protocol = protocol
        self.counts = {n: QualityCounts.zeros(len(self.class_names)) for n in protocol.windows}
        self.num_windows = dict.fromkeys(protocol.windows, 0)
        self.num_short_videos = dict.fromkeys(protocol.windows, 0)
        self.num_videos = 0
        self.num_wrong_areas = 0
        self._frames: deque[FramePairs] = deque(maxlen=max(protocol.windows))
        self._num_frames = 0

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next frame of a video.

        Raises:
            ValueError: sizes differ, a class is unknown, an identity is given twice, or a stated
                area is too small.
        """
        frame = frame_name(record, prediction.frame_index)
        self.update_pairs(FramePairs.of_segments(truth, prediction, frame), frame)

    def update_pairs(self, pairs: FramePairs, frame: str = "a frame") -> None:
        """Take in the next frame of a video, its pixels counted.

        Args:
            pairs: the counts.
            frame: what the frame is called in errors.

        Raises:
            ValueError: as in `update`.
        """
        pairs.check_classes(len(self.class_names), frame)
        pairs = self.protocol.tube_keys(pairs, self.is_thing)
        _check_unique(pairs.true_ids, f"annotation of {frame}")
        _check_unique(pairs.predicted_ids, f"prediction of {frame}")
        num_pixels = pairs.counts[:-1].sum(axis=1)
        self.num_wrong_areas += int(np.count_nonzero(pairs.true_areas != num_pixels))
        self._frames.append(pairs)
        self._num_frames += 1
        frames = list(self._frames)
        for window in self.protocol.windows:
            if window <= self._num_frames:
                tubes = join_frames(frames[-window:])
                try:
                    found = match_tubes(tubes, len(self.class_names))
                except ValueError as error:
                    raise ValueError(f"In {window} frames up to {frame}: {error}") from None
                self.counts[window].add(found)
                self.num_windows[window] += 1

    def end_video(self, record: Record | None = None) -> None:
        """Let the next frame start a video."""
        self.num_videos += 1
        for window in self.protocol.windows:
            self.num_short_videos[window] += self._num_frames < window
        self._frames.clear()
        self._num_frames = 0

    def merge(self, other: VideoPanopticMetric) -> None:
        """Add what another process counted."""
        for window, counts in other.counts.items():
            self.counts[window].add(counts)
            self.num_windows[window] += other.num_windows[window]
            self.num_short_videos[window] += other.num_short_videos[window]
        self.num_videos += other.num_videos
        self.num_wrong_areas += other.num_wrong_areas

    def compute(self) -> dict[str, float]:
        """Return all scores in 0..1, NaN where undefined.

        VPQ, then that of things and of stuff; the same, SQ and RQ for each window; and each class:
        its PQ, the mean over windows in which it occurs.
        """
        everything = np.ones(len(self.class_names), dtype=bool)
        kinds = {"": everything, "_things": self.is_thing, "_stuff": ~self.is_thing}
        by_window = {}
        for window, counts in self.counts.items():
            for kind, is_counted in kinds.items():
                by_window[f"VPQ{window}{kind}"] = class_mean(counts.pq, is_counted)
            by_window[f"SQ{window}"] = class_mean(counts.sq, everything)
            by_window[f"RQ{window}"] = class_mean(counts.rq, everything)
        scores = {
            f"VPQ{kind}": float(np.mean([by_window[f"VPQ{n}{kind}"] for n in self.counts]))
            for kind in kinds
        }
        scores |= by_window
        pq = np.stack([counts.pq for counts in self.counts.values()], axis=1)
        for name, values in zip(self.class_names, pq, strict=True):
            scores[f"VPQ-{name}"] = class_mean(values, np.ones(len(values), dtype=bool))
        return scores

    def notes(self) -> list[str]:
        """Say why a score is NaN, and what does not count."""
        notes = [*self._undefined()]
        for window, num_short in self.num_short_videos.items():
            if num_short:
                notes.append(
                    f"{num_short} of {self.num_videos} videos have fewer than {window} annotated "
                    f"frames and do not count in VPQ{window}."
                )
        if self.num_wrong_areas:
            notes.append(
                f"{self.num_wrong_areas} true segments have another area in pixels than the one "
                "stated for them; IoU follows the stated one."
            )
        return notes

    def _undefined(self) -> Iterator[str]:
        for window, num_windows in self.num_windows.items():
            if num_windows == 0:
                yield (
                    f"VPQ{window}, and with it VPQ, is undefined: no video has {window} annotated "
                    "frames."
                )
        for kind, is_counted in (("things", self.is_thing), ("stuff", ~self.is_thing)):
            windows = [
                f"VPQ{window}_{kind}"
                for window, counts in self.counts.items()
                if self.num_windows[window] and np.isnan(class_mean(counts.pq, is_counted))
            ]
            if windows:
                yield (
                    f"{', '.join(windows)}, and with it VPQ_{kind}, is undefined: no {kind} are "
                    "annotated or predicted."
                )
        num_classes = len(self.class_names)
        pq = np.stack([counts.pq for counts in self.counts.values()])
        num_absent = int(np.isnan(pq).all(axis=0).sum())
        if num_absent:
            yield (
                f"{num_absent} of {num_classes} classes are neither annotated nor predicted and do "
                "not count."
            )


def _check_unique(keys: np.ndarray, what: str) -> None:
    if len(np.unique(keys)) < len(keys):
        raise ValueError(
            f"The {what} has several segments of one identity; an object is one segment."
        )


def _tubes(keys: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """Number tubes in the order in which they first appear.

    Args:
        keys: of the segments of each frame.

    Returns:
        the tube of each segment of each frame, and of each tube the first segment, as its position
        among the segments of all frames.
    """
    _, first, tube_of = np.unique(np.concatenate(keys), return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    ends = np.cumsum([len(frame_keys) for frame_keys in keys])
    return np.split(rank[tube_of.reshape(-1)], ends[:-1]), first[order]


def _crowd_overlap(tubes: TubePairs) -> np.ndarray:
    """Return the pixels of each predicted tube, (P,), in the last crowd of its class."""
    overlap = np.zeros(len(tubes.predicted_classes), dtype=np.int64)
    for crowd in np.flatnonzero(tubes.is_crowd):
        is_same = tubes.predicted_classes == tubes.true_classes[crowd]
        overlap[is_same] = tubes.counts[crowd, :-1][is_same]
    return overlap
