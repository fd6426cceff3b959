"""Objects that are given once and followed: J and F, as DAVIS and YouTube-VOS average them.

T scored frames of an object, (H, W) pixels.  J is the IoU of masks, F how well contours agree. Both
are of one frame; what differs between benchmarks is which frames and objects count:

- `vos/davis2016`, `vos/davis2017`: the objects of the first frame, in all frames but the first and
  the last; an object that is absent in both truth and prediction scores 1 there.
- `vos/youtube_vos`: each object after the frame in which it is given, to the end of the video.
  Objects are averaged by kind, categories of the training set and others, and these by G. The
  server's code is not public; `vos/youtube_vos_excl_last` leaves out the last frame, as some tools
  do.

Predictions are taken as the label images of the benchmarks hold them: where masks overlap, the one
with the higher score is seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from gvseg.data.benchmark import Record, annotated_frames
from gvseg.data.segments import FrameLabels, front_map
from gvseg.evaluation.boundary import boundary_f
from gvseg.structures import FrameSegments

# The 65 categories of YouTube-VOS's training set, after its meta.json; those that valid and test
# have besides are "unseen".
SEEN_CATEGORIES = frozenset(
    {
        *("airplane", "ape", "bear", "bike", "bird", "boat", "bucket", "bus", "camel"),
        *("cat", "cow", "crocodile", "deer", "dog", "dolphin", "duck", "eagle"),
        *("earless_seal", "elephant", "fish", "fox", "frisbee", "frog", "giant_panda"),
        *("giraffe", "hand", "hat", "hedgehog", "horse", "knife", "leopard", "lion"),
        *("lizard", "monkey", "motorbike", "mouse", "others", "owl", "paddle"),
        *("parachute", "parrot", "penguin", "person", "plant", "rabbit", "raccoon"),
        *("sedan", "shark", "sheep", "sign", "skateboard", "snail", "snake", "snowboard"),
        *("squirrel", "surfboard", "tennis_racket", "tiger", "toilet", "train", "truck"),
        *("turtle", "umbrella", "whale", "zebra"),
    }
)


def region_similarity(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return J, the IoU of two masks (H, W) bool, 1 where both are empty."""
    union = np.count_nonzero(truth | prediction)
    return np.count_nonzero(truth & prediction) / union if union else 1.0


def recall(scores: np.ndarray) -> float:
    """Return the share of frames, (T,), that score more than one half."""
    return float((scores > 0.5).mean())


def decay(scores: np.ndarray) -> float:
    """Return how much lower the last quarter of the frames, (T,), scores than the first.

    Quarters share their end frames. The official code keeps frame numbers in 8 bits and so takes
    other frames where T is over 256; no video of DAVIS is so long.

    For 0.9 0.8 0.7 0.6 0.5: quarters are frames 0-1, 1-2, 2-3 and 3-4, decay 0.85 - 0.55.
    """
    # The official rounding: halves go to the even neighbour but for the nudge upwards.
    ends = (np.round(np.linspace(1, len(scores), 5) + 1e-10) - 1).astype(np.int64)
    return float(scores[: ends[1] + 1].mean() - scores[ends[3] : ends[4] + 1].mean())


@dataclass(frozen=True)
class ObjectScores:
    """What one object of one video scores in T frames."""

    video_id: str | int
    object_id: int
    region: np.ndarray  # (T,) J
    contour: np.ndarray  # (T,) F


@dataclass
class _Scorecard:
    """Scores of the objects of the video in hand, by identity."""

    region: dict[int, list[float]] = field(default_factory=dict)
    contour: dict[int, list[float]] = field(default_factory=dict)

    def start(self, object_id: int) -> None:
        """Begin an object; one that is never scored is still an object of the video."""
        self.region.setdefault(object_id, [])
        self.contour.setdefault(object_id, [])

    def add(
        self, object_ids: Iterable[int], truth: FrameSegments, prediction: FrameSegments
    ) -> None:
        """Score some objects in one frame, each there or not."""
        predicted_ids = np.append(prediction.ids, 0)[front_map(prediction)]
        for object_id in object_ids:
            true_mask = _mask_of(truth, object_id)
            mask = predicted_ids == object_id
            self.region[object_id].append(region_similarity(true_mask, mask))
            self.contour[object_id].append(boundary_f(true_mask, mask))

    def results(self, record: Record) -> list[ObjectScores]:
        return [
            ObjectScores(
                record["video_id"],
                object_id,
                np.array(self.region[object_id]),
                np.array(self.contour[object_id]),
            )
            for object_id in sorted(self.region)
        ]


