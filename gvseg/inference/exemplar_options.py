"""Objects pointed out in words: `x,y@frame`, `left,top,right,bottom@frame`, `mask.png@frame`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from gvseg.data.segments import read_id_image
from gvseg.inference.predictor import VideoPredictor

KINDS = {"point": 2, "box": 4}  # numbers that each takes
WHOLE_VOID = 255  # where a mask has several values, this one is no object, as in YouTube-VOS


@dataclass(frozen=True)
class PointedOut:
    """One or, in a mask with several values, some objects in one frame."""

    frame_index: int
    point: tuple[float, ...] | None = None  # x, y
    box: tuple[float, ...] | None = None  # left, top, right, bottom
    mask_file: Path | None = None


def parse_exemplar(kind: str, text: str) -> PointedOut:
    """Return what a text points out; without `@frame` it is in frame 0.

    Args:
        kind: `point`, `box` or `mask`.
        text: such as `310,205@12`, `40,60,120,200` or `first.png@0`.

    Raises:
        ValueError: it says nothing of the kind.
    """
    what, separator, frame = text.rpartition("@")
    if not separator:
        what, frame = text, "0"
    if not frame.isdecimal():
        raise ValueError(f"{text!r} names no frame after the @; give its number, from 0 on.")
    if kind == "mask":
        return PointedOut(int(frame), mask_file=Path(what))
    try:
        numbers = tuple(float(part) for part in what.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != KINDS[kind] or not np.isfinite(numbers).all():
        form = "x,y" if kind == "point" else "left,top,right,bottom"
        raise ValueError(f"{text!r} is no {kind}; give {form}@frame in pixels.")
    if kind == "point":
        return PointedOut(int(frame), point=numbers)
    return PointedOut(int(frame), box=numbers)


def check_exemplars(exemplars: Iterable[PointedOut], size: tuple[int, int]) -> None:
    """Raise what `point_out` would raise over frames of a size (height, width), without a model."""
    for exemplar in exemplars:
        _check_inside(exemplar, size)
        if exemplar.mask_file is not None:
            _read_ids(exemplar.mask_file, size)


def point_out(
    predictor: VideoPredictor,
    exemplars: Iterable[PointedOut],
    *,
    original: tuple[int, int],
    size: tuple[int, int],
) -> list[int]:
    """Give exemplars to a predictor and return the identities of the objects, which count up.

    Args:
        predictor: of the task evs.
        exemplars: in pixels of the original frames.
        original: height and width of these.
        size: height and width of the frames that the predictor is going to see.

    Raises:
        FileNotFoundError: there is no such mask.
        ValueError: a point or box lies outside of the frames, a mask is of another size than they
            are or has no object, or the predictor does not take exemplars.
    """
    scale = np.tile([size[1] / original[1], size[0] / original[0]], 2)
    identities = []
    for exemplar in exemplars:
        frame_index = exemplar.frame_index
        _check_inside(exemplar, original)
        if exemplar.point is not None:
            point = (scale[:2] * exemplar.point).tolist()
            identities.append(predictor.add_exemplar(point=point, frame_index=frame_index))
        elif exemplar.box is not None:
            box = (scale * exemplar.box).tolist()
            identities.append(predictor.add_exemplar(box=box, frame_index=frame_index))
        else:
            assert exemplar.mask_file is not None
            for mask in read_masks(exemplar.mask_file, original, size):
                identities.append(predictor.add_exemplar(mask=mask, frame_index=frame_index))
    return identities


def _check_inside(exemplar: PointedOut, size: tuple[int, int]) -> None:
    """Raise a ValueError where a point or an edge of a box lies outside, or a box holds nothing."""
    values = exemplar.point or exemplar.box or ()
    given = ",".join(f"{value:g}" for value in values)
    given += f", pointed out in frame {exemplar.frame_index},"
    for axis, (name, length) in enumerate((("wide", size[1]), ("high", size[0]))):
        edges = values[axis::2]
        if any(not 0 <= edge <= length for edge in edges):
            raise ValueError(
                f"{given} lies outside of the frames, which are {length} pixels {name}."
            )
        if edges and exemplar.box and edges[0] >= edges[1]:
            raise ValueError(f"{given} holds no pixel; give left,top,right,bottom.")


def read_masks(
    path: Path, original: tuple[int, int], size: tuple[int, int]
) -> Iterator[np.ndarray]:
    """Yield the mask (H, W) bool of each object in an image with a value for each, 0 elsewhere.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: it is no image.
        ValueError: it has colour channels, another size than the frames, or no object.
    """
    values, found = _read_ids(path, original)
    for value in found:
        mask = (values == value).astype(np.uint8)
        resized = cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST)
        yield resized.astype(bool)


def _read_ids(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, list[int]]:
    """Return an image of objects, (H, W), and which of its values stand for one."""
    values = read_id_image(path, "Mask")
    if values.shape != size:
        given, wanted = (f"{width}x{height}" for height, width in (values.shape, size))
        raise ValueError(f"Mask {path} is {given} pixels but the video is {wanted}.")
    found = [value for value in np.unique(values).tolist() if value]
    if len(found) > 1:
        found = [value for value in found if value != WHOLE_VOID]
    if not found:
        raise ValueError(f"Mask {path} is 0 everywhere, so it points out nothing.")
    return values, found
