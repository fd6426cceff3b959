"""Resize VIPSeg to a height of 720 and write its COCO panoptic JSON, on which all scores are.

Reads `VIPSeg/` as published and writes `VIPSeg_720P/` beside it, with the same sizes, resampling,
order and meaning as the scripts that come with the data set; value 200 of video 353_-5sqmCF8OFU,
which its authors call a mistake, becomes void. A run that was stopped goes on where it was. Where
labels of test videos are hidden, the JSON lists their frames alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from gvseg.cli.conversion import Conversion, add_conversion
from gvseg.data.benchmark import Record
from gvseg.data.benchmarks import vipseg_raw
from gvseg.data.benchmarks.vipseg import CLASSES
from gvseg.data.panoptic_image import NUM_RGB_VALUES, write_rgb_values
from gvseg.data.panoptic_json import category_entries
from gvseg.data.resizing import check_label_size, resize_frame, resize_labels, resized_size
from gvseg.data.segments import LabelRuns

Entry = dict[str, Any]
_HEIGHT = 720
_NUMBER_STEP = 0x355B25  # odd, so that steps reach every colour, and large in each channel


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `convert-vipseg`."""
    conversion = Conversion(
        title="VIPSeg",
        folder=Path("VIPSeg_720P"),
        list_file="panoptic_gt_VIPSeg_{split}.json",
        load_records=vipseg_raw.load_records,
        convert=convert_video,
        text_of=_json_of,
    )
    add_conversion(verbs, "convert-vipseg", __doc__ or "", conversion)


def _json_of(videos: list[Entry]) -> str:
    listed = [{"video_id": video["video_id"], "images": video["images"]} for video in videos]
    annotated = [
        {"video_id": video["video_id"], "annotations": video["annotations"]}
        for video in videos
        if video["annotations"]
    ]
    categories = category_entries(CLASSES)
    return json.dumps({"videos": listed, "annotations": annotated, "categories": categories})


def convert_video(record: Record, folder: Path) -> Entry:
    """Write the frames and label images of one video, and return what the JSON says of it."""
    video_id = record["video_id"]
    for kind in ("images", "panomasks", "panomasksRGB"):
        (folder / kind / video_id).mkdir(parents=True, exist_ok=True)
    numbers: dict[int, int] = {}  # colours by value, for all frames of the video
    images, annotations = [], []
    for frame, label_file in zip(record["file_names"], record["label_files"], strict=True):
        stem = Path(frame).stem
        size = resize_frame(frame, folder / "images" / video_id / f"{stem}.jpg", _HEIGHT)
        height, width = resized_size(size, _HEIGHT)
        name = f"{stem}.png"
        images.append({"id": stem, "file_name": name, "width": width, "height": height})
        if label_file is not None:
            values = vipseg_raw.read_values(label_file)
            check_label_size(frame, size, values)
            values = resize_labels(values, _HEIGHT)
            Image.fromarray(values.astype(np.uint16)).save(folder / "panomasks" / video_id / name)
            path = folder / "panomasksRGB" / video_id / name
            segments = _write_segments(path, values, label_file, numbers)
            annotations.append({"image_id": stem, "file_name": name, "segments_info": segments})
    return {"video_id": video_id, "images": images, "annotations": annotations}


def _write_segments(
    path: Path, values: np.ndarray, label_file: str, numbers: dict[int, int]
) -> list[Entry]:
    """Write values, (H, W), as colours and return their segments, in ascending order of values."""
    runs = LabelRuns.of(values)
    class_indices = vipseg_raw.meanings(runs.values, label_file).classes
    for value, class_index in zip(runs.values.tolist(), class_indices, strict=True):
        if class_index >= 0 and value not in numbers:
            numbers[value] = _unused_number(CLASSES.colors[class_index], set(numbers.values()))
    replacements = np.array([numbers.get(value, 0) for value in runs.values.tolist()])
    write_rgb_values(path, runs.replaced_by(replacements))
    return [
        {
            "id": int(number),
            "category_id": CLASSES.ids[class_index],
            "iscrowd": 0,
            "area": int(area),
        }
        for number, class_index, area in zip(replacements, class_indices, runs.counts, strict=True)
        if class_index >= 0
    ]


def _unused_number(color: tuple[int, int, int], used: set[int]) -> int:
    """Return the number of a colour, or of another that is neither used nor black."""
    first = color[0] + (color[1] << 8) + (color[2] << 16)
    numbers = ((first + step * _NUMBER_STEP) % NUM_RGB_VALUES for step in range(NUM_RGB_VALUES))
    return next(number for number in numbers if number > 0 and number not in used)
