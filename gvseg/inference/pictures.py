"""Where overlay pictures go: a video file, PNG files, one sheet for a first look.

Every file is readable up to the last picture flushed to it, even when the program is killed.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import Protocol, cast

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace

from gvseg.data.whole_files import DirectFile, whole_file, writing
from gvseg.inference.frames import Frame

ENCODER = "libx264"
DEFAULT_FRAME_RATE = Fraction(25)  # of sources without a clock
TICKS_PER_SECOND = 10_000  # at least; time stamps are stored in ticks
HEAD_BYTES = 4096  # within these, the end of a video is written to, and the first fragment begins
KEYFRAME_SECONDS = 1  # between frames that a player can jump to
ITU_709 = 1  # the number of this standard among FFmpeg's primaries and transfer curves
THUMBNAIL_WIDTH = 480
SHEET_COLUMNS = 3
SHEET_GAP = 8  # pixels between pictures


class PictureSink(Protocol):
    """Where pictures of one video go, one after the other."""

    @property
    def files(self) -> list[Path]:
        """What was written so far; a folder stands for the files in it."""
        ...

    def open(self, size: tuple[int, int], frame_rate: Fraction | None) -> None:
        """Make ready for pictures of (height, width) pixels."""
        ...

    def write(self, frame: Frame, picture: np.ndarray) -> None:
        """Add the picture (H, W, 3) uint8 RGB that was made of a frame."""
        ...

    def close(self) -> None:
        """Finish the files."""
        ...


class _EncodedFile(DirectFile):
    """What FFmpeg writes to; once it is stopped, whatever else FFmpeg has to say is dropped."""

    is_stopped = False

    def write(self, data: bytes) -> int:  # type: ignore[override]
        return len(data) if self.is_stopped else super().write(data)


def check_encoder() -> None:
    """Raise an OSError where videos cannot be written."""
    if ENCODER not in av.codecs_available:
        raise OSError(
            f"This PyAV cannot encode H.264 ({ENCODER} is missing); install the av wheel from "
            "PyPI or choose other formats than video."
        )


class VideoFile:
    """An H.264 video that keeps the time stamps of its source.

    Frames of odd size get one more column or row at the edge, for the format knows even sizes only.

    Args:
        path: ends in .mp4.
        quality: constant rate factor of x264; 18 cannot be told from the original, 28 is coarse.
    """

    def __init__(self, path: Path, *, quality: int = 20) -> None:
        self.path = path
        self.quality = quality
        self.files: list[Path] = []

    def open(self, size: tuple[int, int], frame_rate: Fraction | None) -> None:
        check_encoder()
        height, width = size
        self._spare = (height % 2, width % 2)
        self._rate = frame_rate or DEFAULT_FRAME_RATE
        # Ticks divide a frame of the nominal rate exactly and are fine enough for any other.
        factor = math.ceil(TICKS_PER_SECOND / self._rate.numerator)
        self._tick = Fraction(1, self._rate.numerator * factor)
        self._last_tick = -1
        with writing(self.path):
            self._file = _EncodedFile(self.path, "w")
        self._container = av.open(
            self._file,
            "w",
            format="mp4",
            # Each frame is complete on disk as soon as it is written, in a fragment of its own; at
            # the end the file is turned into a plain mp4.
            options={"movflags": "+hybrid_fragmented+frag_every_frame", "flush_packets": "1"},
        )
        stream = cast(av.VideoStream, self._container.add_stream(ENCODER, rate=self._rate))
        stream.width, stream.height = width + self._spare[1], height + self._spare[0]
        stream.pix_fmt = "yuv420p"
        # Without frames that wait for later ones, which would also shift all time stamps.
        stream.options = {"crf": str(self.quality), "preset": "veryfast", "tune": "zerolatency"}
        context = stream.codec_context
        context.time_base = self._tick
        context.gop_size = max(round(self._rate * KEYFRAME_SECONDS), 1)
        context.color_range = ColorRange.MPEG
        context.colorspace = Colorspace.ITU709
        context.color_primaries = context.color_trc = ITU_709
        self._stream = stream
        self.files = [self.path]

    def write(self, frame: Frame, picture: np.ndarray) -> None:
        below, right = self._spare
        padded = np.pad(picture, ((0, below), (0, right), (0, 0)), mode="edge")
        encoded = av.VideoFrame.from_ndarray(padded, format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
        )
        seconds = frame.index / self._rate if frame.timestamp is None else frame.timestamp
        self._last_tick = max(round(seconds / self._tick), self._last_tick + 1)
        encoded.pts = self._last_tick
        encoded.time_base = self._tick
        encoded.duration = round(1 / self._rate / self._tick)
        with self._kept_whole():
            self._container.mux(self._stream.encode(encoded))

    def close(self) -> None:
        if self._file.is_stopped:
            return
        with self._kept_whole():
            self._container.mux(self._stream.encode(None))
        with self._kept_whole():
            self._container.close()
        self._file.close()
        if not self.path.stat().st_size:  # there was no frame
            self.path.unlink()
            self.files = []

    @contextmanager
    def _kept_whole(self) -> Iterator[None]:
        """After an error in the block end the file with the last fragment that was whole before."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        with writing(self.path):
            try:
                yield
            except BaseException:
                self._file.truncate(size)
                self._file.seek(0)
                self._file.write(head)
                self._file.is_stopped = True
                with suppress(av.error.FFmpegError):  # the same one again
                    self._container.close()
                self._file.close()
                if b"moov" not in head:  # it comes with the first fragment
                    self.path.unlink()
                raise


