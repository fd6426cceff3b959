"""The truth that predictions are scored against: a benchmark as it is unpacked, or its labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.benchmarks import vipseg
from gvseg.data.burst_json import load_burst_json
from gvseg.data.custom import categories_of
from gvseg.data.frame_folders import folder_record
from gvseg.data.json_files import read_json
from gvseg.data.panoptic_json import read_panoptic_labels
from gvseg.data.video_json import load_video_json

Truth = tuple[Benchmark, list[Record]]


def load_truth(benchmark: Benchmark, split: str, path: Path) -> Truth:
    """Return the records that predictions are scored against, and the benchmark they are of.

    Args:
        benchmark: in whose format labels and predictions are.
        split: one of its; of a JSON it plays no part.
        path: the folder of all benchmarks, that of this one under its usual name, or labels alone,
            wherever they lie. Those are one JSON, of which that of YouTube-VIS may have categories
            of its own, or a folder with `<video>/<frame>.png` (in VSPW `<video>/mask/`).

    Raises:
        FileNotFoundError: there are no labels.
        ValueError: they are damaged, or not in one JSON.
    """
    if not path.is_file():
        # A benchmark with PNG as frames looks like folders of labels, but for its name.
        if benchmark.submission in _OF_IMAGES and path.resolve().name != benchmark.name:
            load = _load_images if _label_folders(path) else partial(_load_below, benchmark, split)
            return benchmark, load(path)
        return benchmark, _load_below(benchmark, split, path)
    if benchmark.submission not in _OF_JSON:
        raise ValueError(
            f"{path} is a file, but {benchmark.name} has its labels in folders; give the folder of "
            "the benchmark."
        )
    return _OF_JSON[benchmark.submission](benchmark, path)


def _video_json(benchmark: Benchmark, path: Path) -> Truth:
    classes = categories_of(path)
    known = benchmark.classes
    if set(classes.ids) <= set(known.ids) and not set(classes.names).isdisjoint(known.names):
        classes = known  # with a check of what the categories are called
    return replace(benchmark, classes=classes), load_video_json(path, path.parent, classes)


def _burst_json(benchmark: Benchmark, path: Path) -> Truth:
    return benchmark, load_burst_json(path, path.parent)


def _vipseg_json(benchmark: Benchmark, path: Path) -> Truth:
    classes = benchmark.classes
    # The official scripts take from the file what is a thing.
    is_thing = dict(zip(classes.ids, classes.is_thing, strict=True))
    for category in read_json(path).get("categories", []):
        is_thing[category["id"]] = bool(category.get("isthing", is_thing.get(category["id"])))
    classes = replace(classes, is_thing=tuple(is_thing[id_] for id_ in classes.ids))
    read_labels = partial(read_panoptic_labels, classes=classes)
    records = vipseg.load_json(path, classes=classes)
    return replace(benchmark, classes=classes, read_labels=read_labels), records


_OF_JSON: dict[str | None, Callable[[Benchmark, Path], Truth]] = {
    "track_json": _video_json,
    "burst_json": _burst_json,
    "vipseg": _vipseg_json,
}


# Formats of which labels are one image for each frame, that says all.
_OF_IMAGES = ("step_images", "class_images", "object_images", "object_masks")


def _label_folders(path: Path) -> dict[str, Path]:
    """Return the folder of label images of each video, nothing if this is no folder of such."""
    videos = sorted(video for video in path.glob("[!.]*") if video.is_dir())
    folders = {
        video.name: video / "mask" if (video / "mask").is_dir() else video for video in videos
    }
    return folders if all(any(folder.glob("*.png")) for folder in folders.values()) else {}


def _load_images(path: Path) -> list[Record]:
    records = (folder_record(name, labels, labels) for name, labels in _label_folders(path).items())
    return [record for record in records if record is not None]


def _load_below(benchmark: Benchmark, split: str, folder: Path) -> list[Record]:
    try:
        return benchmark.load_records(folder, split)
    except FileNotFoundError as as_root:
        try:
            return benchmark.load_records(folder.resolve().parent, split)
        except FileNotFoundError as as_own:
            raise FileNotFoundError(
                f"{benchmark.name} is not in {folder}, neither as one of several benchmarks "
                f"({as_root}) nor as the only one ({as_own})"
            ) from None
