"""The JSON of COCO instances.  One frame a record.

`images` have an id, height, width and file_name; `annotations` are objects, each with its id,
image_id, category_id and a `segmentation`: polygons or run lengths.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gvseg.data.benchmark import Record
from gvseg.data.class_table import ClassTable
from gvseg.data.json_files import Entry, check_categories, class_index_of, listed, read_json
from gvseg.data.mask_annotations import compact, frame_labels
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels, is_polygon

logger = logging.getLogger(__name__)


def load_image_json(
    json_file: Path,
    images: Path,
    classes: ClassTable,
    *,
    other_index: Mapping[int, int] | None = None,
    report: Report = raise_problem,
) -> list[Record]:
    """Return one record for each image of a file, in the order of their ids.

    A polygon of fewer than three points encloses nothing and is left out; an annotation that has no
    other polygon is dropped and counted in a warning.

    Args:
        json_file: in COCO's format.
        images: the folder of the images.
        classes: of the file.
        other_index: index by category id in a table of other classes; objects without an entry are
            left out, and images without an object.
        report: told of each problem; where it returns, the image or annotation is left out.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: it is no JSON.
    """
    content = read_json(json_file)
    check_categories(content, classes, json_file, report=report)
    required = ("height", "width", "file_name")
    records = {
        image["id"]: _record(image, json_file, images)
        for image in listed(content, "images", required, json_file, report=report)
    }
    index = classes.index_of_id if other_index is None else other_index
    num_degenerate = 0
    required = ("image_id", "category_id", "segmentation")
    for annotation in listed(content, "annotations", required, json_file, report=report):
        if not _is_known(annotation, records, classes, json_file, report):
            continue
        if annotation["category_id"] not in index:
            continue
        if _is_degenerate(annotation["segmentation"]):
            num_degenerate += 1
            continue
        _add(annotation, records[annotation["image_id"]], index, report)
    if num_degenerate:
        logger.warning("%s: left out %d annotations without area.", json_file, num_degenerate)
    in_order = [records[image_id] for image_id in sorted(records)]
    if other_index is None:
        return in_order
    return [record for record in in_order if record["annotations"][0]]


def read_image_labels(record: Record, frame_index: int) -> FrameLabels:
    """Rasterise the annotations of one image; identities count from 1 in the order of the file.

    Raises:
        ValueError: run lengths are damaged or of another size.
    """
    annotations = record["annotations"][frame_index]
    return frame_labels(
        annotations,
        range(1, len(annotations) + 1),
        (record["height"], record["width"]),
        frame_index,
        record["annotation_file"],
    )


def _record(image: Entry, json_file: Path, images: Path) -> Record:
    return {
        "video_id": image["id"],
        "height": image["height"],
        "width": image["width"],
        "length": 1,
        "file_names": [str(images / image["file_name"])],
        "annotations": [[]],
        "annotation_file": str(json_file),
    }


def _is_known(
    annotation: Entry,
    records: Mapping[Any, Record],
    classes: ClassTable,
    json_file: Path,
    report: Report,
) -> bool:
    """Tell whether an annotation is of a listed image and of a class, and report otherwise."""
    what = f"annotation {annotation['id']}"
    if annotation["image_id"] not in records:
        clause = f"says that {what} is of image {annotation['image_id']}, which is not listed"
        report(Problem(str(json_file), clause, "list the image or remove the annotation"))
        return False
    index = class_index_of(annotation["category_id"], classes, what, json_file, report=report)
    return index is not None


def _is_degenerate(segmentation: list | dict[str, Any]) -> bool:
    return isinstance(segmentation, list) and not any(map(is_polygon, segmentation))


def _add(annotation: Entry, record: Record, index: Mapping[int, int], report: Report) -> None:
    """Keep of an annotation what is needed later: records are held for the whole training."""
    try:
        segmentation = compact(annotation["segmentation"], (record["height"], record["width"]))
    except ValueError as error:
        what = f"says that annotation {annotation['id']} {error}"
        report(Problem(record["annotation_file"], what, "correct or remove the annotation"))
        return
    record["annotations"][0].append(
        {
            "id": annotation["id"],
            "class_index": index[annotation["category_id"]],
            "iscrowd": annotation.get("iscrowd", 0),
            "area": annotation.get("area"),
            "segmentation": segmentation,
        }
    )
