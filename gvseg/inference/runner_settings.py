"""What a config says of how videos go through a model."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from gvseg.modeling.label_sets import LabelSets
from gvseg.precision import autocast_type
from gvseg.tasks import Task, model_task


@dataclass(frozen=True)
class RunnerSettings:
    """How frames go into a model and what is made of its predictions."""

    task: Task
    window: int  # frames segmented together
    min_size: int  # short side of the frame as the network sees it, 0 to leave frames as they are
    max_size: int  # bound of the long side
    is_bgr: bool  # whether the network wants blue first
    max_instances: int
    score_threshold: float
    object_mask_threshold: float
    overlap_threshold: float
    one_class_per_query: bool = False
    autocast: torch.dtype | None = None  # precision of the network, None for float32
    label_set: int = 0  # of a model that has several
    overlap: int = 0  # frames that a window shares with the one before
    max_gap: float = 0.0  # between parts of an object, see `without_far_parts`; 0: any
    pool_overlap: float = 1.0  # of queries that show one object, see `pool_repeats`; 1: none

    @classmethod
    def from_config(cls, cfg: CfgNode, dataset_name: str | None = None) -> RunnerSettings:
        """Read the settings from a whole config.

        Args:
            cfg: the config.
            dataset_name: whose classes and, where the model has several, task are meant; by default
                the first of `DATASETS.TEST`.

        Raises:
            ValueError: a value that makes no sense.
        """
        if cfg.INPUT.FORMAT not in ("RGB", "BGR"):
            raise ValueError(f"INPUT.FORMAT is {cfg.INPUT.FORMAT!r}; choose RGB or BGR.")
        test = cfg.MODEL.GVSEG.TEST
        if test.WINDOW < 1:
            raise ValueError(f"MODEL.GVSEG.TEST.WINDOW is {test.WINDOW}; give 1 frame or more.")
        if not 0 <= test.OVERLAP < test.WINDOW:
            raise ValueError(
                f"MODEL.GVSEG.TEST.OVERLAP is {test.OVERLAP}, but a window of {test.WINDOW} frames "
                f"can share 0 to {test.WINDOW - 1}."
            )
        if test.OVERLAP > 0 and cfg.MODEL.GVSEG.TUBE == "frame":
            raise ValueError(
                "MODEL.GVSEG.TUBE frame segments each frame alone, so windows that share frames "
                "show nothing new; set MODEL.GVSEG.TEST.OVERLAP to 0."
            )
        if not 0 <= test.MAX_GAP < math.inf:
            raise ValueError(
                f"MODEL.GVSEG.TEST.MAX_GAP is {test.MAX_GAP}; give a number above 0, or 0 for "
                "objects whose parts may lie anywhere."
            )
        if not 0 <= test.POOL_OVERLAP <= 1:
            raise ValueError(
                f"MODEL.GVSEG.TEST.POOL_OVERLAP is {test.POOL_OVERLAP}; give an IoU of masks, 0 to "
                "1, or 1 for queries that stay as they are."
            )
        former = cfg.MODEL.MASK_FORMER.TEST
        if dataset_name is None:
            dataset_name = next(iter(cfg.DATASETS.TEST), "")
        task = model_task(cfg.MODEL.GVSEG.TASK)
        if task is None:
            task = Task.parse(MetadataCatalog.get(dataset_name).get("task", "mixed"))
        label_set = 0
        if cfg.MODEL.GVSEG.LABEL_SETS:
            label_set = LabelSets.from_config(cfg).index(dataset_name)
        return cls(
            task=task,
            window=test.WINDOW,
            min_size=cfg.INPUT.MIN_SIZE_TEST,
            max_size=cfg.INPUT.MAX_SIZE_TEST,
            is_bgr=cfg.INPUT.FORMAT == "BGR",
            max_instances=test.MAX_INSTANCES,
            score_threshold=test.SCORE_THRESHOLD,
            object_mask_threshold=former.OBJECT_MASK_THRESHOLD,
            overlap_threshold=former.OVERLAP_THRESHOLD,
            autocast=autocast_type(test.PRECISION, key="MODEL.GVSEG.TEST.PRECISION"),
            label_set=label_set,
            overlap=test.OVERLAP,
            max_gap=test.MAX_GAP,
            pool_overlap=test.POOL_OVERLAP,
        )
