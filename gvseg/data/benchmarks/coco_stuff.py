"""Twenty-one COCO images with labels of every pixel: 80 things and the 91 kinds of COCO-Stuff.

    coco_stuff21/{train,val}_img/*.jpg
    coco_stuff21/{train,val}_label/*.png    category id - 1, 255 is void
    coco_stuff21/{train,val}_inst/*.png     number of the object from 0 on, elsewhere as the label

Images are records of one frame, which can be read as pseudo clips. They are few: enough to see that
a panoptic model learns real pictures, not to compare models by.

Stuff is one segment for each class. A thing is one for each pair of label and number. Both images
draw the same objects, but outlines differ by a pixel or two, so that many pairs are a mere rim:

- A pixel of a thing that has no number of its own repeats its label, which reads as a number too: a
  person without one and object 0 look the same.
- A pixel of a thing next to another one may have the number of its neighbour.

So a pair is an object only if it has an inside: a pixel whose four neighbours are of that pair too.
All others are void, 12,513 pixels of the 5.6 million here; among them are two objects that others
hide but for 7 pixels and 1 pixel. No pair of one number has an inside with two labels, and no crowd
is drawn. Numbers on pixels of stuff, likewise rims, change nothing.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Benchmark, Counts, Record, require_directory
from gvseg.data.class_table import read_class_table
from gvseg.data.frame_folders import images_by_stem, label_file
from gvseg.data.frames import size_of_frames
from gvseg.data.panoptic_image import ValueMeanings, panoptic_labels
from gvseg.data.problems import RESTORE, Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels, read_id_image
from gvseg.tasks import Task

_CLASSES = read_class_table("coco_stuff")
_SUFFIXES = {"img": (".jpg",), "label": (".png",), "inst": (".png",)}  # by kind of folder
_NO_NUMBER = 255
_NUM_VALUES = 256  # of label images and of images of numbers, one byte for each pixel


def load_records(root: Path, split: str, *, report: Report = raise_problem) -> list[Record]:
    """Read the names of the images of a split, in their order.

    Raises:
        FileNotFoundError: a folder is missing.
        AnnotationError: a folder is empty, or lacks a file of the name that one in another has.
    """
    folder = require_directory(root / "coco_stuff21", "coco_stuff21")
    files = {
        kind: images_by_stem(
            require_directory(folder / f"{split}_{kind}", "coco_stuff21"), suffixes, report=report
        )
        for kind, suffixes in _SUFFIXES.items()
    }
    records = []
    for stem in sorted(set().union(*files.values())):
        paths = {kind: of_stem[stem] for kind, of_stem in files.items() if stem in of_stem}
        missing = [f"{split}_{kind}" for kind in files if kind not in paths]
        if missing:
            what = f"has no counterpart in {' and '.join(missing)}"
            report(Problem(str(next(iter(paths.values()))), what, RESTORE))
            continue
        size = size_of_frames([paths["img"]], report)
        if size is not None:
            records.append(
                {
                    "video_id": stem,
                    "height": size[0],
                    "width": size[1],
                    "length": 1,
                    "file_names": [str(paths["img"])],
                    "label_files": [str(paths["label"])],
                    "number_files": [str(paths["inst"])],
                }
            )
    return records


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Read the label image and the image of numbers.

    Raises:
        OSError: one of them is missing or cannot be read.
        ValueError: one has colour channels or values of more than a byte, they differ in size, or
            a label is of no class.
    """
    path = label_file(record, frame_index)
    number_path = record["number_files"][frame_index]
    labels, numbers = _read_bytes(path), _read_bytes(number_path)
    if labels.shape != numbers.shape:
        sizes = " and ".join("x".join(map(str, image.shape)) for image in (numbers, labels))
        what = f"and its label image differ in size: {sizes} pixels (height x width)"
        raise_problem(Problem(number_path, what, RESTORE))
    pairs = labels * _NUM_VALUES + numbers
    # Numbers on pixels of stuff, or of none, mean nothing.
    is_stuff = ~_is_thing()[labels]
    pairs[is_stuff] = labels[is_stuff] * _NUM_VALUES + _NO_NUMBER
    meanings_of = partial(_meanings, with_inside=_with_inside(pairs), path=path)
    return panoptic_labels(pairs, meanings_of, frame_index)


def _read_bytes(path: str) -> np.ndarray:
    image = read_id_image(path)
    if image.max(initial=0) >= _NUM_VALUES:
        raise_problem(Problem(path, f"has values up to {image.max()}, above 255", RESTORE))
    return image


def _is_thing() -> np.ndarray:
    """Return which label values are things, (256,) bool."""
    is_thing = np.zeros(_NUM_VALUES, dtype=bool)
    is_thing[np.array(_CLASSES.ids) - 1] = _CLASSES.is_thing
    return is_thing


def _with_inside(pairs: np.ndarray) -> np.ndarray:
    """Return the values of an image, (H, W), that a pixel shares with its four neighbours."""
    centre = pairs[1:-1, 1:-1]
    is_inside = (
        (centre == pairs[:-2, 1:-1])
        & (centre == pairs[2:, 1:-1])
        & (centre == pairs[1:-1, :-2])
        & (centre == pairs[1:-1, 2:])
    )
    return np.unique(centre[is_inside])


def _meanings(pairs: np.ndarray, with_inside: np.ndarray, path: str) -> ValueMeanings:
    labels, numbers = np.divmod(pairs, _NUM_VALUES)
    # Of 255, which is void, this makes 0, COCO-Stuff's id of what is not labelled.
    category_ids = (labels + 1) % _NUM_VALUES
    classes = _CLASSES.indices(category_ids, path)
    is_thing = _is_thing()[labels]
    is_rim = is_thing & ((numbers == _NO_NUMBER) | ~np.isin(pairs, with_inside))
    return ValueMeanings(
        classes=np.where(is_rim, -1, classes),
        ids=np.where(is_thing, len(_CLASSES) + 1 + pairs, classes + 1),
        is_crowd=np.zeros(len(pairs), dtype=bool),
    )


COCO_STUFF21 = Benchmark(
    name="coco_stuff21",
    task=Task.VPS,
    classes=_CLASSES,
    splits=("train", "val"),
    load_records=load_records,
    read_labels=read_labels,
    # Windows of more than a frame have none in an image, so VPQ is that of one, which is PQ.
    metrics=("pq/coco", "stq/vipseg"),
    submission="coco_panoptic",
    counts={"train": Counts(13), "val": Counts(8)},
)
