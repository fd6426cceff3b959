"""VIPSeg's layout at a height of 720, which `gvseg.data.benchmarks.vipseg` describes.

Frames keep the height that they were made with.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gvseg.data.benchmarks.vipseg import CLASSES
from gvseg.data.panoptic_json import category_entries
from gvseg.data.synthetic.files import check_absent, create_folder, write_jpeg
from gvseg.data.synthetic.json_entries import write_json
from gvseg.data.synthetic.panoptic_entries import write_segments
from gvseg.data.synthetic.video import SyntheticVideo

Entry = dict[str, Any]


def write(root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write the videos of a split and their JSON; labels of the split test are hidden.

    Raises:
        FileExistsError: the split is there already.
    """
    folder = root / "VIPSeg_720P"
    json_file = folder / f"panoptic_gt_VIPSeg_{split}.json"
    check_absent(json_file)
    listed: list[Entry] = []
    annotated: list[Entry] = []
    for video in videos:
        listed.append({"video_id": video.name, "images": _write_frames(folder, video)})
        if split != "test":
            annotations = _write_labels(folder, video)
            annotated.append({"video_id": video.name, "annotations": annotations})
    content = {
        "videos": listed,
        "annotations": annotated,
        "categories": category_entries(CLASSES),
    }
    write_json(json_file, content)


def _write_frames(folder: Path, video: SyntheticVideo) -> list[Entry]:
    images = create_folder(folder / "images" / video.name)
    height, width = video.labels[0].size
    entries = []
    for index, frame in enumerate(video.frames):
        stem = f"{index:08d}"
        write_jpeg(images / f"{stem}.jpg", frame)
        # The authors name frames after their label images here.
        entries.append({"id": stem, "file_name": f"{stem}.png", "height": height, "width": width})
    return entries


def _write_labels(folder: Path, video: SyntheticVideo) -> list[Entry]:
    masks = create_folder(folder / "panomasksRGB" / video.name)
    entries = []
    for index, labels in enumerate(video.labels):
        stem = f"{index:08d}"
        segments = write_segments(masks / f"{stem}.png", labels, CLASSES)
        entries.append({"image_id": stem, "file_name": f"{stem}.png", "segments_info": segments})
    return entries
