"""Frames as an evaluator receives them, made from arrays."""

import numpy as np

from gvseg.data.segments import FrameLabels
from gvseg.structures import FrameSegments


def semantic_segments(classes: np.ndarray, frame_index: int = 0, void: int = 255) -> FrameSegments:
    """Return one segment for each class of a map (H, W)."""
    seen = np.unique(classes[classes != void])
    index_map = np.full(classes.shape, -1, dtype=np.int16)
    for position, class_index in enumerate(seen):
        index_map[classes == class_index] = position
    return FrameSegments(
        frame_index=frame_index,
        ids=seen + 1,
        classes=seen.astype(np.int64),
        scores=np.ones(len(seen), dtype=np.float32),
        index_map=index_map,
    )


def instance_segments(
    masks: np.ndarray, classes: list[int], scores: list[float], frame_index: int = 0
) -> FrameSegments:
    """Return one segment for each mask (N, H, W)."""
    return FrameSegments(
        frame_index=frame_index,
        ids=np.arange(1, len(masks) + 1),
        classes=np.array(classes, dtype=np.int64),
        scores=np.array(scores, dtype=np.float32),
        masks=masks,
    )


def labels_of(segments: FrameSegments) -> FrameLabels:
    """Return segments as an annotation without crowds."""
    areas = np.array([segments.mask(position).sum() for position in range(len(segments))], float)
    return FrameLabels(segments, np.zeros(len(segments), dtype=bool), areas)


def object_segments(ids: np.ndarray, frame_index: int = 0) -> FrameSegments:
    """Return one segment for each object of an id map (H, W), 0 being background."""
    seen = np.unique(ids[ids > 0])
    index_map = np.full(ids.shape, -1, dtype=np.int16)
    for position, object_id in enumerate(seen):
        index_map[ids == object_id] = position
    return FrameSegments(
        frame_index=frame_index,
        ids=seen.astype(np.int64),
        classes=np.zeros(len(seen), dtype=np.int64),
        scores=np.ones(len(seen), dtype=np.float32),
        index_map=index_map,
    )