class PngFolder:
    """One PNG for each frame, named by its index: 00000.png, 00001.png, ..."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def open(self, size: tuple[int, int], frame_rate: Fraction | None) -> None:
        self.folder.mkdir(exist_ok=True)
        self.files = [self.folder]

    def write(self, frame: Frame, picture: np.ndarray) -> None:
        write_png(self.folder / png_name(frame), picture)

    def close(self) -> None:
        """Nothing is left to do: each file is complete as soon as it is written."""


class ContactSheet:
    """A few pictures from the whole video side by side, as one PNG.

    The length need not be known: pictures are kept at a stride that doubles when there are too
    many, so at most twice as many as the sheet shows are held, as thumbnails.
    """

    def __init__(self, path: Path, *, num_pictures: int = 6) -> None:
        self.path = path
        self.num_pictures = num_pictures
        self.files: list[Path] = []

    def open(self, size: tuple[int, int], frame_rate: Fraction | None) -> None:
        self._stride = 1
        self._num_frames = 0
        self._thumbnails: list[np.ndarray] = []
        scale = min(THUMBNAIL_WIDTH / size[1], 1)
        self._thumbnail_size = max(round(size[1] * scale), 1), max(round(size[0] * scale), 1)

    def write(self, frame: Frame, picture: np.ndarray) -> None:
        self._num_frames += 1
        if (self._num_frames - 1) % self._stride:
            return
        if len(self._thumbnails) == 2 * self.num_pictures:
            self._thumbnails = self._thumbnails[::2]
            self._stride *= 2
            # The count was even, so this frame is one of the wider stride too.
        self._thumbnails.append(
            cv2.resize(picture, self._thumbnail_size, interpolation=cv2.INTER_AREA)
        )

    def close(self) -> None:
        if not self._thumbnails:
            return
        num_shown = min(self.num_pictures, len(self._thumbnails))
        chosen = np.linspace(0, len(self._thumbnails) - 1, num_shown).round().astype(int)
        columns = min(SHEET_COLUMNS, num_shown)
        width, height = (length + SHEET_GAP for length in self._thumbnail_size)
        sheet = np.full(
            (height * -(-num_shown // columns) + SHEET_GAP, width * columns + SHEET_GAP, 3),
            255,
            dtype=np.uint8,
        )
        for cell, index in enumerate(chosen):
            top = SHEET_GAP + height * (cell // columns)
            left = SHEET_GAP + width * (cell % columns)
            thumbnail = self._thumbnails[index]
            sheet[top : top + thumbnail.shape[0], left : left + thumbnail.shape[1]] = thumbnail
        write_png(self.path, sheet)
        self.files = [self.path]


def png_name(frame: Frame) -> str:
    """Return the file name of a frame's PNG."""
    return f"{frame.index:05d}.png"


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W) uint8 or uint16, or (H, W, 3) uint8 RGB; the file appears when complete."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".png", image)
    with whole_file(path) as unfinished:
        unfinished.write_bytes(encoded.tobytes())
