"""YouTube-VIS 2019, 2021 and 2022, and OVIS: objects of 40 or 25 classes, each tracked by masks.

On disk, as unpacked or as detectron2 projects arrange them:

    ytvis_2019/{train,valid,test}.json, or {train,valid,test}/instances.json
    ytvis_2019/{train,valid,test}/JPEGImages/<video>/<frame>.jpg
    ovis/annotations/annotations_{train,valid,test}.json, or {train,valid,test}.json there
    ovis/{train,valid,test}/<video>/img_<frame>.jpg

The labels of valid and test are not published: their records have no annotated frame. The training
set of 2022 is that of 2021, and so are its classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from gvseg.data.benchmark import (
    Benchmark,
    Counts,
    Record,
    annotated_frames,
    require_directory,
)
from gvseg.data.class_table import ClassTable, read_class_table
from gvseg.data.json_files import first_existing
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.video_json import load_video_json, read_video_labels
from gvseg.tasks import Task

SPLITS = ("train", "valid", "test")
_YTVIS_JSON = ("{split}.json", "{split}/instances.json")
_OVIS_JSON = ("annotations/annotations_{split}.json", "annotations/{split}.json")


def _load(
    folder_name: str,
    classes: ClassTable,
    json_files: tuple[str, ...],
    images: str,
    root: Path,
    split: str,
    *,
    report: Report = raise_problem,
) -> list[Record]:
    folder = require_directory(root / folder_name, classes.name)
    json_file = first_existing([folder / name.format(split=split) for name in json_files])
    records = load_video_json(
        json_file, folder / images.format(split=split), classes, report=report
    )
    if split == "train" and records and not annotated_frames(records[0]):
        report(Problem(str(json_file), "has no annotations", "get the file with the labels"))
    return records


def _benchmark(
    name: str,
    classes: ClassTable,
    counts: Mapping[str, Counts],
    json_files: tuple[str, ...] = _YTVIS_JSON,
    images: str = "{split}/JPEGImages",
) -> Benchmark:
    return Benchmark(
        name=name,
        task=Task.VIS,
        classes=classes,
        splits=SPLITS,
        load_records=partial(_load, name, classes, json_files, images),
        read_labels=read_video_labels,
        metrics=("ap/ovis" if name == "ovis" else "ap/youtube_vis",),
        counts=counts,
        submission="track_json",
    )


# Counts: youtube-vos.org/dataset/vis and the paper on OVIS.
YTVIS_2019 = _benchmark(
    "ytvis_2019",
    read_class_table("ytvis_2019"),
    {"train": Counts(2238), "valid": Counts(302), "test": Counts(343)},
)
YTVIS_2021 = _benchmark(
    "ytvis_2021",
    read_class_table("ytvis_2021"),
    {"train": Counts(2985), "valid": Counts(421), "test": Counts(453)},
)
YTVIS_2022 = _benchmark("ytvis_2022", read_class_table("ytvis_2021"), {"train": Counts(2985)})
OVIS = _benchmark(
    "ovis",
    read_class_table("ovis"),
    {"train": Counts(607), "valid": Counts(140), "test": Counts(154)},
    _OVIS_JSON,
    "{split}",
)
