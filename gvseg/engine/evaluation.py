"""Evaluate a model on the test sets of a config, video by video."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
from torch import nn
from torch.utils.data import DataLoader

from detectron2.config import CfgNode
from detectron2.evaluation import print_csv_format
from detectron2.utils import comm

from gvseg.data.benchmark import (
    check_exemplars,
    check_labels,
    get_benchmark,
    read_exemplars,
)
from gvseg.data.loader import build_test_loader, load_records
from gvseg.evaluation import VideoEvaluator, build_evaluator
from gvseg.evaluation.video_evaluator import check_evaluator
from gvseg.inference.association import build_association
from gvseg.inference.runner_settings import RunnerSettings
from gvseg.inference.sources import ImageSource
from gvseg.inference.video_runner import Segmenter, segment_video
from gvseg.modeling.processes import share_running_statistics, wait_for_all
from gvseg.tasks import Task

logger = logging.getLogger(__name__)

PROGRESS_PERIOD = 50  # videos between two lines of progress


def check_evaluation(cfg: CfgNode) -> None:
    """Raise the errors at which an evaluation would stop, before a training or anything is run.

    Raises:
        ValueError: a setting does not fit a test set, or labels are hidden and nothing is written.
        OSError: a test set is not on disk.
    """
    for dataset_name in cfg.DATASETS.TEST:
        benchmark = get_benchmark(dataset_name)
        task = RunnerSettings.from_config(cfg, dataset_name).task
        build_association(cfg, task, benchmark.classes.is_thing)
        check_evaluator(cfg, dataset_name)
        if task is Task.EVS:
            check_exemplars(benchmark)
        records = load_records(dataset_name)
        if not cfg.MODEL.GVSEG.TEST.WRITE_PREDICTIONS:
            check_labels(records, dataset_name, "scored without MODEL.GVSEG.TEST.WRITE_PREDICTIONS")


def evaluate(
    cfg: CfgNode,
    model: nn.Module,
    *,
    build_loader: Callable[[CfgNode, str], DataLoader] = build_test_loader,
    build_scorer: Callable[[CfgNode, str], VideoEvaluator] = build_evaluator,
) -> dict:
    """Segment every video of `DATASETS.TEST` and score it.

    Args:
        cfg: the config.
        model: a meta-architecture, left in the mode it came in.
        build_loader: gives this process's share of the records of a dataset.
        build_scorer: gives what scores a dataset.

    Returns:
        the metrics by set and kind; those of the only set where there is just one. Empty on all but
        the main process.
    """
    was_training = model.training
    model.eval()
    wait_for_all()
    share_running_statistics(model)
    results: OrderedDict[str, dict] = OrderedDict()
    for dataset_name in cfg.DATASETS.TEST:
        evaluator = build_scorer(cfg, dataset_name)
        loader = build_loader(cfg, dataset_name)
        results[dataset_name] = evaluate_dataset(cfg, model, loader, evaluator)
    model.train(was_training)
    if not comm.is_main_process():
        return {}
    return next(iter(results.values())) if len(results) == 1 else results


def evaluate_dataset(
    cfg: CfgNode, model: nn.Module, loader: DataLoader, evaluator: VideoEvaluator
) -> dict:
    """Segment and score every video of one dataset; this process takes its share of them."""
    dataset_name = evaluator.dataset_name
    benchmark = get_benchmark(dataset_name)
    is_thing = benchmark.classes.is_thing
    segmenter = cast(Segmenter, model)  # every meta-architecture is one
    settings = RunnerSettings.from_config(cfg, dataset_name)
    linker, exemplars = build_association(cfg, settings.task, is_thing)
    evaluator.reset()
    for index, record in enumerate(loader):
        frames = ImageSource([Path(name) for name in record["file_names"]], name=dataset_name)
        # A still image has no identities, and a linker would drop what is too weak to start one.
        link = linker if record["length"] > 1 else None
        if exemplars is not None:
            exemplars.clear()
            for exemplar in read_exemplars(benchmark, record):
                exemplars.add(exemplar)
        for segments in segment_video(
            segmenter,
            frames,
            settings,
            linker=link,
            exemplars=exemplars,
            is_thing=np.array(is_thing),
        ):
            evaluator.process_frame(record, segments)
        if (index + 1) % PROGRESS_PERIOD == 0:
            logger.info("%s: %d of %d videos", dataset_name, index + 1, len(loader))
    wait_for_all()
    metrics: dict = evaluator.evaluate() or {}
    wait_for_all()  # the main process scores alone
    if comm.is_main_process():
        logger.info("Results on %s:", dataset_name)
        print_csv_format(metrics)
    return metrics
