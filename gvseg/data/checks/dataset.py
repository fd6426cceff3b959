"""The check of a whole dataset: its lists, then video by video in parallel, then its counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from gvseg.data.benchmark import (
    Counts,
    Record,
    annotated_frames,
    datasets_root,
    get_benchmark,
)
from gvseg.data.checks.findings import DatasetReport, Finding
from gvseg.data.checks.video import VideoFindings, check_video, place_of
from gvseg.data.problems import Problem
from gvseg.data.video_processes import map_videos

# Hands on what it is given, of which there are so many, and may show how far it has come.
Progress = Callable[[Iterable[VideoFindings], int], Iterable[VideoFindings]]

_OF_LISTS = "annotations"  # the kind of what loaders report


def check_dataset(
    dataset_name: str,
    *,
    root: Path | None = None,
    num_workers: int = 1,
    is_subset: bool = False,
    progress: Progress = lambda results, total: results,
) -> DatasetReport:
    """Check everything that training and evaluation would read of a dataset.

    Args:
        dataset_name: of a registered benchmark, such as `camvid_val`.
        root: the folder of all benchmarks; by default `$DETECTRON2_DATASETS`.
        num_workers: processes; 1 checks in this one.
        is_subset: the videos are few on purpose, or made up, so official counts say nothing.
        progress: sees the results of all videos as they come.

    Raises:
        OSError: the dataset is not there at all, or its list of videos cannot be read, or a
            process was killed.
        ValueError: no benchmark has a dataset of this name, or its list makes no sense.
    """
    benchmark, root = get_benchmark(dataset_name), root or datasets_root()
    report = DatasetReport(dataset_name, root)

    def collect(problem: Problem) -> None:
        report.findings.append(Finding(_OF_LISTS, problem))

    split = benchmark.split_of(dataset_name)
    records = benchmark.load_records(root, split, report=collect)
    report.findings.extend(_listed_twice(records))
    report.num_videos = len(records)
    # Where labels are hidden from all, frames themselves are counted.
    report.num_frames = sum(len(annotated_frames(record)) for record in records) or sum(
        record["length"] for record in records
    )
    check = partial(check_video, benchmark=benchmark)
    what = f"checked {benchmark.name}"
    with map_videos(check, records, num_workers, what=what) as results:
        for result in progress(results, len(records)):
            report.findings.extend(result.findings)
            report.num_objects += result.num_objects
    report.findings = _without_echoes(report.findings)
    if split in benchmark.counts and not is_subset:
        report.findings.extend(_count_findings(report, benchmark.counts[split]))
    return report


def _listed_twice(records: list[Record]) -> Iterator[Finding]:
    times = Counter(record["video_id"] for record in records)
    for record in records:
        if times[record["video_id"]] > 1:
            what = f"is one of {times[record['video_id']]} with the id {record['video_id']!r}"
            yield Finding.wrong("video listed twice", place_of(record), what, "keep one of them")


def _without_echoes(findings: list[Finding]) -> list[Finding]:
    """Leave out what the list of videos told of a file and its own check told again."""
    of_files = {
        (finding.problem.file, finding.problem.what)
        for finding in findings
        if finding.kind != _OF_LISTS
    }
    return [
        finding
        for finding in findings
        if finding.kind != _OF_LISTS or (finding.problem.file, finding.problem.what) not in of_files
    ]


def _count_findings(report: DatasetReport, counts: Counts) -> Iterator[Finding]:
    found = {
        "videos": (report.num_videos, counts.videos),
        "labelled frames": (report.num_frames, counts.frames),
        "objects": (report.num_objects, counts.objects),
    }
    for name, (number, official) in found.items():
        if official is not None and number != official:
            what = f"has {number} {name}, but its authors count {official}"
            fix = "download what is missing, or check with --subset where that is meant"
            yield Finding.wrong("count", f"{report.dataset_name} in {report.root}", what, fix)
