"""VIPSeg as published, its videos at many sizes, at 5 frames a second.

    VIPSeg/{train,val,test}.txt                   names of videos
    VIPSeg/imgs/<video>/<frame>.jpg               (or images/)
    VIPSeg/panomasks/<video>/<frame>.png          16 bits, 0 is void

Label images hold class + 1 where that is all there is to say, and (class + 1) * 100 + number, from
125 on, for objects. The value serves as identity. A thing below 125 has no number and is one
object, as in the authors' converter and scores. Labels of test videos are hidden.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.benchmark import Benchmark, KnownBug, Record, require_directory
from gvseg.data.benchmarks.vipseg import CLASSES, COUNTS
from gvseg.data.frame_folders import folder_record, label_file, read_video_list
from gvseg.data.json_files import first_existing
from gvseg.data.panoptic_image import ValueMeanings, panoptic_labels
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels, read_id_image
from gvseg.tasks import Task

NUMBERS_PER_CLASS = 100
# https://github.com/VIPSeg-Dataset/VIPSeg-Dataset/issues/1: the authors say that it means void.
BROKEN_VIDEO, BROKEN_VALUE = "353_-5sqmCF8OFU", 200


def load_records(root: Path, split: str, *, report: Report = raise_problem) -> list[Record]:
    """Read the list of a split and the folders of its videos.

    Raises:
        FileNotFoundError: the folder or the list is missing.
    """
    folder = require_directory(root / "VIPSeg", "VIPSeg")
    frames = first_existing([folder / "imgs", folder / "images"])
    records = []
    for name in read_video_list(folder / f"{split}.txt", report=report):
        labels = folder / "panomasks" / name
        is_hidden = split == "test" and not labels.is_dir()
        record = folder_record(name, frames / name, None if is_hidden else labels, report=report)
        if record is not None:
            records.append(record)
    return records


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Read the label image of one frame."""
    path = label_file(record, frame_index)
    return panoptic_labels(read_values(path), partial(meanings, path=path), frame_index)


def read_values(path: str | Path) -> np.ndarray:
    """Return the values of a label image, (H, W) int32, the known wrong ones as void.

    Raises:
        OSError: the file is missing or cannot be read.
        ValueError: the image has colour channels.
    """
    values = read_id_image(path)
    if Path(path).parent.name == BROKEN_VIDEO:
        values[values == BROKEN_VALUE] = 0
    return values


def meanings(values: np.ndarray, path: str | Path) -> ValueMeanings:
    """Return what values, (V,), of a label image stand for.

    Raises:
        AnnotationError: a value that stands for nothing.
    """
    has_number = values > len(CLASSES)
    classes = np.where(has_number, values // NUMBERS_PER_CLASS, values) - 1
    is_known = classes < len(CLASSES)
    is_thing = np.array(CLASSES.is_thing)[np.where(is_known, classes, 0)]
    is_known &= is_thing | ~has_number
    if not is_known.all():
        what = f"has values {values[~is_known][:10].tolist()}, which stand for no class or object"
        raise_problem(Problem(str(path), what, "set them to 0, which is void"))
    return ValueMeanings(classes, ids=values, is_crowd=np.zeros(len(values), dtype=bool))


def _find_broken_value(record: Record, frame_index: int) -> Problem | None:
    path = label_file(record, frame_index)
    if record["video_id"] != BROKEN_VIDEO or not (read_id_image(path) == BROKEN_VALUE).any():
        return None
    what = f"has pixels of value {BROKEN_VALUE}, which stands for no class or object"
    return Problem(path, what, "set them to 0, which is void")


def _repair_broken_value(path: Path) -> None:
    Image.fromarray(read_values(path).astype(np.uint16)).save(path)


VIPSEG_RAW = Benchmark(
    name="vipseg_raw",
    task=Task.VPS,
    classes=CLASSES,
    splits=("train", "val", "test"),
    load_records=load_records,
    read_labels=read_labels,
    metrics=("vpq/vipseg", "stq/vipseg"),
    submission="vipseg",
    counts=COUNTS,
    known_bugs=(KnownBug(f"value {BROKEN_VALUE}", _find_broken_value, _repair_broken_value),),
)
