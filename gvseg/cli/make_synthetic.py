"""Make videos of moving shapes with exact labels, in the on-disk format of a benchmark."""

from __future__ import annotations

import argparse
import logging
import re
from pathlib import Path

from gvseg.data.benchmark import datasets_root
from gvseg.data.synthetic.formats import FORMATS, get_format
from gvseg.data.synthetic.scene import make_videos

logger = logging.getLogger(__name__)


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `make-synthetic`."""
    parser = verbs.add_parser("make-synthetic", help=__doc__, description=__doc__)
    parser.add_argument("--format", required=True, help=f"one of {', '.join(FORMATS)}")
    parser.add_argument("--videos", type=int, default=10, metavar="N")
    parser.add_argument(
        "--frames", type=int, metavar="T", help="of each video, by default 20; of a format of "
        "still images, how many for each video (by default 1)"
    )  # fmt: skip
    parser.add_argument("--size", default="240x432", metavar="HxW", help="by default %(default)s")
    parser.add_argument("--seed", type=int, default=0, metavar="S")
    parser.add_argument("--split", help="by default the one to train on")
    parser.add_argument(
        "--classes", type=int, metavar="K", help="use so many of the benchmark's, not all"
    )
    parser.add_argument(
        "--root", type=Path, help="where to write, by default DETECTRON2_DATASETS or datasets/"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Make the videos and write the split.

    Raises:
        FileExistsError: the split is there already.
        ValueError: a format, split, size or number that there is not.
    """
    row = get_format(args.format)
    root = args.root or datasets_root()
    split = row.splits[0] if args.split is None else args.split
    num_videos, num_frames = args.videos, args.frames
    if row.is_still and num_frames is not None:
        num_videos, num_frames = num_videos * num_frames, 1
    spec = row.scene(split, size=_size(args.size), num_frames=num_frames, num_classes=args.classes)
    row.write(root, split, make_videos(spec, num_videos=num_videos, seed=args.seed, split=split))
    logger.info(
        "%s: %d videos of %d frames in %s",
        row.dataset_name(split), num_videos, spec.num_frames, root,
    )  # fmt: skip


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    if match is None:
        raise ValueError(f"The size {text!r} is not HEIGHTxWIDTH, such as 240x432.")
    return int(match[1]), int(match[2])
