"""VSPW's layout, as `gvseg.data.benchmarks.vspw` describes it, under the name of either release."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.class_table import read_class_table
from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.files import check_no_crowd, value_image
from gvseg.data.synthetic.listed_videos import write_listed_videos
from gvseg.data.synthetic.video import SyntheticVideo

_OTHERS = 0  # what the authors write where none of their classes is


def write(folder_name: str, root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write the videos of a split; labels of the split test are hidden.

    Args:
        folder_name: of the release below `root`.
        root: `DETECTRON2_DATASETS`.
        split: train, val or test.
        videos: to be written one at a time.

    Raises:
        FileExistsError: the split is there already.
        ValueError: a video has crowd regions.
    """
    write_listed_videos(
        root / folder_name / f"{split}.txt",
        videos,
        frames="data/{name}/origin",
        labels="data/{name}/mask",
        write_labels=None if split == "test" else _write_labels,
    )


def _write_labels(path: Path, labels: FrameLabels) -> None:
    check_no_crowd(labels, "vspw")
    ids = np.array(read_class_table("vspw").ids)[labels.segments.classes]
    Image.fromarray(value_image(labels, ids, _OTHERS).astype(np.uint8)).save(path)


write_480p = partial(write, "VSPW_480p")
write_raw = partial(write, "VSPW")
