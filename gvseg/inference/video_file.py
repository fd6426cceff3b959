"""Frames of a video file, upright and with their own time stamps."""

from __future__ import annotations

import struct
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
from gvseg.inference.showing_order import ShowingOrder


class VideoSource:
    """A video file, upright and with the time stamps it was recorded with.

    A frame is bad when the decoder raises an error over it, leaves it out after an error or marks
    it as damaged. Frames that were predicted from a bad one come as the decoder shows them, with
    traces of the damage up to the next key frame.

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
            if "mp4" in container.format.name and _is_fragmented(self.path):
                self.num_frames = None  # the count is that of the beginning
            size = self._first_size(container)
        if size is None:
            raise ValueError(f"Video {self.path} has no frames.")
        self.size: tuple[int, int] = size

    def _first_size(self, container: av.container.InputContainer) -> tuple[int, int] | None:
        """Return the size of the first frame, None where there is none."""
        for index, (_, shown) in enumerate(_decode(container)):
            if isinstance(shown, av.VideoFrame):
                return size_of(_upright(shown))
            if self.on_bad_frame is OnBadFrame.ERROR:
                raise self._error(index, shown)
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
            tick = container.streams.video[0].time_base
            start: int | None = None
            for index, (time, shown) in enumerate(_decode(container)):
                start = time if start is None else start
                if time is None or start is None or tick is None:
                    seconds = float(index / self.frame_rate) if self.frame_rate else None
                else:
                    seconds = float((time - start) * tick)
                if isinstance(shown, str):
                    yield UnreadableFrame(index, seconds, self._error(index, shown))
                    continue
                image = _upright(shown)
                if size_of(image) != self.size:
                    raise ValueError(
                        size_error(f"Frame {index} of {self.path}", image, "frame 0", self.size)
                    )
                yield Frame(index, seconds, image)

    def _error(self, index: int, reason: str) -> OSError:
        return OSError(f"Frame {index} of {self.path} {reason}.")

    def _open(self) -> av.container.InputContainer:
        try:
            container = av.open(str(self.path))
        except av.error.FFmpegError as error:
            raise ValueError(f"{self.path} is not a video: {error.strerror}.") from error
        if not container.streams.video:
            container.close()
            raise ValueError(f"{self.path} has no video stream.")
        # Several threads would tell an error later than the packet it is about, of the last packets
        # not at all, and leave damaged frames unmarked.
        container.streams.video[0].codec_context.thread_count = 1
        return container


def _decode(
    container: av.container.InputContainer,
) -> Iterator[tuple[int | None, av.VideoFrame | str]]:
    """Yield what is shown, in this order: its time in ticks of the stream, and a frame.

    In the place of a frame that cannot be decoded there is a text that says why.
    """
    stream = container.streams.video[0]
    # AVI stores no times of showing: of frames out of order, FFmpeg gives wrong ones.
    has_times = container.format.name != "avi" or not stream.codec_context.has_b_frames
    order = ShowingOrder()
    reason = ending = ""
    for packet in _packets(container):
        if isinstance(packet, av.error.FFmpegError):
            ending = _unreadable(packet)
            frames = stream.decode(None)  # what the decoder still holds comes before
        else:
            time = packet.pts if has_times else None
            if time is not None:
                order.send(time)
            elif not packet.size and (cut := _cut_time(container)) is not None:
                ending = "or one soon after it is missing: the file is cut off there"
                order.end_before(cut)
            try:
                frames = packet.decode()
            except av.error.FFmpegError as error:
                reason = _unreadable(error)
                if time is None:
                    yield None, reason  # as well as it can be told
                else:
                    order.fail(time)
                continue
        for frame in frames:
            yield from _show(frame, frame.pts if has_times else None, order, reason)
    for missing in order.finish():
        yield missing, reason
    if ending:
        yield None, ending


def _packets(
    container: av.container.InputContainer,
) -> Iterator[av.Packet | av.error.FFmpegError]:
    """Yield the packets and, where the file itself is damaged, the error that ends it."""
    try:
        yield from container.demux(video=0)
    except av.error.FFmpegError as error:
        yield error


def _show(
    frame: av.VideoFrame, time: int | None, order: ShowingOrder, reason: str
) -> Iterator[tuple[int | None, av.VideoFrame | str]]:
    """Yield a frame that the decoder gives, after those that are missing before it."""
    gap = [] if time is None else order.show(time)
    if gap is None:
        return
    for missing in gap:
        yield missing, reason
    yield time, "is damaged: parts of it cannot be decoded" if frame.is_corrupt else frame


def _unreadable(error: av.error.FFmpegError) -> str:
    return f"is unreadable: {error.strerror}"


def _cut_time(container: av.container.InputContainer) -> int | None:
    """Return a time before which no frame is missing from a file that is cut off, else None.

    It is the time for decoding of the first packet that the index of the file knows of, but that
    is not there. None is shown before it is decoded.
    """
    missing = (
        entry.timestamp
        for entry in container.streams.video[0].index_entries
        if entry.pos + entry.size > container.size
    )
    return min(missing, default=None)


def _is_fragmented(path: Path) -> bool:
    """Tell whether an MP4 has parts that its head does not know of (ISO/IEC 14496-12, `moof`)."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        place = 0
        while place + 8 <= size:
            file.seek(place)
            length, kind = struct.unpack(">I4s", file.read(8))
            if length == 1:  # it follows in 64 bits
                length = int.from_bytes(file.read(8), "big")
            if length < 8:  # up to the end of the file, or damaged
                return False
            if kind == b"moof":
                return True
            place += length
    return False


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """Return the pixels as a player shows them, (H, W, 3) uint8 RGB.

    Phones store a video as the sensor sees it and note by how many degrees to turn it, counted
    counter-clockwise.
    """
    quarter_turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns))
