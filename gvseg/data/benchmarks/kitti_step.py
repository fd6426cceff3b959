"""KITTI-STEP: driving video with panoptic labels of 19 classes for every frame, 10 a second.

    kitti_step/images/{train,val,test}/<sequence>/<frame>.png
    kitti_step/panoptic_maps/{train,val}/<sequence>/<frame>.png

In label images red is the class (255 is void) and green * 256 + blue the number of the object. Only
person and car have numbers; without one, they are a crowd. Numbers are told apart by class, so the
identity of an object is class * 65536 + number. Labels of test sequences are hidden.

The authors split the 21 labelled sequences of KITTI tracking: 0002, 0006, 0007, 0008, 0010, 0013,
0014, 0016 and 0018 are for validation.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Benchmark, Counts, KnownBug, Record, require_directory
from gvseg.data.class_table import read_class_table
from gvseg.data.frame_folders import folder_record, label_file
from gvseg.data.frames import visible
from gvseg.data.panoptic_image import ValueMeanings, panoptic_labels, read_rgb_values
from gvseg.data.problems import RESTORE, Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels
from gvseg.tasks import Task

_CLASSES = read_class_table("kitti_step")


def load_records(root: Path, split: str, *, report: Report = raise_problem) -> list[Record]:
    """Read the folders of the sequences of a split.

    Raises:
        FileNotFoundError: the folder of the split is missing.
    """
    folder = root / "kitti_step"
    images = require_directory(folder / "images" / split, "KITTI-STEP")
    labels = folder / "panoptic_maps" / split
    if split != "test":
        require_directory(labels, "KITTI-STEP")
    sequences = sorted(path for path in visible(images) if path.is_dir())
    if not sequences:
        report(Problem(str(images), "has no sequences", RESTORE))
    records = [
        folder_record(
            sequence.name,
            sequence,
            labels / sequence.name if labels.is_dir() else None,
            report=report,
        )
        for sequence in sequences
    ]
    return [record for record in records if record is not None]


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Read the label image of one frame."""
    path = label_file(record, frame_index)
    return panoptic_labels(read_rgb_values(path), partial(_meanings, path=path), frame_index)


def _meanings(values: np.ndarray, path: str) -> ValueMeanings:
    class_ids, numbers = _decode(values)
    classes = _CLASSES.indices(class_ids, path)
    is_thing = np.array(_CLASSES.is_thing)[classes] & (classes >= 0)
    return ValueMeanings(
        classes=classes,
        # The official scores use the numbers of things alone, and so does this.
        ids=np.where(is_thing & (numbers > 0), (class_ids << 16) + numbers, classes + 1),
        is_crowd=is_thing & (numbers == 0),
    )


def _decode(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the class ids and numbers, each (V,), that RGB values stand for."""
    red, green, blue = values & 255, values >> 8 & 255, values >> 16
    return red, (green << 8) + blue


def _find_things_without_number(record: Record, frame_index: int) -> Problem | None:
    path = label_file(record, frame_index)
    labels = read_labels(record, frame_index)
    names = [_CLASSES.names[index] for index in labels.segments.classes[labels.is_crowd]]
    if not names:
        return None
    what = f"has pixels of {' and '.join(names)} without the number of an object"
    return Problem(path, what, "read them as a crowd, not as an object with number 0")


KITTI_STEP = Benchmark(
    name="kitti_step",
    task=Task.VPS,
    classes=_CLASSES,
    splits=("train", "val", "test"),
    load_records=load_records,
    read_labels=read_labels,
    metrics=("stq/kitti_step", "vpq/kitti_step"),
    # Frames as in deeplab2, the authors' code: data/dataset.py.
    counts={
        "train": Counts(videos=12, frames=5027),
        "val": Counts(videos=9, frames=2981),
        "test": Counts(videos=29, frames=11_095),
    },
    submission="step_images",
    known_bugs=(KnownBug("thing without a number", _find_things_without_number),),
)
