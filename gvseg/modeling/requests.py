"""What is asked of one clip: a task, a label set and, for EVS, certain objects."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gvseg.modeling.task_oriented.exemplars import ObjectPoints, read_objects
from gvseg.structures import ObjectFeatures
from gvseg.tasks import Task


@dataclass(frozen=True)
class ClipRequest:
    """What a model is to find in a clip.

    Objects known from earlier clips come first among the queries, then those pointed out in this.
    """

    task: Task
    label_set: int = 0
    known: ObjectFeatures | None = None  # read in an earlier clip
    points: ObjectPoints | None = None  # where this clip shows objects
    size: tuple[int, int] | None = None  # (H, W) of its frames before padding; None: none is padded

    def read(self, features: Tensor) -> ObjectFeatures | None:
        """Return the features of all objects, reading new ones off the clip's (T, C, h, w)."""
        parts = [] if self.known is None else [self.known]
        if self.points is not None:
            parts.append(read_objects(features, self.points))
        if not parts:
            return None
        return ObjectFeatures(
            torch.cat([part.features for part in parts]),
            torch.cat([part.centres for part in parts]),
        )
