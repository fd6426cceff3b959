"""Patterns of two colours: on things, which move with them, and on stuff.

Thing patterns are fields over the unit square, positive where the second colour is, with a slope
near 1, so that edges can be drawn smooth at any resolution.  (H, W) pixels.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

Color = tuple[float, float, float]  # red, green, blue in 0..1
_Field = Callable[[np.ndarray, np.ndarray], np.ndarray]

_GOLDEN = 0.618034  # steps of this share of a turn spread any number of hues evenly


def thing_colors(look: int, shift: float) -> tuple[Color, Color]:
    """Return the two colours of a look, its hue moved by a share of the colour circle."""
    hue = look * _GOLDEN + shift
    accent_hue = hue + (0.08, 0.5, 0.33)[look % 3]
    base = colorsys.hsv_to_rgb(hue % 1, 0.75, 0.92)
    return base, colorsys.hsv_to_rgb(accent_hue % 1, 0.85, 0.45)


def stuff_color(look: int, shift: float) -> Color:
    """Return the muted colour of a look of stuff."""
    hue = 0.3 + look * _GOLDEN + shift
    return colorsys.hsv_to_rgb(hue % 1, (0.22, 0.38)[look % 2], (0.62, 0.78, 0.5)[look % 3])


def thing_texture(look: int, side: int, colors: tuple[Color, Color]) -> np.ndarray:
    """Return the pattern of a look, counted modulo `NUM_PATTERNS`, (side, side, 3) float32."""
    axis = ((np.arange(side, dtype=np.float32) + 0.5) * 2 / side) - 1
    field = _PATTERNS[look % NUM_PATTERNS](axis[None, :], axis[:, None])
    share = np.clip(field * side / 2 + 0.5, 0, 1)[..., None]  # smooth over one pixel
    base, accent = (np.array(color, dtype=np.float32) for color in colors)
    return base + np.broadcast_to(share, (side, side, 1)) * (accent - base)


def stuff_texture(
    look: int, size: tuple[int, int], color: Color, rng: np.random.Generator
) -> np.ndarray:
    """Return the pattern of a look of stuff, counted modulo `NUM_STUFF_PATTERNS`.

    Args:
        look: which pattern.
        size: height and width.
        color: its mean.
        rng: makes one region differ from another of the same look.

    Returns:
        (H, W, 3) float32 in 0..1.
    """
    brightness = 1 + _STUFF_PATTERNS[look % NUM_STUFF_PATTERNS](size, rng)
    return np.clip(brightness[..., None] * np.array(color, dtype=np.float32), 0, 1)


def _wave(value: np.ndarray, period: float) -> np.ndarray:
    """Stripes of equal width: half a period positive, half a period negative."""
    phase = value / period
    return (0.25 - np.abs(phase - np.floor(phase) - 0.5)) * period


def _checks(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.maximum(np.minimum(first, second), np.minimum(-first, -second))


def _stripes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _wave(x + 0 * y, 0.5)


def _board(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _checks(_wave(x, 0.66), _wave(y, 0.66))


def _dots(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    step = 0.46
    row = np.rint(y / step)
    across = x / step + 0.5 * (row % 2)
    return 0.14 - step * np.hypot(across - np.rint(across), y / step - row)


def _rings(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _wave(np.hypot(x, y), 0.44)


def _spokes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _wave(np.arctan2(y, x), np.pi / 4) * np.hypot(x, y)


def _zigzag(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 0.6 * _wave(y + np.abs(2 * _wave(x, 0.9)), 0.5)


def _grid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(_wave(x, 0.8)), np.abs(_wave(y, 0.8))) - 0.14


def _quarters(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _checks(x, y)


def _triangles(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    period = 0.8
    slant = np.sqrt(3) / 2
    waves = [_wave(x * c + y * s, period) for c, s in ((1, 0), (-0.5, slant), (-0.5, -slant))]
    return np.minimum(np.minimum(waves[0], waves[1]), waves[2]) + 0.06


def _scales(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    step = 0.36
    distances = []
    for row in (np.floor(y / step), np.floor(y / step) + 1):
        across = x / step + 0.5 * (row % 2)
        distances.append(np.hypot(across - np.rint(across), (y / step - row) * 0.75))
    nearest = step * np.where(distances[1] < 0.5, distances[1], distances[0])
    return 0.05 - np.abs(nearest - 0.17)


def _patches(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distance between the two nearest of 16 scattered points, as on a giraffe."""
    cells = np.arange(16)
    centres = np.stack([cells % 4, cells // 4], axis=1) * 0.6 - 0.9
    centres = centres + 0.2 * np.stack([np.sin(5 * cells), np.cos(7 * cells)], axis=1)
    distances = np.stack([np.hypot(x - a, y - b) for a, b in centres])
    nearest, second = np.partition(distances, 1, axis=0)[:2]
    return 0.5 * (second - nearest) - 0.045


_PATTERNS: tuple[_Field, ...] = (
    _dots, _stripes, _board, _rings, _zigzag, _spokes, _grid, _patches, _quarters, _scales,
    _triangles,
)  # fmt: skip
NUM_PATTERNS = len(_PATTERNS)


def _noise(
    size: tuple[int, int], grain: tuple[float, float], rng: np.random.Generator
) -> np.ndarray:
    """Return smooth noise, (H, W) float32 in -1..1, of blots of `grain` (height, width)."""
    coarse = [
        max(2, round(length / max(blot, 1)) + 1) for length, blot in zip(size, grain, strict=True)
    ]
    values = rng.uniform(-1, 1, coarse).astype(np.float32)
    return cv2.resize(values, size[::-1], interpolation=cv2.INTER_CUBIC)


def _unit(size: tuple[int, int]) -> float:
    """Length that patterns are made of: a 480p frame is 30 of them high."""
    return max(min(size) / 30, 2.0)


def _axes(size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.arange(size[1], dtype=np.float32)[None, :],
        np.arange(size[0], dtype=np.float32)[:, None],
    )


def _clouds(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    unit = _unit(size)
    wide, small = _noise(size, (4 * unit, 9 * unit), rng), _noise(size, (unit, 2 * unit), rng)
    return 0.22 * wide + 0.06 * small


def _grass(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    unit = _unit(size)
    return 0.3 * _noise(size, (unit, unit / 4), rng)


def _bricks(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    unit = _unit(size)
    x, y = _axes(size)
    row = np.floor(y / (1.6 * unit))
    column = np.floor((x + 2 * unit * (row % 2)) / (4 * unit))
    shade = rng.uniform(-0.12, 0.12, 997).astype(np.float32)
    bricks = shade[(31 * row + 7 * column).astype(int) % 997]
    across, along = y - 1.6 * unit * row, (x + 2 * unit * (row % 2)) - 4 * unit * column
    joint = np.minimum(across, along) < 0.22 * unit
    return np.where(joint, np.float32(0.3), bricks)


def _ripples(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    unit = _unit(size)
    _, y = _axes(size)
    bent = y + 1.2 * unit * _noise(size, (5 * unit, 4 * unit), rng)
    return 0.2 * np.sin(bent * (2 * np.pi / (1.5 * unit)))


def _planks(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    unit = _unit(size)
    x, _ = _axes(size)
    plank = np.floor(x / (2.5 * unit)).astype(int)
    shade = rng.uniform(-0.15, 0.15, plank.max() + 1).astype(np.float32)[plank]
    gap = (x - 2.5 * unit * plank) < 0.25 * unit
    return np.where(gap, np.float32(-0.4), shade + 0.1 * _noise(size, (9 * unit, unit / 2), rng))


def _pebbles(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    unit = _unit(size)
    seeds = np.ones(size, dtype=np.uint8)
    count = max(4, int(size[0] * size[1] / (5 * unit * unit)))
    seeds[rng.integers(0, size[0], count), rng.integers(0, size[1], count)] = 0
    distance, cell = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    shade = rng.uniform(-0.15, 0.2, int(cell.max()) + 1).astype(np.float32)
    return shade[cell] - 0.3 * np.minimum(distance / (2 * unit), 1) ** 2


def _tiles(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    unit = _unit(size)
    x, y = _axes(size)
    field = _checks(_wave(x + y, 7 * unit), _wave(x - y, 7 * unit))
    return 0.16 * np.clip(field, -1, 1) + 0.05 * _noise(size, (2 * unit, 2 * unit), rng)


def _dunes(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    unit = _unit(size)
    x, y = _axes(size)
    bent = 0.5 * x + y + 4 * unit * _noise(size, (8 * unit, 8 * unit), rng)
    phase = bent / (5 * unit)
    return 0.4 * (phase - np.floor(phase)) - 0.2


_STUFF_PATTERNS = (_clouds, _grass, _bricks, _ripples, _pebbles, _planks, _dunes, _tiles)
NUM_STUFF_PATTERNS = len(_STUFF_PATTERNS)
