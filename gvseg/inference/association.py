"""What gives identities, as the task asks (GvSeg, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detectron2.config import CfgNode

from gvseg.inference.exemplar_tracking import ExemplarTracker
from gvseg.inference.linking import Linker, build_linker
from gvseg.tasks import Task


def build_association(
    cfg: CfgNode, task: Task, is_thing: np.ndarray | Sequence[bool] | None
) -> tuple[Linker | None, ExemplarTracker | None]:
    """Return what links the queries of clips, or what knows the objects of exemplars.

    Neither is there for VSS, whose segments are known by their class.

    Args:
        cfg: the whole config.
        task: whose identities are wanted.
        is_thing: (K,) which classes are objects; all of them where not given.
    """
    if task is Task.EVS:
        options = cfg.MODEL.GVSEG.TEST.EXEMPLAR
        tracker = ExemplarTracker(
            first_weight=options.FIRST_WEIGHT,
            momentum=options.MOMENTUM,
            min_score=options.MIN_SCORE,
            num_points=cfg.MODEL.GVSEG.EXEMPLAR_POINTS,
            max_jump=options.MAX_JUMP,
        )
        return None, tracker
    return (build_linker(cfg, is_thing) if task.has_instances else None), None
