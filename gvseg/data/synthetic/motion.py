"""How made-up things and the camera move, as smooth functions of time.  T frames.

Coordinates are pixels of the frame as an unmoved camera sees it. Speeds are per frame, so that a
longer video shows more of the same motion.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_SHORTEST_PERIOD, _LONGEST_PERIOD = 24, 64  # frames


@dataclass(frozen=True)
class Stage:
    """The room and the time that there is."""

    height: int
    width: int
    num_frames: int

    @cached_property
    def times(self) -> np.ndarray:
        """Frame numbers, (T,) float64."""
        return np.arange(self.num_frames, dtype=float)

    @property
    def period(self) -> float:
        """Frames that most motions take to come back: most of it happens within the video."""
        return float(np.clip(1.5 * self.num_frames, _SHORTEST_PERIOD, _LONGEST_PERIOD))

    @property
    def short_side(self) -> int:
        """The smaller of height and width."""
        return min(self.height, self.width)

    def moment(self, rng: np.random.Generator) -> float:
        """Draw a frame in the middle of the video, or of its first period."""
        return rng.uniform(0.35, 0.6) * min(max(self.num_frames, 12), self.period)


def crossing_paths(
    rng: np.random.Generator, stage: Stage, count: int, radius: float
) -> list[np.ndarray]:
    """Return positions, each (T, 2), of things that come together at one moment and pass on.

    Neighbours in the list come from about opposite sides, so that where they meet only motion tells
    who goes where.
    """
    place = rng.uniform((0.3, 0.35), (0.7, 0.65)) * (stage.width, stage.height)
    moment, direction = stage.moment(rng), rng.uniform(0, 2 * np.pi)
    paths = []
    for member in range(count):
        turn = direction + np.pi * member + rng.uniform(-0.5, 0.5) + (member // 2) * 1.3
        ahead = np.array([np.cos(turn), np.sin(turn)])
        aside = np.array([-ahead[1], ahead[0]]) * rng.uniform(-0.3, 0.3) * radius
        reach = rng.uniform(0.3, 0.42) * stage.short_side + radius
        phase = 2 * np.pi * (stage.times - moment) / (stage.period * rng.uniform(0.9, 1.15))
        path = place + aside + reach * np.sin(phase)[:, None] * ahead
        paths.append(path + _sway(rng, stage, 0.2 * radius))
    return paths


def leaving_path(
    rng: np.random.Generator, stage: Stage, radius: float, *, starts_outside: bool
) -> np.ndarray:
    """Return positions, (T, 2), of a thing that goes out of the frame for a while and returns.

    Args:
        rng: the source of all randomness.
        stage: room and time.
        radius: of the thing.
        starts_outside: it comes in late instead.
    """
    side = rng.integers(4)
    along = rng.uniform(0.25, 0.75)
    door, out = (
        (np.array([0.0, along * stage.height]), np.array([-1.0, 0.0])),
        (np.array([stage.width, along * stage.height]), np.array([1.0, 0.0])),
        (np.array([along * stage.width, 0.0]), np.array([0.0, -1.0])),
        (np.array([along * stage.width, stage.height]), np.array([0.0, 1.0])),
    )[side]
    out = out + rng.uniform(-0.4, 0.4) * out[::-1]
    reach = 0.35 * stage.short_side + 1.5 * radius
    farthest = 0.0 if starts_outside else stage.moment(rng)
    phase = 2 * np.pi * (stage.times - farthest) / (stage.period * rng.uniform(0.9, 1.1))
    # A little more time inside than outside.
    path = door + (reach * (np.cos(phase) - 0.15))[:, None] * out
    return path + _sway(rng, stage, 0.15 * radius)


def strolling_path(rng: np.random.Generator, stage: Stage, radius: float) -> np.ndarray:
    """Return positions, (T, 2), of a thing that goes about slowly inside the frame."""
    place = rng.uniform((0.25, 0.3), (0.75, 0.7)) * (stage.width, stage.height)
    return place + _sway(rng, stage, 0.6 * radius + 0.12 * stage.short_side)


def poses(rng: np.random.Generator, stage: Stage, path: np.ndarray, radius: float) -> np.ndarray:
    """Return (T, 2, 3), from the unit square to pixels: size, turn and build change slowly."""
    size = radius * (1 + 0.2 * _swing(rng, stage, 0.8))
    build = 1 + 0.08 * _swing(rng, stage, 0.4)
    swings = rng.uniform() < 0.5
    spin = rng.uniform(0.02, 0.07) * rng.choice((-1, 1))  # radians per frame
    turn = 0.5 * _swing(rng, stage, 0.6) if swings else spin * stage.times
    turn = turn + rng.uniform(0, 2 * np.pi)
    cos, sin = np.cos(turn), np.sin(turn)
    matrices = np.empty((stage.num_frames, 2, 3))
    matrices[:, 0, 0], matrices[:, 0, 1] = size * build * cos, -size / build * sin
    matrices[:, 1, 0], matrices[:, 1, 1] = size * build * sin, size / build * cos
    matrices[:, :, 2] = path
    return matrices


def camera(rng: np.random.Generator, stage: Stage) -> np.ndarray:
    """Return (T, 2, 3), which take unmoved pixels to those seen: drift, small turn and zoom."""
    shift = (
        0.06
        * stage.short_side
        * np.stack([_swing(rng, stage, 1.7), _swing(rng, stage, 1.7)], axis=1)
    )
    zoom = 1 + 0.05 * _swing(rng, stage, 1.5)
    turn = 0.05 * _swing(rng, stage, 1.5)
    centre = np.array([stage.width, stage.height]) / 2
    matrices = np.empty((stage.num_frames, 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = zoom * np.cos(turn)
    matrices[:, 1, 0] = zoom * np.sin(turn)
    matrices[:, 0, 1] = -matrices[:, 1, 0]
    matrices[:, :, 2] = centre + shift - matrices[:, :, :2] @ centre
    return matrices


def after(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Return the affine maps (T, 2, 3) that do `inner`, then `outer`."""
    joined = outer[:, :, :2] @ inner
    joined[:, :, 2] += outer[:, :, 2]
    return joined


def _swing(rng: np.random.Generator, stage: Stage, slowness: float) -> np.ndarray:
    """Return a sine of random phase, (T,), of about `slowness` periods."""
    period = stage.period * slowness * rng.uniform(0.8, 1.25)
    return np.sin(2 * np.pi * (stage.times / period + rng.uniform()))


def _sway(rng: np.random.Generator, stage: Stage, reach: float) -> np.ndarray:
    """Return a small wandering about the origin, (T, 2)."""
    return reach * np.stack([_swing(rng, stage, 0.9), _swing(rng, stage, 1.1)], axis=1)
