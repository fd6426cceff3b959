"""Things as drawn: an outline with a picture inside, pasted into frames.  (H, W) pixels."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from gvseg.data.synthetic.shapes import Outline, coverage, outline
from gvseg.data.synthetic.textures import thing_colors, thing_texture

_RIM = 0.1  # width of the dark border, relative to the radius
_HALF = 128  # a pixel belongs to what covers half of it or more


@dataclass(frozen=True)
class Sprite:
    """What all things of one look share in a video."""

    curves: Outline  # within the unit circle
    picture: np.ndarray  # (S, S, 3) uint8 RGB over the square -1..1


def make_sprite(look: int, radius: float, hue_shift: float) -> Sprite:
    """Return the sprite of a look.

    Families of shapes and of patterns are of coprime numbers, so that 132 looks differ in one or
    the other.

    Args:
        look: what carries the class: decides shape, pattern and, but for a shift, colours.
        radius: pixels at which it will mostly be seen.
        hue_shift: share of the colour circle.
    """
    curves = outline(look)
    side = max(16, round(2 * radius))
    inside = coverage([(curve + 1) * side / 2 for curve in curves], (side, side))
    depth = cv2.distanceTransform((inside >= _HALF).astype(np.uint8), cv2.DIST_L2, 5)
    rim = 0.45 + 0.55 * np.clip(depth / (_RIM * side / 2), 0, 1)
    axis = np.linspace(-1, 1, side, dtype=np.float32)
    light = 1 - 0.12 * (axis[None, :] + axis[:, None])  # from the upper left
    picture = thing_texture(look, side, thing_colors(look, hue_shift))
    shaded = picture * (rim * light)[..., None]
    return Sprite(curves, np.rint(255 * np.clip(shaded, 0, 1)).astype(np.uint8))


def paste(
    frame: np.ndarray, index_map: np.ndarray, sprite: Sprite, pose: np.ndarray, position: int
) -> None:
    """Draw a sprite over a frame and its labels, in place.

    Args:
        frame: (H, W, 3) uint8.
        index_map: (H, W) int16.
        sprite: the thing.
        pose: (2, 3), takes the unit square to continuous pixel coordinates.
        position: what `index_map` becomes where the thing covers half of a pixel or more.
    """
    curves = [curve @ pose[:, :2].T + pose[:, 2] for curve in sprite.curves]
    height, width = index_map.shape
    left, top = np.floor(curves[0].min(axis=0)).astype(int).clip(0, (width, height))
    right, bottom = np.ceil(curves[0].max(axis=0)).astype(int).clip(0, (width, height))
    if right <= left or bottom <= top:
        return
    window = (slice(top, bottom), slice(left, right))
    size = (int(bottom - top), int(right - left))
    inside = coverage([curve - (left, top) for curve in curves], size)
    side = len(sprite.picture)
    # From the centres of the sprite's pixels to those of the window's.
    matrix = np.empty((2, 3))
    matrix[:, :2] = pose[:, :2] * 2 / side
    matrix[:, 2] = pose[:, :2] @ np.full(2, 1 / side - 1) + pose[:, 2] - 0.5 - (left, top)
    picture = cv2.warpAffine(
        sprite.picture, matrix, size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    share = inside[..., None].astype(np.float32) / 255
    below = frame[window]
    frame[window] = np.rint(below + share * (picture.astype(np.float32) - below)).astype(np.uint8)
    index_map[window][inside >= _HALF] = position
