"""What every metric of tracked objects asks of a video: who is where, and how far masks agree.

G true and P predicted masks of a frame, N listed segments. Nothing here holds pixels for longer
than a call. Needs NumPy and pycocotools alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gvseg.evaluation.frame_pairs import frame_name
from gvseg.evaluation.mask_overlaps import Overlaps, overlaps_of_segments

if TYPE_CHECKING:  # these import torch and detectron2
    from gvseg.data.benchmark import Record
    from gvseg.data.segments import FrameLabels
    from gvseg.structures import FrameSegments


_NUM_NAMED = 5  # classes that a note names


@dataclass(frozen=True)
class ComparedFrame:
    """Who is in a frame, in truth and by prediction, and how their masks overlap."""

    truth_ids: np.ndarray  # (G,) identities
    truth_classes: np.ndarray  # (G,) class indices
    is_crowd: np.ndarray  # (G,) bool
    stated_areas: np.ndarray  # (G,) float64, as annotated
    ids: np.ndarray  # (P,) identities, each once
    scores: np.ndarray  # (P,) of the class in which an identity is listed first
    overlaps: Overlaps

    def select(
        self, truth: np.ndarray | None = None, prediction: np.ndarray | None = None
    ) -> ComparedFrame:
        """Return the frame with some of the truth and of the prediction, None for all of it.

        Args:
            truth: positions, or (G,) bool.
            prediction: positions, or (P,) bool.
        """
        if truth is None:
            truth = np.arange(len(self.truth_ids))
        if prediction is None:
            prediction = np.arange(len(self.ids))
        return ComparedFrame(
            truth_ids=self.truth_ids[truth],
            truth_classes=self.truth_classes[truth],
            is_crowd=self.is_crowd[truth],
            stated_areas=self.stated_areas[truth],
            ids=self.ids[prediction],
            scores=self.scores[prediction],
            overlaps=self.overlaps.select(truth, prediction),
        )


class TrackScores:
    """Classes and scores of the identities of one video, kept as running means.

    A frame may list an identity under several classes, as segmenters do whose queries are worth
    more than one guess, and another frame under other ones. The score of an identity in a class is
    the mean over the frames that list the identity, with 0 where they do not list that class, and
    over those in which it is too unlikely to be listed, with 0. So each pair of an identity and a
    class is one detection of the whole video, and one that was likely for a moment is not as good
    as one that always was.

    Three frames, identity 5 as class 0 with scores 0.9, 0.6 and as class 1 with 0.3, has
    (0.9 + 0.6 + 0) / 3 in class 0 and 0.3 / 3 in class 1; if in a fourth it is unlikely, these are
    of four.
    """

    def __init__(self) -> None:
        self._num_frames: dict[int, int] = {}
        self._scores: dict[int, dict[int, float]] = {}  # by identity, by class

    def update(self, segments: FrameSegments) -> None:
        """Take in the next frame in which something is listed.

        Raises:
            ValueError: an identity is listed twice under one class.
        """
        listed: dict[int, dict[int, float]] = {}
        for id_, class_index, score in zip(
            segments.ids.tolist(),
            segments.classes.tolist(),
            segments.scores.tolist(),
            strict=True,
        ):
            scores = listed.setdefault(id_, {})
            if class_index in scores:
                raise ValueError(
                    f"Identity {id_} is listed twice as class {class_index} in frame "
                    f"{segments.frame_index}."
                )
            scores[class_index] = score
        unlikely = [] if segments.unlikely is None else segments.unlikely.tolist()
        for id_ in [*listed, *unlikely]:
            self._num_frames[id_] = num_frames = self._num_frames.get(id_, 0) + 1
            new = listed.get(id_, {})
            means = self._scores.setdefault(id_, {}) if new else self._scores.get(id_, {})
            for class_index in means.keys() | new.keys():
                mean = means.get(class_index, 0.0)
                # In this form the mean of equal scores is that score to the last bit, and ties stay
                # ties whatever the number of frames.
                means[class_index] = mean + (new.get(class_index, 0.0) - mean) / num_frames

    @property
    def ids(self) -> list[int]:
        """All identities in ascending order."""
        return sorted(self._scores)

    def of(self, id_: int) -> dict[int, float]:
        """Return the score of an identity in each of its classes."""
        return self._scores[id_]

    def best_class(self, id_: int) -> int:
        """Return the class with the highest score, of equal ones the lowest class."""
        scores = self._scores[id_]
        return min(scores, key=lambda class_index: (-scores[class_index], class_index))


class VideoComparison:
    """All frames of one video without their pixels.

    Args:
        num_classes: of the benchmark; a prediction of another class is an error.
        is_thing: (num_classes,) bool; given, segments of stuff are left out.
        compare: gives the overlaps of a frame, those of masks by default.
    """

    def __init__(
        self,
        num_classes: int,
        is_thing: Sequence[bool] | None = None,
        compare: Callable[[FrameSegments, FrameSegments], Overlaps] = overlaps_of_segments,
    ) -> None:
        self.frames: list[ComparedFrame] = []
        self.track_scores = TrackScores()
        self._num_classes = num_classes
        self._compare = compare
        self._is_thing = None if is_thing is None else np.array(is_thing, dtype=bool)

    def add(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Compare the next frame.

        Raises:
            ValueError: a predicted class that the benchmark does not have, or an identity listed
                twice under one class.
        """
        where = frame_name(record, prediction.frame_index)
        where = where[:1].upper() + where[1:]
        outside = (prediction.classes < 0) | (prediction.classes >= self._num_classes)
        if outside.any():
            raise ValueError(
                f"{where}: predicted class {prediction.classes[outside][0]} is none of the "
                f"{self._num_classes} classes; classes are indices from 0."
            )
        is_thing = self._is_object(prediction.classes)
        things = (
            prediction if is_thing.all() else take_segments(prediction, np.flatnonzero(is_thing))
        )
        try:
            self.track_scores.update(things)
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        distinct = things
        _, first = np.unique(things.ids, return_index=True)
        if len(first) < len(things):
            distinct = take_segments(things, np.sort(first))
        is_object = self._is_object(truth.segments.classes)
        overlaps = self._compare(truth.segments, distinct)
        compared = ComparedFrame(
            truth_ids=truth.segments.ids,
            truth_classes=truth.segments.classes,
            is_crowd=truth.is_crowd,
            stated_areas=truth.areas,
            ids=distinct.ids,
            scores=distinct.scores,
            overlaps=overlaps,
        )
        self.frames.append(compared if is_object.all() else compared.select(is_object))

    def _is_object(self, classes: np.ndarray) -> np.ndarray:
        if self._is_thing is None:
            return np.ones(len(classes), dtype=bool)
        return self._is_thing[classes]


