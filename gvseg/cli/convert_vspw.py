"""Resize VSPW to a height of 480, at which it is trained on and scored.

Reads `VSPW/` at the original sizes and writes `VSPW_480p/` beside it, with the same sizes and
resampling as the script that comes with the data set. Values of label images stay as they are. A
run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.cli.conversion import Conversion, add_conversion
from gvseg.data.benchmark import Record
from gvseg.data.benchmarks import vspw
from gvseg.data.resizing import check_label_size, resize_frame, resize_labels
from gvseg.data.segments import read_id_image

_HEIGHT = 480


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `convert-vspw`."""
    conversion = Conversion(
        title="VSPW",
        folder=Path("VSPW_480p"),
        list_file="{split}.txt",
        load_records=partial(vspw.load_records, "VSPW"),
        convert=convert_video,
        text_of=lambda videos: "".join(f"{video['video_id']}\n" for video in videos),
    )
    add_conversion(verbs, "convert-vspw", __doc__ or "", conversion)


def convert_video(record: Record, folder: Path) -> dict[str, str]:
    """Write the frames and label images of one video, and return its id."""
    video = folder / "data" / record["video_id"]
    (video / "origin").mkdir(parents=True, exist_ok=True)
    for frame, label_file in zip(record["file_names"], record["label_files"], strict=True):
        size = resize_frame(frame, video / "origin" / Path(frame).name, _HEIGHT)
        if label_file is not None:
            (video / "mask").mkdir(exist_ok=True)
            values = read_id_image(label_file)
            check_label_size(frame, size, values)
            values = resize_labels(values, _HEIGHT).astype(np.uint8)
            Image.fromarray(values).save(video / "mask" / Path(label_file).name)
    return {"video_id": record["video_id"]}
