"""Draw a contact sheet of a benchmark: some videos, some frames of each, and their annotations."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from detectron2.config import CfgNode

from gvseg.config import load_config
from gvseg.data.benchmark import Benchmark, Record, check_labels, datasets_root, get_benchmark
from gvseg.data.clip_mapper import ClipMapper
from gvseg.data.contact_sheet import Row, join_stills, lay_out, sample_row, video_row
from gvseg.data.loader import TrainingSource, copy_paste_prob
from gvseg.inference.pictures import write_png

logger = logging.getLogger(__name__)


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `show-data`."""
    parser = verbs.add_parser("show-data", help=__doc__, description=__doc__)
    parser.add_argument("dataset", help="a split of a benchmark, such as camvid_val")
    parser.add_argument("--root", type=Path, help="the folder of all benchmarks "
                        "(default: $DETECTRON2_DATASETS, or datasets)")  # fmt: skip
    parser.add_argument("--output", type=Path, metavar="FILE.png",
                        help="the sheet to write (default: <dataset>.png)")  # fmt: skip
    parser.add_argument("--videos", type=int, default=4, metavar="N",
                        help="how many, spread over the dataset (default: 4)")  # fmt: skip
    parser.add_argument("--frames", type=int, default=4, metavar="T",
                        help="of each video (default: 4)")  # fmt: skip
    parser.add_argument("--train", action="store_true", help="show clips as the config draws and "
                        "augments them for training")  # fmt: skip
    parser.add_argument("--config-file", type=Path, help="whose INPUT --train follows, and whose "
                        "PROJECTS register the dataset where it is one of your own")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="of --train (default: 0)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, draw, and write the sheet.

    Raises:
        OSError: the dataset is not there, or a file of it cannot be read.
        ValueError: no benchmark has a dataset of this name, or arguments make no sense.
    """
    output = args.output or Path(f"{args.dataset}.png")
    if output.suffix != ".png":
        raise ValueError(f"{output} must end in .png.")
    if args.train and args.config_file is None:
        raise ValueError("--train needs a --config-file, which says how clips are made.")
    if args.videos < 1 or args.frames < 1:
        raise ValueError("--videos and --frames count from 1.")
    overrides = ["INPUT.SAMPLING_FRAME_NUM", str(args.frames)]
    cfg = None if args.config_file is None else load_config(args.config_file, overrides)
    benchmark = get_benchmark(args.dataset)
    # What is missing is for check-data to list; the rest can be looked at.
    records = benchmark.load_records(
        args.root or datasets_root(),
        benchmark.split_of(args.dataset),
        report=lambda problem: logger.warning("%s", problem),
    )
    records = [dict(record, dataset_name=args.dataset) for record in records]
    if not records:
        raise ValueError(f"Dataset {args.dataset} has no video.")
    positions = np.linspace(0, len(records) - 1, min(args.videos, len(records))).round().astype(int)
    if args.train and cfg is not None:
        check_labels(records, args.dataset)
        rows = list(_training_rows(records, positions.tolist(), benchmark, cfg, args.seed))
    else:
        rows = [video_row(records[position], benchmark, args.frames) for position in positions]
    output.parent.mkdir(parents=True, exist_ok=True)
    title = f"{args.dataset}: {len(rows)} of {len(records)} videos"
    write_png(output, lay_out(join_stills(rows, args.frames), title))
    logger.info("%s: %d videos", output, len(rows))


def _training_rows(
    records: list[Record], positions: list[int], benchmark: Benchmark, cfg: CfgNode, seed: int
) -> Iterator[Row]:
    """Draw a clip of each of some videos; others may lend it objects."""
    source = TrainingSource(
        records=records,
        mapper=ClipMapper(cfg, benchmark),
        each_frame=False,
        copy_paste_prob=copy_paste_prob(cfg, benchmark),
    )
    rng = np.random.default_rng(seed)
    for position in positions:
        sample = source.draw(position, rng)
        if sample is None:
            logger.warning("%s: no clip shows an object.", records[position]["video_id"])
        else:
            yield sample_row(records[position], sample, benchmark, is_bgr=source.mapper.is_bgr)
