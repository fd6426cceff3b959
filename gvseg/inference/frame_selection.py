"""A part of a video, or smaller frames, as a source again."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import cv2

from gvseg.inference.frames import Frame
from gvseg.inference.sources import FrameSource, ImageSource


class _Selected:
    """Some frames of another source; each keeps its index and time stamp."""

    def __init__(self, source: FrameSource, wanted: range | None, every: int, start: int) -> None:
        self._source = source
        self._every, self._start = every, start
        self._stop = None if wanted is None else wanted.stop
        self.name = source.name
        self.num_frames: int | None = None if wanted is None else len(wanted)
        self.frame_rate = None if source.frame_rate is None else source.frame_rate / every
        self.size = source.size

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._source:
            if self._stop is not None and frame.index >= self._stop:
                return
            if frame.index >= self._start and (frame.index - self._start) % self._every == 0:
                yield frame


class _Smaller:
    """The frames of another source at a smaller size."""

    def __init__(self, source: FrameSource, size: tuple[int, int]) -> None:
        self._source = source
        self.name = source.name
        self.num_frames = source.num_frames
        self.frame_rate = source.frame_rate
        self.size = size

    def __iter__(self) -> Iterator[Frame]:
        height, width = self.size
        for frame in self._source:
            image = cv2.resize(frame.image, (width, height), interpolation=cv2.INTER_AREA)
            yield replace(frame, image=image)


class _FirstFrames:
    """The beginning of another source."""

    def __init__(self, source: FrameSource, limit: int) -> None:
        self._source = source
        self._limit = limit
        self.name = source.name
        known = source.num_frames
        self.num_frames: int | None = limit if known is None else min(known, limit)
        self.frame_rate = source.frame_rate
        self.size = source.size

    def __iter__(self) -> Iterator[Frame]:
        return itertools.islice(self._source, self._limit)


class _Peeked:
    """Another source whose first frame was read already."""

    def __init__(self, source: FrameSource, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self.name = source.name
        self.num_frames = source.num_frames
        self.frame_rate = source.frame_rate
        self.size = source.size

    def __iter__(self) -> Iterator[Frame]:
        return self._frames


def peek(source: FrameSource) -> tuple[Frame, FrameSource]:
    """Return the first frame, and a source that gives all frames once, that one too.

    Raises:
        ValueError: there is no frame.
    """
    frames = iter(source)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{source.name} has no frames.")
    return first, _Peeked(source, itertools.chain([first], frames))


def first_frames(source: FrameSource, limit: int) -> FrameSource:
    """Return a source that ends after `limit` frames.

    Raises:
        ValueError: the limit is not positive.
    """
    if limit < 1:
        raise ValueError(f"A video cannot be limited to {limit} frames; give 1 or more.")
    return _FirstFrames(source, limit)


def select_frames(
    source: FrameSource, *, start: int = 0, end: int | None = None, every: int = 1
) -> FrameSource:
    """Return a source of every n-th frame of a part of a video; frames keep their indices.

    Args:
        source: of the whole video. Images that are not wanted are not read; the frames of a video
            file depend on each other, so those before the part are decoded all the same.
        start: index of the first frame.
        end: index after the last frame, by default the end of the video.
        every: 1 for each frame, 2 for every other.

    Raises:
        ValueError: the numbers make no sense, or no frame is left.
    """
    if every < 1:
        raise ValueError(f"Every {every}th frame cannot be taken; give 1 or more.")
    if start < 0 or (end is not None and end <= start):
        raise ValueError(f"There is no frame from {start} to before {end}.")
    if source.num_frames is not None and start >= source.num_frames:
        raise ValueError(f"{source.name} has {source.num_frames} frames, so none is frame {start}.")
    if start == 0 and end is None and every == 1:
        return source
    stop = min((bound for bound in (end, source.num_frames) if bound is not None), default=None)
    wanted = None if stop is None else range(start, stop, every)
    if isinstance(source, ImageSource) and wanted is not None:
        return source.only(wanted)
    return _Selected(source, wanted, every, start)


def shrink_frames(source: FrameSource, max_size: int) -> FrameSource:
    """Return a source whose frames have at most `max_size` pixels on their long side.

    Raises:
        ValueError: the bound is not positive.
    """
    if max_size < 1:
        raise ValueError(f"Frames cannot have {max_size} pixels; give 1 or more.")
    scale = max_size / max(source.size)
    if scale >= 1:
        return source
    height, width = source.size
    return _Smaller(source, (max(round(height * scale), 1), max(round(width * scale), 1)))
