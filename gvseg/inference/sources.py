"""Frames from wherever they are: a folder, a glob, a video file, a camera or arrays.

Every source is an iterable of `Frame` and says beforehand what is known about the whole:
name, size, number of frames and frame rate. All frames of a source have one size.
"""

from __future__ import annotations

import glob
import itertools
from collections.abc import Iterable, Iterator, Sized
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol, runtime_checkable

import av
import cv2
import numpy as np

from gvseg.data.frames import frame_size, in_natural_order, read_frame

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})
_GLOB_CHARACTERS = frozenset("*?[")


@dataclass(frozen=True)
class Frame:
    """One frame of a video."""

    index: int  # counted from 0
    timestamp: float | None  # seconds since the first frame, None where the source has no clock
    image: np.ndarray  # (H, W, 3) uint8 RGB


@runtime_checkable
class FrameSource(Protocol):
    """Frames in the order of time, and what is known of them beforehand."""

    name: str
    num_frames: int | None  # None where it is known only at the end
    frame_rate: Fraction | None  # frames per second, None where the source has no clock
    size: tuple[int, int]  # height and width in pixels, as the frames come out

    def __iter__(self) -> Iterator[Frame]: ...


def open_source(
    source: str | Path | int | Iterable[np.ndarray] | FrameSource,
    *,
    frame_rate: Fraction | None = None,
) -> FrameSource:
    """Return the source that a user means.

    Args:
        source: a folder of images, a glob pattern, a video file, the number of a camera (also as a
            string of digits), arrays (H, W, 3) uint8 RGB, or a source, which is returned as it is.
        frame_rate: of images and arrays, which have no clock of their own.

    Raises:
        FileNotFoundError: nothing lies at the path, matches the pattern or is in the folder.
        ValueError: what lies there is not a folder of images or a video.
        OSError: the camera does not answer.
    """
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, int):
        return CameraSource(source)
    if not isinstance(source, (str, Path)):
        return ArraySource(source, frame_rate=frame_rate)
    path = Path(source)
    if path.is_dir():
        return ImageSource.from_folder(path, frame_rate=frame_rate)
    if path.is_file():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return ImageSource([path], name=path.stem, frame_rate=frame_rate)
        return VideoSource(path)
    if str(source).isdecimal():
        return CameraSource(int(str(source)))
    if _GLOB_CHARACTERS & set(str(source)):
        return ImageSource.from_pattern(str(source), frame_rate=frame_rate)
    raise FileNotFoundError(f"Input {source} does not exist.")


