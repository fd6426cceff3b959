"""Datasets of a user's own, registered by one call each.

A call tells detectron2's catalogs the name of a dataset; files are read when it is used. Where a
config should know it, name the Python file with the call under PROJECTS in the YAML.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from gvseg.data.benchmark import Benchmark, Record, get_benchmark, register
from gvseg.data.class_table import ClassTable, read_class_table
from gvseg.data.exemplars import check_kinds
from gvseg.data.json_files import read_json
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.video_folder import load_folders, read_exemplars, read_labels
from gvseg.data.video_json import load_video_json, read_video_labels
from gvseg.data.video_lists import read_video_ids
from gvseg.tasks import Task
from gvseg.visualization import identity_color

# Names in the order of their ids, which count from 1; the same for things and for stuff; a JSON; or
# the table of another benchmark.
Classes = Sequence[str] | Mapping[str, Sequence[str]] | str | Path | ClassTable

_VOID_IDS = (0, 255)
_MAX_ID = 254  # of classes counted from 1, below void
_METRICS = {
    Task.VIS: ("ap/youtube_vis", "hota/trackeval"),
    Task.VSS: ("vss/vspw",),
    Task.VPS: ("vpq/vipseg", "stq/vipseg"),
    Task.EVS: ("hota/trackeval",),
}
_SUBMISSIONS = {
    Task.VIS: "track_json",
    Task.VSS: "class_images",
    Task.VPS: "vipseg",
    Task.EVS: "object_images",
}
_WHOLE = ""  # the one split of a dataset that has no others


def register_video_folder(
    name: str,
    *,
    images: str | Path,
    masks: str | Path | None = None,
    classes: Classes | None = None,
    task: str = "vis",
    exemplars: str = "mask",
) -> Benchmark:
    """Register videos that lie as folders of frames, and return their benchmark.

    `gvseg/data/video_folder.py` says what label images hold.

    Args:
        name: of the dataset, as in DATASETS.TRAIN and DATASETS.TEST.
        images: a folder with a folder of frames for each video.
        masks: a folder with a folder of label images for each video; None for videos to predict on.
        classes: names, whose ids count from 1, with 0 and 255 for void; for vps
            `{"things": names, "stuff": names}`, where ids count on; or a table, as a JSON file like
            those in `gvseg/data/categories/`, as the name of one of these, or as it is. Not needed
            for evs and for vis of one class, where values of label images are numbers of objects.
        task: vis, vss, vps or evs.
        exemplars: what points out objects in a test of evs: mask, box or point, of the first
            frame that shows an object.

    Raises:
        ValueError: the name is taken, or task, classes or exemplars make no sense.
        FileNotFoundError: the class table is missing.
    """
    kind = Task.parse(task)
    if classes is None and kind.has_stuff:
        raise ValueError(f"{name} is for {task}, which needs classes.")
    table = class_table_of("object" if classes is None else classes, kind)
    check_kinds([exemplars])
    if kind is Task.EVS and len(table) > 1:
        raise ValueError(
            f"{name} is for evs, which follows objects of one class, but has {len(table)} classes; "
            "leave the classes out."
        )
    frames = Path(images).expanduser()
    labels = None if masks is None else Path(masks).expanduser()
    benchmark = Benchmark(
        name=name,
        task=kind,
        classes=table,
        splits=(_WHOLE,),
        load_records=partial(_load_folders, frames, labels),
        read_labels=partial(read_labels, classes=table, task=kind),
        metrics=_METRICS[kind],
        submission=_SUBMISSIONS[kind],
        read_exemplars=(
            partial(read_exemplars, kind=exemplars, classes=table) if kind is Task.EVS else None
        ),
    )
    register(benchmark)
    return benchmark


def register_ytvis_json(
    name: str, json_file: str | Path, images: str | Path, *, classes: str | Path | None = None
) -> Benchmark:
    """Register videos whose objects are in a JSON like YouTube-VIS's, and return their benchmark.

    Args:
        name: of the dataset, as in DATASETS.TRAIN and DATASETS.TEST.
        json_file: with `videos`, `categories` and, but for videos to predict on, `annotations`.
        images: the folder that its file names start from.
        classes: a table, as a JSON file like those in `gvseg/data/categories/` or as the name of
            one of these; by default the categories of the file, in the order of their ids, for
            which the file is read at once.

    Raises:
        ValueError: the name is taken, or the file has no categories.
        FileNotFoundError: the file or the class table is missing.
    """
    path = Path(json_file).expanduser()
    table = categories_of(path) if classes is None else read_class_table(classes)
    benchmark = Benchmark(
        name=name,
        task=Task.VIS,
        classes=table,
        splits=(_WHOLE,),
        load_records=partial(_load_json, path, Path(images).expanduser(), table),
        read_labels=read_video_labels,
        metrics=_METRICS[Task.VIS],
        submission=_SUBMISSIONS[Task.VIS],
    )
    register(benchmark)
    return benchmark


def register_subset(name: str, *, of: str, videos: str | Path) -> Benchmark:
    """Register some of the videos of a dataset as one of its own, and return its benchmark.

    Args:
        name: of the new dataset.
        of: name of the whole one.
        videos: a text file with the id of one video a line, or an annotation file that lists them.

    Raises:
        ValueError: the name is taken, or there is no dataset called `of`.
    """
    whole = get_benchmark(of)
    benchmark = replace(
        whole,
        name=name,
        splits=(_WHOLE,),
        load_records=partial(_load_subset, whole, whole.split_of(of), Path(videos).expanduser()),
        counts={},
    )
    register(benchmark)
    return benchmark


def class_table_of(classes: Classes, task: Task) -> ClassTable:
    """Return the class table that a user describes; equal descriptions give equal tables.

    Raises:
        ValueError: names that are none, come twice, or do not say which are things for vps.
        FileNotFoundError: a table that does not exist.
    """
    if isinstance(classes, ClassTable):
        return classes
    if isinstance(classes, str | Path):
        return read_class_table(classes)
    if not isinstance(classes, Mapping):
        if task is Task.VPS:
            raise ValueError(
                'vps needs to know which classes are things; give classes as {"things": [...], '
                '"stuff": [...]}.'
            )
        classes = {"things" if task.has_instances else "stuff": classes}
    if set(classes) - {"things", "stuff"}:
        raise ValueError(f"Classes are things and stuff, not {', '.join(classes)}.")
    things, stuff = (list(classes.get(kind, [])) for kind in ("things", "stuff"))
    if stuff and not task.has_stuff:
        raise ValueError(f"{task.value} has no stuff, but {', '.join(stuff)} are given as such.")
    described = "; ".join(
        f"{kind}: {', '.join(names)}"
        for kind, names in (("things", things), ("stuff", stuff))
        if names
    )
    return _table(described, things + stuff, [True] * len(things) + [False] * len(stuff))


def _table(
    described: str, names: list[str], is_thing: list[bool], ids: Sequence[int] | None = None
) -> ClassTable:
    if not names or len(set(names)) < len(names):
        raise ValueError(f"Classes need names, each one of its own; given are {names}.")
    if ids is None and len(names) > _MAX_ID:
        raise ValueError(
            f"{len(names)} classes are too many to be counted from 1, as 255 is void; give a table."
        )
    return ClassTable(
        name=described,
        source="given by the user",
        ids=tuple(range(1, len(names) + 1) if ids is None else ids),
        names=tuple(names),
        is_thing=tuple(is_thing),
        colors=tuple(identity_color(index + 1) for index in range(len(names))),
        void_ids=tuple(id_ for id_ in _VOID_IDS if ids is None or id_ not in ids),
    )


def categories_of(json_file: Path) -> ClassTable:
    """Return the categories of a JSON like YouTube-VIS's in the order of their ids.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it has no categories.
    """
    categories = read_json(json_file).get("categories")
    try:
        in_order = sorted(categories or [{}], key=lambda category: category["id"])
        names = [str(category["name"]) for category in in_order]
    except (KeyError, TypeError):
        what = "has no list 'categories' of entries with id and name"
        raise_problem(Problem(str(json_file), what, "add it or name a class table"))
    described = "things: " + ", ".join(names)
    return _table(described, names, [True] * len(names), [entry["id"] for entry in in_order])


def _load_folders(
    images: Path, masks: Path | None, root: Path, split: str, *, report: Report = raise_problem
) -> list[Record]:
    del root, split  # of benchmarks that lie where DETECTRON2_DATASETS says
    return load_folders(images, masks, report=report)


def _load_json(
    json_file: Path,
    images: Path,
    classes: ClassTable,
    root: Path,
    split: str,
    *,
    report: Report = raise_problem,
) -> list[Record]:
    del root, split
    return load_video_json(json_file, images, classes, report=report)


def _load_subset(
    whole: Benchmark,
    whole_split: str,
    videos: Path,
    root: Path,
    split: str,
    *,
    report: Report = raise_problem,
) -> list[Record]:
    del split
    wanted = read_video_ids(videos)
    records = whole.load_records(root, whole_split, report=report)
    kept = [record for record in records if str(record["video_id"]) in wanted]
    missing = sorted(wanted - {str(record["video_id"]) for record in kept})
    if missing:
        what = f"names {len(missing)} videos that {whole.name} does not have, such as {missing[0]}"
        report(Problem(str(videos), what, "choose among those that it has"))
    return kept
