"""How well contours agree: the F of DAVIS, equal to the official one to the last bit.

(H, W) pixels.  A contour is one pixel wide, shifted by half a pixel to the origin, as in the
Berkeley segmentation benchmark. Two contours agree where they are within a tolerance that grows
with the diagonal of the frame, so F is only comparable at the size of the annotation.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

TOLERANCE = 0.008  # of the diagonal


def boundary_f(truth: np.ndarray, prediction: np.ndarray, tolerance: float = TOLERANCE) -> float:
    """Return the harmonic mean of precision and recall of the contour's pixels, in 0..1.

    Two empty contours agree, an empty one and another do not. A mask that fills the frame has no
    contour either.

    Args:
        truth: (H, W) bool.
        prediction: (H, W) bool.
        tolerance: as a share of the diagonal, rounded up to whole pixels.

    A square of 2x2 and one of 2x2 a column further, tolerance of one pixel: contours are the
    squares of 3x3 pixels around, less the middle one; of the 8 pixels of each, all lie within a
    pixel of the other contour, so precision, recall and F are 1.
    """
    window = _window(truth, prediction)
    true_contour, contour = contour_map(truth[window]), contour_map(prediction[window])
    num_true, num_predicted = int(true_contour.sum()), int(contour.sum())
    if num_true == 0 or num_predicted == 0:
        return float(num_true == num_predicted)
    disk = _disk(tolerance_pixels(truth.shape, tolerance))
    precision = int((contour & cv2.dilate(true_contour, disk)).sum()) / num_predicted
    recall = int((true_contour & cv2.dilate(contour, disk)).sum()) / num_true
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def tolerance_pixels(size: tuple[int, ...], tolerance: float = TOLERANCE) -> int:
    """Return how far apart contours may be in a frame of (height, width): 8 at 480x854."""
    return math.ceil(tolerance * float(np.linalg.norm(size)))


def contour_map(mask: np.ndarray) -> np.ndarray:
    """Return the pixels that differ from the one to the right, below, or both: (H, W) uint8, 0, 1.

    What lies beyond the frame is like its edge, so that a mask has no contour there; the last
    column is compared downwards alone, the last row to the right alone.

    Args:
        mask: (H, W) bool.

    A pixel alone and its contour::

        0 0 0 0     1 1 0 0
        0 1 0 0     1 1 0 0
        0 0 0 0     0 0 0 0
    """
    pixels = mask.view(np.uint8)
    contour = np.zeros(pixels.shape, dtype=np.uint8)
    contour[:, :-1] |= pixels[:, :-1] ^ pixels[:, 1:]
    contour[:-1] |= pixels[:-1] ^ pixels[1:]
    contour[:-1, :-1] |= pixels[:-1, :-1] ^ pixels[1:, 1:]
    return contour


def _window(truth: np.ndarray, prediction: np.ndarray) -> tuple[slice, slice]:
    """Return the box of both masks and a pixel around, outside of which there is no contour.

    The rim is needed because contours lie half a pixel off, and because they stop at the edge of
    an image, which the box must not be where the frame goes on.
    """
    either = (truth | prediction).view(np.uint8)
    left, top, width, height = cv2.boundingRect(either)
    return (
        slice(max(top - 1, 0), top + height + 1),
        slice(max(left - 1, 0), left + width + 1),
    )


@lru_cache(maxsize=16)
def _disk(radius: int) -> np.ndarray:
    """Return the offsets of at most `radius` pixels, (2r+1, 2r+1) uint8."""
    steps = np.arange(-radius, radius + 1)
    return (steps**2 + steps[:, None] ** 2 <= radius**2).astype(np.uint8)
