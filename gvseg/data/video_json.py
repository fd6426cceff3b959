"""The JSON of YouTube-VIS, which OVIS and many sets of users' own share.  T frames of a video.

`videos` have an id, height, width and T file names; `annotations` are objects, each with its id,
video_id, category_id and T `segmentations`, None where it is not to be seen. A file without
annotations is one whose labels its authors keep to themselves.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gvseg.data.benchmark import Record, annotated_frames
from gvseg.data.class_table import ClassTable
from gvseg.data.json_files import Entry, check_categories, class_index_of, listed, read_json
from gvseg.data.mask_annotations import Segmentation, compact, frame_labels
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels


def load_video_json(
    json_file: Path, images: Path, classes: ClassTable, *, report: Report = raise_problem
) -> list[Record]:
    """Return one record for each video of a file, in the order of their ids.

    Args:
        json_file: what the module describes.
        images: the folder that file names start from.
        classes: the benchmark's.
        report: told of each problem; where it returns, the video, object or mask is left out.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: it is no JSON.
    """
    content = read_json(json_file)
    check_categories(content, classes, json_file, report=report)
    records: dict[Any, Record] = {}
    for video in listed(
        content, "videos", ("height", "width", "file_names"), json_file, report=report
    ):
        if video["file_names"]:
            records[video["id"]] = _record(video, json_file, images)
        else:
            what = f"says that video {video['id']} has no frames"
            report(Problem(str(json_file), what, "remove the video"))
    if content.get("annotations"):
        required = ("video_id", "category_id", "segmentations")
        for annotation in listed(content, "annotations", required, json_file, report=report):
            _add_track(annotation, records, classes, json_file, report)
    else:
        for record in records.values():
            record["annotated_frames"] = []
    return [records[video_id] for video_id in sorted(records)]


def read_video_labels(record: Record, frame_index: int) -> FrameLabels:
    """Rasterise the objects of one frame; identities are the ids of the annotations.

    Raises:
        ValueError: the labels are hidden, or run lengths are damaged.
    """
    check_annotated(record, frame_index)
    visible = [
        {
            **track,
            "area": track["areas"][frame_index],
            "segmentation": track["segmentations"][frame_index],
        }
        for track in record["tracks"]
        if track["segmentations"][frame_index] is not None
    ]
    return frame_labels(
        visible,
        [track["id"] for track in visible],
        (record["height"], record["width"]),
        frame_index,
        record["annotation_file"],
    )


def check_annotated(record: Record, frame_index: int) -> None:
    """Raise an AnnotationError unless a frame of a video has labels."""
    if frame_index not in annotated_frames(record):
        what = f"has no labels for frame {frame_index} of video {record['video_id']}"
        raise_problem(Problem(record["annotation_file"], what, "choose a frame or split that has"))


def _record(video: Entry, json_file: Path, images: Path) -> Record:
    return {
        "video_id": video["id"],
        "height": video["height"],
        "width": video["width"],
        "length": len(video["file_names"]),
        "file_names": [str(images / name) for name in video["file_names"]],
        "tracks": [],
        "annotation_file": str(json_file),
    }


def _add_track(
    annotation: Entry,
    records: dict[Any, Record],
    classes: ClassTable,
    json_file: Path,
    report: Report,
) -> None:
    """Give the record of its video one object, if nothing is wrong with it."""
    what = f"annotation {annotation['id']}"
    class_index = class_index_of(annotation["category_id"], classes, what, json_file, report=report)
    record = records.get(annotation["video_id"])
    fault = _fault(annotation, record)
    if fault is not None:
        report(Problem(str(json_file), f"says that {what} {fault}", "remove the annotation"))
    if class_index is None or fault is not None or record is None:
        return
    record["tracks"].append(
        {
            "id": annotation["id"],
            "class_index": class_index,
            "iscrowd": bool(annotation.get("iscrowd", 0)),
            "segmentations": _segmentations(annotation, record, report),
            "areas": annotation.get("areas") or [None] * record["length"],
        }
    )


def _fault(annotation: Entry, record: Record | None) -> str | None:
    """Say what is wrong with an object as a whole, None where nothing is."""
    if record is None:
        return f"is of video {annotation['video_id']}, which is not listed"
    if annotation["id"] < 1:
        return "has an id below 1, where ids are identities counted from 1"
    num_masks = len(annotation["segmentations"])
    num_areas = len(annotation.get("areas") or annotation["segmentations"])
    if not num_masks == num_areas == record["length"]:
        return (
            f"has {num_masks} masks and {num_areas} areas, but its video "
            f"{annotation['video_id']} has {record['length']} frames"
        )
    return None


def _segmentations(annotation: Entry, record: Record, report: Report) -> list[Segmentation | None]:
    size = (record["height"], record["width"])
    segmentations: list[Segmentation | None] = []
    for frame_index, segmentation in enumerate(annotation["segmentations"]):
        segmentations.append(None)
        try:
            if segmentation:
                segmentations[-1] = compact(segmentation, size)
        except ValueError as error:
            what = f"says that annotation {annotation['id']}, in frame {frame_index}, {error}"
            report(Problem(record["annotation_file"], what, "correct the mask or make it null"))
    return segmentations
