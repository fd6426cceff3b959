"""From the labels of a sample to what its clip should be segmented into.

T frames, N targets of a clip, (H, W) pixels.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from gvseg.structures import ClipTargets
from gvseg.tasks import Task

VOID = 255  # label of a pixel that belongs to no class


def clip_targets(
    sample: dict, task: Task, size: tuple[int, int], device: torch.device
) -> ClipTargets:
    """Return the targets of one clip, padded at the right and bottom to `size`, on `device`.

    Args:
        sample: as `gvseg.data` makes it.
        task: decides what of it is to be segmented. For EVS target i belongs to the query of the
            i-th exemplar.
        size: (H, W) of the padded frames.
        device: of the model.
    """
    parts = []
    if task.has_instances:
        parts.append(instance_targets(sample["instances"]))
    if task.has_stuff:
        parts.append(stuff_targets(sample["sem_seg"]))
    masks = torch.cat([part.masks for part in parts])
    frame_size = (masks.shape[-2], masks.shape[-1])
    spare = (0, size[1] - frame_size[1], 0, size[0] - frame_size[0])
    return ClipTargets(
        classes=torch.cat([part.classes for part in parts]).to(device),
        masks=F.pad(masks, spare).to(device),
        ids=torch.cat([part.ids for part in parts]).to(device),
        size=frame_size,
    )


def instance_targets(instances: list) -> ClipTargets:
    """Stack T `Instances`, which list the same N objects, and drop objects that are never seen."""
    masks = torch.stack([frame.gt_masks.tensor for frame in instances], 1)
    seen = masks.flatten(1).any(1)
    return ClipTargets(
        instances[0].gt_classes[seen], masks[seen], instances[0].gt_ids[seen].to(torch.int64)
    )


def stuff_targets(sem_seg: list[Tensor]) -> ClipTargets:
    """Make one mask of each class in T label maps (H, W); void becomes no target."""
    labels = torch.stack(sem_seg)
    classes = labels.unique()
    classes = classes[classes != VOID]
    masks = labels[None] == classes[:, None, None, None]
    return ClipTargets(classes.to(torch.int64), masks, torch.full_like(classes, -1))


def assign_queries(target: ClipTargets, object_ids: Tensor, num_queries: int) -> ClipTargets:
    """Say which query stands for each target: that of its exemplar (EVS).

    Targets without a query, for they have no exemplar or there are too few queries, are left out.

    Args:
        target: whose `ids` are looked up.
        object_ids: (K,) of the exemplars, in the order of their queries, which come first.
        num_queries: Q.
    """
    is_same = target.ids[:, None] == object_ids.to(target.ids.device)[None, :num_queries]
    kept = is_same.any(1)
    # One column more, so that there is a largest even where there are no exemplars.
    queries = F.pad(is_same.byte(), (0, 1)).argmax(1)
    return select_targets(replace(target, queries=queries), kept)


def split_frames(target: ClipTargets) -> list[ClipTargets]:
    """Cut the targets of a clip into those of its frames, without objects absent there."""
    frames = []
    for masks in target.masks.unbind(1):
        seen = masks.flatten(1).any(1)
        frames.append(select_targets(replace(target, masks=masks[:, None]), seen))
    return frames


def select_targets(target: ClipTargets, kept: Tensor) -> ClipTargets:
    """Return some of the targets: those that `kept`, bool (N,) or positions, names."""
    return replace(
        target,
        classes=target.classes[kept],
        masks=target.masks[kept],
        ids=target.ids[kept],
        queries=None if target.queries is None else target.queries[kept],
    )
