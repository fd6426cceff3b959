"""The layouts of YouTube-VIS and OVIS, as `gvseg.data.benchmarks.ytvis` describes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gvseg.data.class_table import read_class_table
from gvseg.data.synthetic.files import check_absent, create_folder, write_jpeg
from gvseg.data.synthetic.json_entries import box, category_entries, run_lengths, write_json
from gvseg.data.synthetic.video import SyntheticVideo


@dataclass(frozen=True)
class VideoJsonWriter:
    """Write a split of one benchmark; annotations are numbered throughout it.

    As the authors do, it keeps the labels of all splits but train to itself.
    """

    folder: str  # below what DETECTRON2_DATASETS names
    table: str  # of classes
    json_file: str = "{split}.json"
    images: str = "{split}/JPEGImages"
    frame_name: str = "{index:05d}.jpg"

    def __call__(self, root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
        """Write the frames of each video into its folder, and one JSON.

        Raises:
            FileExistsError: the split is there already.
            ValueError: a segment is a crowd region in some frames only.
        """
        classes = read_class_table(self.table)
        json_file = root / self.folder / self.json_file.format(split=split)
        check_absent(json_file)
        images = create_folder(root / self.folder / self.images.format(split=split))
        content: dict[str, Any] = {"videos": [], "categories": category_entries(classes)}
        annotations: list[dict[str, Any]] = []
        for video_id, video in enumerate(videos, 1):
            names = [
                f"{video.name}/{self.frame_name.format(index=index)}"
                for index in range(len(video.frames))
            ]
            height, width = video.labels[0].size
            content["videos"].append(
                {
                    "id": video_id,
                    "height": height,
                    "width": width,
                    "length": len(names),
                    "file_names": names,
                }
            )
            create_folder(images / video.name)
            for name, frame in zip(names, video.frames, strict=True):
                write_jpeg(images / name, frame)
            for track in tracks(video, classes.ids):
                number = len(annotations) + 1
                annotations.append({"id": number, "video_id": video_id, **track})
        if split == "train":
            content["annotations"] = annotations
        write_json(json_file, content)


def tracks(video: SyntheticVideo, category_ids: tuple[int, ...]) -> list[dict[str, Any]]:
    """Return what the JSON says of each segment of a video, but for its numbers."""
    is_crowd = np.array([labels.is_crowd for labels in video.labels])
    if (is_crowd != is_crowd[0]).any():
        raise ValueError(
            f"Video {video.name} has crowd regions that are none in some frames, which the JSON "
            "cannot say."
        )
    height, width = video.labels[0].size
    entries = []
    for position, class_index in enumerate(video.labels[0].segments.classes):
        masks = [labels.segments.mask(position) for labels in video.labels]
        entries.append(
            {
                "category_id": category_ids[class_index],
                "iscrowd": int(is_crowd[0, position]),
                "height": height,
                "width": width,
                "segmentations": [run_lengths(mask) if mask.any() else None for mask in masks],
                "bboxes": [box(mask) if mask.any() else None for mask in masks],
                "areas": [int(mask.sum()) or None for mask in masks],
            }
        )
    return entries


write_ytvis_2019 = VideoJsonWriter("ytvis_2019", "ytvis_2019")
write_ytvis_2021 = VideoJsonWriter("ytvis_2021", "ytvis_2021")
write_ytvis_2022 = VideoJsonWriter("ytvis_2022", "ytvis_2021")
write_ovis = VideoJsonWriter(
    "ovis",
    "ovis",
    json_file="annotations/annotations_{split}.json",
    images="{split}",
    frame_name="img_{index:07d}.jpg",
)
