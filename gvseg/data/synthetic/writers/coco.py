"""COCO's layouts of instances and of panoptic labels, as the files of its benchmarks describe them.

Each video is one image.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from gvseg.data.class_table import read_class_table
from gvseg.data.panoptic_image import write_rgb_values
from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.files import check_absent, create_folder, value_image, write_jpeg
from gvseg.data.synthetic.json_entries import box, category_entries, run_lengths, write_json
from gvseg.data.synthetic.video import SyntheticVideo

Entry = dict[str, Any]


def write_instances(root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write images and one JSON; every mask is exact, as run lengths rather than polygons.

    Annotations are numbered throughout the split.

    Raises:
        FileExistsError: the split is there already.
        ValueError: a video has several frames.
    """
    classes = read_class_table("coco")
    folder = root / "coco"
    json_file = folder / "annotations" / f"instances_{split}.json"
    check_absent(json_file)
    images: list[Entry] = []
    annotations: list[Entry] = []
    for image, labels in _images(create_folder(folder / split), videos):
        images.append(image)
        for position, class_index in enumerate(labels.segments.classes):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image["id"],
                    "category_id": classes.ids[class_index],
                    "segmentation": run_lengths(labels.segments.mask(position)),
                    **_extent(labels, position),
                }
            )
    content = {
        "images": images,
        "annotations": annotations,
        "categories": category_entries(classes),
    }
    write_json(json_file, content)


def write_panoptic(root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write images, label images and one JSON.

    Raises:
        FileExistsError: the split is there already.
        ValueError: a video has several frames.
    """
    classes = read_class_table("coco_panoptic")
    is_thing = np.array(classes.is_thing)
    folder = root / "coco"
    json_file = folder / "annotations" / f"panoptic_{split}.json"
    check_absent(json_file, folder / split)
    label_folder = create_folder(folder / f"panoptic_{split}")
    images: list[Entry] = []
    annotations: list[Entry] = []
    for image, labels in _images(create_folder(folder / split), videos):
        images.append(image)
        segments = labels.segments
        # Stuff has the identity of its class, which an object may have too.
        numbers = segments.ids + np.where(is_thing[segments.classes], len(classes), 0)
        file_name = Path(image["file_name"]).with_suffix(".png").name
        write_rgb_values(label_folder / file_name, value_image(labels, numbers, 0))
        entries = [
            {
                "id": int(numbers[position]),
                "category_id": classes.ids[class_index],
                **_extent(labels, position),
            }
            for position, class_index in enumerate(segments.classes)
        ]
        annotations.append(
            {"image_id": image["id"], "file_name": file_name, "segments_info": entries}
        )
    categories = [
        {**entry, "isthing": int(isthing), "color": list(color)}
        for entry, isthing, color in zip(
            category_entries(classes), classes.is_thing, classes.colors, strict=True
        )
    ]
    content = {"images": images, "annotations": annotations, "categories": categories}
    write_json(json_file, content)


def _images(folder: Path, videos: Iterable[SyntheticVideo]) -> Iterator[tuple[Entry, FrameLabels]]:
    """Write the frame of each video, and give its entry of `images` with its labels."""
    for image_id, video in enumerate(videos, 1):
        if len(video.frames) != 1:
            raise ValueError(
                f"Video {video.name} has {len(video.frames)} frames, but COCO has still images."
            )
        name = f"{image_id:012d}.jpg"
        write_jpeg(folder / name, video.frames[0])
        height, width = video.labels[0].size
        yield {"id": image_id, "file_name": name, "height": height, "width": width}, video.labels[0]


def _extent(labels: FrameLabels, position: int) -> Entry:
    mask = labels.segments.mask(position)
    return {
        "iscrowd": int(labels.is_crowd[position]),
        "area": int(mask.sum()),
        "bbox": box(mask),
    }
