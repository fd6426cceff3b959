"""YouTube-VOS 2018 and 2019: any object of a video, given where it first appears.

    youtube_vos_<year>/{train,valid,test}/JPEGImages/<video>/<frame>.jpg
    youtube_vos_<year>/{train,valid,test}/Annotations/<video>/<frame>.png
    youtube_vos_<year>/{train,valid,test}/meta.json

Every fifth frame of a video has labels; the archives hold only these frames, those called
`all_frames` also the ones between. Of valid and test just the masks of first appearances are
public, some of them in later frames; results are scored by the organisers' server.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from gvseg.data.benchmark import Benchmark, Counts, Record, require_directory
from gvseg.data.class_table import read_class_table
from gvseg.data.exemplars import KINDS
from gvseg.data.frame_folders import folder_record, images_by_stem
from gvseg.data.frames import visible
from gvseg.data.json_files import read_json
from gvseg.data.object_video import (
    VOID_ID,
    exemplar_in,
    read_object_image,
    read_object_labels,
)
from gvseg.data.problems import RESTORE, Problem, Report, raise_problem
from gvseg.structures import Exemplar
from gvseg.tasks import Task


def load_records(
    year: int, root: Path, split: str, *, report: Report = raise_problem
) -> list[Record]:
    """Read the videos that `meta.json` lists, in the order of their names.

    Each record has `objects`: by identity, the category's name (None where it is not public), the
    index of the frame where the object is given and the file that shows it there.

    Raises:
        FileNotFoundError: a folder or `meta.json` is missing.
        AnnotationError: `meta.json` is not JSON or lists no videos.
    """
    name = f"YouTube-VOS {year}"
    folder = require_directory(root / f"youtube_vos_{year}" / split, name)
    meta = folder / "meta.json"
    videos = read_json(meta).get("videos")
    if not isinstance(videos, dict):
        raise_problem(Problem(str(meta), "has no object 'videos'", RESTORE))
    images = require_directory(folder / "JPEGImages", name)
    for video_id in sorted({path.name for path in visible(images)} - videos.keys()):
        report(Problem(str(images / video_id), f"is not listed in {meta}", "move it elsewhere"))
    records = []
    for video_id, entry in sorted(videos.items()):
        record = folder_record(video_id, images / video_id, None, report=report)
        if record is None:
            continue
        record["annotation_file"] = str(meta)
        masks = images_by_stem(folder / "Annotations" / video_id, (".png",), report=report)
        source = f"{meta}: video {video_id}"
        record["objects"] = _objects(entry.get("objects", {}), record, masks, source, report)
        if split == "train":
            _add_labels(record, masks, _listed_frames(entry), report)
        records.append(record)
    return records


def _listed_frames(entry: dict[str, Any]) -> set[str]:
    """Return the frames in which a video of `meta.json` shows any of its objects."""
    objects = entry.get("objects", {}).values()
    return {stem for given in objects for stem in given.get("frames", [])}


def _add_labels(
    record: Record, masks: dict[str, Path], listed_frames: set[str], report: Report
) -> None:
    """Name the masks of those frames that have one."""
    stems = _stems(record)
    for index, stem in enumerate(stems):
        if stem in listed_frames and stem not in masks:
            what = "has no mask, though meta.json lists objects in it"
            report(Problem(record["file_names"][index], what, RESTORE))
    for stem in sorted(masks.keys() - set(stems)):
        report(Problem(str(masks[stem]), f"belongs to no frame {stem}", RESTORE))
    record["label_files"] = [str(masks[stem]) if stem in masks else None for stem in stems]
    record["annotated_frames"] = [index for index, stem in enumerate(stems) if stem in masks]


def _stems(record: Record) -> list[str]:
    return [Path(path).stem for path in record["file_names"]]


def read_exemplars(kind: str, record: Record) -> list[Exemplar]:
    """Return one exemplar of each object, in the frame where it first appears.

    Args:
        kind: `mask`, `box` or `point`.
        record: one video.

    Raises:
        OSError: a mask is missing or damaged.
        ValueError: a mask does not show its object, or is of another size.
    """
    labels_of_file = {}
    for given in record["objects"].values():
        path = given["file"]
        if path not in labels_of_file:
            labels_of_file[path] = read_object_image(path, given["frame_index"], record)
    return [
        exemplar_in(labels_of_file[given["file"]], object_id, kind, given["file"])
        for object_id, given in record["objects"].items()
    ]


def _objects(
    entries: dict[str, Any], record: Record, masks: dict[str, Path], source: str, report: Report
) -> dict[int, dict[str, Any]]:
    """Return the objects of a video by identity, without those that are nowhere given."""
    frame_of_stem = {stem: index for index, stem in enumerate(_stems(record))}
    objects = {}
    for key, entry in entries.items():
        stems = entry.get("frames", [])
        absent = [stem for stem in stems if stem not in frame_of_stem]
        if not (key.isdecimal() and 0 < int(key) < VOID_ID):
            what = f"has an object {key!r}; ids are 1 to {VOID_ID - 1}"
            report(Problem(source, what, "correct the entry"))
        elif not stems:
            what = f"has object {key} without frames"
            report(Problem(source, what, "correct the entry"))
        elif absent:
            what = f"has object {key} in frames {absent[:10]}, which do not exist"
            report(Problem(source, what, RESTORE))
        elif stems[0] not in masks:
            what = f"has object {key} given in frame {stems[0]}, which has no mask"
            report(Problem(source, what, RESTORE))
        else:
            objects[int(key)] = {
                "category": entry.get("category"),
                "frame_index": frame_of_stem[stems[0]],
                "file": str(masks[stems[0]]),
            }
    return dict(sorted(objects.items()))


def _benchmark(year: int, kind: str) -> Benchmark:
    return Benchmark(
        name=f"youtube_vos_{year}" + ("" if kind == "mask" else f"_{kind}"),
        task=Task.EVS,
        classes=read_class_table("object"),
        splits=tuple(_COUNTS[year]),
        load_records=partial(load_records, year),
        read_labels=read_object_labels,
        metrics=("vos/youtube_vos",),
        read_exemplars=partial(read_exemplars, kind),
        counts=_COUNTS[year],
        submission="object_images",
    )


# Counts: youtube-vos.org, "Dataset" of each year.
_COUNTS = {
    2018: {"train": Counts(3471, objects=6459), "valid": Counts(474), "test": Counts(508)},
    2019: {"train": Counts(3471, objects=6459), "valid": Counts(507), "test": Counts(541)},
}

# Masks are what the benchmark gives; boxes and points are drawn from them, to test with.
YOUTUBE_VOS = tuple(_benchmark(year, kind) for year in _COUNTS for kind in KINDS)
