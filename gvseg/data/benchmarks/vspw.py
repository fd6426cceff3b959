"""VSPW: semantic labels of 124 classes for every frame, at 15 frames a second.

    VSPW_480p/{train,val,test}.txt                names of videos
    VSPW_480p/data/<video>/origin/<frame>.jpg
    VSPW_480p/data/<video>/mask/<frame>.png       1..124 is a class, 0 others, 255 void

`VSPW/` is the same at the original sizes. Benchmark and literature score at a height of 480, so
`vspw` is that one and `vspw_raw` the original. Labels of test videos are hidden.

The authors' readers shift values to 0..123: 0 becomes 255, all lose 1, 254 (which was 255) becomes
255. Some files hold 253 too, which turns into 252 there and matches no class by luck alone; here
it is void, and so is 254. Some frames of video 988_f_Xvy_DCPt8 are empty files in the archive; the
authors offer them anew.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.benchmark import Benchmark, Counts, KnownBug, Record, require_directory
from gvseg.data.class_table import read_class_table
from gvseg.data.frame_folders import folder_record, label_file, read_video_list
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels, read_id_image, semantic_labels
from gvseg.tasks import Task

_CLASSES = read_class_table("vspw")
_VOID = 255
_STRAY_VALUES = (253, 254)  # neither a class nor one of the authors' two kinds of void


def load_records(
    folder_name: str, root: Path, split: str, *, report: Report = raise_problem
) -> list[Record]:
    """Read the list of a split and the folders of its videos.

    Args:
        folder_name: of the release below `root`.
        root: `DETECTRON2_DATASETS`.
        split: train, val or test.
        report: told of each problem; where it returns, the entry is left out.

    Raises:
        FileNotFoundError: the folder or the list is missing.
    """
    folder = require_directory(root / folder_name, "VSPW")
    records = []
    for name in read_video_list(folder / f"{split}.txt", report=report):
        video = folder / "data" / name
        labels = video / "mask"
        is_hidden = split == "test" and not labels.is_dir()
        record = folder_record(name, video / "origin", None if is_hidden else labels, report=report)
        if record is not None:
            records.append(record)
    return records


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Read the label image of one frame."""
    path = label_file(record, frame_index)
    return semantic_labels(read_id_image(path), _CLASSES, frame_index, path)


def _find_stray_values(record: Record, frame_index: int) -> Problem | None:
    path = label_file(record, frame_index)
    found = np.intersect1d(read_id_image(path), _STRAY_VALUES)
    if len(found) == 0:
        return None
    values = " and ".join(map(str, found))
    return Problem(path, f"has pixels of value {values}, which is no class", f"set them to {_VOID}")


def _repair_stray_values(path: Path) -> None:
    values = read_id_image(path)
    values[np.isin(values, _STRAY_VALUES)] = _VOID
    Image.fromarray(values.astype(np.uint8)).save(path)


def _benchmark(name: str, folder_name: str) -> Benchmark:
    return Benchmark(
        name=name,
        task=Task.VSS,
        classes=_CLASSES,
        splits=("train", "val", "test"),
        load_records=partial(load_records, folder_name),
        read_labels=read_labels,
        metrics=("vss/vspw",),
        counts={
            "train": Counts(videos=2806),
            "val": Counts(videos=343),
            "test": Counts(videos=387),
        },
        submission="class_images",
        known_bugs=(KnownBug("value 253 or 254", _find_stray_values, _repair_stray_values),),
    )


VSPW = _benchmark("vspw", "VSPW_480p")
VSPW_RAW = _benchmark("vspw_raw", "VSPW")
