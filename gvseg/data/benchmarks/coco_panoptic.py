"""COCO panoptic, 80 things and 53 kinds of stuff, and the semantic view of the same labels.

On disk:

    coco/annotations/panoptic_{train,val}2017.json with coco/{train,val}2017/*.jpg
    coco/panoptic_{train,val}2017/*.png, or coco/annotations/panoptic_{train,val}2017/*.png

Images are records of one frame, which can be read as pseudo clips.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Benchmark, Counts, Record, require_directory
from gvseg.data.class_table import read_class_table
from gvseg.data.json_files import check_categories, first_existing, listed, read_json
from gvseg.data.panoptic_json import frame_annotations, read_panoptic_labels
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels
from gvseg.structures import FrameSegments
from gvseg.tasks import Task

_CLASSES = read_class_table("coco_panoptic")


def load_records(root: Path, split: str, *, report: Report = raise_problem) -> list[Record]:
    """Read the list of images of a split, in the order of their ids.

    Raises:
        FileNotFoundError: a folder or the annotation file is missing.
        AnnotationError: it is no JSON.
    """
    folder = require_directory(root / "coco", "COCO")
    json_file = folder / "annotations" / f"panoptic_{split}.json"
    content = read_json(json_file)
    check_categories(content, _CLASSES, json_file, report=report)
    label_folder = first_existing(
        [folder / f"panoptic_{split}", folder / "annotations" / f"panoptic_{split}"]
    )
    annotations = frame_annotations(content, label_folder, _CLASSES, json_file, report=report)
    images = listed(content, "images", ("height", "width", "file_name"), json_file, report=report)
    records = []
    for image in sorted(images, key=lambda image: image["id"]):
        annotation = annotations.pop(image["id"], None)
        if annotation is None:
            what = f"has no annotation of image {image['id']}"
            report(Problem(str(json_file), what, "get the whole file"))
            continue
        records.append(
            {
                "video_id": image["id"],
                "height": image["height"],
                "width": image["width"],
                "length": 1,
                "file_names": [str(folder / split / image["file_name"])],
                "label_files": [annotation.label_file],
                "segments": [annotation.segments],
                "annotation_file": str(json_file),
            }
        )
    for image_id in annotations:
        what = f"has an annotation of image {image_id}, which is not listed"
        report(Problem(str(json_file), what, "list the image or remove the annotation"))
    return records


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Read the label image.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is no colour image, or has other segments than the JSON lists.
    """
    return read_panoptic_labels(record, frame_index, _CLASSES)


def read_semantic_labels(record: Record, frame_index: int) -> FrameLabels:
    """Read the label image with one segment for each class, crowd regions included.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is no colour image, or has other segments than the JSON lists.
    """
    labels = read_labels(record, frame_index)
    segments = labels.segments
    assert segments.index_map is not None
    classes, position_of_segment = np.unique(segments.classes, return_inverse=True)
    merged = FrameSegments(
        frame_index=frame_index,
        ids=classes + 1,
        classes=classes,
        scores=np.ones(len(classes), dtype=np.float32),
        # Position -1 is void and so reads the last entry.
        index_map=np.append(position_of_segment, -1).astype(np.int16)[segments.index_map],
    )
    areas = np.bincount(position_of_segment, labels.areas, minlength=len(classes))
    return FrameLabels(merged, np.zeros(len(classes), dtype=bool), areas)


COCO_PANOPTIC = Benchmark(
    name="coco_panoptic",
    task=Task.VPS,
    classes=_CLASSES,
    splits=("train2017", "val2017"),
    load_records=load_records,
    read_labels=read_labels,
    metrics=("pq/coco",),
    submission="coco_panoptic",
    counts={"train2017": Counts(118287), "val2017": Counts(5000)},
)
COCO_SEMANTIC = Benchmark(
    name="coco_semantic",
    task=Task.VSS,
    classes=_CLASSES,
    splits=("train2017", "val2017"),
    load_records=load_records,
    read_labels=read_semantic_labels,
    metrics=("vss/images",),
    submission="class_images",
    counts=COCO_PANOPTIC.counts,
)
