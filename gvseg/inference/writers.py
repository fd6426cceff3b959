"""Results of a video as files, frame by frame.  N segments, (H, W) pixels.

Every file is valid up to the last frame flushed to it, even when the program is killed.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from pycocotools import mask as coco_mask

from gvseg.data.segments import front_map
from gvseg.inference.pictures import (
    ContactSheet,
    PictureSink,
    PngFolder,
    VideoFile,
    png_name,
    write_png,
)
from gvseg.inference.sources import Frame
from gvseg.structures import FrameSegments
from gvseg.visualization import ClassLegend, draw_segments

FORMATS = ("video", "frames", "masks", "json")
LARGEST_LABEL = np.iinfo(np.uint16).max


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its first frame."""

    name: str
    size: tuple[int, int]  # height and width in pixels
    num_frames: int | None
    frame_rate: Fraction | None
    legend: ClassLegend  # of the classes that segments may have


class Writer(Protocol):
    """Whatever takes the result of each frame: open, write for every frame, close."""

    @property
    def files(self) -> list[Path]:
        """What was written so far; a folder stands for the files in it."""
        ...

    def open(self, video: VideoInfo) -> None:
        """Make ready for a video; fails here, before any work, where nothing can be written."""
        ...

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        """Add one frame."""
        ...

    def close(self) -> None:
        """Finish the files."""
        ...


def build_writers(folder: str | Path, formats: Iterable[str]) -> list[Writer]:
    """Return writers of the formats named, all into one folder, and of `overview.png`.

    Raises:
        ValueError: a format that does not exist.
        OSError: the folder cannot be made or written to.
    """
    chosen = set(formats)
    if unknown := chosen - set(FORMATS):
        raise ValueError(f"Unknown format {min(unknown)!r}; choose from {', '.join(FORMATS)}.")
    folder = Path(folder)
    _prepare(folder)
    sinks: list[PictureSink] = [ContactSheet(folder / "overview.png")]
    if "video" in chosen:
        sinks.append(VideoFile(folder / "overlay.mp4"))
    if "frames" in chosen:
        sinks.append(PngFolder(folder / "frames"))
    writers: list[Writer] = [OverlayWriter(sinks)]
    if "masks" in chosen:
        writers.append(MaskWriter(folder))
    if "json" in chosen:
        writers.append(JsonWriter(folder / "segments.json"))
    return writers


class OverlayWriter:
    """Draw each frame's segments over it once, for any number of files."""

    def __init__(self, sinks: list[PictureSink]) -> None:
        self.sinks = sinks

    @property
    def files(self) -> list[Path]:
        return [file for sink in self.sinks for file in sink.files]

    def open(self, video: VideoInfo) -> None:
        self._legend = video.legend
        for sink in self.sinks:
            sink.open(video.size, video.frame_rate)

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        picture = draw_segments(frame.image, segments, self._legend)
        for sink in self.sinks:
            sink.write(frame, picture)

    def close(self) -> None:
        for sink in self.sinks:
            sink.close()


class MaskWriter:
    """Label images of 16 bits, one for each frame: `masks/00000.png` and `classes/00000.png`.

    `masks` has the identity at each pixel of an object, 0 elsewhere; it is left out where the
    classes are all stuff. `classes` has the class index plus 1, 0 where there is no segment. Where
    masks overlap the higher score wins.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        self._is_thing = np.array(video.legend.is_thing)
        kinds = ["masks", "classes"] if self._is_thing.any() else ["classes"]
        self.files = [self.folder / kind for kind in kinds]
        for folder in self.files:
            folder.mkdir(exist_ok=True)

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        front = front_map(segments)
        labels = {
            "masks": np.where(self._is_thing[segments.classes], segments.ids, 0),
            "classes": segments.classes + 1,
        }
        for folder in self.files:
            table = np.append(labels[folder.name], 0)  # the last entry serves void, -1
            if table.max() > LARGEST_LABEL:
                raise ValueError(
                    f"Frame {frame.index} has the identity {table.max()}, more than 16 bits hold; "
                    "choose json rather than masks."
                )
            write_png(folder / png_name(frame), table.astype(np.uint16)[front])

    def close(self) -> None:
        """Nothing is left to do: each file is complete as soon as it is written."""


class JsonWriter:
    """One JSON file with the masks as COCO run lengths; readable by any JSON parser at any time.

    `{"video": {name, height, width, frame_rate}, "categories": [{id, name, isthing}], "frames":
    [{frame_index, timestamp, segments: [{identity, category_id, name, score, area, bbox,
    segmentation}]}]}`. `category_id` is the class index, `bbox` is x, y, width, height in pixels,
    `timestamp` is in seconds, null without a clock.
    """

    _TAIL = b"\n]}\n"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        self._names = video.legend.names
        height, width = video.size
        rate = None if video.frame_rate is None else float(video.frame_rate)
        about = {"name": video.name, "height": height, "width": width, "frame_rate": rate}
        categories = [
            {"id": index, "name": name, "isthing": is_thing}
            for index, (name, is_thing) in enumerate(
                zip(self._names, video.legend.is_thing, strict=True)
            )
        ]
        self._file: BinaryIO = self.path.open("wb")
        self.files = [self.path]
        self._end = 0  # where the closing brackets begin
        self._separator = "\n"
        self._append(
            f'{{"video": {json.dumps(about)},\n"categories": {json.dumps(categories)},\n"frames": ['
        )

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        record = {
            "frame_index": frame.index,
            "timestamp": frame.timestamp,
            "segments": [self._segment(segments, position) for position in range(len(segments))],
        }
        self._append(self._separator + json.dumps(record))
        self._separator = ",\n"

    def close(self) -> None:
        self._file.close()

    def _segment(self, segments: FrameSegments, position: int) -> dict[str, Any]:
        run_lengths = coco_mask.encode(np.asfortranarray(segments.mask(position)))
        class_index = int(segments.classes[position])
        return {
            "identity": int(segments.ids[position]),
            "category_id": class_index,
            "name": self._names[class_index],
            "score": round(float(segments.scores[position]), 4),
            "area": int(coco_mask.area(run_lengths)),
            "bbox": [int(length) for length in coco_mask.toBbox(run_lengths)],
            "segmentation": {
                "size": list(segments.size),
                "counts": run_lengths["counts"].decode("ascii"),
            },
        }

    def _append(self, text: str) -> None:
        """Write over the closing brackets and close again, so that the file is whole on disk."""
        data = text.encode("utf-8")
        self._file.seek(self._end)
        self._file.write(data + self._TAIL)
        self._file.flush()
        self._end += len(data)


def _prepare(folder: Path) -> None:
    """Make the folder where needed, and see that files can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"Output folder {folder} cannot be written: {error.strerror}.") from error
