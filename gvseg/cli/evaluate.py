"""Score predictions in the format that a benchmark's organisers take, by its official protocols."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from gvseg.cli.registered import add_config_file, register_projects
from gvseg.data.benchmark import datasets_root, get_benchmark, registered_datasets
from gvseg.evaluation import METRICS
from gvseg.evaluation.scoring import (
    Metrics,
    ScoresByName,
    SubmissionScores,
    score_submission,
)

_EVALUATED_SPLITS = ("val", "valid")  # what a protocol alone stands for
_MAX_COLUMNS = 9  # scores of each video that fit a line; JSON has all
_LINE = 200  # characters: a table takes what it needs, and a narrow terminal breaks its lines


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `eval`."""
    parser = verbs.add_parser("eval", help=__doc__, description=__doc__)
    parser.add_argument("dataset", help="a split of a benchmark, such as vspw_val, or a protocol "
                        "that is named after one, such as vss/vspw")  # fmt: skip
    parser.add_argument("--pred", type=Path, required=True, metavar="PATH",
                        help="the folder or file of predictions, as it is submitted")  # fmt: skip
    parser.add_argument("--gt", type=Path, metavar="PATH", help="the folder of all benchmarks or "
                        "of this one, or labels alone, a JSON or a folder of images (default: "
                        "$DETECTRON2_DATASETS, or datasets)")  # fmt: skip
    add_config_file(parser)
    parser.add_argument("--protocol", action="append", metavar="NAME", default=[],
                        help="score by this one instead of those of the benchmark; may be given "
                        f"several times: {', '.join(METRICS)}")  # fmt: skip
    parser.add_argument("--per-video", action="store_true", help="score each video by itself too")
    parser.add_argument("--json", action="store_true", help="write all scores as JSON")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="processes (default: one for each core)")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Score and report.

    Raises:
        OSError: labels or predictions are missing or cannot be read.
        ValueError: a dataset or protocol that does not exist, or predictions that do not fit.
    """
    register_projects(args.config_file)
    dataset_name, protocols = args.dataset, args.protocol
    if dataset_name in METRICS:
        protocols = [dataset_name, *protocols]
        dataset_name = dataset_of_protocol(dataset_name)
    scores = score_submission(
        dataset_name,
        args.pred,
        root=args.gt or datasets_root(),
        protocols=protocols,
        num_workers=args.workers,
        by_video=args.per_video,
        progress=_show_progress,
    )
    if args.json:
        sys.stdout.write(json.dumps(_as_json(scores), indent=1) + "\n")
    else:
        _print(scores)


def dataset_of_protocol(protocol: str) -> str:
    """Return the dataset that a protocol is named after: of `vpq/vipseg_script`, `vipseg_val`.

    Raises:
        ValueError: it is named after none.
    """
    _, _, name = protocol.partition("/")
    named_after = {
        get_benchmark(dataset).name: dataset
        for dataset in registered_datasets()
        if f"{name}_".startswith(f"{get_benchmark(dataset).name}_")
        and get_benchmark(dataset).split_of(dataset) in _EVALUATED_SPLITS
    }
    if not named_after:
        raise ValueError(
            f"Protocol {protocol} does not say what is scored; give the dataset, and --protocol "
            f"{protocol}."
        )
    return named_after[max(named_after, key=len)]


def _show_progress(videos: Iterable[Metrics], total: int) -> Iterable[Metrics]:
    console = Console(stderr=True)
    return track(videos, "Scoring videos", total, console=console, transient=True)


def _as_json(scores: SubmissionScores) -> dict:
    content: dict = {
        "dataset": scores.dataset_name,
        "num_videos": scores.num_videos,
        "num_frames": scores.num_frames,
        "results": {name: _without_nan(values) for name, values in scores.results.items()},
        "notes": scores.notes,
    }
    if scores.by_video:
        content["videos"] = {
            video_id: {name: _without_nan(values) for name, values in by_protocol.items()}
            for video_id, by_protocol in scores.by_video.items()
        }
    if scores.counts_by_video:
        content["counts"] = scores.counts_by_video
    return content


def _without_nan(scores: ScoresByName) -> dict[str, float | None]:
    return {name: None if math.isnan(score) else score for name, score in scores.items()}


def _print(scores: SubmissionScores) -> None:
    console = Console(soft_wrap=True, width=_LINE)
    console.print(
        f"{scores.dataset_name}: {scores.num_videos} videos, {scores.num_frames} frames scored"
    )
    for protocol, values in scores.results.items():
        by_class = {
            name: score for name, score in values.items() if is_of_class(name, scores.class_names)
        }
        main = [name for name in values if name not in by_class and "@" not in name]
        console.print(_score_table(protocol, {name: values[name] for name in main}))
        defined = {name: score for name, score in by_class.items() if not math.isnan(score)}
        if defined:
            console.print(_score_table(f"{protocol}, by class", defined))
        if protocol in scores.counts_by_video:
            console.print(_count_table(protocol, scores.counts_by_video[protocol]))
        elif scores.by_video:
            videos = {
                video_id: by_protocol[protocol] for video_id, by_protocol in scores.by_video.items()
            }
            console.print(_video_table(protocol, videos, main[:_MAX_COLUMNS]))
        for note in scores.notes[protocol]:
            console.print(f"  {note}", markup=False)


def is_of_class(score_name: str, class_names: Sequence[str]) -> bool:
    """Tell whether a score is that of one class, such as `AP-person`, rather than of all."""
    _, dash, class_name = score_name.partition("-")
    return bool(dash) and class_name in class_names


def _score_table(title: str, scores: ScoresByName) -> Table:
    table = _new_table(title)
    table.add_column("score")
    table.add_column("%", justify="right")
    for name, score in scores.items():
        table.add_row(escape(name), _number(score))
    return table


def _video_table(protocol: str, videos: Mapping[str, ScoresByName], names: Sequence[str]) -> Table:
    table = _new_table(f"{protocol}, by video")
    table.add_column("video", no_wrap=True)
    for name in names:
        table.add_column(escape(name), justify="right", no_wrap=True)
    for video_id, scores in videos.items():
        table.add_row(escape(video_id), *(_number(scores[name]) for name in names))
    return table


def _count_table(protocol: str, videos: Mapping[str | int, Mapping[str, int]]) -> Table:
    table = _new_table(f"{protocol}, counts by video")
    table.add_column("video", no_wrap=True)
    for name in next(iter(videos.values()), {}):
        table.add_column(name.replace("_", " "), justify="right")
    for video_id, counts in videos.items():
        table.add_row(escape(str(video_id)), *map(str, counts.values()))
    return table


def _new_table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)


def _number(score: float) -> str:
    return "undefined" if math.isnan(score) else f"{score:.2f}"
