"""Annotations of one frame, from id images and from polygons or run lengths.

N segments, V distinct values, (H, W) pixels at the size of the annotation.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from gvseg.data.class_table import ClassTable
from gvseg.data.frames import open_image
from gvseg.structures import FrameSegments

IGNORE_LABEL = 255  # class of void pixels in semantic maps, as everywhere in detectron2


@dataclass
class FrameLabels:
    """What is annotated in one frame: its segments and what only annotations have."""

    segments: FrameSegments
    is_crowd: np.ndarray  # (N,) bool, regions in which objects are not told apart
    areas: np.ndarray  # (N,) float64, pixels as the benchmark counts them

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.segments.size


@dataclass(frozen=True)
class LabelRuns:
    """A label image as runs of equal pixels, of which there are few: V distinct values.

    Finding and replacing values takes a pass over the pixels and no sort of them.
    """

    values: np.ndarray  # (V,) in ascending order
    counts: np.ndarray  # (V,) int64, pixels of each
    _value_of_run: np.ndarray  # positions in values
    _lengths: np.ndarray
    _shape: tuple[int, ...]

    @classmethod
    def of(cls, image: np.ndarray) -> LabelRuns:
        """Cut an image of integers, (H, W), into its runs."""
        pixels = image.ravel()
        starts = np.append(0, np.flatnonzero(pixels[1:] != pixels[:-1]) + 1)
        lengths = np.diff(starts, append=pixels.size)
        values, value_of_run = np.unique(pixels[starts], return_inverse=True)
        counts = np.bincount(value_of_run, weights=lengths).astype(np.int64)
        return cls(values, counts, value_of_run, lengths, image.shape)

    def replaced_by(self, replacements: np.ndarray) -> np.ndarray:
        """Return the image, (H, W), with `replacements[v]` for its v-th value."""
        return np.repeat(replacements[self._value_of_run], self._lengths).reshape(self._shape)


def class_map(segments: FrameSegments, void: int = IGNORE_LABEL) -> np.ndarray:
    """Return the class of every pixel, (H, W) int64, `void` where there is no segment.

    Where masks overlap the later segment wins.
    """
    if segments.index_map is not None:
        # Position -1 is void and so reads the last entry.
        return np.append(segments.classes, void)[segments.index_map]
    classes = np.full(segments.size, void, dtype=np.int64)
    for position, class_index in enumerate(segments.classes):
        classes[segments.mask(position)] = class_index
    return classes


def front_map(segments: FrameSegments) -> np.ndarray:
    """Return which segment has the highest score at each pixel: (H, W) int16, -1 for none.

    Of equal scores the later segment wins.
    """
    if segments.index_map is not None:
        return segments.index_map
    front = np.full(segments.size, -1, dtype=np.int16)
    for position in np.argsort(segments.scores, kind="stable"):
        front[segments.mask(position)] = position
    return front


def read_id_image(path: str | Path, kind: str = "Annotation") -> np.ndarray:
    """Return the ids of a one-channel image (grey of 1 to 16 bits, or palette), (H, W) int32.

    Args:
        path: the file.
        kind: what the file is to the user, for errors.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file is truncated or is no image.
        ValueError: the image has colour channels, or is a JPEG, so its values are no ids.
    """
    with open_image(path, kind) as image:
        if image.format == "JPEG":
            raise ValueError(f"{kind} {path} is a JPEG, which does not keep ids; give a PNG.")
        if image.mode not in _ID_MODES:
            raise ValueError(
                f"{kind} {path} is an image of mode {image.mode}; ids need one channel, grey "
                "or palette, such as a grey PNG that is 0 where nothing is."
            )
        values = np.array(image).astype(np.int32)
        # Grey of 2 or 4 bits comes stretched to 8.
        return values // _stretch(path) if (image.format, image.mode) == ("PNG", "L") else values


def _stretch(path: str | Path) -> int:
    """Return how many times what it stores Pillow returns of a grey PNG."""
    with Path(path).open("rb") as file:
        bit_depth = file.read(25)[24]
    return 255 // (2**bit_depth - 1)


_ID_MODES = ("1", "L", "P", "I", "I;16")


def semantic_labels(
    id_image: np.ndarray, classes: ClassTable, frame_index: int, source: str | Path
) -> FrameLabels:
    """Return one segment for each class seen in an image of category ids, (H, W).

    Raises:
        ValueError: a pixel has an id that the class table does not know.
    """
    runs = LabelRuns.of(id_image)
    class_indices = classes.indices(runs.values, source)
    is_labelled = class_indices >= 0
    positions = np.where(is_labelled, np.cumsum(is_labelled) - 1, -1).astype(np.int16)
    seen = class_indices[is_labelled]
    segments = FrameSegments(
        frame_index=frame_index,
        ids=seen + 1,  # a stuff region is the same throughout a video: its class is its identity
        classes=seen,
        scores=np.ones(len(seen), dtype=np.float32),
        index_map=runs.replaced_by(positions),
    )
    areas = runs.counts[is_labelled].astype(float)
    return FrameLabels(segments, np.zeros(len(seen), dtype=bool), areas)


def decode_segmentation(
    segmentation: list | dict[str, Any], size: tuple[int, int], source: str
) -> np.ndarray:
    """Return the mask of a COCO segmentation, (H, W) bool.

    Args:
        segmentation: polygons `[[x, y, ...], ...]`, or run lengths, plain or compressed.
        size: height and width of the frame.
        source: what is being read, for the error.

    Raises:
        ValueError: a polygon of fewer than three points, or run lengths of another size.
    """
    if isinstance(segmentation, list):
        if not segmentation or any(not is_polygon(points) for points in segmentation):
            raise ValueError(f"{source} has a polygon with fewer than three points.")
        return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(segmentation, *size))).view(
            bool
        )
    if tuple(segmentation["size"]) != size:
        raise ValueError(
            f"{source} has run lengths for {_by(segmentation['size'])} pixels, but its frame has "
            f"{_by(size)} (height x width)."
        )
    if isinstance(segmentation["counts"], list):
        segmentation = coco_mask.frPyObjects(segmentation, *size)
    return coco_mask.decode(segmentation).view(bool)


def encode_masks(masks: np.ndarray) -> list[dict[str, Any]]:
    """Return masks (N, H, W) bool as compressed COCO run lengths with `counts` in bytes."""
    return coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8))


def is_polygon(points: list[float]) -> bool:
    """Tell whether a flat list of coordinates encloses something: three points or more."""
    return len(points) >= 6 and len(points) % 2 == 0


def check_size(labels: FrameLabels, size: tuple[int, int], source: str | Path) -> None:
    """Raise a ValueError naming `source` unless labels have the (height, width) of their frame."""
    if labels.size != size:
        raise ValueError(
            f"Frame {source} has {_by(size)} pixels, but its annotation has {_by(labels.size)} "
            "(height x width)."
        )


def _by(size: tuple[int, int] | list[int]) -> str:
    return f"{size[0]}x{size[1]}"
