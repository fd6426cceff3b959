"""The formats of VIPSeg, Cityscapes-VPS and COCO: colours in images, one JSON of their classes.

    <folder>/pan_pred/<video>/<frame>.png   VIPSeg: R + 256 G + 65536 B is a segment, 0 is void
    <folder>/pan_pred/<image id>.png        Cityscapes-VPS, whose labelled frames alone count
    <folder>/pan_pred/<image>.png           COCO, named as the image is
    <folder>/pred.json                      annotations: of each frame, its segments and their
                                            categories, in VIPSeg by video

A segment keeps its number throughout a video; `instance_id` is the identity of a thing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.class_table import ClassTable
from gvseg.data.panoptic_image import (
    NUM_RGB_VALUES,
    ValueMeanings,
    panoptic_labels,
    read_rgb_values,
    write_rgb_values,
)
from gvseg.data.segments import front_map
from gvseg.evaluation.submissions.json_parts import (
    Entry,
    JsonParts,
    by_identity,
    entries_of,
    read_predictions,
)
from gvseg.evaluation.submissions.submission import (
    check_known,
    check_prediction_size,
    frame_stem,
    submitted_frames,
)
from gvseg.structures import FrameSegments


@dataclass(frozen=True)
class PanopticLayout:
    """Where a format differs: names of images, and the list in the JSON."""

    image_name: Callable[[Record, int], str]  # of a frame, without suffix, below pan_pred
    # What the JSON has of a video, given its frames' entries; and back, by the images' names.
    to_entries: Callable[[Record, list[Entry]], list[Entry]]
    from_entries: Callable[[list[Entry], Sequence[Record], Path], dict[str, Entry]]


class PanopticImages:
    """Write images of one video; stuff has the number class + 1, things count on from there.

    Args:
        category_ids: (K,) of the classes, for the JSON.
        is_thing: (K,) of the classes.
    """

    def __init__(self, category_ids: Sequence[int], is_thing: Sequence[bool]) -> None:
        self._category_ids = category_ids
        self._is_thing = np.array(is_thing)
        self.reset()

    def reset(self) -> None:
        """Number the things of another video anew, as they appear."""
        self._number_of_id: dict[int, int] = {}

    def write(self, path: Path, segments: FrameSegments, source: str) -> Entry:
        """Write the image of a frame and return what the JSON is to have of it.

        Raises:
            ValueError: an identity is listed twice; `source` says where.
        """
        numbers = segments.classes + 1
        for position in np.flatnonzero(self._is_thing[segments.classes]):
            new = len(self._category_ids) + 1 + len(self._number_of_id)
            numbers[position] = self._number_of_id.setdefault(int(segments.ids[position]), new)
        if len(np.unique(numbers)) < len(numbers):
            raise ValueError(f"{source}: an identity is predicted twice.")
        front = front_map(segments)
        # Position -1 is void and so reads the last entry.
        write_rgb_values(path, np.append(numbers, 0)[front])
        areas = np.bincount(front.ravel() + 1, minlength=len(numbers) + 1)[1:]
        listed = []
        for position in np.flatnonzero(areas):  # official scripts stop at a segment without pixels
            class_index = segments.classes[position]
            about = {
                "id": int(numbers[position]),
                "category_id": self._category_ids[class_index],
                "area": int(areas[position]),
                "iscrowd": 0,
            }
            if self._is_thing[class_index]:
                about["instance_id"] = int(segments.ids[position])  # as in the other files
            listed.append(about)
        return {"image_id": path.stem, "file_name": path.name, "segments_info": listed}


class PanopticWriter:
    """Write images and JSON.

    Args:
        folder: made where needed.
        benchmark: that is submitted to.
        layout: of the format.
    """

    def __init__(self, folder: Path, benchmark: Benchmark, *, layout: PanopticLayout) -> None:
        self.folder = folder
        self._parts = JsonParts(folder)
        self._layout = layout
        self._images = PanopticImages(benchmark.classes.ids, benchmark.classes.is_thing)
        self._frames: list[Entry] = []  # of the video

    def write(self, record: Record, segments: FrameSegments) -> None:
        """Write the next frame of a video, if it is one that is wanted.

        Raises:
            ValueError: an identity is listed twice.
        """
        if segments.frame_index not in submitted_frames(record):
            return
        name = self._layout.image_name(record, segments.frame_index)
        path = self.folder / "pan_pred" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame_name = record["file_names"][segments.frame_index]
        source = f"Video {record['video_id']}, frame {frame_name}"
        self._frames.append(self._images.write(path, segments, source))

    def end_video(self, record: Record) -> None:
        """Keep what the JSON is to have of the video."""
        self._parts.add(record, self._layout.to_entries(record, self._frames))
        self._images.reset()
        self._frames = []

    def finish(self, records: Sequence[Record]) -> None:
        """Write the JSON."""
        self._parts.join(self.folder / "pred.json", records, head='{"annotations": [', tail="]}")


class PanopticReader:
    """Read images and JSON; identities are the numbers of segments, those of stuff included.

    Args:
        folder: that has pan_pred and pred.json.
        benchmark: that they are for.
        records: all videos of the split.
        layout: of the format.

    Raises:
        FileNotFoundError: there is no JSON.
        ValueError: it has frames that the dataset does not have, or is damaged.
    """

    def __init__(
        self,
        folder: Path,
        benchmark: Benchmark,
        records: Sequence[Record],
        *,
        layout: PanopticLayout,
    ) -> None:
        self.folder = folder
        self._json_file = folder / "pred.json"
        self._classes = benchmark.classes
        self._layout = layout
        content = read_predictions(self._json_file)
        if not isinstance(content, dict):
            raise ValueError(f"Prediction {self._json_file} holds no JSON object.")
        entries = entries_of(content.get("annotations"), (), self._json_file)
        self._frames = layout.from_entries(entries, records, self._json_file)
        names = {
            layout.image_name(record, frame_index)
            for record in records
            for frame_index in range(record["length"])
        }
        unknown = sorted(self._frames.keys() - names)
        if unknown:
            raise ValueError(
                f"Prediction {self._json_file} has frame {unknown[0]}, which is not in the dataset."
            )

    def frames(self, record: Record, frame_indices: Sequence[int]) -> Iterator[FrameSegments]:
        """Yield the predictions for some frames of a video."""
        for frame_index in frame_indices:
            name = self._layout.image_name(record, frame_index)
            if name not in self._frames:
                raise ValueError(
                    f"Video {record['video_id']}: prediction {self._json_file} lacks frame {name}."
                )
            path = self.folder / "pan_pred" / f"{name}.png"
            meanings = partial(self._meanings, entry=self._frames[name], path=path)
            values = read_rgb_values(path, f"Video {record['video_id']}: prediction")
            segments = panoptic_labels(values, meanings, frame_index).segments
            check_prediction_size(segments, record, path)
            yield segments

    def _meanings(self, values: np.ndarray, entry: Entry, path: Path) -> ValueMeanings:
        source = f"{self._json_file}, {entry['file_name']}"
        listed = entries_of(entry["segments_info"], ("id", "category_id"), source)
        category_of_number = {
            number: segment["category_id"]
            for number, segment in by_identity(listed, "id", source).items()
        }
        seen = values[values > 0].tolist()
        for numbers, what in (
            (set(seen) - category_of_number.keys(), f"has segments {{}} that {source} lacks"),
            (category_of_number.keys() - set(seen), f"lacks segments {{}} that {source} has"),
        ):
            if numbers:
                raise ValueError(f"Prediction {path} {what.format(sorted(numbers)[:10])}.")
        category_ids = np.array([category_of_number[number] for number in seen], dtype=np.int64)
        num_void = len(values) - len(seen)  # void comes first
        indices = _class_indices(category_ids, self._classes, source)
        return ValueMeanings(
            classes=np.append(np.full(num_void, -1), indices),
            # As official, tubes go by numbers alone: none is the identity of a class of stuff.
            ids=values.astype(np.int64) + NUM_RGB_VALUES,
            is_crowd=np.zeros(len(values), dtype=bool),
        )


def _class_indices(category_ids: np.ndarray, classes: ClassTable, source: str) -> np.ndarray:
    indices = classes.indices(category_ids, f"Prediction {source}")
    if (indices < 0).any():
        void = category_ids[indices < 0][0]
        raise ValueError(f"Prediction {source} has a segment of category {void}, which is void.")
    return indices


_FRAME_KEYS = ("file_name", "segments_info")


def _vipseg_image_name(record: Record, frame_index: int) -> str:
    return f"{record['video_id']}/{frame_stem(record, frame_index)}"


def _vipseg_to_entries(record: Record, frames: list[Entry]) -> list[Entry]:
    return [{"video_id": record["video_id"], "annotations": frames}]


def _vipseg_from_entries(
    entries: list[Entry], records: Sequence[Record], json_file: Path
) -> dict[str, Entry]:
    entries_of(entries, ("video_id", "annotations"), json_file)
    videos = by_identity(entries, "video_id", json_file)
    check_known(set(videos), records, f"Prediction {json_file}")
    frames = {}
    for video_id, video in videos.items():
        source = f"{json_file}, video {video_id}"
        listed = entries_of(video["annotations"], _FRAME_KEYS, source)
        for name, frame in by_identity(listed, "file_name", source).items():
            frames[f"{video_id}/{Path(name).stem}"] = frame
    return frames


def _cityscapes_image_name(record: Record, frame_index: int) -> str:
    return str(record["image_ids"][frame_index])


def _cityscapes_to_entries(record: Record, frames: list[Entry]) -> list[Entry]:
    return frames


def _cityscapes_from_entries(
    entries: list[Entry], records: Sequence[Record], json_file: Path
) -> dict[str, Entry]:
    return by_identity(entries_of(entries, ("image_id", *_FRAME_KEYS), json_file), "image_id",
                       json_file)  # fmt: skip


def _coco_to_entries(record: Record, frames: list[Entry]) -> list[Entry]:
    return [{**frame, "image_id": record["video_id"]} for frame in frames]


def _coco_from_entries(
    entries: list[Entry], records: Sequence[Record], json_file: Path
) -> dict[str, Entry]:
    entries_of(entries, ("image_id", *_FRAME_KEYS), json_file)
    images = by_identity(entries, "image_id", json_file)
    check_known(set(images), records, f"Prediction {json_file}")
    return {Path(image["file_name"]).stem: image for image in images.values()}


VIPSEG_LAYOUT = PanopticLayout(_vipseg_image_name, _vipseg_to_entries, _vipseg_from_entries)
CITYSCAPES_LAYOUT = PanopticLayout(
    _cityscapes_image_name, _cityscapes_to_entries, _cityscapes_from_entries
)
COCO_LAYOUT = PanopticLayout(frame_stem, _coco_to_entries, _coco_from_entries)
