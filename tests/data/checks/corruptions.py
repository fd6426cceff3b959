"""Ways in which the files of a benchmark can be wrong, one at a time.

Each is a function that damages one thing on disk and returns what an error about it must say. Files
are damaged by what a record names, lists and JSON by the format that they are in.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gvseg.data.benchmark import Benchmark, Record
from tests.data.checks.json_edits import JSON_EDITS, Edit, Said


@dataclass(frozen=True)
class Case:
    """A made-up set on disk, with the video and the frame of it to be damaged."""

    root: Path
    format_name: str
    dataset_name: str
    benchmark: Benchmark
    record: Record

    @property
    def split(self) -> str:
        return self.benchmark.split_of(self.dataset_name)

    @property
    def index(self) -> int:
        """Not the first, where there are more: that one gives the size of the video."""
        return min(1, self.record["length"] - 1)

    @property
    def frame(self) -> Path:
        return Path(self.record["file_names"][self.index])

    @property
    def labels(self) -> Path:
        return Path(self.record["label_files"][self.index])


Corruption = Callable[[Case], Said]


# Frames


def truncated_frame(case: Case) -> Said:
    return _truncate(case.frame)


def missing_frame(case: Case) -> Said:
    case.frame.unlink()
    return (case.frame.stem,)  # by its own name or by that of its labels


def frame_of_another_size(case: Case) -> Said:
    Image.new("RGB", (20, 10)).save(case.frame)
    return str(case.frame), "10x20"


FRAMES: dict[str, Corruption] = {
    "truncated frame": truncated_frame,
    "missing frame": missing_frame,
    "frame of another size": frame_of_another_size,
}


# Label images


def truncated_labels(case: Case) -> Said:
    return _truncate(case.labels)


def missing_labels(case: Case) -> Said:
    case.labels.unlink()
    return (case.labels.stem,)  # by its own name or by that of its frame


def labels_of_another_size(case: Case) -> Said:
    with Image.open(case.labels) as image:
        smaller = image.resize((32, 24), Image.Resampling.NEAREST)
    smaller.save(case.labels)
    # By their own name or by that of their frame, which in Cityscapes-VPS ends otherwise.
    return case.labels.stem.removesuffix("_final_mask"), "24x32"


def labels_of_another_encoding(case: Case) -> Said:
    with Image.open(case.labels) as image:
        other = image.convert("L" if image.mode == "RGB" else "RGB")
    other.save(case.labels)
    return str(case.labels), f"mode {other.mode}"


LABEL_IMAGES: dict[str, Corruption] = {
    "truncated labels": truncated_labels,
    "missing labels": missing_labels,
    "labels of another size": labels_of_another_size,
    "labels of another encoding": labels_of_another_encoding,
}

# A value that no pixel may have, and what an error calls it.
_UNKNOWN_VALUES: dict[str, tuple[Any, str]] = {
    "camvid": (40, "40"),
    "vspw": (200, "200"),
    "vspw_raw": (200, "200"),
    "vipseg_raw": (30_001, "300"),  # instance 1 of class 300
    "kitti_step": ((77, 0, 0), "77"),
    "vipseg": ((9, 9, 9), str(9 + (9 << 8) + (9 << 16))),
    "coco_panoptic": ((9, 9, 9), str(9 + (9 << 8) + (9 << 16))),
    "cityscapes_vps": ((9, 9, 9), str(9 + (9 << 8) + (9 << 16))),
}


def unknown_value(case: Case) -> Said:
    value, name = _UNKNOWN_VALUES[case.format_name]
    with Image.open(case.labels) as image:
        palette, pixels = image.getpalette(), np.array(image)
    pixels[:4, :4] = value
    changed = Image.fromarray(pixels)
    if palette is not None:
        changed = Image.fromarray(pixels, mode="P")
        changed.putpalette(palette)
    changed.save(case.labels)
    return str(case.labels), name


# Lists of videos: text files of names


def _list_file(case: Case) -> Path:
    (path,) = case.root.glob(f"*/**/{case.split}.txt")
    return path


def video_listed_twice(case: Case) -> Said:
    path = _list_file(case)
    path.write_text(path.read_text() + f"{case.record['video_id']}\n")
    return str(path), f"names video {case.record['video_id']} 2 times"


def listed_video_that_is_nowhere(case: Case) -> Said:
    path = _list_file(case)
    path.write_text(path.read_text() + "nowhere\n")
    return "nowhere", "does not exist"


def empty_video(case: Case) -> Said:
    for path in case.record["file_names"]:
        Path(path).unlink()
    return (str(case.frame.parent),)


VIDEO_LISTS: dict[str, Corruption] = {
    "video listed twice": video_listed_twice,
    "listed video that is nowhere": listed_video_that_is_nowhere,
}


# JSON


def edited(edit: Edit) -> Corruption:
    """Return the corruption that an edit of the annotation file is."""

    def corrupt(case: Case) -> Said:
        path = _json_file(case)
        content = json.loads(path.read_text())
        said = edit(content)
        path.write_text(json.dumps(content))
        return said

    return corrupt


def truncated_json(case: Case) -> Said:
    path = _json_file(case)
    path.write_text(path.read_text()[:-20])
    return str(path), "is not valid JSON"


def repeated_key(case: Case) -> Said:
    """Give an object two identities of one name."""
    path = _json_file(case)
    content, opening = path.read_text(), _OBJECTS_BY_ID[case.format_name]
    assert opening in content
    path.write_text(content.replace(opening, opening + '"1": null, "1": null, ', 1))
    return str(path), "has '1' several times"


def _json_file(case: Case) -> Path:
    if case.format_name == "youtube_vos":
        return case.frame.parents[2] / "meta.json"
    return Path(case.record["annotation_file"])


# What stands before identities that are keys.
_OBJECTS_BY_ID = {"youtube_vos": '"objects": {', "burst": '"track_category_ids": {'}
_LISTED_IN_TEXT = ("davis", "vipseg_raw", "vspw", "vspw_raw")
_FOLDER_FOR_EACH_VIDEO = (*_LISTED_IN_TEXT, "kitti_step", "youtube_vos")


def corruptions(format_name: str, *, has_label_images: bool) -> dict[str, Corruption]:
    """Return all that can be wrong with a format, by name."""
    found = dict(FRAMES)
    if has_label_images:
        found |= LABEL_IMAGES
    if format_name in _UNKNOWN_VALUES:
        found["unknown value"] = unknown_value
    if format_name in _LISTED_IN_TEXT:
        found |= VIDEO_LISTS
    if format_name in _FOLDER_FOR_EACH_VIDEO:
        found["empty video"] = empty_video
    found |= {name: edited(edit) for name, edit in JSON_EDITS.get(format_name, {}).items()}
    return found


def has_json(format_name: str) -> bool:
    return format_name in JSON_EDITS


def json_corruptions(format_name: str) -> dict[str, Corruption]:
    """Return what makes a JSON of no use at all, by name."""
    found: dict[str, Corruption] = {"truncated": truncated_json}
    if format_name in _OBJECTS_BY_ID:
        found["repeated key"] = repeated_key
    return found


def _truncate(path: Path) -> Said:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 6 // 10])
    return (str(path),)
