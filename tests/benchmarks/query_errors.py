"""What the queries of a model of instances show: objects, or what kind of mistake.

    python -m tests.benchmarks.query_errors --config-file configs/quick/ablation_vis.yaml \\
        MODEL.WEIGHTS output/model_final.pth

Each labelled frame of `DATASETS.TEST[0]`, before anything is linked. From the surest query on, one
that covers an object of its class by half or more finds it, or repeats it if an earlier one did.
The rest have the wrong class, cover an object by a tenth or more, or show what is no object.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from gvseg.config import load_config
from gvseg.data.benchmark import annotated_frames, get_benchmark
from gvseg.data.loader import load_records
from gvseg.evaluation.mask_overlaps import overlaps_of_segments
from gvseg.inference.predictor import VideoPredictor
from gvseg.inference.runner_settings import RunnerSettings
from gvseg.inference.sources import ImageSource
from gvseg.inference.video_runner import segment_video
from gvseg.structures import FrameSegments
from gvseg.tasks import Task

KINDS = ("found", "repeated", "wrong class", "badly placed", "no object")
RIGHT, NEAR = 0.5, 0.1  # mask IoU
SCORES = (0.1, 0.3, 0.5)


def judge(found: FrameSegments, truth: FrameSegments) -> Iterator[tuple[float, str]]:
    """Yield the score of each predicted segment and its kind."""
    iou = overlaps_of_segments(truth, found).iou  # (G, P)
    taken: set[int] = set()
    for position in np.argsort(-found.scores, kind="stable"):
        overlap = iou[:, position]
        covered = np.flatnonzero(overlap >= RIGHT)
        same = [place for place in covered if truth.classes[place] == found.classes[position]]
        free = [place for place in same if place not in taken]
        if free:
            taken.add(free[0])
            kind = "found"
        elif same:
            kind = "repeated"
        elif len(covered):
            kind = "wrong class"
        else:
            kind = "badly placed" if overlap.max(initial=0) >= NEAR else "no object"
        yield float(found.scores[position]), kind


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config-file", type=Path, required=True)
    parser.add_argument("opts", nargs=argparse.REMAINDER, metavar="KEY VALUE")
    args = parser.parse_args()
    cfg = load_config(args.config_file, ["MODEL.DEVICE", "cpu", *args.opts])
    name = cfg.DATASETS.TEST[0]
    benchmark = get_benchmark(name)
    if benchmark.task is not Task.VIS:
        raise ValueError(
            f"{name} is of the task {benchmark.task.value}; queries are judged for vis."
        )
    model = VideoPredictor(cfg).runner.model
    settings = replace(RunnerSettings.from_config(cfg, name), one_class_per_query=True)
    judged: list[tuple[float, str]] = []
    num_objects = 0
    for record in load_records(name):
        frames = ImageSource([Path(file) for file in record["file_names"]], name=name)
        is_thing = np.array(benchmark.classes.is_thing)
        for segments in segment_video(model, frames, settings, linker=None, is_thing=is_thing):
            if segments.frame_index not in annotated_frames(record):
                continue
            truth = benchmark.read_labels(record, segments.frame_index).segments
            num_objects += len(truth)
            judged += judge(segments, truth)
    table = Table("score from", *KINDS, f"of {num_objects} objects found")
    for least in SCORES:
        counts = Counter(kind for score, kind in judged if score >= least)
        share = counts["found"] / num_objects
        table.add_row(str(least), *(str(counts[kind]) for kind in KINDS), f"{100 * share:.1f} %")
    Console().print(table)


if __name__ == "__main__":
    main()
