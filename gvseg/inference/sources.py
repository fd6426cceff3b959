"""Frames from wherever they are: a folder, a glob, a video file, a camera or arrays.

Every source is an iterable of `Frame` and says beforehand what is known about the whole:
name, size, number of frames and frame rate. All frames of a source have one size.
"""

from __future__ import annotations

import glob
import itertools
from collections.abc import Iterable, Iterator, Sized
from copy import copy
from fractions import Fraction
from pathlib import Path
from typing import Protocol, runtime_checkable

import cv2
import numpy as np

from gvseg.data.frames import frame_size, in_natural_order, read_frame
from gvseg.inference.frames import (
    Frame,
    OnBadFrame,
    UnreadableFrame,
    check_array,
    settle,
    size_error,
    size_of,
)
from gvseg.inference.video_file import VideoSource

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"})
_GLOB_CHARACTERS = frozenset("*?[")


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
    on_bad_frame: OnBadFrame = OnBadFrame.ERROR,
) -> FrameSource:
    """Return the source that a user means.

    Args:
        source: a folder of images, a glob pattern, a video file, the number of a camera (also as a
            string of digits), arrays (H, W, 3) uint8 RGB, or a source, which is returned as it is.
        frame_rate: of images and arrays, which have no clock of their own; None where it is not
            known, and for videos and cameras, which have one.
        on_bad_frame: what to do about images and frames of a video file that cannot be read.

    Raises:
        FileNotFoundError: nothing lies at the path, matches the pattern or is in the folder.
        ValueError: what lies there is not a folder of images or a video, or a frame rate is given
            for what has its own.
        OSError: the camera does not answer.
    """
    if isinstance(source, FrameSource):
        return source
    if isinstance(source, int):
        return _open_camera(source, frame_rate)
    if not isinstance(source, (str, Path)):
        return ArraySource(source, frame_rate=frame_rate)
    path = Path(source)
    if path.is_dir():
        return ImageSource.from_folder(path, frame_rate=frame_rate, on_bad_frame=on_bad_frame)
    if path.is_file():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            return ImageSource([path], name=path.stem, frame_rate=frame_rate)
        _check_no_rate(frame_rate, path)
        return VideoSource(path, on_bad_frame=on_bad_frame)
    if str(source).isdecimal():
        return _open_camera(int(str(source)), frame_rate)
    if _GLOB_CHARACTERS & set(str(source)):
        return ImageSource.from_pattern(
            str(source), frame_rate=frame_rate, on_bad_frame=on_bad_frame
        )
    raise FileNotFoundError(f"Input {source} does not exist.")


def title_of(source: str) -> str:
    """Return what a folder, a pattern or a file is called as a video, also if it does not open."""
    path = Path(source)
    if path.is_dir():
        return path.resolve().name
    is_pattern = bool(_GLOB_CHARACTERS & set(source)) and not path.exists()
    return path.parent.resolve().name if is_pattern else path.stem


def _open_camera(number: int, frame_rate: Fraction | None) -> FrameSource:
    _check_no_rate(frame_rate, f"camera {number}")
    return CameraSource(number)


def _check_no_rate(frame_rate: Fraction | None, source: str | Path) -> None:
    if frame_rate is not None:
        raise ValueError(
            f"A frame rate of {frame_rate} is given for {source}, which has its own; give it for "
            "folders and patterns of images alone."
        )


class ImageSource:
    """Image files in a given order, read one at a time.

    Args:
        files: at least one image.
        name: what to call the video.
        frame_rate: at which the images were taken, where that is known.
        on_bad_frame: what to do about images that cannot be read.
    """

    def __init__(
        self,
        files: Iterable[str | Path],
        *,
        name: str,
        frame_rate: Fraction | None = None,
        on_bad_frame: OnBadFrame = OnBadFrame.ERROR,
    ) -> None:
        self.files = [Path(file) for file in files]
        if not self.files:
            raise FileNotFoundError(f"Video {name} has no frames.")
        self.name = name
        self.frame_rate = frame_rate
        self._clock = frame_rate  # of all images, where only some are wanted
        self.on_bad_frame = on_bad_frame
        self.num_frames: int | None = len(self.files)
        self.size: tuple[int, int] = self._first_size()
        self._wanted = range(len(self.files))

    def _first_size(self) -> tuple[int, int]:
        """Return the size of the first image, or of the first that can be read if that will do."""
        for file in self.files:
            try:
                return frame_size(file)
            except OSError:
                if self.on_bad_frame is OnBadFrame.ERROR:
                    raise
        raise OSError(f"No image of {self.name} can be read, {self.files[0]} to begin with.")

    def only(self, wanted: range) -> ImageSource:
        """Return a source of the images at some places, which reads no others."""
        part = copy(self)
        part._wanted = wanted
        part.num_frames = len(wanted)
        part.frame_rate = None if self.frame_rate is None else self.frame_rate / wanted.step
        return part

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        frame_rate: Fraction | None = None,
        on_bad_frame: OnBadFrame = OnBadFrame.ERROR,
    ) -> ImageSource:
        """Return the images of a folder in natural order: frame2 comes before frame10."""
        images = [file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES]
        if not images:
            raise FileNotFoundError(
                f"Folder {folder} has no images ({', '.join(sorted(IMAGE_SUFFIXES))})."
            )
        name = folder.resolve().name
        return cls(
            in_natural_order(images), name=name, frame_rate=frame_rate, on_bad_frame=on_bad_frame
        )

    @classmethod
    def from_pattern(
        cls,
        pattern: str,
        *,
        frame_rate: Fraction | None = None,
        on_bad_frame: OnBadFrame = OnBadFrame.ERROR,
    ) -> ImageSource:
        """Return the files that match a glob pattern (`**` spans folders) in natural order."""
        images = [Path(file) for file in glob.glob(pattern, recursive=True) if Path(file).is_file()]
        if not images:
            raise FileNotFoundError(f"No file matches {pattern}.")
        name = images[0].resolve().parent.name
        return cls(
            in_natural_order(images), name=name, frame_rate=frame_rate, on_bad_frame=on_bad_frame
        )

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            OSError: an image cannot be read; the message names it.
            ValueError: two images differ in size; the message names both.
        """
        return settle(self._read(), self.on_bad_frame)

    def _read(self) -> Iterator[Frame | UnreadableFrame]:
        for index in self._wanted:
            file = self.files[index]
            timestamp = None if self._clock is None else float(index / self._clock)
            try:
                image = read_frame(file)
            except OSError as error:
                yield UnreadableFrame(index, timestamp, error)
                continue
            if size_of(image) != self.size:
                raise ValueError(size_error(file, image, self.files[0], self.size))
            yield Frame(index, timestamp, image)


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
        self.size: tuple[int, int] = size_of(first)
        # A list can be read again; of an iterator only the first frame has been taken so far.
        self._images = images if self.num_frames is not None else itertools.chain([first], iterator)

    def __iter__(self) -> Iterator[Frame]:
        """Yield the frames.

        Raises:
            ValueError: a frame is not (H, W, 3) uint8, or differs in size from the first.
        """
        for index, image in enumerate(self._images):
            check_array(image, f"Frame {index} of {self.name}")
            if size_of(image) != self.size:
                raise ValueError(size_error(f"Frame {index}", image, "frame 0", self.size))
            timestamp = None if self.frame_rate is None else float(index / self.frame_rate)
            yield Frame(index, timestamp, image)
