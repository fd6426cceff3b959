"""A benchmark is one row: what it is called, how its files are read and what scores it.

The rest of the code asks for `get_benchmark("camvid_val")` and never tests the name of a dataset.
Reading of annotations is one function for each benchmark, which training, evaluation and checks
share, so there is one `ClipMapper` for all of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog

from gvseg.data.class_table import ClassTable
from gvseg.data.problems import Problem, Report
from gvseg.data.segments import IGNORE_LABEL, FrameLabels
from gvseg.structures import Exemplar
from gvseg.tasks import Task, model_task

# One video: video_id, height, width, length, file_names, and what its read_labels needs. Where only
# some frames have labels, `annotated_frames` lists their indices; a list that is empty means that
# the labels are hidden, none at all that every frame has them. What read_labels opens is named
# for checks: `label_files`, one for each frame (None where it has no labels), or `annotation_file`.
Record = dict[str, Any]


class LoadRecords(Protocol):
    """Read the list of videos of a split, in order, without opening any frame."""

    def __call__(self, root: Path, split: str, *, report: Report = ...) -> list[Record]:
        """Return one record for each video.

        Args:
            root: `DETECTRON2_DATASETS`.
            split: one of the benchmark's.
            report: told of each problem; where it returns, the entry is left out.
        """


@dataclass(frozen=True)
class Counts:
    """How many of each there are in a split, as its authors say; None where they do not."""

    videos: int
    frames: int | None = None  # frames with labels, where only some have them
    objects: int | None = None  # identities over all videos


@dataclass(frozen=True)
class KnownBug:
    """A mistake in the files as their authors publish them.

    `read_labels` reads around it, so that training and evaluation need no repair. The checker
    tells of it for the sake of other readers, and repairs the file where it is asked to; a bug that
    is found alone leaves a benchmark clean.
    """

    name: str  # a noun: "value 200 of no instance"
    find: Callable[[Record, int], Problem | None]  # in one frame that has labels
    repair: Callable[[Path], None] | None = None  # rewrites Problem.file, of which a copy is kept


@dataclass(frozen=True)
class Benchmark:
    """One benchmark, all its splits."""

    name: str
    task: Task
    classes: ClassTable
    splits: tuple[str, ...]
    load_records: LoadRecords
    read_labels: Callable[[Record, int], FrameLabels]  # the one hook: labels of one frame
    metrics: tuple[str, ...]  # protocol names, keys of gvseg.evaluation.METRICS
    read_exemplars: Callable[[Record], list[Exemplar]] | None = None  # to test with, for EVS
    counts: Mapping[str, Counts] = field(default_factory=dict)  # by split, for the checker
    known_bugs: tuple[KnownBug, ...] = ()  # for the checker
    submission: str | None = None  # format of predictions, key of gvseg.evaluation.submissions

    @property
    def dataset_names(self) -> tuple[str, ...]:
        """Names of the splits in detectron2's catalogs; a split called "" has that of the whole."""
        return tuple(f"{self.name}_{split}" if split else self.name for split in self.splits)

    def split_of(self, dataset_name: str) -> str:
        """Return the split that a dataset of this benchmark is."""
        return self.splits[self.dataset_names.index(dataset_name)]


_BENCHMARK_OF_DATASET: dict[str, Benchmark] = {}


def datasets_root() -> Path:
    """Return the folder of all benchmarks: `$DETECTRON2_DATASETS`, by default `datasets`."""
    return Path(os.environ.get("DETECTRON2_DATASETS", "datasets"))


def register(benchmark: Benchmark) -> None:
    """Make every split of a benchmark known to detectron2; its files are read on first use.

    Raises:
        ValueError: a dataset of this name exists already.
    """
    for split, dataset_name in zip(benchmark.splits, benchmark.dataset_names, strict=True):
        if dataset_name in DatasetCatalog.list():
            raise ValueError(f"A dataset named {dataset_name!r} is registered already.")
        _BENCHMARK_OF_DATASET[dataset_name] = benchmark
        DatasetCatalog.register(dataset_name, partial(_load, benchmark, split))
        MetadataCatalog.get(dataset_name).set(**_metadata(benchmark))


def unregister(benchmark: Benchmark) -> None:
    """Undo `register`."""
    for dataset_name in benchmark.dataset_names:
        del _BENCHMARK_OF_DATASET[dataset_name]
        DatasetCatalog.remove(dataset_name)
        MetadataCatalog.remove(dataset_name)


def get_benchmark(dataset_name: str) -> Benchmark:
    """Return the benchmark that a dataset such as `camvid_val` is a split of.

    Raises:
        ValueError: no registered benchmark has a dataset of this name.
    """
    if dataset_name not in _BENCHMARK_OF_DATASET:
        known = registered_datasets()
        alike = get_close_matches(dataset_name, known)
        hint = f"do you mean {' or '.join(alike)}?" if alike else f"there are {', '.join(known)}."
        raise ValueError(
            f"Unknown dataset {dataset_name!r}; {hint} One of your own has to be registered by a "
            "file under PROJECTS of the config."
        )
    return _BENCHMARK_OF_DATASET[dataset_name]


