"""COCO instances: still images, each a video of one frame that can be read as a pseudo clip.

On disk, in COCO's own format:

    coco/annotations/instances_{train,val}2017.json with coco/{train,val}2017/*.jpg
    coco128/instances_train2017.json with coco128/images/*.jpg, images of train2017

`coco_as_<benchmark>` reads the same files of COCO as if they were of a video benchmark: the objects
of classes that the benchmark has (see `gvseg.data.category_maps`), under its class table, so that
both train together. Objects of other classes are left out, and so are images on which none is left.
`coco_as_object` and `coco128_as_object` have every object as one of any kind, to be followed from
an exemplar.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from gvseg.data.benchmark import Benchmark, Counts, Record, require_directory
from gvseg.data.category_maps import (
    COCO_TO_OVIS,
    COCO_TO_YTVIS_2019,
    COCO_TO_YTVIS_2021,
    index_of_category,
)
from gvseg.data.class_table import read_class_table
from gvseg.data.image_json import load_image_json, read_image_labels
from gvseg.data.problems import Report, raise_problem
from gvseg.tasks import Task

_CLASSES = read_class_table("coco")


def _load_coco128(
    other_index: Mapping[int, int] | None,
    root: Path,
    split: str,
    *,
    report: Report = raise_problem,
) -> list[Record]:
    folder = require_directory(root / "coco128", "COCO128")
    json_file = folder / f"instances_{split}2017.json"
    return load_image_json(
        json_file, folder / "images", _CLASSES, other_index=other_index, report=report
    )


def _load_coco(
    other_index: Mapping[int, int] | None,
    root: Path,
    split: str,
    *,
    report: Report = raise_problem,
) -> list[Record]:
    folder = require_directory(root / "coco", "COCO")
    name = split if split.endswith("2017") else f"{split}2017"
    return load_image_json(
        folder / "annotations" / f"instances_{name}.json",
        folder / name,
        _CLASSES,
        other_index=other_index,
        report=report,
    )


def _coco_as(table_name: str, name_of_name: Mapping[str, str]) -> Benchmark:
    classes = read_class_table(table_name)
    return Benchmark(
        name=f"coco_as_{table_name}",
        task=Task.VIS,
        classes=classes,
        splits=("train", "val"),
        load_records=partial(_load_coco, index_of_category(_CLASSES, classes, name_of_name)),
        read_labels=read_image_labels,
        metrics=("ap/coco",),
        submission="object_json",
    )


def _as_object(source: Benchmark, splits: tuple[str, ...], load: Callable) -> Benchmark:
    return Benchmark(
        name=f"{source.name}_as_object",
        task=Task.EVS,
        classes=read_class_table("object"),
        splits=splits,
        load_records=partial(load, dict.fromkeys(_CLASSES.ids, 0)),
        read_labels=read_image_labels,
        metrics=(),
    )


COCO = Benchmark(
    name="coco",
    task=Task.VIS,
    classes=_CLASSES,
    splits=("train2017", "val2017"),
    load_records=partial(_load_coco, None),
    read_labels=read_image_labels,
    metrics=("ap/coco",),
    submission="object_json",
    # Of the files of cocodataset.org; crowd regions are no objects.
    counts={
        "train2017": Counts(118287, objects=849949),
        "val2017": Counts(5000, objects=36335),
    },
)
COCO128 = Benchmark(
    name="coco128",
    task=Task.VIS,
    classes=_CLASSES,
    splits=("train",),
    load_records=partial(_load_coco128, None),
    read_labels=read_image_labels,
    metrics=("ap/coco",),
    submission="object_json",
)
COCO_AS_YTVIS_2019 = _coco_as("ytvis_2019", COCO_TO_YTVIS_2019)
COCO_AS_YTVIS_2021 = _coco_as("ytvis_2021", COCO_TO_YTVIS_2021)
COCO_AS_OVIS = _coco_as("ovis", COCO_TO_OVIS)
COCO_AS_OBJECT = _as_object(COCO, ("train", "val"), _load_coco)
COCO128_AS_OBJECT = _as_object(COCO128, ("train",), _load_coco128)
