"""Clips with everything that any task asks for, and models that use all of it."""

from __future__ import annotations

import numpy as np
import torch

from detectron2.data import MetadataCatalog
from detectron2.structures import BitMasks, Instances

from gvseg.structures import Exemplar
from tests.tiny_model import build_tiny

SIZE = (48, 64)
NUM_THINGS, NUM_CLASSES = 3, 5
EVERYTHING = [
    "MODEL.GVSEG.QUERY_INIT", "task",
    "MODEL.GVSEG.QUERY_GRID", "4",
    "MODEL.GVSEG.CUE", "mixed",
    "MODEL.GVSEG.CONTRASTIVE.ENABLED", "True",
    "MODEL.GVSEG.CONTRASTIVE.TAU", "0.9",
    "INPUT.SAMPLING_EXTRA_FRAME_NUM", "2",
    "DATASETS.TRAIN", "('things_and_stuff',)",
]  # fmt: skip

MetadataCatalog.get("things_and_stuff").set(
    class_table="things_and_stuff",
    class_is_thing=[index < NUM_THINGS for index in range(NUM_CLASSES)],
)
MetadataCatalog.get("two_things").set(class_table="two_things", class_is_thing=[True, True])


def build_whole(task: str, *overrides: str) -> torch.nn.Module:
    """Build a tiny model of the whole method for one task, or for `mixed`."""
    return build_tiny(*EVERYTHING, "MODEL.GVSEG.TASK", task, *overrides)


def labelled_frames(num_frames: int, size: tuple[int, int] = SIZE) -> dict[str, list]:
    """Object 4 goes right, object 9 is not in the first frame; stuff of two classes around them."""
    instances, sem_seg = [], []
    for t in range(num_frames):
        masks = torch.zeros(2, *size, dtype=torch.bool)
        masks[0, 5:20, 5 + 2 * t : 30 + 2 * t] = True
        masks[1, 26:44, 10:30] = t > 0
        instances.append(
            Instances(
                size,
                gt_ids=torch.tensor([4, 9]),
                gt_classes=torch.tensor([1, 0]),
                gt_masks=BitMasks(masks),
            )
        )
        labels = torch.full(size, NUM_THINGS)
        labels[24:] = NUM_THINGS + 1
        labels[masks.any(0)] = 255
        sem_seg.append(labels)
    return {"instances": instances, "sem_seg": sem_seg}


def task_sample(
    task: str,
    *,
    seed: int = 0,
    num_frames: int = 3,
    dataset_name: str = "things_and_stuff",
    size: tuple[int, int] = SIZE,
) -> dict:
    """Make a training sample of any task: noise with labels, two exemplars and two extra frames."""
    generator = torch.Generator().manual_seed(seed)

    def images(count: int) -> list[torch.Tensor]:
        return list(
            torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)
        )

    labels = labelled_frames(num_frames, size)
    mask = labels["instances"][0].gt_masks.tensor[0].numpy()
    box = np.array([10, 26, 30, 44], dtype=np.float32)
    return {
        "task": task,
        "dataset_name": dataset_name,
        "images": images(num_frames),
        **labels,
        "exemplars": [Exemplar(4, 0, mask=mask), Exemplar(9, num_frames - 1, box=box)],
        "extra": {"images": images(2), **labelled_frames(2, size)},
    }


def same_random_numbers(*size: int, device: torch.device | None = None) -> torch.Tensor:
    """Stand in for `torch.rand`: the same numbers for each row, so that none depends on its place.

    With it a clip is learnt alike whatever else is in its batch. Points (P, 2) still differ.
    """
    shape = torch.Size(size[0] if isinstance(size[0], tuple) else size)
    is_points = len(shape) == 2 and shape[1] == 2
    generator = torch.Generator().manual_seed(0)
    rows = torch.empty(shape if is_points else shape[1:]).uniform_(generator=generator)
    return rows.expand(shape).to(device)