class DavisMetric:
    """J and F over all objects of a set, each object the mean over its frames."""

    def __init__(self) -> None:
        self.objects: list[ObjectScores] = []
        self._scorecard = _Scorecard()

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next frame of a video.

        Raises:
            ValueError: the prediction has an object that the first frame does not have, on which
                the official code stops too.
        """
        frames = annotated_frames(record)
        if prediction.frame_index == frames[0]:
            # As officially, a number left out below the highest is an object that is never there.
            for object_id in range(1, int(truth.segments.ids.max(initial=0)) + 1):
                self._scorecard.start(object_id)
        elif prediction.frame_index != frames[-1]:
            object_ids = self._scorecard.region.keys()
            unknown = sorted(set(prediction.ids.tolist()) - object_ids)
            if unknown:
                raise ValueError(
                    f"Video {record['video_id']}, frame "
                    f"{record['file_names'][prediction.frame_index]}: objects {unknown} are "
                    f"predicted, but the first frame gives {len(object_ids)} objects."
                )
            self._scorecard.add(object_ids, truth.segments, prediction)

    def end_video(self, record: Record) -> None:
        """Keep one number a frame of each object."""
        self.objects += self._scorecard.results(record)
        self._scorecard = _Scorecard()

    def merge(self, other: DavisMetric) -> None:
        """Add the objects of another process."""
        self.objects += other.objects

    def compute(self) -> dict[str, float]:
        """Return mean, recall and decay of J and F, NaN without an object in three frames."""
        scored = _scored(self.objects)
        scores = {}
        for name, values in (
            ("J", [scores.region for scores in scored]),
            ("F", [scores.contour for scores in scored]),
        ):
            scores[f"{name}-Mean"] = _mean(one.mean() for one in values)
            scores[f"{name}-Recall"] = _mean(recall(one) for one in values)
            scores[f"{name}-Decay"] = _mean(decay(one) for one in values)
        return {"J&F": (scores["J-Mean"] + scores["F-Mean"]) / 2, **scores}

    def notes(self) -> list[str]:
        """Say which objects are left out, and whether any is left."""
        notes = _notes_on_unscored(self.objects)
        if not _scored(self.objects):
            notes.append("All scores are undefined: no object is scored in any frame.")
        return notes


class YouTubeVosMetric:
    """J and F by kind of category, each object the mean over its frames, and their mean G.

    Args:
        seen: the categories of the training set.
        skip_last: leave out the last frame of each video.
    """

    def __init__(self, seen: Collection[str] = SEEN_CATEGORIES, *, skip_last: bool = False) -> None:
        self.seen = frozenset(seen)
        self.skip_last = skip_last
        self.objects: dict[str, list[ObjectScores]] = {"seen": [], "unseen": [], "unknown": []}
        self._ignored: set[tuple[str | int, int]] = set()  # video, object
        self._scorecard = _Scorecard()

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next frame of a video, whose record says where each object is given.

        Raises:
            ValueError: the record does not say that.
        """
        if "objects" not in record:
            raise ValueError(
                f"Video {record['video_id']} cannot be scored as in YouTube-VOS: its record has no "
                "'objects', which say in which frame each is given."
            )
        objects = record["objects"]
        for object_id in objects:
            self._scorecard.start(object_id)
        for object_id in set(prediction.ids.tolist()) - objects.keys():
            self._ignored.add((record["video_id"], object_id))
        index = prediction.frame_index
        if self.skip_last and index == annotated_frames(record)[-1]:
            return
        started = [id_ for id_, given in objects.items() if given["frame_index"] < index]
        self._scorecard.add(started, truth.segments, prediction)

    def end_video(self, record: Record) -> None:
        """Keep one number a frame of each object."""
        for scores in self._scorecard.results(record):
            category = record["objects"][scores.object_id]["category"]
            kind = "unknown" if category is None else "unseen"
            self.objects["seen" if category in self.seen else kind].append(scores)
        self._scorecard = _Scorecard()

    def merge(self, other: YouTubeVosMetric) -> None:
        """Add the objects of another process."""
        for kind, objects in other.objects.items():
            self.objects[kind] += objects
        self._ignored |= other._ignored

    def compute(self) -> dict[str, float]:
        """Return G, J and F of seen and unseen categories, and J and F of all objects."""
        by_kind = {kind: _scored(objects) for kind, objects in self.objects.items()}
        scores = {}
        for kind in ("seen", "unseen"):
            scores[f"J_{kind}"] = _mean(one.region.mean() for one in by_kind[kind])
            scores[f"F_{kind}"] = _mean(one.contour.mean() for one in by_kind[kind])
        everything = [one for objects in by_kind.values() for one in objects]
        return {
            "G": sum(scores.values()) / len(scores),
            **scores,
            "J": _mean(one.region.mean() for one in everything),
            "F": _mean(one.contour.mean() for one in everything),
        }

    def notes(self) -> list[str]:
        """Say why scores are NaN, and which objects take no part."""
        notes = _notes_on_unscored([one for objects in self.objects.values() for one in objects])
        notes += [
            f"G, J_{kind} and F_{kind} are undefined: no object of {kind} categories is scored."
            for kind in ("seen", "unseen")
            if not _scored(self.objects[kind])
        ]
        if self.objects["unknown"]:
            notes.append(
                f"{len(self.objects['unknown'])} objects are neither seen nor unseen: their "
                "categories are not public."
            )
        if self._ignored:
            video_id, object_id = min(self._ignored, key=str)
            notes.append(
                f"{len(self._ignored)} predicted objects are left out, as their videos have none "
                f"of that number, such as object {object_id} of video {video_id}."
            )
        return notes


def _mask_of(segments: FrameSegments, object_id: int) -> np.ndarray:
    """Return the mask of an annotated object, (H, W) bool, empty where it is absent."""
    found = np.flatnonzero(segments.ids == object_id).tolist()
    return segments.mask(found[0]) if found else np.zeros(segments.size, dtype=bool)


def _scored(objects: list[ObjectScores]) -> list[ObjectScores]:
    """Return the objects that have a scored frame."""
    return [scores for scores in objects if len(scores.region)]


def _notes_on_unscored(objects: list[ObjectScores]) -> list[str]:
    num_unscored = len(objects) - len(_scored(objects))
    if not num_unscored:
        return []
    return [f"{num_unscored} of {len(objects)} objects are left out: no frame of theirs is scored."]


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return float(np.mean(found)) if found else float("nan")
