"""Tracks of a video in the JSON formats of benchmarks.

They are gathered on disk, in a hidden folder beside the file, and joined into it from time to time
and at the end, so that memory stays flat and the file is whole when the program is killed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from pycocotools import mask as coco_mask

from gvseg.data.mask_annotations import run_lengths
from gvseg.evaluation.overlaps import TrackScores, take_segments
from gvseg.evaluation.submissions.burst_json import frame_tracks
from gvseg.evaluation.submissions.panoptic import PanopticImages
from gvseg.inference.frames import Frame
from gvseg.inference.json_files import (
    GrowingJson,
    JoinSchedule,
    LineStore,
    write_json,
)
from gvseg.inference.label_images import check_things
from gvseg.inference.pictures import png_name
from gvseg.inference.video_info import VideoInfo
from gvseg.structures import FrameSegments
from gvseg.visualization import ClassLegend

VIDEO_ID = 1  # each run writes one video


class TrackLayout(Protocol):
    """A format: what is kept of each frame, and what the file is made of."""

    file_name: str

    def keep(
        self, store: LineStore, video: VideoInfo, image: dict[str, Any], things: FrameSegments
    ) -> None:
        """Put into the store what the file is to have of a frame.

        Args:
            store: lists of the video so far.
            video: that the frame is of.
            image: the frame as `coco_image` gives it; its id counts frames from 1.
            things: of the frame.
        """
        ...

    def document(
        self, store: LineStore, video: VideoInfo, scores: TrackScores, num_frames: int
    ) -> object:
        """Return the file as `write_json` takes it."""
        ...


class TrackFile:
    """Write the things of a video in some layout."""

    def __init__(self, folder: Path, layout: TrackLayout) -> None:
        self.path = folder / layout.file_name
        self.layout = layout
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        """Begin with a file of no frames.

        Raises:
            ValueError: no class is a thing.
        """
        self._video = video
        check_things(self.path.stem, video.legend)
        self._is_thing = np.array(video.legend.is_thing)
        self._store = LineStore(self.path.with_name(f".{self.path.stem}"))
        self._scores = TrackScores()
        self._schedule = JoinSchedule()
        self._join()
        self.files = [self.path]

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        things = take_segments(segments, np.flatnonzero(self._is_thing[segments.classes]))
        image = coco_image(self._video, frame, self._schedule.num_frames + 1)
        self.layout.keep(self._store, self._video, image, things)
        self._store.commit()
        self._scores.update(replace(things, unlikely=None))  # the score is of what is shown
        if self._schedule.count_frame():
            self._join()

    def close(self) -> None:
        """Complete the file and remove the lists it was made of."""
        try:
            self._join()
        finally:
            self._store.remove()

    def _join(self) -> None:
        num_frames = self._schedule.num_frames
        document = self.layout.document(self._store, self._video, self._scores, num_frames)
        write_json(self.path, document)


class YouTubeVisLayout:
    """The results of YouTube-VIS: a list of tracks, each with a mask or null per frame.

    An object that is seen as several classes is a track of each, as the benchmark scores it.
    """

    file_name = "youtube_vis.json"

    def keep(
        self, store: LineStore, video: VideoInfo, image: dict[str, Any], things: FrameSegments
    ) -> None:
        for position, id_ in enumerate(things.ids.tolist()):
            mask = things.mask(position)
            if mask.any():
                store.append(str(id_), [image["id"] - 1, run_lengths(mask)])

    def document(
        self, store: LineStore, video: VideoInfo, scores: TrackScores, num_frames: int
    ) -> Iterator[str]:
        for id_ in scores.ids:
            for class_index, score in sorted(scores.of(id_).items()):
                masks: list[Any] = [None] * num_frames
                for line in store.lines(str(id_)):
                    position, masks[position] = json.loads(line)
                category_id = video.legend.category_ids[class_index]
                about = {"video_id": VIDEO_ID, "category_id": category_id, "score": score}
                yield json.dumps({**about, "segmentations": masks})


class BurstLayout:
    """BURST's format with one sequence: by frame and track, run lengths and score."""

    file_name = "burst.json"

    def keep(
        self, store: LineStore, video: VideoInfo, image: dict[str, Any], things: FrameSegments
    ) -> None:
        store.append("segmentations", frame_tracks(things))
        store.append("names", image["file_name"])

    def document(
        self, store: LineStore, video: VideoInfo, scores: TrackScores, num_frames: int
    ) -> object:
        height, width = video.size
        category_ids = {
            str(id_): video.legend.category_ids[scores.best_class(id_)] for id_ in scores.ids
        }
        sequence = {
            "id": VIDEO_ID,
            "seq_name": video.name,
            "dataset": "gvseg",
            "height": height,
            "width": width,
            "all_image_paths": store.lines("names"),
            "annotated_image_paths": store.lines("names"),
            "neg_category_ids": [],
            "not_exhaustive_category_ids": [],
            "track_category_ids": category_ids,
            "segmentations": store.lines("segmentations"),
        }
        return {"sequences": [sequence]}


