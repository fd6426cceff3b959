"""The frames of a clip with their labels, and how one transform moves both.

T frames, N segments of a frame, (H, W) pixels.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
from fvcore.transforms.transform import Transform

from gvseg.data.segments import FrameLabels
from gvseg.data.transforms import fuse


class Clip:
    """T frames of one size and what is annotated in each.

    Labels move at once, frames when they are asked for: a clip that lost its last object costs no
    work on pixels, and steps such as a resize and a crop become one.

    Args:
        frames: T of (H, W, 3) uint8 RGB.
        labels: of the T frames; empty where annotations were not asked for.
    """

    def __init__(self, frames: list[np.ndarray], labels: list[FrameLabels]) -> None:
        self.labels = labels
        self._sources = frames
        self._pending: list[list[Transform]] = [[] for _ in frames]  # of each frame

    def __len__(self) -> int:
        return len(self._sources)

    @cached_property
    def frames(self) -> list[np.ndarray]:
        """Return the T frames, (H, W, 3) uint8."""
        frames = []
        for frame, transforms in zip(self._sources, self._pending, strict=True):
            for transform in fuse(transforms):
                frame = transform.apply_image(frame)
            frames.append(frame)
        return frames

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        if self.labels:
            return self.labels[0].size
        height, width = self.frames[0].shape[:2]
        return height, width

    def apply(self, transforms: list[Transform]) -> Clip:
        """Return the clip with transform t applied to frame t and its labels."""
        labels = [
            transform_labels(transform, labels)
            for transform, labels in zip(transforms, self.labels, strict=bool(self.labels))
        ]
        is_moved = "frames" in self.__dict__  # work that was done need not be done again
        moved = Clip(self.frames if is_moved else self._sources, labels)
        moved._pending = [
            [transform] if is_moved else [*earlier, transform]
            for earlier, transform in zip(self._pending, transforms, strict=True)
        ]
        return moved

    def relabelled(self, labels: list[FrameLabels]) -> Clip:
        """Return the clip with other labels, one for each frame."""
        relabelled = Clip(self._sources, labels)
        relabelled._pending = self._pending
        if "frames" in self.__dict__:  # work that was done need not be done again
            relabelled.__dict__["frames"] = self.frames
        return relabelled

    def cut(self, start: int, stop: int) -> Clip:
        """Return the clip of the frames from `start` up to, but without, `stop`."""
        part = Clip(self._sources[start:stop], self.labels[start:stop])
        part._pending = self._pending[start:stop]
        return part


def transform_labels(transform: Transform, labels: FrameLabels) -> FrameLabels:
    """Return labels moved by a transform; pixels that come from outside the frame are void.

    Args:
        transform: moves label images through `apply_segmentation`.
        labels: at the size that the transform expects.
    """
    segments = labels.segments
    if segments.index_map is not None:
        # Transforms fill with 0, so 0 has to mean void while they run. OpenCV warps signed integers
        # by a less exact path than unsigned ones.
        moved = transform.apply_segmentation((segments.index_map + 1).astype(np.uint16))
        moved_map = moved.astype(np.int16) - np.int16(1)
        return replace(labels, segments=replace(segments, index_map=moved_map))
    if len(segments) == 0:
        size = transform.apply_segmentation(np.zeros(segments.size, dtype=np.uint8)).shape
        masks = np.zeros((0, *size), dtype=bool)
    else:
        masks = np.stack(
            [
                transform.apply_segmentation(segments.mask(position).view(np.uint8))
                for position in range(len(segments))
            ]
        ).view(bool)
    return replace(labels, segments=replace(segments, masks=masks))
