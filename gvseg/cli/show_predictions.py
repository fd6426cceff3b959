"""Draw frames of a benchmark, picked at random, as annotated and as predicted."""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from gvseg.cli.registered import add_config_file, register_projects
from gvseg.data.benchmark import Benchmark, Record, annotated_frames, datasets_root, get_benchmark
from gvseg.data.contact_sheet import Row, draw_annotations, lay_out
from gvseg.data.frames import read_frame
from gvseg.data.panoptic_image import NUM_RGB_VALUES
from gvseg.data.segments import FrameLabels
from gvseg.evaluation.ground_truth import load_truth
from gvseg.evaluation.submissions import submission_format
from gvseg.inference.pictures import write_png
from gvseg.structures import FrameSegments

logger = logging.getLogger(__name__)

COLUMNS = 5


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `show-predictions`."""
    parser = verbs.add_parser("show-predictions", help=__doc__, description=__doc__)
    parser.add_argument("dataset", help="a split of a benchmark, such as camvid_val")
    parser.add_argument("--pred", type=Path, required=True, metavar="PATH",
                        help="the folder or file of predictions, as it is submitted")  # fmt: skip
    parser.add_argument("--root", type=Path, help="the folder of all benchmarks "
                        "(default: $DETECTRON2_DATASETS, or datasets)")  # fmt: skip
    add_config_file(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.png")
    parser.add_argument("--frames", type=int, default=10, metavar="N",
                        help="how many (default: %(default)s)")  # fmt: skip
    parser.add_argument("--seed", type=int, default=0,
                        help="of the choice of frames (default: %(default)s)")  # fmt: skip
    parser.add_argument("--score-threshold", type=float, default=0.5, metavar="S",
                        help="objects below are not drawn (default: %(default)s)")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, draw, and write the picture.

    Raises:
        OSError: labels or predictions are missing or cannot be read.
        ValueError: a dataset that does not exist, or predictions that do not fit.
    """
    if args.output.suffix != ".png":
        raise ValueError(f"{args.output} must end in .png.")
    if args.frames < 1:
        raise ValueError(f"--frames is {args.frames}; give 1 or more.")
    register_projects(args.config_file)
    benchmark = get_benchmark(args.dataset)
    root = args.root or datasets_root()
    benchmark, records = load_truth(benchmark, benchmark.split_of(args.dataset), root)
    candidates = [(record, index) for record in records for index in annotated_frames(record)]
    if not candidates:
        raise ValueError(f"{args.dataset} has no labels to draw beside predictions.")
    reader = submission_format(benchmark).open_reader(args.pred, benchmark, records)
    num_frames = min(args.frames, len(candidates))
    rng = np.random.default_rng(args.seed)
    chosen = rng.choice(len(candidates), num_frames, replace=False)
    truths, guesses = Row("as annotated", [], []), Row("as predicted", [], [])
    num_predicted = num_drawn = 0
    for record, index in (candidates[position] for position in sorted(chosen)):
        (prediction,) = reader.frames(record, [index])
        num_predicted += len(prediction)
        prediction = _sure(prediction, args.score_threshold)
        num_drawn += len(prediction)
        caption = f"{record['video_id']}, frame {index}"
        for row, labels in (
            (truths, benchmark.read_labels(record, index)),
            (guesses, _as_labels(prediction)),
        ):
            row.pictures.append(_draw(record, index, labels, benchmark))
            row.captions.append(caption)
    rows = [
        Row(row.title, row.pictures[part], row.captions[part])
        for part in _parts(num_frames)
        for row in (truths, guesses)
    ]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    title = f"{args.dataset}: {num_frames} of {len(candidates)} frames, seed {args.seed}"
    write_png(args.output, lay_out(rows, title))
    logger.info("%s: %d frames", args.output, num_frames)
    if num_predicted and not num_drawn:
        logger.warning(
            "None of the %d objects that are predicted in these frames has a score of %g; "
            "--score-threshold 0 draws them all.",
            num_predicted, args.score_threshold,
        )  # fmt: skip


def _draw(record: Record, index: int, labels: FrameLabels, benchmark: Benchmark) -> np.ndarray:
    return draw_annotations(read_frame(record["file_names"][index]), labels, benchmark)


def _parts(num_frames: int) -> list[slice]:
    return [slice(start, start + COLUMNS) for start in range(0, num_frames, COLUMNS)]


def _sure(segments: FrameSegments, threshold: float) -> FrameSegments:
    """Return the segments without those of a lower score, which only instances have."""
    if segments.masks is None:
        return segments
    kept = segments.scores >= threshold
    return replace(
        segments,
        ids=segments.ids[kept],
        classes=segments.classes[kept],
        scores=segments.scores[kept],
        masks=segments.masks[kept],
    )


def _as_labels(segments: FrameSegments) -> FrameLabels:
    # Readers of images lift identities above those of stuff; what is written is the lower part.
    segments = replace(segments, ids=segments.ids % NUM_RGB_VALUES)
    return FrameLabels(segments, np.zeros(len(segments), dtype=bool), np.zeros(len(segments)))
