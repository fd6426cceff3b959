"""Simple copy-paste (arXiv:2012.07177): objects of one clip put on top of another.

T frames, N segments of a frame, (H, W) pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from fvcore.transforms.transform import CropTransform, PadTransform, TransformList

from gvseg.data.augmentation import PAD_VALUE
from gvseg.data.clip import Clip
from gvseg.data.sample import visible_objects
from gvseg.data.segments import FrameLabels
from gvseg.structures import FrameSegments


def paste(
    rng: np.random.Generator,
    clip: Clip,
    donor: Clip,
    is_thing: np.ndarray,
    beside_prob: float = 0.0,
) -> Clip:
    """Return the clip with a random half of the donor's objects pasted over it, frame by frame.

    Pasted objects hide what they cover and get identities that the clip does not use. The donor is
    cropped or padded to the clip's size.

    Args:
        rng: the source of all randomness.
        clip: with labels.
        donor: of as many frames.
        is_thing: (K,) bool by class.
        beside_prob: how often all of the donor is moved so that one of its objects stands beside or
            before one of the clip that has its class, where there are such; not in the paper.
    """
    beside = None
    if beside_prob > 0 and rng.random() < beside_prob:
        beside = _beside(rng, clip.labels[0], donor.labels[0], is_thing)
    donor = _fit(donor, clip.size, (0, 0) if beside is None else beside.shift)
    positions = [visible_objects(labels, is_thing) for labels in donor.labels]
    object_ids = sorted({object_id for position_of_id in positions for object_id in position_of_id})
    chosen = {object_id for object_id in object_ids if rng.random() < 0.5}
    if beside is not None:
        chosen.add(beside.object_id)
    last_id = max(int(labels.segments.ids.max(initial=0)) for labels in clip.labels)
    frames, labels = [], []
    for index, position_of_id in enumerate(positions):
        taken = [position for id_, position in position_of_id.items() if id_ in chosen]
        pasted = _select(donor.labels[index], taken, last_id)
        frame, frame_labels = _paste_frame(
            clip.frames[index], clip.labels[index], donor.frames[index], pasted
        )
        frames.append(frame)
        labels.append(frame_labels)
    return Clip(frames, labels)


@dataclass(frozen=True)
class _Beside:
    """An object of the donor that comes to stand beside one of the clip."""

    object_id: int
    shift: tuple[int, int]  # rows and columns


def _beside(
    rng: np.random.Generator, labels: FrameLabels, donor: FrameLabels, is_thing: np.ndarray
) -> _Beside | None:
    """Choose an object of the clip and the one of its class that is most nearly as high.

    Their lower edges come to lie in one row, or nearly, and their middles up to 1.1 widths apart.

    Args:
        rng: chooses which, on which side, and how far apart.
        labels: of the first frame of the clip.
        donor: of that of the donor.
        is_thing: (K,) bool by class.
    """
    boxes, other_boxes = _boxes_by_class(labels, is_thing), _boxes_by_class(donor, is_thing)
    shared = [
        (class_index, box)
        for class_index, objects in boxes.items()
        if class_index in other_boxes
        for box in objects.values()
    ]
    if not shared:
        return None
    class_index, (top, left, bottom, right) = shared[int(rng.integers(len(shared)))]
    height = bottom - top

    def unlikeness(box: tuple[int, ...]) -> float:
        return abs(math.log((box[2] - box[0]) / height))

    candidates = other_boxes[class_index]
    object_id = min(candidates, key=lambda one: unlikeness(candidates[one]))
    other_top, other_left, other_bottom, other_right = candidates[object_id]
    widths = right - left + other_right - other_left
    gap = rng.choice([-1, 1]) * rng.uniform(0.2, 1.1) * widths / 2
    down = bottom - other_bottom + rng.uniform(-0.15, 0.15) * height
    # Its middle stays in the frame.
    middle = np.clip((left + right) / 2 + gap, 0, labels.size[1])
    along = middle - (other_left + other_right) / 2
    # And a row and a column of the other.
    down = np.clip(down, 1 - other_bottom, labels.size[0] - 1 - other_top)
    along = np.clip(along, 1 - other_right, labels.size[1] - 1 - other_left)
    return _Beside(object_id, (round(float(down)), round(float(along))))


def _boxes_by_class(
    labels: FrameLabels, is_thing: np.ndarray
) -> dict[int, dict[int, tuple[int, ...]]]:
    """Return top, left, bottom and right edge of objects by identity, by class."""
    boxes: dict[int, dict[int, tuple[int, ...]]] = {}
    for object_id, position in visible_objects(labels, is_thing).items():
        mask = labels.segments.mask(position)
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        edges = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
        class_index = int(labels.segments.classes[position])
        boxes.setdefault(class_index, {})[object_id] = tuple(int(edge) for edge in edges)
    return boxes


def _fit(clip: Clip, size: tuple[int, int], shift: tuple[int, int]) -> Clip:
    """Move a clip by rows and columns, and cut it to a size or pad it."""
    above, left = (max(distance, 0) for distance in shift)
    cut_above, cut_left = (max(-distance, 0) for distance in shift)
    height = min(clip.size[0] - cut_above, size[0] - above)
    width = min(clip.size[1] - cut_left, size[1] - left)
    crop = CropTransform(cut_left, cut_above, width, height, clip.size[1], clip.size[0])
    right, below = size[1] - left - width, size[0] - above - height
    pad = PadTransform(left, above, right, below, width, height, PAD_VALUE)
    return clip.apply([TransformList([crop, pad])] * len(clip))


def _select(labels: FrameLabels, positions: list[int], id_offset: int) -> FrameLabels:
    segments = labels.segments
    chosen = replace(
        segments,
        ids=segments.ids[positions] + id_offset,
        classes=segments.classes[positions],
        scores=segments.scores[positions],
        masks=_masks(segments)[positions],
        index_map=None,
    )
    return FrameLabels(chosen, labels.is_crowd[positions], labels.areas[positions])


def _paste_frame(
    frame: np.ndarray, labels: FrameLabels, donor_frame: np.ndarray, pasted: FrameLabels
) -> tuple[np.ndarray, FrameLabels]:
    below, above = labels.segments, pasted.segments
    assert above.masks is not None
    covered = np.asarray(above.masks.any(axis=0))
    merged = replace(
        below,
        ids=np.concatenate([below.ids, above.ids]),
        classes=np.concatenate([below.classes, above.classes]),
        scores=np.concatenate([below.scores, above.scores]),
        masks=np.concatenate([_masks(below) & ~covered, above.masks]),
        index_map=None,
    )
    return np.where(covered[..., None], donor_frame, frame), FrameLabels(
        merged,
        np.concatenate([labels.is_crowd, pasted.is_crowd]),
        np.concatenate([labels.areas, pasted.areas]),
    )


def _masks(segments: FrameSegments) -> np.ndarray:
    """Return one mask for each segment, (N, H, W) bool; segments of a map do not overlap."""
    if segments.masks is not None:
        return segments.masks
    assert segments.index_map is not None
    return segments.index_map == np.arange(len(segments), dtype=np.int16)[:, None, None]
