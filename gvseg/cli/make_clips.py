"""Make videos of annotated still images, which turn, zoom and drift in them."""

from __future__ import annotations

import argparse
import logging
import math
from pathlib import Path

import numpy as np

from gvseg.cli.registered import add_config_file, after_projects, register_projects
from gvseg.data.augmentation import PseudoMotion
from gvseg.data.benchmark import datasets_root, get_benchmark
from gvseg.data.pseudo_videos import pseudo_video, write_registration, write_video

logger = logging.getLogger(__name__)


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `make-clips`."""
    parser = verbs.add_parser("make-clips", help=__doc__, description=__doc__)
    add = parser.add_argument
    add("dataset", help="still images with annotations, such as coco_val2017")
    add("--output", type=Path, required=True, help="the folder to write to")
    add("--frames", type=int, default=8, metavar="T", help="of each video (default: %(default)s)")
    add("--max-side", type=int, metavar="N", help="make frames smaller whose longer side has more "
        "pixels")  # fmt: skip
    add("--degrees", type=float, default=15.0, help="turn by up to +- this (default: %(default)s)")
    add("--zoom", type=float, default=0.1, help="by up to 1 + this (default: %(default)s)")
    add("--shift", type=float, default=0.1, help="by up to +- this share of height and width "
        "(default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=0, help="of all motion (default: %(default)s)")
    add("--root", type=Path, help="the folder of all benchmarks "
        "(default: $DETECTRON2_DATASETS, or datasets)")  # fmt: skip
    add_config_file(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Write a video for each image, and the file that registers them.

    Raises:
        OSError: the dataset is not on disk, or the folder to write to has files.
        ValueError: an unknown dataset, one of videos, hidden labels, or numbers without sense.
    """
    for option in ("frames", "max_side"):
        value = getattr(args, option)
        if value is not None and value < 1:
            raise ValueError(f"--{option.replace('_', '-')} is {value}; give 1 or more.")
    for option in ("degrees", "zoom", "shift"):
        value = getattr(args, option)
        if not 0 <= value < math.inf:
            raise ValueError(f"--{option} is {value}; give 0 or more.")
    if args.output.exists() and any(args.output.iterdir()):
        raise FileExistsError(f"{args.output} has files; remove them or choose another folder.")
    register_projects(args.config_file)
    benchmark = get_benchmark(args.dataset)
    split = benchmark.split_of(args.dataset)
    records = benchmark.load_records(args.root or datasets_root(), split)
    for record in records:
        if record["length"] != 1:
            raise ValueError(f"{record['video_id']} is a video; clips are made of still images.")
    motion = PseudoMotion(
        max_degrees=args.degrees, max_zoom=args.zoom, max_shift=args.shift, is_even=True
    )
    rng = np.random.default_rng(args.seed)
    for record in records:
        clip = pseudo_video(
            rng, record, benchmark, motion=motion, num_frames=args.frames, max_side=args.max_side
        )
        write_video(args.output, str(record["video_id"]), clip, benchmark)
    name = f"{args.dataset.replace('.', '_')}_clips"
    script = write_registration(args.output, name, args.dataset, benchmark)
    logger.info("%s: %d videos of %d frames", name, len(records), args.frames)
    logger.info("name %s under PROJECTS to use them%s", script, after_projects(args.config_file))
