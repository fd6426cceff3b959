"""Exemplars: one object pointed out by its mask, a box or a point.  T frames, (H, W) pixels.

Boxes and points are in continuous coordinates: the pixel in column x covers x to x + 1, so that its
centre lies at x + .5 and the box of a whole frame is (0, 0, W, H).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from detectron2.structures import Instances

from gvseg.structures import Exemplar

KINDS = ("mask", "box", "point")


def exemplar_from_mask(
    mask: np.ndarray, *, kind: str, object_id: int, frame_index: int
) -> Exemplar:
    """Return the exemplar of one kind that a mask implies, always the same for the same mask.

    The box is tight. The point is the centre of the pixel deepest inside, farthest from any that is
    not of the object or not of the frame; of several the topmost, then the leftmost.

    Args:
        mask: (H, W) bool.
        kind: `mask`, `box` or `point`.
        object_id: identity in the video.
        frame_index: of the video.

    Raises:
        ValueError: an empty mask, or a kind that there is not.
    """
    check_kinds([kind])
    if not mask.any():
        raise ValueError(
            f"Object {object_id} has an empty mask in frame {frame_index}; an exemplar needs a "
            "frame in which the object is visible."
        )
    if kind == "mask":
        return Exemplar(object_id, frame_index, mask=mask)
    if kind == "box":
        return Exemplar(object_id, frame_index, box=tight_box(mask))
    return Exemplar(object_id, frame_index, point=_deepest_point(mask))


def draw_exemplars(
    rng: np.random.Generator,
    instances: Sequence[Instances],
    kinds: Sequence[str] = KINDS,
    *,
    box_jitter: float = 0.0,
    max_objects: int | None = None,
) -> list[Exemplar]:
    """Return an exemplar of each object of a clip, drawn from a frame in which it is visible.

    Frame, kind and, for a point, the pixel are drawn uniformly.

    Args:
        rng: the source of all randomness.
        instances: of T frames, each with every object of the clip, as in a sample.
        kinds: to choose among.
        box_jitter: every edge of a box moves by up to this share of width or height, within the
            frame; less than one half.
        max_objects: of more, so many are drawn at random; the rest is not pointed out.

    Returns:
        in the order of the objects; `frame_index` is the position in the clip.
    """
    exemplars = []
    object_ids = instances[0].gt_ids.tolist()
    positions: Sequence[int] = range(len(object_ids))
    if max_objects is not None and len(object_ids) > max_objects:
        positions = sorted(rng.choice(len(object_ids), max_objects, replace=False).tolist())
    for position in positions:
        object_id = object_ids[position]
        kind = kinds[int(rng.integers(len(kinds)))]
        frame_index, mask = _draw_frame(rng, instances, position)
        if kind == "point":
            pixel = int(rng.choice(np.flatnonzero(mask)))
            exemplar = Exemplar(object_id, frame_index, point=_centre(pixel, mask.shape[1]))
        else:
            exemplar = exemplar_from_mask(
                mask, kind=kind, object_id=object_id, frame_index=frame_index
            )
        if exemplar.box is not None and box_jitter > 0:
            exemplar = replace(exemplar, box=_jitter(rng, exemplar.box, mask.shape, box_jitter))
        exemplars.append(exemplar)
    return exemplars


def resize_exemplar(
    exemplar: Exemplar, size: tuple[int, int], new_size: tuple[int, int]
) -> Exemplar:
    """Return an exemplar of frames of one (height, width) as it is in frames resized to another.

    A mask too small to show at the new size keeps the pixel that its deepest point falls into.
    """
    scale = np.array([new_size[1] / size[1], new_size[0] / size[0]], dtype=np.float32)
    if exemplar.point is not None:
        return replace(exemplar, point=exemplar.point * scale)
    if exemplar.box is not None:
        return replace(exemplar, box=exemplar.box * np.tile(scale, 2))
    assert exemplar.mask is not None
    resized = cv2.resize(
        exemplar.mask.astype(np.uint8), new_size[::-1], interpolation=cv2.INTER_NEAREST_EXACT
    ).view(bool)
    if not resized.any():
        column, row = (_deepest_point(exemplar.mask) * scale).astype(int)
        resized[row, column] = True
    return replace(exemplar, mask=resized)


def fit_exemplar(exemplar: Exemplar, size: tuple[int, int], new_size: tuple[int, int]) -> Exemplar:
    """Return `resize_exemplar` of an exemplar that a user gave.

    Raises:
        ValueError: it does not fit a frame of (height, width) `size`.
    """
    frame = f"the frame has {size[0]}x{size[1]} pixels (height x width)"
    what = f"The {exemplar.kind} of object {exemplar.object_id} in frame {exemplar.frame_index}"
    if exemplar.mask is not None and exemplar.mask.shape != size:
        height, width = exemplar.mask.shape
        raise ValueError(f"{what} has {height}x{width}, but {frame}.")
    if exemplar.point is not None:
        corners = exemplar.point[None]
    elif exemplar.box is not None:
        corners = exemplar.box.reshape(2, 2)
    else:
        corners = np.zeros((1, 2))
    if (corners < 0).any() or (corners > size[::-1]).any():
        raise ValueError(f"{what} is {corners.flatten().tolist()}, but {frame}.")
    return resize_exemplar(exemplar, size, new_size)


def check_kinds(kinds: Sequence[str]) -> None:
    """Raise a ValueError unless there are kinds, all of them known."""
    unknown = sorted(set(kinds) - set(KINDS))
    if unknown or not kinds:
        raise ValueError(
            f"Exemplars are {', '.join(KINDS)}, not {', '.join(unknown) or 'nothing'}."
        )


def check_exemplar(exemplar: Exemplar) -> None:
    """Raise a ValueError unless an exemplar has the right shape and something in it."""
    what = f"The {exemplar.kind} of object {exemplar.object_id}"
    if exemplar.object_id < 1:
        raise ValueError(f"{what} has no valid identity; objects count from 1.")
    if exemplar.mask is not None and (exemplar.mask.ndim != 2 or not exemplar.mask.any()):
        raise ValueError(f"{what} has to be (H, W) with at least one pixel set.")
    if exemplar.box is not None and (
        exemplar.box.shape != (4,) or (exemplar.box[:2] >= exemplar.box[2:]).any()
    ):
        raise ValueError(
            f"{what} is {exemplar.box.tolist()}; give left, top, right and bottom, the latter "
            "beyond the former."
        )
    if exemplar.point is not None and exemplar.point.shape != (2,):
        raise ValueError(f"{what} is {exemplar.point.tolist()}; give x and y.")


def tight_box(mask: np.ndarray) -> np.ndarray:
    """Return left, top, right and bottom edge of what is set in a mask, (4,) float32."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=np.float32)


