"""Check a benchmark on disk: open every file, decode every pixel, name every problem.

Exit code: 0 where nothing is wrong, 1 where something is, 2 where nothing could be checked.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.progress import track

from gvseg.cli.registered import add_config_file, register_projects
from gvseg.data.benchmark import datasets_root
from gvseg.data.checks import DatasetReport, Finding, check_dataset, repair
from gvseg.data.checks.findings import group_alike
from gvseg.data.checks.video import VideoFindings

CLEAN, PROBLEMS, CANNOT_RUN = 0, 1, 2


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `check-data`."""
    parser = verbs.add_parser(
        "check-data", help=(__doc__ or "").splitlines()[0], description=__doc__
    )
    parser.add_argument("dataset", help="a split of a benchmark, such as camvid_val")
    parser.add_argument("--root", type=Path, help="the folder of all benchmarks "
                        "(default: $DETECTRON2_DATASETS, or datasets)")  # fmt: skip
    add_config_file(parser)
    parser.add_argument("--fix", action="store_true", help="repair the known bugs that have a "
                        "repair, and keep each file as it was beside it")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="write all findings as JSON")
    parser.add_argument("--subset", action="store_true",
                        help="a part of the benchmark or a made-up one: do not compare counts "
                        "with the official ones")  # fmt: skip
    parser.add_argument("--show", type=int, default=5, metavar="N",
                        help="findings to name of those that are alike (default: 5)")  # fmt: skip
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="processes (default: one for each core)")  # fmt: skip
    parser.set_defaults(run=run, error_code=CANNOT_RUN)


def run(args: argparse.Namespace) -> int:
    """Check, repair where asked to, report, and return the exit code.

    Raises:
        OSError: the dataset is not there, or a file cannot be repaired.
        ValueError: no benchmark has a dataset of this name, or the config makes no sense.
    """
    register_projects(args.config_file)
    report = check_dataset(
        args.dataset,
        root=args.root or datasets_root(),
        num_workers=args.workers,
        is_subset=args.subset,
        progress=_show_progress,
    )
    try:
        if args.fix:
            repair(report)
    finally:  # the report says what was found and repaired before an error
        if args.json:
            text = json.dumps(report.as_dict(), indent=1)
        else:
            text = "\n".join(_lines(report, max(args.show, 0)))
        sys.stdout.write(text + "\n")
    return PROBLEMS if report.problems else CLEAN


def _show_progress(results: Iterable[VideoFindings], total: int) -> Iterable[VideoFindings]:
    console = Console(stderr=True)
    return track(results, "Checking videos", total, console=console, transient=True)


def _lines(report: DatasetReport, num_shown: int) -> Iterable[str]:
    yield (
        f"{report.dataset_name} in {report.root}: {report.num_videos} videos, "
        f"{report.num_frames} frames, {report.num_objects} objects"
    )
    for title, findings in (
        ("Problems", report.problems),
        ("Notes: odd, but read as it is meant", report.notes),
    ):
        if findings:
            yield f"\n{title}"
            yield from _group_lines(findings, num_shown)
    if report.repairs:
        yield "\nRepaired"
        for done in report.repairs:
            yield f"    {done.file} ({done.kind}); as it was: {done.backup}"
    yield f"\n{len(report.problems)} problems, {len(report.notes)} notes"


def _group_lines(findings: list[Finding], num_shown: int) -> Iterable[str]:
    for group in group_alike(findings):
        yield f"  {group[0].kind}: {len(group)}"
        yield from (f"    {finding.problem}" for finding in group[:num_shown])
        if len(group) > num_shown:
            yield f"    ... and {len(group) - num_shown} more (--json names all)"
