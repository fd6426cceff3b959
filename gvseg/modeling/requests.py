"""What is asked of one clip: a task, a label set and, for EVS, certain objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
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

    def read(self, features: Tensor, looks: Tensor | None = None) -> ObjectFeatures | None:
        """Return the features of all objects, reading new ones off the clip.

        Args:
            features: (T, C, h, w) of the clip.
            looks: (T, D, h, w), where objects are known by them.
        """
        parts = [] if self.known is None else [self.known]
        if self.points is not None:
            parts.append(read_objects(features, self.points, looks))
        if not parts:
            return None
        return ObjectFeatures(
            torch.cat([part.features for part in parts]),
            torch.cat([part.centres for part in parts]),
            None if looks is None else _join([part.looks for part in parts]),
        )


def _join(looks: Sequence[Tensor | None]) -> Tensor:
    """Stack looks (K, 2, P, D) of objects that are known by fewer or more points."""
    known = [part for part in looks if part is not None]
    most = max(part.shape[2] for part in known)
    return torch.cat(
        [F.pad(part, (0, 0, 0, most - part.shape[2]), value=float("nan")) for part in known]
    )
