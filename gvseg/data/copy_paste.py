"""Simple copy-paste (arXiv:2012.07177): objects of one clip put on top of another.

T frames, N segments of a frame, (H, W) pixels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from fvcore.transforms.transform import CropTransform, TransformList

from gvseg.data.augmentation import pad_to
from gvseg.data.clip import Clip
from gvseg.data.sample import visible_objects
from gvseg.data.segments import FrameLabels
from gvseg.structures import FrameSegments


def paste(rng: np.random.Generator, clip: Clip, donor: Clip, is_thing: np.ndarray) -> Clip:
    """Return the clip with a random half of the donor's objects pasted over it, frame by frame.

    Pasted objects hide what they cover and get identities that the clip does not use. The donor is
    cropped or padded to the clip's size.

    Args:
        rng: the source of all randomness.
        clip: with labels.
        donor: of as many frames.
        is_thing: (K,) bool by class.
    """
    donor = _fit(donor, clip.size)
    positions = [visible_objects(labels, is_thing) for labels in donor.labels]
    object_ids = sorted({object_id for position_of_id in positions for object_id in position_of_id})
    chosen = {object_id for object_id in object_ids if rng.random() < 0.5}
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


def _fit(clip: Clip, size: tuple[int, int]) -> Clip:
    height, width = (min(a, b) for a, b in zip(clip.size, size, strict=True))
    crop = CropTransform(0, 0, width, height, clip.size[1], clip.size[0])
    fit = TransformList([crop, pad_to((height, width), size)])
    return clip.apply([fit] * len(clip))


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
