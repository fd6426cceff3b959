"""What the model is given for one clip.  T frames, N objects of the clip, (H, W) pixels.

A sample is a dict in detectron2's habit:

    images         list of T uint8 tensors (3, H, W), all of one size, channels as INPUT.FORMAT says
    instances      list of T `Instances` with gt_ids, gt_classes, gt_masks (`BitMasks`): every
                   object of the clip in each, in one order, empty where absent; for tasks with
                   instances
    sem_seg        list of T int64 tensors (H, W), contiguous class of every pixel, 255 for void and
                   for objects that are told apart; for tasks with stuff
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
from gvseg.data.segments import IGNORE_LABEL, FrameLabels, class_map

Sample = dict[str, Any]


def build_sample(
    clip: Clip, frame_indices: list[int], record: Record, benchmark: Benchmark
) -> Sample:
    """Turn an augmented clip into tensors; crowd regions are left out.

    Labels are left out where the clip has none.
    """
    is_thing = np.array(benchmark.classes.is_thing) & benchmark.task.has_instances
    sample: Sample = {
        "images": [_to_tensor(frame.transpose(2, 0, 1)) for frame in clip.frames],
        "task": benchmark.task.value,
        "dataset_name": record["dataset_name"],
        "video_id": record["video_id"],
        "frame_indices": frame_indices,
        "file_names": [record["file_names"][index] for index in frame_indices],
        "height": record["height"],
        "width": record["width"],
    }
    if clip.labels and benchmark.task.has_instances:
        sample["instances"] = build_instances(clip.labels, is_thing)
    if clip.labels and benchmark.task.has_stuff:
        # By class, and void in the last place, where -1 reads it.
        shown_class = np.append(
            np.where(is_thing, IGNORE_LABEL, np.arange(len(is_thing))), IGNORE_LABEL
        )
        sample["sem_seg"] = [
            _to_tensor(shown_class[class_map(labels.segments, void=-1)]) for labels in clip.labels
        ]
    return sample


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
                mask[:] = frame_labels.segments.mask(position_of_id[object_id])
        instances.append(
            Instances(
                frame_labels.size,
                gt_ids=gt_ids,
                gt_classes=gt_classes,
                gt_masks=BitMasks(torch.from_numpy(masks)),
            )
        )
    return instances


def visible_objects(labels: FrameLabels, is_thing: np.ndarray) -> dict[int, int]:
    """Return the position in the frame of every object that has a pixel there, by identity."""
    segments = labels.segments
    if segments.masks is not None:
        is_visible = segments.masks.any(axis=(1, 2))
    else:
        assert segments.index_map is not None
        counts = np.bincount(segments.index_map.ravel() + 1, minlength=len(segments) + 1)
        is_visible = counts[1:] > 0
    is_object = is_visible & is_thing[segments.classes] & ~labels.is_crowd
    return {int(segments.ids[position]): int(position) for position in np.flatnonzero(is_object)}


def _to_tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
