"""Registers made-up videos of each task, `synthetic_<task>_train` and `synthetic_<task>_val`.

`make synthetic-data` writes them: two sets of videos of other seeds, both in the form of a training
split, since benchmarks hide the labels of others. They lie in `synthetic/train` and `synthetic/val`
under `$DETECTRON2_DATASETS`, by default `datasets`.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path

from gvseg.data import get_benchmark
from gvseg.data.benchmark import Benchmark, Record, register
from gvseg.data.problems import Report, raise_problem

SOURCES = {
    "vis": "ytvis_2019_train",
    "vss": "vspw_train",
    "vps": "vipseg_train",
    "evs": "davis2017_train",
}


def load_records(
    source: Benchmark, root: Path, split: str, *, report: Report = raise_problem
) -> list[Record]:
    """Return the videos of one set."""
    return source.load_records(root / "synthetic" / split, "train", report=report)


for task, dataset_name in SOURCES.items():
    source = get_benchmark(dataset_name)
    register(
        replace(
            source,
            name=f"synthetic_{task}",
            splits=("train", "val"),
            load_records=partial(load_records, source),
            counts={},
        )
    )
