"""YouTube-VOS's layout, as `gvseg.data.benchmarks.youtube_vos` describes it.

Frames of a video are those that the benchmark labels, every fifth of its source, so that their
numbers step by five.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gvseg.data.class_table import read_class_table
from gvseg.data.synthetic.files import create_folder, write_jpeg, write_object_png
from gvseg.data.synthetic.video import SyntheticVideo

_STEP = 5


def write(year: int, root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write a split; of other splits than train the masks of first appearances alone.

    Raises:
        FileExistsError: the split is there already.
        ValueError: a video has crowd regions or more than 254 objects.
    """
    folder = create_folder(root / f"youtube_vos_{year}" / split)
    entries = {}
    for video in videos:
        stems = [f"{_STEP * index:05d}" for index in range(len(video.frames))]
        shown = np.stack([labels.areas > 0 for labels in video.labels])
        images = create_folder(folder / "JPEGImages" / video.name)
        masks = create_folder(folder / "Annotations" / video.name)
        for index, (frame, labels) in enumerate(zip(video.frames, video.labels, strict=True)):
            write_jpeg(images / f"{stems[index]}.jpg", frame)
            is_new = shown.argmax(axis=0) == index
            if split == "train":
                write_object_png(masks / f"{stems[index]}.png", labels)
            elif is_new.any():
                write_object_png(masks / f"{stems[index]}.png", labels, is_new)
        entries[video.name] = {"objects": _objects(video, shown, stems)}
    (folder / "meta.json").write_text(json.dumps({"videos": entries}), encoding="utf-8")


def _objects(video: SyntheticVideo, shown: np.ndarray, stems: list[str]) -> dict[str, Any]:
    """Return the objects' entries of `meta.json`: category and frames in which they are seen."""
    names = read_class_table("object").names
    segments = video.labels[0].segments
    return {
        str(id_): {
            "category": names[segments.classes[position]],
            "frames": [stems[index] for index in np.flatnonzero(shown[:, position])],
        }
        for position, id_ in enumerate(segments.ids.tolist())
    }


write_2018, write_2019 = partial(write, 2018), partial(write, 2019)
