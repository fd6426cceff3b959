"""VIPSeg at a height of 720: panoptic labels of 58 things and 66 kinds of stuff.

    VIPSeg_720P/panoptic_gt_VIPSeg_{train,val,test}.json  (or VIPSeg/VIPSeg_720P/...)
    VIPSeg_720P/images/<video>/<frame>.jpg
    VIPSeg_720P/panomasksRGB/<video>/<frame>.png          as the JSON says

All published scores are on this form, so it has the plain name; `gvseg convert-vipseg` makes it of
the release, `vipseg_raw`. Each video of the JSON has its own list of frames, named after their
label images, and of annotations in COCO's panoptic format. Labels of test videos are hidden.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gvseg.data.benchmark import Benchmark, Counts, Record
from gvseg.data.class_table import ClassTable, read_class_table
from gvseg.data.json_files import Entry, check_categories, first_existing, listed, read_json
from gvseg.data.panoptic_json import (
    FrameAnnotation,
    ListedFrame,
    frame_annotations,
    panoptic_record,
    read_panoptic_labels,
    report_unmatched,
    within,
)
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels
from gvseg.tasks import Task

CLASSES = read_class_table("vipseg")
COUNTS = {
    "train": Counts(videos=2806, frames=66_767),
    "val": Counts(videos=343, frames=8255),
    "test": Counts(videos=387, frames=9728),
}
_CONVERT = "convert the videos again"


def load_records(root: Path, split: str, *, report: Report = raise_problem) -> list[Record]:
    """Read the JSON of a split.

    Raises:
        FileNotFoundError: the folder or the JSON is missing.
    """
    folder = first_existing([root / "VIPSeg_720P", root / "VIPSeg" / "VIPSeg_720P"])
    json_file = folder / f"panoptic_gt_VIPSeg_{split}.json"
    return load_json(json_file, may_be_hidden=split == "test", report=report)


def load_json(
    json_file: Path,
    *,
    classes: ClassTable = CLASSES,
    may_be_hidden: bool = False,
    report: Report = raise_problem,
) -> list[Record]:
    """Read a JSON, beside which are the folders of images and of labels.

    Args:
        json_file: of a split.
        classes: whose ids it has.
        may_be_hidden: no annotations are no problem.
        report: told of each problem; where it returns, the entry is left out.

    Raises:
        FileNotFoundError: there is no such file.
    """
    content = read_json(json_file)
    check_categories(content, classes, json_file, report=report)
    entries = partial(listed, content, path=json_file, identity="video_id", report=report)
    is_hidden = may_be_hidden and not content.get("annotations")
    annotated = (
        {}
        if is_hidden
        else {entry["video_id"]: entry for entry in entries("annotations", ("annotations",))}
    )
    records = [
        _record(video, annotated.get(video["video_id"]), json_file, classes, is_hidden, report)
        for video in entries("videos", ("images",))
    ]
    found = [record for record in records if record is not None]
    for video_id in sorted(annotated.keys() - {record["video_id"] for record in found}):
        what = f"has annotations of video {video_id}, which it does not list"
        report(Problem(str(json_file), what, _CONVERT))
    return found


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Read the label image of one frame."""
    return read_panoptic_labels(record, frame_index, CLASSES)


def _record(
    video: Entry,
    annotated: Entry | None,
    json_file: Path,
    classes: ClassTable,
    is_hidden: bool,
    report: Report,
) -> Record | None:
    video_id, folder = video["video_id"], json_file.parent
    report = within(f"video {video_id}", report)
    images = listed(video, "images", ("file_name", "height", "width"), json_file, report=report)
    frames = [
        ListedFrame(
            path=folder / "images" / video_id / f"{Path(image['file_name']).stem}.jpg",
            image_id=image["id"],
            size=(image["height"], image["width"]),
        )
        for image in images
    ]
    annotations: dict[str, FrameAnnotation] = {}
    if not is_hidden:
        labels = folder / "panomasksRGB" / video_id
        annotations = frame_annotations(
            annotated or {"annotations": []}, labels, classes, json_file, report=report
        )
        ids = [frame.image_id for frame in frames]
        report_unmatched(ids, annotations, json_file, report=report)
        frames = [frame for frame in frames if frame.image_id in annotations]
    if not images:
        report(Problem(str(json_file), "lists a video without frames", _CONVERT))
    if not frames:
        return None
    return panoptic_record(video_id, frames, annotations, json_file, report=report)


VIPSEG = Benchmark(
    name="vipseg",
    task=Task.VPS,
    classes=CLASSES,
    splits=("train", "val", "test"),
    load_records=load_records,
    read_labels=read_labels,
    metrics=("vpq/vipseg", "stq/vipseg"),
    counts=COUNTS,
    submission="vipseg",
)
