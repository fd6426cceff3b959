"""Frames that another program pipes in, without any container."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from typing import BinaryIO

import numpy as np

from gvseg.inference.frames import Frame

CHANNELS = 3


class RawVideoSource:
    """Frames of RGB bytes from a stream, row by row: FFmpeg's `-f rawvideo -pix_fmt rgb24`.

    Args:
        stream: such as `sys.stdin.buffer`; it can be read once.
        size: height and width in pixels.
        name: what to call the video.
        frame_rate: frames per second, where that is known.
    """

    def __init__(
        self,
        stream: BinaryIO,
        size: tuple[int, int],
        *,
        name: str = "stdin",
        frame_rate: Fraction | None = None,
    ) -> None:
        self._stream = stream
        self.size = size
        self.name = name
        self.num_frames: int | None = None
        self.frame_rate = frame_rate

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            OSError: the stream ends within a frame.
        """
        height, width = self.size
        num_bytes = height * width * CHANNELS
        index = 0
        while data := self._stream.read(num_bytes):
            if len(data) < num_bytes:
                raise OSError(
                    f"Frame {index} of {self.name} has {len(data)} bytes, but {width}x{height} "
                    f"pixels of RGB have {num_bytes}; is the size right?"
                )
            image = np.frombuffer(bytearray(data), dtype=np.uint8).reshape(height, width, CHANNELS)
            timestamp = None if self.frame_rate is None else float(index / self.frame_rate)
            yield Frame(index, timestamp, image)
            index += 1


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of a text such as 1280x720, width first.

    Raises:
        ValueError: it is none.
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise ValueError(f"{text!r} is no size; give width and height such as 1280x720.")
    width, height = match.groups()
    return int(height), int(width)
