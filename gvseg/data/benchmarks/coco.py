"""COCO instances: still images, each a video of one frame that can be read as a pseudo clip.

On disk: `coco128/images/*.jpg` and `coco128/instances_train2017.json`, COCO's own format.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np

from gvseg.data.benchmark import Benchmark, Record, require_directory
from gvseg.data.class_table import ClassTable, read_class_table
from gvseg.data.segments import FrameLabels, decode_segmentation, is_polygon
from gvseg.structures import FrameSegments
from gvseg.tasks import Task

logger = logging.getLogger(__name__)


def load_coco_json(json_file: Path, images: Path, classes: ClassTable) -> list[Record]:
    """Read a COCO instance file as one record for each image, in the order of image ids.

    A polygon of fewer than three points encloses nothing and is left out; an annotation that has no
    other polygon is dropped and counted in a warning.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: not JSON, or an annotation of an unknown image or category.
    """
    if not json_file.is_file():
        raise FileNotFoundError(f"{json_file} does not exist.")
    try:
        content = json.loads(json_file.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{json_file} is not valid JSON: {error}.") from None
    records = {
        image["id"]: {
            "video_id": image["id"],
            "height": image["height"],
            "width": image["width"],
            "length": 1,
            "file_names": [str(images / image["file_name"])],
            "annotations": [[]],
            "annotation_file": str(json_file),
        }
        for image in sorted(content["images"], key=lambda image: image["id"])
    }
    num_degenerate = 0
    for annotation in content["annotations"]:
        if annotation["image_id"] not in records:
            raise ValueError(
                f"{json_file}: annotation {annotation['id']} is of image {annotation['image_id']}, "
                "which is not listed."
            )
        entry = _entry(annotation, classes, json_file)
        if entry["segmentation"]:
            records[annotation["image_id"]]["annotations"][0].append(entry)
        else:
            num_degenerate += 1
    if num_degenerate:
        logger.warning("%s: left out %d annotations without area.", json_file, num_degenerate)
    return list(records.values())


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Rasterise the annotations of one image; identities count from 1 in the order of the file."""
    annotations = record["annotations"][frame_index]
    size = (record["height"], record["width"])
    masks = np.zeros((len(annotations), *size), dtype=bool)
    for mask, annotation in zip(masks, annotations, strict=True):
        source = f"{record['annotation_file']}: annotation {annotation['id']}"
        mask[:] = decode_segmentation(annotation["segmentation"], size, source)
    segments = FrameSegments(
        frame_index=frame_index,
        ids=np.arange(1, len(annotations) + 1),
        classes=_column(annotations, "class_index", np.int64),
        scores=np.ones(len(annotations), dtype=np.float32),
        masks=masks,
    )
    return FrameLabels(
        segments, _column(annotations, "iscrowd", bool), _column(annotations, "area", float)
    )


def _column(annotations: list[dict[str, Any]], key: str, dtype: type) -> np.ndarray:
    return np.array([annotation[key] for annotation in annotations], dtype=dtype)


def _entry(annotation: dict[str, Any], classes: ClassTable, json_file: Path) -> dict[str, Any]:
    """Keep of an annotation what is needed later: records are held for the whole training."""
    category_id = annotation["category_id"]
    if category_id not in classes.index_of_id:
        raise ValueError(
            f"{json_file}: annotation {annotation['id']} has category id {category_id}, which is "
            f"not among the {len(classes)} of {classes.name}."
        )
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        segmentation = [points for points in segmentation if is_polygon(points)]
    return {
        "id": annotation["id"],
        "class_index": classes.index_of_id[category_id],
        "iscrowd": annotation["iscrowd"],
        "area": annotation["area"],
        "segmentation": segmentation,
    }


def _load_coco128(root: Path, split: str) -> list[Record]:
    folder = require_directory(root / "coco128", "COCO128")
    json_file = folder / f"instances_{split}2017.json"
    return load_coco_json(json_file, folder / "images", COCO128.classes)


COCO128 = Benchmark(
    name="coco128",
    task=Task.VIS,
    classes=read_class_table("coco"),
    splits=("train",),
    load_records=_load_coco128,
    read_labels=read_labels,
    metrics=("ap/coco",),
)