class ImageSource:
    """Image files in a given order, read one at a time.

    Args:
        files: at least one image.
        name: what to call the video.
        frame_rate: at which the images were taken, where that is known.
    """

    def __init__(
        self, files: Iterable[str | Path], *, name: str, frame_rate: Fraction | None = None
    ) -> None:
        self.files = [Path(file) for file in files]
        if not self.files:
            raise FileNotFoundError(f"Video {name} has no frames.")
        self.name = name
        self.frame_rate = frame_rate
        self.num_frames: int | None = len(self.files)
        self.size: tuple[int, int] = frame_size(self.files[0])

    @classmethod
    def from_folder(cls, folder: Path, *, frame_rate: Fraction | None = None) -> ImageSource:
        """Return the images of a folder in natural order: frame2 comes before frame10."""
        images = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            raise FileNotFoundError(
                f"Folder {folder} has no images ({', '.join(sorted(IMAGE_SUFFIXES))})."
            )
        name = folder.resolve().name
        return cls(in_natural_order(images), name=name, frame_rate=frame_rate)

    @classmethod
    def from_pattern(cls, pattern: str, *, frame_rate: Fraction | None = None) -> ImageSource:
        """Return the files that match a glob pattern (`**` spans folders) in natural order."""
        images = [Path(file) for file in glob.glob(pattern, recursive=True) if Path(file).is_file()]
        if not images:
            raise FileNotFoundError(f"No file matches {pattern}.")
        name = images[0].resolve().parent.name
        return cls(in_natural_order(images), name=name, frame_rate=frame_rate)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            OSError: an image cannot be read; the message names it.
            ValueError: two images differ in size; the message names both.
        """
        for index, file in enumerate(self.files):
            image = read_frame(file)
            if _size(image) != self.size:
                raise ValueError(_size_error(file, image, self.files[0], self.size))
            timestamp = None if self.frame_rate is None else float(index / self.frame_rate)
            yield Frame(index, timestamp, image)


class VideoSource:
    """A video file, upright and with the time stamps it was recorded with."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.name = self.path.stem
        with self._open() as container:
            stream = container.streams.video[0]
            self.frame_rate: Fraction | None = stream.average_rate or stream.guessed_rate
            self.num_frames: int | None = stream.frames or None  # 0 where the file does not say
            first = next(_decode(container, self.path), None)
        if first is None:
            raise ValueError(f"Video {self.path} has no frames.")
        self.size: tuple[int, int] = _size(_upright(first))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            OSError: a frame cannot be decoded; the message gives its index.
            ValueError: the size changes within the video.
        """
        with self._open() as container:
            start: float | None = None
            for index, decoded in enumerate(_decode(container, self.path)):
                start = decoded.time if start is None else start
                image = _upright(decoded)
                if _size(image) != self.size:
                    raise ValueError(
                        _size_error(f"Frame {index} of {self.path}", image, "frame 0", self.size)
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


class CameraSource:
    """A live camera, until it is unplugged or the caller stops.

    Args:
        camera: its number, 0 for the first.
    """

    def __init__(self, camera: int) -> None:
        self._capture = cv2.VideoCapture(camera)
        if not self._capture.isOpened():
            raise OSError(f"Camera {camera} does not answer; is it plugged in and free?")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.name = f"camera{camera}"
        self.num_frames: int | None = None
        self.frame_rate: Fraction | None = Fraction(rate).limit_denominator(1001) if rate else None
        self.size: tuple[int, int] = (
            int(self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)),
            int(self._capture.get(cv2.CAP_PROP_FRAME_WIDTH)),
        )

    def __iter__(self) -> Iterator[Frame]:
        start: int | None = None
        try:
            for index in itertools.count():
                has_frame, image = self._capture.read()
                if not has_frame:
                    return
                now = cv2.getTickCount()
                start = now if start is None else start
                seconds = (now - start) / cv2.getTickFrequency()
                yield Frame(index, seconds, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        finally:
            self._capture.release()


class ArraySource:
    """Frames that are in memory already or come from the caller's own iterator.

    Args:
        images: (H, W, 3) uint8 RGB each.
        name: what to call the video.
        frame_rate: frames per second, where the caller knows it.
    """

    def __init__(
        self,
        images: Iterable[np.ndarray],
        *,
        name: str = "arrays",
        frame_rate: Fraction | None = None,
    ) -> None:
        self.name = name
        self.frame_rate = frame_rate
        self.num_frames: int | None = len(images) if isinstance(images, Sized) else None
        iterator = iter(images)
        first = next(iterator, None)
        if first is None:
            raise ValueError(f"Video {name} has no frames.")
        self.size: tuple[int, int] = _size(first)
        # A list can be read again; of an iterator only the first frame has been taken so far.
        self._images = images if self.num_frames is not None else itertools.chain([first], iterator)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            ValueError: a frame is not (H, W, 3) uint8, or differs in size from the first.
        """
        for index, image in enumerate(self._images):
            check_array(image, f"Frame {index} of {self.name}")
            if _size(image) != self.size:
                raise ValueError(_size_error(f"Frame {index}", image, "frame 0", self.size))
            timestamp = None if self.frame_rate is None else float(index / self.frame_rate)
            yield Frame(index, timestamp, image)


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


def first_frames(source: FrameSource, limit: int) -> FrameSource:
    """Return a source that ends after `limit` frames.

    Raises:
        ValueError: the limit is not positive.
    """
    if limit < 1:
        raise ValueError(f"A video cannot be limited to {limit} frames; give 1 or more.")
    return _FirstFrames(source, limit)


def check_array(image: np.ndarray, name: str) -> None:
    """Refuse an array that is no picture of (H, W, 3) uint8.

    Raises:
        ValueError: it is of another type or shape; the message names it.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"{name} is {image.dtype} {image.shape}; give (H, W, 3) uint8 RGB.")


def _decode(container: av.container.InputContainer, path: Path) -> Iterator[av.VideoFrame]:
    """Yield decoded frames; an error says how many came before it."""
    num_decoded = 0
    try:
        for frame in container.decode(video=0):
            yield frame
            num_decoded += 1
    except av.error.FFmpegError as error:
        raise OSError(f"Frame {num_decoded} of {path} is unreadable: {error.strerror}.") from error


def _upright(frame: av.VideoFrame) -> np.ndarray:
    """Return the pixels as a player shows them, (H, W, 3) uint8 RGB.

    Phones store a video as the sensor sees it and note by how many degrees to turn it, counted
    counter-clockwise.
    """
    quarter_turns = round(frame.rotation / 90)
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), quarter_turns))


def _size(image: np.ndarray) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _size_error(
    name: object, image: np.ndarray, first_name: object, first_size: tuple[int, int]
) -> str:
    height, width = _size(image)
    return (
        f"{name} is {width}x{height} pixels but {first_name} is {first_size[1]}x{first_size[0]}; "
        "all frames of a video must have one size."
    )
