"""VIPSeg's layout as published, which `gvseg.data.benchmarks.vipseg_raw` describes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.benchmarks.vipseg import CLASSES
from gvseg.data.benchmarks.vipseg_raw import NUMBERS_PER_CLASS
from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.files import check_no_crowd, value_image
from gvseg.data.synthetic.listed_videos import write_listed_videos
from gvseg.data.synthetic.video import SyntheticVideo


def write(root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write the videos of a split; labels of the split test are hidden.

    Objects of a class are numbered from 1 in the order of their ids.

    Raises:
        FileExistsError: the split is there already.
        ValueError: a video has crowd regions, or more than 99 objects of a class.
    """
    write_listed_videos(
        root / "VIPSeg" / f"{split}.txt",
        videos,
        frames="imgs/{name}",
        labels="panomasks/{name}",
        write_labels=None if split == "test" else _write_labels,
    )


def _write_labels(path: Path, labels: FrameLabels) -> None:
    check_no_crowd(labels, "vipseg_raw")
    values = value_image(labels, _values(labels), 0)
    Image.fromarray(values.astype(np.uint16)).save(path)


def _values(labels: FrameLabels) -> np.ndarray:
    """Return the value of each segment, (N,), seen in this frame or not."""
    classes, ids = labels.segments.classes, labels.segments.ids
    is_thing = np.array(CLASSES.is_thing)[classes]
    values = classes + 1
    for class_index in np.unique(classes[is_thing]):
        members = classes == class_index
        numbers = ids[members].argsort().argsort() + 1
        if len(numbers) >= NUMBERS_PER_CLASS:
            raise ValueError(
                f"The format vipseg_raw numbers {NUMBERS_PER_CLASS - 1} objects of a class, but "
                f"the video has {len(numbers)} of {CLASSES.names[class_index]}."
            )
        values[members] = values[members] * NUMBERS_PER_CLASS + numbers
    return values
