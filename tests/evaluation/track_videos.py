"""Videos of tracked objects: drawn by letters, or walking at random."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gvseg.data.segments import FrameLabels
from gvseg.structures import FrameSegments
from tests.evaluation.panoptic_videos import draw

NAMES = ("cat", "dog")
# True objects have lower case, predicted ones upper case; D and E are dogs.
CLASSES = {"a": 0, "b": 0, "c": 0, "d": 1, "e": 1, "A": 0, "B": 0, "C": 0, "D": 1, "E": 1}


@dataclass(frozen=True)
class TrackVideo:
    """Truth and prediction of one video, frame by frame."""

    truth: tuple[FrameLabels, ...]
    prediction: tuple[FrameSegments, ...]


def ident(letter: str) -> int:
    """Return the identity that a letter has."""
    return 1000 + ord(letter)


def drawn(
    truth: Sequence[str],
    prediction: Sequence[str],
    scores: dict[str, float] | None = None,
    *,
    crowds: str = "",
) -> TrackVideo:
    """Return a video of one row of pixels for each frame; `.` is nothing."""
    score_of = {ident(letter): score for letter, score in (scores or {}).items()}
    predicted = []
    for index, row in enumerate(prediction):
        segments = draw(row, CLASSES).prediction(index)
        values = [score_of.get(id_, 1.0) for id_ in segments.ids.tolist()]
        predicted.append(replace(segments, scores=np.array(values)))
    labels = [draw(row, CLASSES, crowds=crowds).labels(i) for i, row in enumerate(truth)]
    return TrackVideo(tuple(labels), tuple(predicted))


def feed(metric, *videos: TrackVideo, first: int = 0):
    """Let a metric score whole videos, numbered from `first`, and return it."""
    for number, video in enumerate(videos, first):
        record = {"video_id": number, "file_names": [f"{i}.jpg" for i in range(99)]}
        for labels, segments in zip(video.truth, video.prediction, strict=True):
            metric.update(record, labels, segments)
        metric.end_video(record)
    return metric


def random_videos(*lengths: int, seed: int = 0, side: int = 32) -> list[TrackVideo]:
    """Let boxes walk, overlap, leave and return; predictions miss, exchange and add some."""
    rng = np.random.default_rng(seed)
    return [_random_video(rng, length, side) for length in lengths]


def _random_video(rng: np.random.Generator, length: int, side: int) -> TrackVideo:
    num_objects = int(rng.integers(2, 6))
    classes = rng.integers(0, len(NAMES), num_objects)
    corners = rng.integers(0, side - 8, (num_objects, 2))
    extents = rng.integers(4, 16, (num_objects, 2))
    # As many false tracks as true ones, of scores of their own.
    scores = rng.permutation(np.linspace(0.1, 0.9, 2 * num_objects))
    predicted_classes = np.where(rng.random(num_objects) < 0.8, classes, 1 - classes)
    predicted_classes = np.append(predicted_classes, rng.integers(0, len(NAMES), num_objects))
    owner = np.arange(num_objects)
    truth, prediction = [], []
    for index in range(length):
        corners = np.clip(corners + rng.integers(-2, 3, corners.shape), 0, side - 8)
        if rng.random() < 0.3:
            owner = rng.permutation(num_objects)
        shifted = np.clip(corners + rng.integers(-1, 2, corners.shape), 0, side - 8)
        shifted = np.concatenate([shifted, rng.integers(0, side - 8, corners.shape)])
        truth.append(_boxes(corners, extents, side, index, rng.random(num_objects) < 0.85))
        is_predicted = rng.random(2 * num_objects) < np.repeat([0.85, 0.3], num_objects)
        ids = np.append(owner, np.arange(num_objects) + num_objects)
        boxes = _boxes(shifted, np.tile(extents, (2, 1)), side, index, is_predicted)
        kept = ids[boxes.ids - 1]
        prediction.append(
            replace(boxes, ids=kept + 1, classes=predicted_classes[kept], scores=scores[kept])
        )
    labels = [
        FrameLabels(
            replace(segments, classes=classes[segments.ids - 1]),
            np.zeros(len(segments), dtype=bool),
            segments.masks.sum(axis=(1, 2)).astype(float),
        )
        for segments in truth
    ]
    return TrackVideo(tuple(labels), tuple(prediction))


def _boxes(
    corners: np.ndarray, extents: np.ndarray, side: int, frame_index: int, is_there: np.ndarray
) -> FrameSegments:
    there = np.flatnonzero(is_there)
    masks = np.zeros((len(there), side, side), dtype=bool)
    for mask, (top, left), (height, width) in zip(
        masks, corners[there], extents[there], strict=True
    ):
        mask[top : top + height, left : left + width] = True
    return FrameSegments(
        frame_index=frame_index,
        ids=there + 1,
        classes=np.zeros(len(there), dtype=np.int64),
        scores=np.ones(len(there)),
        masks=masks,
    )


def perfect(video: TrackVideo) -> TrackVideo:
    """Return the video with its truth as prediction."""
    return replace(video, prediction=tuple(labels.segments for labels in video.truth))


def renamed(video: TrackVideo, seed: int = 0) -> TrackVideo:
    """Return the video with other identities, of truth and of prediction."""
    rng = np.random.default_rng(seed)
    new = rng.permutation(np.arange(100, 5000))
    other = rng.permutation(np.arange(100, 5000))
    truth = [
        replace(labels, segments=replace(labels.segments, ids=new[labels.segments.ids]))
        for labels in video.truth
    ]
    prediction = [replace(segments, ids=other[segments.ids]) for segments in video.prediction]
    return TrackVideo(tuple(truth), tuple(prediction))
