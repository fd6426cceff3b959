"""Segments of every frame as JSON, as a table and as arrays.  N segments, (H, W) pixels."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from gvseg.data.mask_annotations import run_lengths
from gvseg.data.whole_files import GrowingFile, whole_file
from gvseg.inference.frames import Frame
from gvseg.inference.json_files import GrowingJson
from gvseg.inference.video_info import VideoInfo
from gvseg.structures import FrameSegments

CSV_COLUMNS = (
    *("frame", "seconds", "id", "class_id", "class", "score"),
    *("left", "top", "width", "height", "area"),
)


class JsonWriter:
    """One JSON file with the masks as COCO run lengths; readable by any JSON parser at any time.

    `{"video": {name, height, width, frame_rate}, "categories": [{id, name, isthing}], "frames":
    [{frame_index, timestamp, segments: [{identity, category_id, name, score, area, bbox,
    segmentation}]}]}`. `category_id` is the class index, `bbox` is x, y, width, height in pixels,
    `timestamp` is in seconds, null without a clock.
    """

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
        head = f'{{"video": {json.dumps(about)},\n"categories": {json.dumps(categories)}'
        self._file = GrowingJson(self.path, head=f'{head},\n"frames": [', tail="]}")
        self.files = [self.path]

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        record = {
            "frame_index": frame.index,
            "timestamp": frame.timestamp,
            "segments": [self._segment(segments, position) for position in range(len(segments))],
        }
        self._file.append(record)

    def close(self) -> None:
        self._file.close()

    def _segment(self, segments: FrameSegments, position: int) -> dict[str, Any]:
        encoded = run_lengths(segments.mask(position))
        class_index = int(segments.classes[position])
        return {
            "identity": int(segments.ids[position]),
            "category_id": class_index,
            "name": self._names[class_index],
            "score": round(float(segments.scores[position]), 4),
            "area": int(coco_mask.area(encoded)),
            "bbox": [int(length) for length in coco_mask.toBbox(encoded)],
            "segmentation": encoded,
        }


class CsvWriter:
    """A table with a line for each segment of each frame; lines of a frame go out together.

    `frame` counts from 0, `seconds` is empty without a clock, `id` is empty for stuff, `class_id`
    is that of the dataset's files, the box and `area` are in pixels.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        self._legend = video.legend
        self._file = GrowingFile(self.path, _table([CSV_COLUMNS]))
        self.files = [self.path]

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        rows = [self._row(frame, segments, position) for position in range(len(segments))]
        self._file.append(_table(row for row in rows if row[-1]))

    def close(self) -> None:
        self._file.close()

    def _row(self, frame: Frame, segments: FrameSegments, position: int) -> list[object]:
        class_index = int(segments.classes[position])
        encoded = run_lengths(segments.mask(position))
        return [
            frame.index,
            "" if frame.timestamp is None else f"{frame.timestamp:.4f}",
            int(segments.ids[position]) if self._legend.is_thing[class_index] else "",
            self._legend.category_ids[class_index],
            self._legend.names[class_index],
            f"{segments.scores[position]:.4f}",
            *(int(length) for length in coco_mask.toBbox(encoded)),
            int(coco_mask.area(encoded)),
        ]


def _table(rows: Iterable[Iterable[object]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode("utf-8")


class NpzWriter:
    """NumPy's arrays, a file for each frame: `npz/00000.npz`.

    `ids`, `classes` (class indices) and `scores` are (N,). Masks that may overlap are `masks`
    (N, H, W) bool; of segments that cannot, `index_map` (H, W) int16 has the position at each
    pixel, -1 where there is none.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        self.folder.mkdir(exist_ok=True)
        self.files = [self.folder]

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        arrays: dict[str, Any] = {
            "ids": segments.ids,
            "classes": segments.classes,
            "scores": segments.scores,
            "masks": segments.masks,
            "index_map": segments.index_map,
        }
        data = io.BytesIO()
        known = {name: array for name, array in arrays.items() if array is not None}
        np.savez_compressed(data, **known)
        with whole_file(self.folder / f"{frame.index:05d}.npz") as unfinished:
            unfinished.write_bytes(data.getvalue())

    def close(self) -> None:
        """Nothing is left to do: each file is complete as soon as it is written."""