def registered_datasets() -> list[str]:
    """Return the names of all datasets that `get_benchmark` knows, sorted."""
    return sorted(_BENCHMARK_OF_DATASET)


def annotated_frames(record: Record) -> Sequence[int]:
    """Return the indices of the frames of a video whose labels can be read, in order."""
    frames: Sequence[int] = record.get("annotated_frames", range(record["length"]))
    return frames


def read_exemplars(benchmark: Benchmark, record: Record) -> list[Exemplar]:
    """Return the exemplars that a video is tested with (EVS).

    Raises:
        OSError: they cannot be read.
        ValueError: the benchmark has none.
    """
    check_exemplars(benchmark)
    assert benchmark.read_exemplars is not None
    return benchmark.read_exemplars(record)


def check_exemplars(benchmark: Benchmark) -> None:
    """Raise a ValueError where a benchmark has nothing that points out its objects."""
    if benchmark.read_exemplars is None:
        raise ValueError(
            f"{benchmark.name} is for evs, but has no exemplars to test with; give its "
            "Benchmark read_exemplars."
        )


def check_num_classes(cfg: CfgNode, dataset_name: str) -> None:
    """Raise a ValueError unless the model tells the classes of the dataset apart."""
    num_classes, benchmark = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, get_benchmark(dataset_name)
    label_sets = cfg.MODEL.GVSEG.LABEL_SETS
    if label_sets:
        known = [get_benchmark(name).classes.name for name in label_sets]
        if benchmark.classes.name not in known:
            raise ValueError(
                f"The model has no classes for {dataset_name}; name it, or another dataset of its "
                f"class table {benchmark.classes.name}, in MODEL.GVSEG.LABEL_SETS."
            )
    elif num_classes != len(benchmark.classes):
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {num_classes}, but {dataset_name} has "
            f"{len(benchmark.classes)} classes."
        )


def check_labels(records: Sequence[Record], dataset_name: str, purpose: str = "trained on") -> None:
    """Raise a ValueError if labels of any video are hidden, so that it cannot serve a purpose."""
    hidden = [record["video_id"] for record in records if not len(annotated_frames(record))]
    if hidden:
        raise ValueError(
            f"{dataset_name} cannot be {purpose}: labels are hidden of {len(hidden)} of its "
            f"{len(records)} videos, such as {hidden[0]}."
        )


def check_task(cfg: CfgNode, dataset_name: str) -> None:
    """Raise a ValueError unless the model is for the task of the dataset."""
    task, benchmark = model_task(cfg.MODEL.GVSEG.TASK), get_benchmark(dataset_name)
    if task not in (None, benchmark.task):
        raise ValueError(
            f"MODEL.GVSEG.TASK is {cfg.MODEL.GVSEG.TASK}, but {dataset_name} is a dataset for "
            f"{benchmark.task.value}."
        )


def require_directory(path: Path, benchmark_name: str) -> Path:
    """Return `path`, or raise a FileNotFoundError that says where the benchmark is looked for."""
    if not path.is_dir():
        raise FileNotFoundError(
            f"{path} does not exist; unpack {benchmark_name} under {datasets_root()} or set "
            "DETECTRON2_DATASETS to the folder that holds it."
        )
    return path


def _load(benchmark: Benchmark, split: str) -> list[Record]:
    return benchmark.load_records(datasets_root(), split)


def _metadata(benchmark: Benchmark) -> dict[str, Any]:
    """What detectron2's tools look up, under the names they use.

    As in Mask2Former, the lists of names and colours hold every class, so that the contiguous index
    of the table reads both; only the id maps tell things from stuff.
    """
    classes, task = benchmark.classes, benchmark.task
    index_of_id: dict[str, dict[int, int]] = {"thing": {}, "stuff": {}}
    for index, (id_, is_thing) in enumerate(zip(classes.ids, classes.is_thing, strict=True)):
        index_of_id["thing" if is_thing and task.has_instances else "stuff"][id_] = index
    metadata: dict[str, Any] = {
        "task": task.value,
        "evaluator_type": f"gvseg_{task.value}",
        "ignore_label": IGNORE_LABEL,
        "class_table": classes.name,
        "class_is_thing": list(classes.is_thing),
    }
    for kind, indices in index_of_id.items():
        if indices:
            metadata[f"{kind}_classes"] = list(classes.names)
            metadata[f"{kind}_colors"] = list(classes.colors)
            metadata[f"{kind}_dataset_id_to_contiguous_id"] = indices
    return metadata
