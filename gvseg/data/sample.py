"""What the model is given for one clip.  T frames, N objects of the clip, (H, W) pixels.

A sample is a dict in detectron2's habit:

    images         list of T uint8 tensors (3, H, W), all of one size, channels as INPUT.FORMAT says
    instances      list of T `Instances` with gt_ids, gt_classes, gt_masks (`BitMasks`): every
                   object of the clip in each, in one order, empty where absent; for tasks with
                   instances
    sem_seg        list of T int64 tensors (H, W), contiguous class of every pixel, 255 for void and
                   for objects that are told apart; for tasks with stuff
    exemplars      list of `Exemplar`, one for each object in the order of `instances`, in pixels of
                   `images`, whose `frame_index` is a position in `images`; for EVS. Drawn from
                   the clip in training; the benchmark's to test with, before any object is known
    extra          a sample of its own: other frames of the same video, far away in time, augmented
                   as the clip was, with `images`, `instances`, `sem_seg`, `frame_indices` and
                   `file_names`; where INPUT.SAMPLING_EXTRA_FRAME_NUM asks for them. It lists its
                   own objects: one that both show has the same gt_ids in both
    task           value of `gvseg.tasks.Task`
    dataset_name   as in detectron2's catalogs
    video_id, frame_indices, file_names
    height, width  of the original frames
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from detectron2.structures import BitMasks, Instances

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.clip import Clip
from gvseg.data.segments import IGNORE_LABEL, FrameLabels, LabelRuns, class_map

Sample = dict[str, Any]


def describe(record: Record, benchmark: Benchmark) -> Sample:
    """Return what a sample says of its video."""
    return {
        "task": benchmark.task.value,
        "dataset_name": record["dataset_name"],
        "video_id": record["video_id"],
        "height": record["height"],
        "width": record["width"],
    }


def build_images(
    clip: Clip, frame_indices: list[int], record: Record, *, is_bgr: bool = False
) -> Sample:
    """Return the frames of an augmented clip as tensors, and which they are."""
    order = slice(None, None, -1 if is_bgr else 1)
    return {
        "images": [_to_tensor(frame.transpose(2, 0, 1)[order]) for frame in clip.frames],
        "frame_indices": frame_indices,
        "file_names": [record["file_names"][index] for index in frame_indices],
    }


def build_targets(labels: list[FrameLabels], benchmark: Benchmark) -> Sample:
    """Turn the labels of T frames into `instances` and `sem_seg`; crowd regions are left out."""
    targets: Sample = {}
    is_thing = np.array(benchmark.classes.is_thing) & benchmark.task.has_instances
    if benchmark.task.has_instances:
        targets["instances"] = build_instances(labels, is_thing)
    if benchmark.task.has_stuff:
        shown_class = np.where(is_thing, IGNORE_LABEL, np.arange(len(is_thing)))
        targets["sem_seg"] = [_semantic_map(frame_labels, shown_class) for frame_labels in labels]
    return targets


def has_targets(sample: Sample) -> bool:
    """Tell whether there is anything to segment: an object, or a pixel that is not void."""
    has_object = "instances" in sample and len(sample["instances"][0]) > 0
    return has_object or any(
        bool((labels != IGNORE_LABEL).any()) for labels in sample.get("sem_seg", [])
    )


def build_instances(labels: list[FrameLabels], is_thing: np.ndarray) -> list[Instances]:
    """Return for each of T frames every object that is visible in any of them.

    Args:
        labels: of the frames, all of one size.
        is_thing: (K,) bool by class; other segments are no objects.
    """
    positions = [visible_objects(frame_labels, is_thing) for frame_labels in labels]
    class_of_id = {
        object_id: int(frame_labels.segments.classes[position])
        for frame_labels, position_of_id in zip(labels, positions, strict=True)
        for object_id, position in position_of_id.items()
    }
    object_ids = sorted(class_of_id)
    gt_ids = torch.tensor(object_ids, dtype=torch.int64)
    gt_classes = torch.tensor([class_of_id[id_] for id_ in object_ids], dtype=torch.int64)
    instances = []
    for frame_labels, position_of_id in zip(labels, positions, strict=True):
        masks = np.zeros((len(object_ids), *frame_labels.size), dtype=bool)
        for mask, object_id in zip(masks, object_ids, strict=True):
            if object_id in position_of_id:
                _write_mask(frame_labels, position_of_id[object_id], mask)
        instances.append(
            Instances(
                frame_labels.size,
                gt_ids=gt_ids,
                gt_classes=gt_classes,
                gt_masks=BitMasks(torch.from_numpy(masks)),
            )
        )
    return instances


def _write_mask(labels: FrameLabels, position: int, out: np.ndarray) -> None:
    segments = labels.segments
    if segments.index_map is None:
        out[:] = segments.mask(position)
    else:
        np.equal(segments.index_map, np.int16(position), out=out)


def _semantic_map(labels: FrameLabels, shown_class: np.ndarray) -> torch.Tensor:
    """Return the class of every pixel, (H, W) int64.

    Args:
        labels: of the frame.
        shown_class: (K,) what stands for each class in the map.
    """
    segments = labels.segments
    if segments.index_map is None:
        return _to_tensor(np.append(shown_class, IGNORE_LABEL)[class_map(segments, void=-1)])
    # By position in the frame, and void in the last place, where -1 reads it. Looking up narrow
    # numbers and widening these is several times as fast as looking up wide ones.
    shown = np.append(shown_class[segments.classes], IGNORE_LABEL).astype(np.int16)
    return _to_tensor(shown.take(segments.index_map).astype(np.int64))


def visible_objects(labels: FrameLabels, is_thing: np.ndarray) -> dict[int, int]:
    """Return the position in the frame of every object that has a pixel there, by identity."""
    segments = labels.segments
    if segments.masks is not None:
        is_visible = segments.masks.any(axis=(1, 2))
    else:
        assert segments.index_map is not None
        seen = LabelRuns.of(segments.index_map).values
        is_visible = np.zeros(len(segments), dtype=bool)
        is_visible[seen[seen >= 0]] = True
    is_object = is_visible & is_thing[segments.classes] & ~labels.is_crowd
    return {int(segments.ids[position]): int(position) for position in np.flatnonzero(is_object)}


def _to_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