def _deepest_point(mask: np.ndarray) -> np.ndarray:
    # A frame of zeros around it, as what lies outside of the frame is not the object.
    padded = np.pad(mask.astype(np.uint8), 1)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    return _centre(int(depth.argmax()), mask.shape[1])


def _centre(pixel: int, width: int) -> np.ndarray:
    """Return x, y of the centre of a pixel, counted row by row."""
    row, column = divmod(pixel, width)
    return np.array([column + 0.5, row + 0.5], dtype=np.float32)


def _draw_frame(
    rng: np.random.Generator, instances: Sequence[Instances], position: int
) -> tuple[int, np.ndarray]:
    """Return a random frame in which an object is visible, with its mask there."""
    for frame_index in rng.permutation(len(instances)):
        mask = instances[frame_index].gt_masks.tensor[position].numpy()
        if mask.any():
            return int(frame_index), mask
    raise AssertionError("an object that no frame of its clip shows")


def _jitter(
    rng: np.random.Generator, box: np.ndarray, size: tuple[int, ...], amount: float
) -> np.ndarray:
    left, top, right, bottom = box
    extent = np.array([right - left, bottom - top] * 2)
    moved = box + rng.uniform(-amount, amount, 4) * extent
    return np.clip(moved, 0, [size[1], size[0]] * 2).astype(np.float32)
