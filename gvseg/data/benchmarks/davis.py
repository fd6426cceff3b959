"""DAVIS 2016 and 2017 at 480p: objects of a video, given in its first frame.

    DAVIS/JPEGImages/480p/<video>/<frame>.jpg
    DAVIS/Annotations/480p/<video>/<frame>.png      palette of object ids, or 0 and 255 (2016)
    DAVIS/ImageSets/<year>/{train,val,test-dev}.txt the names of the videos, one a line

In 2016 all that is marked in a frame is one object, so that its videos can be read from either
year's archive. Of test-dev the first frame alone has public labels.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from gvseg.data.benchmark import Benchmark, Counts, Record, require_directory
from gvseg.data.class_table import read_class_table
from gvseg.data.exemplars import KINDS
from gvseg.data.frame_folders import folder_record, read_video_list
from gvseg.data.frames import visible
from gvseg.data.object_video import exemplar_in, read_object_image, read_object_labels
from gvseg.data.problems import Report, raise_problem
from gvseg.structures import Exemplar
from gvseg.tasks import Task

_HIDDEN = "test-dev"


def load_records(
    folder_name: str, year: int | None, root: Path, split: str, *, report: Report = raise_problem
) -> list[Record]:
    """Read the videos of a split, in the order of its list.

    Args:
        folder_name: below the root.
        year: whose list is read; None takes all videos that there are.
        root: `DETECTRON2_DATASETS`.
        split: one of the benchmark's.
        report: told of each problem.

    Raises:
        FileNotFoundError: a folder or the list is missing.
    """
    folder = require_directory(root / folder_name, "DAVIS")
    images = require_directory(folder / "JPEGImages" / "480p", "DAVIS")
    if year is None:
        names = sorted(path.name for path in visible(images) if path.is_dir())
    else:
        list_file = folder / "ImageSets" / str(year) / f"{split}.txt"
        names = read_video_list(list_file, report=report)
    records = []
    for name in names:
        masks = folder / "Annotations" / "480p" / name
        labels = None if split == _HIDDEN else masks
        record = folder_record(name, images / name, labels, report=report)
        if record is not None:
            record["exemplar_file"] = str(masks / f"{Path(record['file_names'][0]).stem}.png")
            records.append(record)
    return records


def read_exemplars(kind: str, is_single: bool, record: Record) -> list[Exemplar]:
    """Return one exemplar of each object, in the first frame.

    Args:
        kind: `mask`, `box` or `point`.
        is_single: as in DAVIS 2016, all that is marked is one object.
        record: one video.

    Raises:
        OSError: the mask is missing or damaged.
        ValueError: it is of another size, or no ids.
    """
    path = record["exemplar_file"]
    labels = read_object_image(path, 0, record, is_single=is_single)
    return [exemplar_in(labels, id_, kind, path) for id_ in labels.segments.ids.tolist()]


def _benchmark(
    name: str,
    counts: dict[str, Counts],
    *,
    year: int | None,
    is_single: bool,
    folder: str = "DAVIS",
    kind: str = "mask",
) -> Benchmark:
    return Benchmark(
        name=name if kind == "mask" else f"{name}_{kind}",
        task=Task.EVS,
        classes=read_class_table("object"),
        splits=tuple(counts),
        load_records=partial(load_records, folder, year),
        read_labels=partial(read_object_labels, is_single=is_single),
        metrics=("vos/davis2016" if is_single else "vos/davis2017",),
        read_exemplars=partial(read_exemplars, kind, is_single),
        counts=counts,
        submission="object_masks" if is_single else "object_images",
    )


# Counts: the papers on DAVIS 2016 and 2017.
_COUNTS_2016 = {"train": Counts(30, 2079, 30), "val": Counts(20, 1376, 20)}
_COUNTS_2017 = {"train": Counts(60), "val": Counts(30), _HIDDEN: Counts(30)}

# Masks are what the benchmark gives; boxes and points are drawn from them, to test with.
DAVIS = (
    *(
        _benchmark("davis2016", _COUNTS_2016, year=2016, is_single=True, kind=kind)
        for kind in KINDS
    ),
    *(
        _benchmark("davis2017", _COUNTS_2017, year=2017, is_single=False, kind=kind)
        for kind in KINDS
    ),
    # Half of the val videos of 2016, to develop on, without lists.
    *(
        _benchmark(
            "davis2016_dev",
            {"val": Counts(10)},
            year=None,
            is_single=True,
            folder="davis2016_dev",
            kind=kind,
        )
        for kind in KINDS
    ),
)
