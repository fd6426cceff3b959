"""Annotations in COCO's panoptic format: colours in images, and what each stands for in a JSON.

Each frame has an entry with `image_id`, `file_name` of its label image and `segments_info`, of
which each has an `id` (the number that its pixels hold), `category_id` and `iscrowd`. 0 is void.
Videos hold on to a segment's number in all their frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Record
from gvseg.data.class_table import ClassTable
from gvseg.data.frame_folders import label_file
from gvseg.data.json_files import Entry, class_index_of, listed
from gvseg.data.panoptic_image import (
    NUM_RGB_VALUES,
    ValueMeanings,
    identities,
    panoptic_labels,
    read_rgb_values,
)
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels

# One array for each frame: records are held for the whole training.
SEGMENT = np.dtype(
    [
        ("number", np.int32),
        ("class_index", np.int32),
        ("is_crowd", bool),
        ("area", np.int32),  # as stated, which official scores go by; -1 where it is not
        ("rank", np.int16),  # in the list, whose order official scores may go by
    ]
)


@dataclass(frozen=True)
class FrameAnnotation:
    """What the JSON says of one frame."""

    label_file: str
    segments: np.ndarray  # (N,) of SEGMENT, in ascending order of numbers


@dataclass(frozen=True)
class ListedFrame:
    """A frame as a JSON lists it."""

    path: Path
    image_id: str
    size: tuple[int, int]  # height, width


def frame_annotations(
    content: Entry,
    folder: Path,
    classes: ClassTable,
    json_file: Path,
    *,
    report: Report = raise_problem,
) -> dict[str, FrameAnnotation]:
    """Return the list `annotations` of a JSON, or of one video in it, by image id.

    Args:
        content: what has the list.
        folder: of the label images.
        classes: the benchmark's.
        json_file: the file.
        report: told of each problem; where it returns, the frame or segment is left out.
    """
    required = ("file_name", "segments_info")
    entries = listed(
        content, "annotations", required, json_file, identity="image_id", report=report
    )
    return {
        entry["image_id"]: FrameAnnotation(
            str(folder / entry["file_name"]), _segments(entry, classes, json_file, report)
        )
        for entry in entries
    }


def category_entries(classes: ClassTable) -> list[Entry]:
    """Return the list `categories` of the format."""
    return [
        {"id": id_, "name": name, "isthing": int(is_thing), "color": list(color)}
        for id_, name, is_thing, color in zip(
            classes.ids, classes.names, classes.is_thing, classes.colors, strict=True
        )
    ]


def within(place: str, report: Report) -> Report:
    """Return a report that adds where in a file the problem is."""

    def report_place(problem: Problem) -> None:
        report(Problem(problem.file, f"{problem.what} ({place})", problem.fix))

    return report_place


def report_unmatched(
    image_ids: Iterable[str],
    annotations: Mapping[str, FrameAnnotation],
    json_file: Path,
    *,
    report: Report,
) -> None:
    """Report frames without annotations, and annotations of frames that are not listed."""
    listed_ids = set(image_ids)
    for image_id in sorted(listed_ids - annotations.keys()):
        report(Problem(str(json_file), f"has no annotations of frame {image_id}", _MAKE_AGAIN))
    for image_id in sorted(annotations.keys() - listed_ids):
        what = f"has annotations of frame {image_id}, which is not listed"
        report(Problem(str(json_file), what, _MAKE_AGAIN))


_MAKE_AGAIN = "make it again from the label images"


def panoptic_record(
    video_id: str,
    frames: Sequence[ListedFrame],
    annotations: Mapping[str, FrameAnnotation],
    json_file: Path,
    *,
    report: Report = raise_problem,
) -> Record:
    """Return the record of one video, for `read_panoptic_labels`.

    Args:
        video_id: the name of the video.
        frames: T, in order, one at least.
        annotations: by image id, of those that have labels.
        json_file: that has the annotations.
        report: told of frames of several sizes, and of segments of several classes.
    """
    labelled = [annotations.get(frame.image_id) for frame in frames]
    _check_video(video_id, frames, labelled, json_file, report)
    height, width = frames[0].size
    record: Record = {
        "video_id": video_id,
        "height": height,
        "width": width,
        "length": len(frames),
        "file_names": [str(frame.path) for frame in frames],
        "image_ids": [frame.image_id for frame in frames],
        "label_files": [None if labels is None else labels.label_file for labels in labelled],
        "segments": [None if labels is None else labels.segments for labels in labelled],
        "annotation_file": str(json_file),
    }
    if None in labelled:
        record["annotated_frames"] = [
            index for index, labels in enumerate(labelled) if labels is not None
        ]
    return record


def read_panoptic_labels(record: Record, frame_index: int, classes: ClassTable) -> FrameLabels:
    """Read the label image of one frame, with segments in the order of the JSON.

    Args:
        record: with `label_files`, `annotation_file`, and `segments`: one array for each frame.
        frame_index: of the video.
        classes: the benchmark's.

    Raises:
        OSError: the label image is missing or cannot be read.
        ValueError: the frame has no labels, they are no colour image, or have other segments than
            the JSON lists.
    """
    path = label_file(record, frame_index)
    meanings = partial(
        _meanings,
        segments=record["segments"][frame_index],
        classes=classes,
        path=path,
        json_file=record["annotation_file"],
    )
    return panoptic_labels(read_rgb_values(path), meanings, frame_index)


def _check_video(
    video_id: str,
    frames: Sequence[ListedFrame],
    labelled: Sequence[FrameAnnotation | None],
    json_file: Path,
    report: Report,
) -> None:
    for size in {frame.size for frame in frames} - {frames[0].size}:
        what = f"gives frames of video {video_id} the sizes {frames[0].size} and {size}"
        report(Problem(str(json_file), what, "resize all frames of a video alike"))
    class_of_number: dict[int, int] = {}
    for labels in labelled:
        for number, class_index, *_ in [] if labels is None else labels.segments.tolist():
            if class_of_number.setdefault(number, class_index) != class_index:
                what = f"gives segment {number} of video {video_id} several categories"
                report(Problem(str(json_file), what, "give each its own id"))


def _segments(entry: Entry, classes: ClassTable, json_file: Path, report: Report) -> np.ndarray:
    report_frame = within(f"frame {entry['file_name']}", report)
    rows: list[tuple[int, int, bool, int, int]] = []
    for segment in listed(entry, "segments_info", ("category_id",), json_file, report=report_frame):
        number = segment["id"]
        class_index = class_index_of(
            segment["category_id"], classes, f"segment {number}", json_file, report=report_frame
        )
        if not 0 < number < NUM_RGB_VALUES:
            what = f"has a segment with id {number}, which no colour can hold"
            report_frame(Problem(str(json_file), what, "number segments from 1 to 2^24 - 1"))
        elif class_index is not None:
            is_crowd, area = bool(segment.get("iscrowd", 0)), int(segment.get("area", -1))
            rows.append((number, class_index, is_crowd, area, len(rows)))
    return np.array(sorted(rows), dtype=SEGMENT)


def _meanings(
    values: np.ndarray, segments: np.ndarray, classes: ClassTable, path: str, json_file: str
) -> ValueMeanings:
    unlisted = np.setdiff1d(values[values > 0], segments["number"])
    unseen = np.setdiff1d(segments["number"], values)
    for numbers, what in (
        (unlisted, f"has segments {{}} that {json_file} does not list"),
        (unseen, f"lacks segments {{}} that {json_file} lists"),
    ):
        if len(numbers):
            fix = "take both from one release or conversion"
            raise_problem(Problem(path, what.format(numbers[:10].tolist()), fix))
    # Both ascend, so that segments follow the void, where there is any.
    num_void = len(values) - len(segments)
    classes_of_values = np.append(np.full(num_void, -1), segments["class_index"])
    return ValueMeanings(
        classes=classes_of_values,
        ids=identities(values, classes_of_values, classes),
        is_crowd=np.append(np.zeros(num_void, dtype=bool), segments["is_crowd"]),
        ranks=np.append(np.zeros(num_void, dtype=np.int64), segments["rank"]),
        areas=np.append(np.full(num_void, -1), segments["area"]),
    )
