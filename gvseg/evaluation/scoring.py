"""Score predictions on disk, of whatever origin, in the format of the benchmark."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from gvseg.data.benchmark import Benchmark, Record, annotated_frames, check_labels, get_benchmark
from gvseg.data.segments import check_size
from gvseg.data.video_processes import map_videos
from gvseg.evaluation.ground_truth import load_truth
from gvseg.evaluation.protocols import METRICS, CountsVideos, VideoMetric, check_protocols
from gvseg.evaluation.submissions import SubmissionReader, submission_format

ScoresByName = dict[str, float]  # percent
Metrics = dict[str, VideoMetric]  # by protocol

# Hands on what it is given, of which there are so many, and may show how far it has come.
Progress = Callable[[Iterable[Metrics], int], Iterable[Metrics]]


@dataclass
class SubmissionScores:
    """What a submission scores, by protocol name."""

    dataset_name: str
    num_videos: int
    num_frames: int  # that were scored
    class_names: tuple[str, ...]
    results: dict[str, ScoresByName]
    notes: dict[str, list[str]]  # why scores are undefined, and what is odd
    by_video: dict[str, dict[str, ScoresByName]] = field(default_factory=dict)  # by id
    # Of metrics that keep some: by protocol, id and name.
    counts_by_video: dict[str, dict[str | int, dict[str, int]]] = field(default_factory=dict)


def score_submission(
    dataset_name: str,
    predictions: Path,
    *,
    root: Path,
    protocols: Sequence[str] = (),
    num_workers: int = 1,
    by_video: bool = False,
    progress: Progress = lambda videos, total: videos,
) -> SubmissionScores:
    """Score the predictions for one split.

    The numbers do not depend on the number of workers, not in the last digit either: each video is
    counted on its own, and what was counted is added in the order of the benchmark.

    Args:
        dataset_name: a split of a benchmark, such as `vspw_val`.
        predictions: the folder or file that the benchmark's organisers take.
        root: the folder of all benchmarks or of this one, or a JSON, as in `load_truth`.
        protocols: keys of `METRICS`; those of the benchmark by default.
        num_workers: processes.
        by_video: score each video by itself too.
        progress: called with the counts of each video to come, and the number of videos.

    Raises:
        OSError: a file of the benchmark or a prediction is missing or cannot be read.
        ValueError: a dataset or protocol that does not exist, labels that are hidden, or
            predictions that do not fit the benchmark; video and file are named.
    """
    benchmark = get_benchmark(dataset_name)
    names = protocols or benchmark.metrics
    if not names:
        raise ValueError(f"{benchmark.name} names no protocol; choose among {', '.join(METRICS)}.")
    check_protocols(names, benchmark)
    benchmark, records = load_truth(benchmark, benchmark.split_of(dataset_name), root)
    check_labels(records, dataset_name, "scored here")
    reader = submission_format(benchmark).open_reader(predictions, benchmark, records)
    work = partial(score_video, benchmark=benchmark, reader=reader, protocols=tuple(names))
    total = {name: METRICS[name](benchmark) for name in names}
    scores = SubmissionScores(
        dataset_name=dataset_name,
        num_videos=len(records),
        num_frames=sum(len(annotated_frames(record)) for record in records),
        class_names=benchmark.classes.names,
        results={},
        notes={},
    )
    what = f"scored {dataset_name}"
    with map_videos(work, records, num_workers, what=what) as videos:
        for record, metrics in zip(records, progress(videos, len(records)), strict=True):
            if by_video:
                scores.by_video[str(record["video_id"])] = {
                    name: _percent(metric) for name, metric in metrics.items()
                }
            for name, metric in metrics.items():
                total[name].merge(metric)
    for name, metric in total.items():
        scores.results[name] = _percent(metric)
        scores.notes[name] = metric.notes()
        if by_video and isinstance(metric, CountsVideos):
            scores.counts_by_video[name] = metric.per_video()
    return scores


def score_video(
    record: Record, *, benchmark: Benchmark, reader: SubmissionReader, protocols: Sequence[str]
) -> Metrics:
    """Return metrics that have seen one video.

    Raises:
        OSError: labels or predictions are missing or cannot be read.
        ValueError: they do not fit each other, or the benchmark.
    """
    metrics = {name: METRICS[name](benchmark) for name in protocols}
    size = (record["height"], record["width"])
    frame_indices = annotated_frames(record)
    for frame_index, prediction in zip(
        frame_indices, reader.frames(record, frame_indices), strict=True
    ):
        truth = benchmark.read_labels(record, frame_index)
        check_size(truth, size, record["file_names"][frame_index])
        for metric in metrics.values():
            metric.update(record, truth, prediction)
    for metric in metrics.values():
        metric.end_video(record)
    return metrics


def _percent(metric: VideoMetric) -> ScoresByName:
    return {name: 100 * score for name, score in metric.compute().items()}