class CocoVideoLayout:
    """COCO's format with videos: images and annotations that name their video and object.

    Any reader of COCO's instances reads it; `instance_id` is the identity.
    """

    file_name = "coco_video.json"

    def keep(
        self, store: LineStore, video: VideoInfo, image: dict[str, Any], things: FrameSegments
    ) -> None:
        store.append("images", {**image, "video_id": VIDEO_ID, "frame_id": image["id"] - 1})
        for position in range(len(things)):
            annotation = _coco_annotation(things, position, video.legend)
            if annotation["area"]:
                id_ = store.length("annotations") + 1
                store.append("annotations", {"id": id_, "image_id": image["id"], **annotation})

    def document(
        self, store: LineStore, video: VideoInfo, scores: TrackScores, num_frames: int
    ) -> object:
        height, width = video.size
        about = {"id": VIDEO_ID, "name": video.name, "height": height, "width": width}
        return {
            "videos": [about],
            "categories": categories(video.legend),
            "images": store.lines("images"),
            "annotations": store.lines("annotations"),
        }


def _coco_annotation(things: FrameSegments, position: int, legend: ClassLegend) -> dict[str, Any]:
    """Return one object of a frame as COCO has annotations, without the ids of both."""
    segmentation = run_lengths(things.mask(position))
    return {
        "video_id": VIDEO_ID,
        "instance_id": int(things.ids[position]),
        "category_id": legend.category_ids[things.classes[position]],
        "score": round(float(things.scores[position]), 4),
        "area": int(coco_mask.area(segmentation)),
        "bbox": [int(length) for length in coco_mask.toBbox(segmentation)],
        "iscrowd": 0,
        "segmentation": segmentation,
    }


class PanopticWriter:
    """VIPSeg's format: colour images of segment numbers, and one JSON of their classes.

    `pan_pred/<video>/00000.png` has R + 256 G + 65536 B at each pixel, 0 is void; `pred.json` is
    whole after every frame.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        self._images = PanopticImages(video.legend.category_ids, video.legend.is_thing)
        self._image_folder = self.folder / "pan_pred" / video.name
        self._image_folder.mkdir(parents=True, exist_ok=True)
        head = f'{{"categories": {json.dumps(categories(video.legend))},\n"annotations": ['
        self._json = GrowingJson(
            self.folder / "pred.json",
            head=f'{head}{{"video_id": {json.dumps(video.name)}, "annotations": [',
            tail="]}]}",
        )
        self.files = [self._image_folder, self.folder / "pred.json"]

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        path = self._image_folder / png_name(frame)
        self._json.append(self._images.write(path, segments, f"Frame {frame.index}"))

    def close(self) -> None:
        self._json.close()


class CocoPanopticWriter:
    """COCO's panoptic format: `00000.png`, ..., and `panoptic.json` with images and segments."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        self.folder.mkdir(exist_ok=True)
        self._video = video
        self._images = PanopticImages(video.legend.category_ids, video.legend.is_thing)
        self._store = LineStore(self.folder / ".panoptic")
        self._schedule = JoinSchedule()
        self._join()
        self.files = [self.folder, self.folder / "panoptic.json"]

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        image_id = self._schedule.num_frames + 1
        self._store.append("images", coco_image(self._video, frame, image_id))
        entry = self._images.write(self.folder / png_name(frame), segments, f"Frame {frame.index}")
        self._store.append("annotations", entry | {"image_id": image_id})
        self._store.commit()
        if self._schedule.count_frame():
            self._join()

    def close(self) -> None:
        try:
            self._join()
        finally:
            self._store.remove()

    def _join(self) -> None:
        lists = {name: self._store.lines(name) for name in ("images", "annotations")}
        write_json(
            self.folder / "panoptic.json",
            {"categories": categories(self._video.legend), **lists},
        )


def categories(legend: ClassLegend) -> list[dict[str, Any]]:
    """Return the classes as COCO has them."""
    return [
        {"id": id_, "name": name, "isthing": int(is_thing), "color": list(color)}
        for id_, name, is_thing, color in zip(
            legend.category_ids, legend.names, legend.is_thing, legend.colors, strict=True
        )
    ]


def coco_image(video: VideoInfo, frame: Frame, image_id: int) -> dict[str, Any]:
    """Return a frame as COCO has images."""
    height, width = video.size
    return {"id": image_id, "file_name": png_name(frame), "height": height, "width": width}
