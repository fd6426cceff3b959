"""Label images that say class and instance at once, in one number for each pixel.

(H, W) pixels, V distinct values of an image, N segments.

Identities are alike for all such formats. A region that is known by its class alone has that class
as its identity: contiguous index + 1, as in semantic labels. All other identities lie above the
last of these, so that no object has the identity of a region of stuff.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.class_table import ClassTable
from gvseg.data.frames import open_image, write_image
from gvseg.data.segments import FrameLabels, LabelRuns
from gvseg.structures import FrameSegments

NUM_RGB_VALUES = 1 << 24


@dataclass(frozen=True)
class ValueMeanings:
    """What each of V values of a label image stands for; values of one identity are one segment."""

    classes: np.ndarray  # (V,) int64, contiguous class index, -1 for void
    ids: np.ndarray  # (V,) int64, identity in the video
    is_crowd: np.ndarray  # (V,) bool
    ranks: np.ndarray | None = None  # (V,) by which segments are put in order
    areas: np.ndarray | None = None  # (V,) as stated, -1 where pixels are to be counted


def read_rgb_values(path: str | Path, kind: str = "Annotation") -> np.ndarray:
    """Return R + 256 G + 65536 B of every pixel of a colour image, (H, W) int32.

    Args:
        path: the file.
        kind: what the file is to the user, for errors.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file is truncated or is no image.
        ValueError: the image has not three channels.
    """
    with open_image(path, kind) as image:
        if image.mode != "RGB":
            raise ValueError(
                f"{kind} {path} is an image of mode {image.mode}; numbers in colours need RGB."
            )
        # With a fourth byte each pixel is one little-endian integer, which spares three passes.
        pixels = np.asarray(image.convert("RGBA"))
    return (pixels.view("<u4")[..., 0] & (NUM_RGB_VALUES - 1)).astype(np.int32)


def write_rgb_values(path: Path, values: np.ndarray) -> None:
    """Write (H, W) integers below 2^24 as the colours that `read_rgb_values` reads."""
    pixels = np.stack([values & 255, values >> 8 & 255, values >> 16], axis=-1)
    write_image(path, Image.fromarray(pixels.astype(np.uint8)))


def panoptic_labels(
    image: np.ndarray, meanings_of: Callable[[np.ndarray], ValueMeanings], frame_index: int
) -> FrameLabels:
    """Return the segments of a label image, (H, W) of integers.

    They come in the order of their lowest ranks, where there are any, or else of their identities.

    Args:
        image: the values.
        meanings_of: what V distinct values, in ascending order, stand for.
        frame_index: of the video.
    """
    runs = LabelRuns.of(image)
    meanings = meanings_of(runs.values)
    is_labelled = meanings.classes >= 0
    ids, first_value, segment_of_value = np.unique(
        meanings.ids[is_labelled], return_index=True, return_inverse=True
    )
    if meanings.ranks is not None:
        lowest = np.full(len(ids), len(runs.values))
        np.minimum.at(lowest, segment_of_value, meanings.ranks[is_labelled])
        order = np.argsort(lowest)
        ids, first_value = ids[order], first_value[order]
        segment_of_value = np.argsort(order)[segment_of_value]
    position_of_value = np.full(len(runs.values), -1, dtype=np.int16)
    position_of_value[is_labelled] = segment_of_value
    segments = FrameSegments(
        frame_index=frame_index,
        ids=ids,
        classes=meanings.classes[is_labelled][first_value],
        scores=np.ones(len(ids), dtype=np.float32),
        index_map=runs.replaced_by(position_of_value),
    )
    counts = runs.counts[is_labelled]
    if meanings.areas is not None:
        stated = meanings.areas[is_labelled]
        counts = np.where(stated < 0, counts, stated)
    areas = np.bincount(segment_of_value, counts, minlength=len(ids))
    return FrameLabels(segments, meanings.is_crowd[is_labelled][first_value], areas)


def identities(numbers: np.ndarray, class_indices: np.ndarray, classes: ClassTable) -> np.ndarray:
    """Return identities of segments whose numbers, (N,) in 1..2^24-1, are unique in their video.

    Numbers of objects stay as they are, except those that are identities of a class of stuff.

    Args:
        numbers: of things and stuff alike.
        class_indices: (N,) contiguous.
        classes: K of them.
    """
    of_objects = np.where(numbers > len(classes), numbers, numbers + NUM_RGB_VALUES)
    return np.where(np.array(classes.is_thing)[class_indices], of_objects, class_indices + 1)
