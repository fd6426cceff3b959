"""Cityscapes-VPS: driving video with panoptic labels of 19 classes for every fifth frame.

    cityscapes_vps/panoptic_im_{train,val,test}_city_vps.json     frames with labels, 6 of a video
    cityscapes_vps/im_all_info_{val,test}_city_vps.json           all frames, 30 of a video
    cityscapes_vps/panoptic_gt_{train,val}_city_vps.json          COCO's panoptic format
    cityscapes_vps/train/img/<video>_<frame>_<city>_<sequence>_<moment>_newImg8bit.png
    cityscapes_vps/{val,test}/img_all/<city>_<sequence>_<moment>_leftImg8bit.png
    cityscapes_vps/{train,val}/panoptic_video/<video>_<...>_<moment>_final_mask.png

Frames from Cityscapes itself end in leftImg8bit and gtFine_color. The authors' scripts make
panoptic_gt and panoptic_video, for train as for val. In training only labelled frames exist, and a
video has 6; in evaluation it has all 30, of which the scores take those with labels. Labels of test
videos are hidden.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from gvseg.data.benchmark import Benchmark, Counts, Record, require_directory
from gvseg.data.class_table import read_class_table
from gvseg.data.json_files import check_categories, listed, read_json
from gvseg.data.panoptic_json import (
    FrameAnnotation,
    ListedFrame,
    frame_annotations,
    panoptic_record,
    read_panoptic_labels,
    report_unmatched,
)
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels
from gvseg.tasks import Task

_CLASSES = read_class_table("cityscapes")
_FRAME_NAME = re.compile(
    r"(\d{4}_\d{4}_)?(?P<moment>[a-z-]+_\d{6}_\d{6})_(newImg8bit|leftImg8bit)\.png"
)
_FRAMES_PER_ID = 10_000  # in lists of all frames an id is video * 10,000 + frame, counted from 1
_GET = "get the file of this benchmark"


def load_records(root: Path, split: str, *, report: Report = raise_problem) -> list[Record]:
    """Read the lists of frames and the annotations of a split.

    Raises:
        FileNotFoundError: the folder or a JSON is missing.
    """
    folder = require_directory(root / "cityscapes_vps", "Cityscapes-VPS")
    json_file = folder / f"panoptic_gt_{split}_city_vps.json"
    labelled = _frames(
        folder / f"panoptic_im_{split}_city_vps.json", folder / split / "img", report
    )
    annotations: dict[str, FrameAnnotation] = {}
    if split != "test":
        labels = folder / split / "panoptic_video"
        annotations = _annotations(json_file, labels, labelled, report)
    videos: dict[str, list[ListedFrame]] = defaultdict(list)
    if split == "train":
        for frame in sorted(labelled.values(), key=lambda frame: frame.image_id):
            if frame.image_id in annotations:
                videos[_video_of(frame)].append(frame)
    else:
        list_file = folder / f"im_all_info_{split}_city_vps.json"
        videos = _whole_videos(list_file, folder / split / "img_all", labelled, report)
    records = [
        panoptic_record(video_id, frames, annotations, json_file, report=report)
        for video_id, frames in sorted(videos.items())
    ]
    labelled_ids = {frame.image_id for frame in labelled.values()}
    for record in records:
        record["submitted_frames"] = [
            index for index, image_id in enumerate(record["image_ids"]) if image_id in labelled_ids
        ]
    return records


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Read the label image of one frame."""
    return read_panoptic_labels(record, frame_index, _CLASSES)


def _frames(list_file: Path, images: Path, report: Report) -> dict[str, ListedFrame]:
    """Return the frames of a list in its order by the moment in their names."""
    frames = {}
    required = ("file_name", "height", "width")
    for image in listed(read_json(list_file), "images", required, list_file, report=report):
        name = image["file_name"]
        match = _FRAME_NAME.fullmatch(name)
        if match is None:
            what = f"lists {name}, which is not named <city>_<sequence>_<moment>_leftImg8bit.png"
            report(Problem(str(list_file), what, _GET))
        elif match["moment"] in frames:
            report(Problem(str(list_file), f"lists {match['moment']} several times", _GET))
        else:
            size = (image["height"], image["width"])
            frames[match["moment"]] = ListedFrame(images / name, image["id"], size)
    return frames


def _annotations(
    json_file: Path, labels: Path, frames: dict[str, ListedFrame], report: Report
) -> dict[str, FrameAnnotation]:
    """Return the annotations of frames by image id, after a report of all that do not match."""
    content = read_json(json_file)
    check_categories(content, _CLASSES, json_file, report=report)
    annotations = frame_annotations(content, labels, _CLASSES, json_file, report=report)
    file_of_id = {frame.image_id: _label_file(frame.path, labels) for frame in frames.values()}
    report_unmatched(file_of_id, annotations, json_file, report=report)
    return {
        image_id: replace(annotations[image_id], label_file=file)
        for image_id, file in file_of_id.items()
        if image_id in annotations
    }


def _label_file(frame: Path, labels: Path) -> str:
    # As the authors' evaluation does it: the JSON too has these names.
    name = frame.name.replace("_newImg8bit", "_final_mask")
    return str(labels / name.replace("_leftImg8bit", "_gtFine_color"))


def _whole_videos(
    list_file: Path, images: Path, labelled: dict[str, ListedFrame], report: Report
) -> dict[str, list[ListedFrame]]:
    """Return all frames of each video, those with labels under the image ids of their labels."""
    frames = _frames(list_file, images, report)
    for moment in sorted(labelled.keys() - frames.keys()):
        report(Problem(str(list_file), f"does not list {moment}, which has labels", _GET))
    numbered = defaultdict(list)
    for moment, frame in sorted(frames.items(), key=lambda item: int(item[1].image_id)):
        numbered[int(frame.image_id) // _FRAMES_PER_ID].append(
            replace(frame, image_id=labelled[moment].image_id if moment in labelled else moment)
        )
    videos = {}
    labelled_ids = {frame.image_id for frame in labelled.values()}
    for number, video in numbered.items():
        video_ids = {_video_of(frame) for frame in video if frame.image_id in labelled_ids}
        if len(video_ids) == 1:
            videos[video_ids.pop()] = video
        else:
            what = f"has in video {number} labelled frames of {len(video_ids)} videos"
            report(Problem(str(list_file), what, _GET))
    return videos


def _video_of(frame: ListedFrame) -> str:
    return frame.image_id[:4]


CITYSCAPES_VPS = Benchmark(
    name="cityscapes_vps",
    task=Task.VPS,
    classes=_CLASSES,
    splits=("train", "val", "test"),
    load_records=load_records,
    read_labels=read_labels,
    metrics=("vpq/cityscapes_vps",),
    submission="cityscapes_vps",
    counts={
        "train": Counts(videos=400, frames=2400),
        "val": Counts(videos=50, frames=300),
        "test": Counts(videos=50, frames=1500),
    },
)
