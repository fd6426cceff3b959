"""Cut a hold-out off a training set, by whole videos, such that every class keeps its share."""

from __future__ import annotations

import argparse
import logging
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np

from gvseg.cli.registered import add_config_file, after_projects, register_projects
from gvseg.data.benchmark import datasets_root, get_benchmark
from gvseg.data.hold_out import NAMES, classes_seen, stratify, write_split

logger = logging.getLogger(__name__)


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `split`."""
    parser = verbs.add_parser("split", help=__doc__, description=__doc__)
    parser.add_argument("dataset", help="as in DATASETS.TRAIN, such as ytvis_2021_train")
    parser.add_argument("--share", type=float, default=0.1, help="to hold out, default %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--root", type=Path, help="the folder of all benchmarks "
                        "(default: $DETECTRON2_DATASETS, or datasets)")  # fmt: skip
    add_config_file(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Choose the videos, write both sides and say how the classes fare.

    Raises:
        OSError: the dataset is not on disk, or a split of it is in the folder already.
        ValueError: an unknown dataset, hidden labels, or a share that leaves one side empty.
    """
    register_projects(args.config_file)
    benchmark = get_benchmark(args.dataset)
    split = benchmark.split_of(args.dataset)
    records = benchmark.load_records(args.root or datasets_root(), split)
    with ThreadPoolExecutor() as threads:  # decoding of images runs in parallel
        classes = list(threads.map(partial(classes_seen, benchmark=benchmark), records))
    held_out = stratify(classes, args.share, np.random.default_rng(args.seed))
    script = write_split(args.dataset, records, held_out, args.output)
    total = Counter(index for seen in classes for index in seen)
    held = Counter(index for position in held_out for index in classes[position])
    missing = [benchmark.classes.names[index] for index in sorted(total) if not held[index]]
    logger.info(
        "%s: %d videos to train on (_%s), %d held out (_%s)",
        args.dataset, len(records) - len(held_out), NAMES[0], len(held_out), NAMES[1],
    )  # fmt: skip
    if missing:
        logger.info("classes without a video held out: %s", ", ".join(missing))
    logger.info("name %s under PROJECTS to use them%s", script, after_projects(args.config_file))
