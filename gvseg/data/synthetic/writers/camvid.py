"""CamVid's layout, as `gvseg.data.benchmarks.camvid` describes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.class_table import read_class_table
from gvseg.data.synthetic.files import check_absent, check_no_crowd, create_folder, value_image
from gvseg.data.synthetic.video import SyntheticVideo


def write(root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write the frames and label images of all videos into two folders of the split.

    Raises:
        FileExistsError: the split is there already.
        ValueError: a video has crowd regions.
    """
    classes = read_class_table("camvid")
    (void,) = classes.void_ids
    check_absent(root / "camvid" / f"{split}annot")
    images = create_folder(root / "camvid" / split)
    annotations = create_folder(root / "camvid" / f"{split}annot")
    for video in videos:
        for index, (frame, labels) in enumerate(zip(video.frames, video.labels, strict=True)):
            check_no_crowd(labels, "camvid")
            name = f"{video.name}_{index:05d}.png"
            ids = value_image(labels, np.array(classes.ids)[labels.segments.classes], void)
            Image.fromarray(frame).save(images / name)
            Image.fromarray(ids.astype(np.uint8)).save(annotations / name)
