"""Frames of a video, and what to do about those that cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Frame:
    """One frame of a video."""

    index: int  # counted from 0
    timestamp: float | None  # seconds since the first frame, None where the source has no clock
    image: np.ndarray  # (H, W, 3) uint8 RGB


@dataclass(frozen=True)
class UnreadableFrame:
    """A frame in whose place there is an error."""

    index: int
    timestamp: float | None
    error: OSError


class OnBadFrame(str, Enum):
    """What stands in for a frame that cannot be read."""

    ERROR = "error"  # nothing: the video ends with the error
    SKIP = "skip"  # nothing: the video goes on with the next frame
    REPEAT = "repeat"  # the last one before it; at the beginning of a video, nothing


def settle(readings: Iterable[Frame | UnreadableFrame], policy: OnBadFrame) -> Iterator[Frame]:
    """Yield frames, and for those that cannot be read what the policy says.

    Raises:
        OSError: a frame cannot be read, and the policy is ERROR.
    """
    last: Frame | None = None
    for reading in readings:
        if isinstance(reading, UnreadableFrame):
            if policy is OnBadFrame.ERROR:
                raise reading.error
            logger.warning("%s (%s)", reading.error, policy.value)
            if policy is OnBadFrame.SKIP or last is None:
                continue
            last = replace(last, index=reading.index, timestamp=reading.timestamp)
        else:
            last = reading
        yield last


def check_array(image: np.ndarray, name: str) -> None:
    """Refuse an array that is no picture of (H, W, 3) uint8.

    Raises:
        ValueError: it is of another type or shape; the message names it.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{name} is {image.dtype} {image.shape}; give (H, W, 3) uint8 RGB.")


def size_of(image: np.ndarray) -> tuple[int, int]:
    """Return height and width."""
    return image.shape[0], image.shape[1]


def size_error(
    name: object, image: np.ndarray, first_name: object, first_size: tuple[int, int]
) -> str:
    """Return what is wrong where two frames differ in size."""
    height, width = size_of(image)
    return (
        f"{name} is {width}x{height} pixels but {first_name} is {first_size[1]}x{first_size[0]}; "
        "all frames of a video must have one size."
    )
