"""Registers `camvid_objects_train` and `camvid_objects_val`: CamVid with objects, one by one.

CamVid names the classes of pixels and tells no objects apart. Here each connected region of cars,
pedestrians or bicyclists is taken for an object. Where its width says that it is several, or it is
a speck, it is a crowd, which nothing is learnt from. Labelled frames are a second apart, too far to
say which object is which in the next, so each is an image by itself.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from gvseg.data import get_benchmark
from gvseg.data.benchmark import Record, register
from gvseg.data.problems import Report, raise_problem
from gvseg.data.segments import FrameLabels
from gvseg.structures import FrameSegments
from gvseg.tasks import Task

THINGS = {"car": 3.0, "pedestrian": 1.0, "bicyclist": 1.5}  # widest ones, in heights
SMALLEST = 24  # pixels of 480x360

CAMVID = get_benchmark("camvid_train")
CLASSES = replace(
    CAMVID.classes,
    name="CamVid, 11 classes, 3 of them things",
    is_thing=tuple(name in THINGS for name in CAMVID.classes.names),
)


def load_records(root: Path, split: str, *, report: Report = raise_problem) -> list[Record]:
    """Return each labelled frame as an image."""
    return [
        {
            **record,
            "video_id": f"{record['video_id']}_{index}",
            "length": 1,
            "file_names": record["file_names"][index : index + 1],
            "label_files": record["label_files"][index : index + 1],
        }
        for record in CAMVID.load_records(root, split, report=report)
        for index in range(record["length"])
    ]


def read_labels(
    record: Record, frame_index: int, *, read: Callable[..., FrameLabels] = CAMVID.read_labels
) -> FrameLabels:
    """Return the regions of one image."""
    labels = read(record, frame_index)
    classes, masks, is_crowd = [], [], []
    for position, class_index in enumerate(labels.segments.classes):
        mask = labels.segments.mask(position)
        parts = [(mask, False)]
        if CLASSES.is_thing[class_index]:
            parts = take_apart(mask, CLASSES.names[class_index])
        classes += [class_index] * len(parts)
        masks += [part for part, _ in parts]
        is_crowd += [crowd for _, crowd in parts]
    index_map = np.full(labels.size, -1, dtype=np.int16)
    for position, mask in enumerate(masks):
        index_map[mask] = position
    segments = FrameSegments(
        frame_index=frame_index,
        ids=np.arange(1, len(masks) + 1),
        classes=np.array(classes, dtype=np.int64),
        scores=np.ones(len(masks), dtype=np.float32),
        index_map=index_map,
    )
    areas = np.array([mask.sum() for mask in masks], dtype=float)
    return FrameLabels(segments, np.array(is_crowd, dtype=bool), areas)


def take_apart(mask: np.ndarray, name: str) -> list[tuple[np.ndarray, bool]]:
    """Return the regions of a class, (H, W) bool, and whether each is a crowd."""
    count, regions, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    objects, crowd = [], np.zeros_like(mask)
    for index in range(1, count):
        _, _, width, height, area = stats[index]
        if area < SMALLEST or width > THINGS[name] * height:
            crowd |= regions == index
        else:
            objects.append((regions == index, False))
    return objects + ([(crowd, True)] if crowd.any() else [])


register(
    replace(
        CAMVID,
        name="camvid_objects",
        task=Task.VPS,
        classes=CLASSES,
        splits=("train", "val"),
        load_records=load_records,
        read_labels=read_labels,
        metrics=("pq/coco", "stq/vipseg"),
        submission="vipseg",
    )
)
