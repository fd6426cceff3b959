"""KITTI-STEP's layout, as `gvseg.data.benchmarks.kitti_step` describes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.class_table import read_class_table
from gvseg.data.panoptic_image import write_rgb_values
from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.files import check_absent, create_folder, value_image
from gvseg.data.synthetic.video import SyntheticVideo

_NUM_NUMBERS = 1 << 16


def write(root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write the videos as sequences 0000, 0001 and so on; labels of the split test are hidden.

    Objects keep their ids as numbers.

    Raises:
        FileExistsError: the split is there already.
        ValueError: an id that 16 bits cannot hold, or two crowd regions of one class.
    """
    folder = root / "kitti_step"
    check_absent(folder / "panoptic_maps" / split)
    images = create_folder(folder / "images" / split)
    labels = None if split == "test" else create_folder(folder / "panoptic_maps" / split)
    for sequence, video in enumerate(videos):
        frame_folder = create_folder(images / f"{sequence:04d}")
        for index, frame in enumerate(video.frames):
            Image.fromarray(frame).save(frame_folder / f"{index:06d}.png")
        if labels is not None:
            label_folder = create_folder(labels / f"{sequence:04d}")
            for index, frame_labels in enumerate(video.labels):
                write_labels(label_folder / f"{index:06d}.png", frame_labels)


def write_labels(path: Path, labels: FrameLabels) -> None:
    """Write the label image of one frame.

    Raises:
        ValueError: an id that 16 bits cannot hold, or two crowd regions of one class.
    """
    classes, segments = read_class_table("kitti_step"), labels.segments
    crowds = segments.classes[labels.is_crowd]
    if len(set(crowds.tolist())) < len(crowds):
        raise ValueError(
            "The format kitti_step has one crowd region of a class in a video at most."
        )
    has_number = np.array(classes.is_thing)[segments.classes] & ~labels.is_crowd
    numbers = np.where(has_number, segments.ids, 0)
    if numbers.max(initial=0) >= _NUM_NUMBERS:
        raise ValueError(f"Object {numbers.max()} is too many; kitti_step has 16 bits for ids.")
    class_ids = np.array(classes.ids)[segments.classes]
    (void,) = classes.void_ids
    # Red is the class; green is the high byte of the number and blue the low one.
    values = class_ids + ((numbers >> 8) << 8) + ((numbers & 255) << 16)
    write_rgb_values(path, value_image(labels, values, void))
