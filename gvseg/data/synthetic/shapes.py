"""Outlines of made-up things, within the unit circle; P points.

Each family of shapes is told from the others at any angle and size.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Outline = list[np.ndarray]  # closed curves (P, 2) float64; a curve inside another is a hole

_NUM_POINTS = 96  # of a round curve; its edges are then below a pixel at a radius of 400


def outline(family: int) -> Outline:
    """Return the outline of a family, counted modulo `NUM_FAMILIES`, scaled to radius 1."""
    curves = _FAMILIES[family % NUM_FAMILIES]()
    left_top, right_bottom = curves[0].min(axis=0), curves[0].max(axis=0)
    centred = [curve - (left_top + right_bottom) / 2 for curve in curves]
    radius = np.linalg.norm(centred[0], axis=1).max()
    return [curve / radius for curve in centred]


def _polar(radius: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    angles = np.linspace(0, 2 * np.pi, _NUM_POINTS, endpoint=False)
    return radius(angles)[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _corners(*points: tuple[float, float], rounding: float = 0.12) -> np.ndarray:
    """Return a polygon with its corners cut round, by cutting them off three times (Chaikin)."""
    curve = np.array(points, dtype=float)
    shares = (rounding, 0.25, 0.25)
    for share in shares:
        ahead = np.roll(curve, -1, axis=0)
        curve = np.stack(
            [curve + share * (ahead - curve), ahead + share * (curve - ahead)], axis=1
        ).reshape(-1, 2)
    return curve


def _ellipse() -> Outline:
    return [_polar(np.ones_like) * [1.0, 0.62]]


def _square() -> Outline:
    return [_corners((-1, -1), (1, -1), (1, 1), (-1, 1))]


def _triangle() -> Outline:
    return [_corners((0, -1), (0.87, 0.5), (-0.87, 0.5), rounding=0.08)]


def _star() -> Outline:
    angles = np.pi * np.arange(10) / 5
    radii = np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
    tips = radii[:, None] * np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    return [_corners(*map(tuple, tips), rounding=0.06)]


def _plus() -> Outline:
    arm = 0.34
    quarter = [(arm, -1), (arm, -arm), (1, -arm)]
    turned = [
        (x * c - y * s, x * s + y * c)
        for c, s in ((1, 0), (0, 1), (-1, 0), (0, -1))
        for x, y in quarter
    ]
    return [_corners(*turned, rounding=0.1)]


def _ring() -> Outline:
    circle = _polar(np.ones_like)
    return [circle, 0.45 * circle]


def _flower() -> Outline:
    return [_polar(lambda angle: 0.74 + 0.26 * np.cos(6 * angle))]


def _heart() -> Outline:
    angle = np.linspace(0, 2 * np.pi, _NUM_POINTS, endpoint=False)
    up = 13 * np.cos(angle) - 5 * np.cos(2 * angle) - 2 * np.cos(3 * angle) - np.cos(4 * angle)
    return [np.stack([16 * np.sin(angle) ** 3, -up], axis=1)]


def _gear() -> Outline:
    return [_polar(lambda angle: 0.85 + 0.15 * np.tanh(4 * np.sin(8 * angle)))]


def _drop() -> Outline:
    angle = np.linspace(0, 2 * np.pi, _NUM_POINTS, endpoint=False)
    return [np.stack([np.sin(angle) * np.sin(angle / 2) ** 2, -np.cos(angle)], axis=1)]


def _arrow() -> Outline:
    points = [(1, 0), (0.1, -0.8), (0.1, -0.3), (-1, -0.3), (-1, 0.3), (0.1, 0.3), (0.1, 0.8)]
    return [_corners(*points, rounding=0.06)]


def _crescent() -> Outline:
    outer = np.linspace(-0.75 * np.pi, 0.75 * np.pi, _NUM_POINTS)
    inner = np.linspace(0.68 * np.pi, -0.68 * np.pi, _NUM_POINTS)
    near = np.stack([np.cos(inner) - 0.38, np.sin(inner)], axis=1) * 0.8
    return [np.concatenate([np.stack([np.cos(outer), np.sin(outer)], axis=1), near])]


_FAMILIES = (
    _ellipse, _star, _square, _ring, _triangle, _plus, _flower, _heart, _arrow, _gear, _drop,
    _crescent,
)  # fmt: skip
NUM_FAMILIES = len(_FAMILIES)

_OVERSAMPLING = 4  # per side; sixteen levels of coverage
_SHIFT = 4  # bits of a subpixel in OpenCV's drawing


def coverage(curves: Outline, size: tuple[int, int]) -> np.ndarray:
    """Return how much of each pixel lies inside an outline, (H, W) uint8, 255 for all of it.

    Args:
        curves: in continuous pixel coordinates, where the first pixel covers 0 to 1.
        size: height and width.
    """
    height, width = size
    fine = np.zeros((height * _OVERSAMPLING, width * _OVERSAMPLING), dtype=np.uint8)
    corners = [
        np.rint((curve * _OVERSAMPLING - 0.5) * (1 << _SHIFT)).astype(np.int32) for curve in curves
    ]
    cv2.fillPoly(fine, corners, 255, shift=_SHIFT)
    return cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