def take_segments(segments: FrameSegments, kept: np.ndarray) -> FrameSegments:
    """Return the segments at some positions, in ascending order."""
    if len(kept) == len(segments):
        return segments
    index_map, masks = segments.index_map, segments.masks
    if index_map is not None:
        # Position -1 is void and so reads the last entry.
        replacement = np.full(len(segments) + 1, -1, dtype=np.int16)
        replacement[kept] = np.arange(len(kept))
        index_map = replacement[index_map]
    return replace(
        segments,
        ids=segments.ids[kept],
        classes=segments.classes[kept],
        scores=segments.scores[kept],
        masks=None if masks is None else masks[kept],
        index_map=index_map,
    )


def visible_objects(frame: ComparedFrame) -> ComparedFrame:
    """Leave out masks of no pixels, crowd regions, and predictions that lie in one for the most."""
    overlaps = frame.overlaps
    areas, in_crowd = overlaps.prediction_areas, overlaps.intersections[frame.is_crowd]
    is_in_crowd = 2 * in_crowd.max(axis=0, initial=0) > areas
    is_object = ~frame.is_crowd & (overlaps.truth_areas > 0)
    return frame.select(np.flatnonzero(is_object), np.flatnonzero((areas > 0) & ~is_in_crowd))


def true_classes(frames: Iterable[ComparedFrame]) -> dict[int, int]:
    """Return the class of each true identity of a video, in the order of their first frames."""
    classes: dict[int, int] = {}
    for frame in frames:
        classes |= dict(zip(frame.truth_ids.tolist(), frame.truth_classes.tolist(), strict=True))
    return classes


def some_names(names: Sequence[str], num_classes: int) -> str:
    """Return how many classes are meant, and the first of them by name."""
    listed = ", ".join(names[:_NUM_NAMED])
    such_as = f", such as {listed}," if len(names) > _NUM_NAMED else f" ({listed})"
    return f"{len(names)} of {num_classes} classes{such_as}"


def numbered(known: Iterable[int]) -> dict[int, int]:
    """Return where each id stands among those of a video."""
    return {id_: position for position, id_ in enumerate(known)}


def positions(ids: np.ndarray, position_of_id: Mapping[int, int]) -> np.ndarray:
    """Return where each id of a frame, (N,), stands among those of the video, (N,) int64."""
    return np.array([position_of_id[id_] for id_ in ids.tolist()], dtype=np.int64)
