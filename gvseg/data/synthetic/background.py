"""The world behind the things: regions of stuff, larger than the frame.  (H, W) pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from gvseg.data.synthetic.motion import Stage
from gvseg.data.synthetic.textures import stuff_color, stuff_texture

_MARGIN = 0.15  # of the longer side, on each side: farther than the camera moves


@dataclass(frozen=True)
class Region:
    """A part of the world."""

    look: int  # its texture
    position: int  # its segment, -1 for void
    is_island: bool = False  # rather than a band from side to side


@dataclass(frozen=True)
class Background:
    """A still picture of the world with its labels."""

    picture: np.ndarray  # (H + 2M, W + 2M, 3) uint8 RGB
    index_map: np.ndarray  # (H + 2M, W + 2M) int16
    margin: int  # M

    def view(self, camera: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Return what a camera (2, 3) sees: a frame (H, W, 3) and its index map (H, W)."""
        matrix = camera.copy()
        matrix[:, 2] += camera[:, :2] @ np.full(2, 0.5 - self.margin) - 0.5
        frame, labels = (
            cv2.warpAffine(
                image, matrix, size[::-1], flags=interpolation, borderMode=cv2.BORDER_REPLICATE
            )
            for image, interpolation in (
                (self.picture, cv2.INTER_LINEAR),
                (self.index_map, cv2.INTER_NEAREST),
            )
        )
        return frame, labels


def paint_background(
    rng: np.random.Generator, stage: Stage, regions: Sequence[Region], hue_shift: float
) -> Background:
    """Return a world of bands one below the other, in their order, with islands on them."""
    margin = round(_MARGIN * max(stage.height, stage.width))
    size = (stage.height + 2 * margin, stage.width + 2 * margin)
    num_bands = sum(not region.is_island for region in regions)
    assert num_bands > 0, "islands need something to lie in"
    picture, index_map, bands = None, np.empty(size, dtype=np.int16), 0
    for region in regions:
        texture = stuff_texture(region.look, size, stuff_color(region.look, hue_shift), rng)
        if picture is None:
            picture, bands = texture, 1
            index_map[:] = region.position
            continue
        if region.is_island:
            inside = _island(rng, stage, margin, size)
        else:
            inside = _below(rng, stage, margin, size, bands / num_bands)
            bands += 1
        picture += np.clip(inside + 0.5, 0, 1)[..., None] * (texture - picture)
        index_map[inside >= 0] = region.position
    assert picture is not None
    return Background(np.rint(255 * picture).astype(np.uint8), index_map, margin)


def _below(
    rng: np.random.Generator, stage: Stage, margin: int, size: tuple[int, int], level: float
) -> np.ndarray:
    """Return how far each pixel lies below a wavy line across the frame, (H, W) float32."""
    x = np.arange(size[1]) - margin
    height = (level + rng.uniform(-0.06, 0.06)) * stage.height
    line = height + rng.uniform(-0.12, 0.12) * (x - stage.width / 2)
    for waves, amplitude in ((1.0, 0.05), (2.7, 0.02)):
        phase = 2 * np.pi * (waves * x / stage.width + rng.uniform())
        line = line + amplitude * stage.height * np.sin(phase)
    y = np.arange(size[0]) + 0.5 - margin
    return (y[:, None] - line[None, :]).astype(np.float32)


def _island(
    rng: np.random.Generator, stage: Stage, margin: int, size: tuple[int, int]
) -> np.ndarray:
    """Return about how far each pixel lies inside a blob, (H, W) float32."""
    centre = rng.uniform(0.15, 0.85, 2) * (stage.width, stage.height) + margin
    across = rng.uniform(0.16, 0.26) * stage.short_side
    x = (np.arange(size[1], dtype=np.float32) + 0.5 - centre[0])[None, :] / 1.5
    y = (np.arange(size[0], dtype=np.float32) + 0.5 - centre[1])[:, None]
    angle = np.arctan2(y, x)
    bulges = sum(
        amplitude * np.cos(lobes * angle + rng.uniform(0, 2 * np.pi))
        for lobes, amplitude in ((2, 0.12), (3, 0.1), (5, 0.04))
    )
    return (across * (1 + bulges) - np.hypot(x, y)).astype(np.float32)
