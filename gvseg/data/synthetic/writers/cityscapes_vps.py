"""Cityscapes-VPS's layout, as `gvseg.data.benchmarks.cityscapes_vps` describes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gvseg.data.class_table import read_class_table
from gvseg.data.panoptic_json import category_entries
from gvseg.data.synthetic.files import check_absent, create_folder
from gvseg.data.synthetic.json_entries import write_json
from gvseg.data.synthetic.panoptic_entries import write_segments
from gvseg.data.synthetic.video import SyntheticVideo

Entry = dict[str, Any]
_CLASSES = read_class_table("cityscapes")
_JSON_FILES = {
    "labelled": "panoptic_im_{split}_city_vps.json",
    "whole": "im_all_info_{split}_city_vps.json",
    "annotations": "panoptic_gt_{split}_city_vps.json",
}
_STEP = 5  # of val and test, the fifth frame has labels, and so has every fifth after it


def write(root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write the videos of a split and the lists of their frames.

    In train every frame has labels, in val every fifth; in test they are hidden.

    Raises:
        FileExistsError: the split is there already.
        ValueError: a video for val or test has fewer than five frames.
    """
    check_absent(
        *(root / "cityscapes_vps" / name.format(split=split) for name in _JSON_FILES.values())
    )
    folder = create_folder(root / "cityscapes_vps" / split)
    for name in ("img", "img_all", "panoptic_video"):
        create_folder(folder / name)
    labelled: list[Entry] = []
    whole: list[Entry] = []
    annotations: list[Entry] = []
    for number, video in enumerate(videos, 1):
        if split == "train":
            frame_indices = range(len(video.frames))
        else:
            whole.extend(_write_all(folder / "img_all", number, video))
            frame_indices = range(_STEP - 1, len(video.frames), _STEP)
        for index in frame_indices:
            image_id = f"{number:04d}_{index:04d}_{_moment(number, index)}"
            image = folder / "img" / f"{image_id}_newImg8bit.png"
            labelled.append(_write_frame(image, image_id, video.frames[index]))
            if split != "test":
                name = f"{image_id}_final_mask.png"
                path = folder / "panoptic_video" / name
                segments = write_segments(path, video.labels[index], _CLASSES)
                annotations.append(
                    {"image_id": image_id, "file_name": name, "segments_info": segments}
                )
    _write_lists(root / "cityscapes_vps", split, labelled, whole, annotations)


def _write_all(folder: Path, number: int, video: SyntheticVideo) -> list[Entry]:
    if len(video.frames) < _STEP:
        raise ValueError(
            f"Video {video.name} has {len(video.frames)} frames, but the format cityscapes_vps "
            f"has labels for every {_STEP}th."
        )
    return [
        _write_frame(
            folder / f"{_moment(number, index)}_leftImg8bit.png", number * 10_000 + index + 1, frame
        )
        for index, frame in enumerate(video.frames)
    ]


def _write_frame(path: Path, image_id: str | int, frame: np.ndarray) -> Entry:
    Image.fromarray(frame).save(path)
    height, width = frame.shape[:2]
    return {"id": image_id, "file_name": path.name, "height": height, "width": width}


def _moment(number: int, index: int) -> str:
    return f"synthetic_{number:06d}_{index:06d}"


def _write_lists(
    root: Path, split: str, labelled: list[Entry], whole: list[Entry], annotations: list[Entry]
) -> None:
    categories = category_entries(_CLASSES)
    content = {"images": labelled, "categories": categories}
    write_json(root / _JSON_FILES["labelled"].format(split=split), content)
    if split != "train":
        content = {"images": whole, "categories": categories}
        write_json(root / _JSON_FILES["whole"].format(split=split), content)
    if split != "test":
        content = {"images": labelled, "annotations": annotations, "categories": categories}
        write_json(root / _JSON_FILES["annotations"].format(split=split), content)
