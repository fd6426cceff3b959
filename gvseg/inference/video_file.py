"""Frames of a video file, upright and with their own time stamps."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from gvseg.inference.frames import (
    Frame,
    OnBadFrame,
    UnreadableFrame,
    settle,
    size_error,
    size_of,
)


class VideoSource:
    """A video file, upright and with the time stamps it was recorded with.

    Args:
        path: of the file.
        on_bad_frame: what to do about frames that cannot be decoded.
    """

    def __init__(self, path: str | Path, *, on_bad_frame: OnBadFrame = OnBadFrame.ERROR) -> None:
        self.path = Path(path)
        self.on_bad_frame = on_bad_frame
        self.name = self.path.stem
        with self._open() as container:
            stream = container.streams.video[0]
            self.frame_rate: Fraction | None = stream.average_rate or stream.guessed_rate
            self.num_frames: int | None = stream.frames or None  # 0 where the file does not say
            size = self._first_size(container)
        if size is None:
            raise ValueError(f"Video {self.path} has no frames.")
        self.size: tuple[int, int] = size

    def _first_size(self, container: av.container.InputContainer) -> tuple[int, int] | None:
        """Return the size of the first frame, None where there is none."""
        for decoded in _decode(container, self.path):
            if isinstance(decoded, av.VideoFrame):
                return size_of(_upright(decoded))
            if self.on_bad_frame is OnBadFrame.ERROR:
                raise decoded
        return None

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            OSError: a frame cannot be decoded; the message gives its index.
            ValueError: the size changes within the video.
        """
        return settle(self._read(), self.on_bad_frame)

    def _read(self) -> Iterator[Frame | UnreadableFrame]:
        with self._open() as container:
            start: float | None = None
            for index, decoded in enumerate(_decode(container, self.path)):
                if isinstance(decoded, OSError):
                    rate = self.frame_rate
                    yield UnreadableFrame(index, float(index / rate) if rate else None, decoded)
                    continue
                start = decoded.time if start is None else start
                image = _upright(decoded)
                if size_of(image) != self.size:
                    raise ValueError(
                        size_error(f"Frame {index} of {self.path}", image, "frame 0", self.size)
                    )
                known = decoded.time is not None and start is not None
                yield Frame(index, decoded.time - start if known else None, image)

    def _open(self) -> av.container.InputContainer:
        try:
            container = av.open(str(self.path))
        except av.error.FFmpegError as error:
            raise ValueError(f"{self.path} is not a video: {error.strerror}.") from error
        if not container.streams.video:
            container.close()
            raise ValueError(f"{self.path} has no video stream.")
        container.streams.video[0].thread_type = "AUTO"
        return container


def _decode(
    container: av.container.InputContainer, path: Path
) -> Iterator[av.VideoFrame | OSError]:
    """Yield decoded frames and, in the place of one that cannot be decoded, an error naming it."""
    index = 0
    packets = container.demux(video=0)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            if _is_cut_off(container):
                yield OSError(f"Frame {index} of {path} is missing: the file is cut off there.")
            return
        except av.error.FFmpegError as error:
            # The file itself is damaged from here on; what the decoder still holds comes before.
            held = container.streams.video[0].codec_context.decode(None)
            yield from held
            yield _undecoded(index + len(held), path, error)
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            yield _undecoded(index, path, error)
            index += 1
            continue
        for frame in frames:
            yield frame
            index += 1


def _is_cut_off(container: av.container.InputContainer) -> bool:
    """Tell whether the index of the file knows of frames beyond its end."""
    entries = container.streams.video[0].index_entries
    return any(entry.pos + entry.size > container.size for entry in entries)


def _undecoded(index: int, path: Path, error: av.error.FFmpegError) -> OSError:
    unreadable = OSError(f"Frame {index} of {path} is unreadable: {error.strerror}.")
    unreadable.__cause__ = error
    return unreadable


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """Return the pixels as a player shows them, (H, W, 3) uint8 RGB.

    Phones store a video as the sensor sees it and note by how many degrees to turn it, counted
    counter-clockwise.
    """
    quarter_turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns))
