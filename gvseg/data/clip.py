"""The frames of a clip with their labels, and how one transform moves both.

T frames, N segments of a frame, (H, W) pixels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from fvcore.transforms.transform import Transform

from gvseg.data.segments import FrameLabels


@dataclass
class Clip:
    """T frames of one size and what is annotated in each."""

    frames: list[np.ndarray]  # T of (H, W, 3) uint8 RGB
    labels: list[FrameLabels]  # T; empty where annotations were not asked for

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.frames[0].shape[:2]
        return height, width

    def apply(self, transforms: list[Transform]) -> Clip:
        """Return the clip with transform t applied to frame t and its labels."""
        frames = [
            transform.apply_image(frame)
            for transform, frame in zip(transforms, self.frames, strict=True)
        ]
        if not self.labels:
            return Clip(frames, [])
        labels = [
            transform_labels(transform, labels, frame.shape[:2])
            for transform, labels, frame in zip(transforms, self.labels, frames, strict=True)
        ]
        return Clip(frames, labels)


def transform_labels(
    transform: Transform, labels: FrameLabels, new_size: tuple[int, int]
) -> FrameLabels:
    """Return labels moved by a transform; pixels that come from outside the frame are void.

    Args:
        transform: moves label images through `apply_segmentation`.
        labels: at the size that the transform expects.
        new_size: height and width afterwards, needed where there is no segment to tell it.
    """
    segments = labels.segments
    if segments.index_map is not None:
        # Transforms fill with 0, so 0 has to mean void while they run. OpenCV warps signed integers
        # by a less exact path than unsigned ones.
        moved = transform.apply_segmentation((segments.index_map + 1).astype(np.uint16))
        moved_map = moved.astype(np.int16) - np.int16(1)
        return replace(labels, segments=replace(segments, index_map=moved_map))
    masks = np.zeros((len(segments), *new_size), dtype=bool)
    for position in range(len(segments)):
        masks[position] = transform.apply_segmentation(segments.mask(position).view(np.uint8))
    return replace(labels, segments=replace(segments, masks=masks))
