"""Feeds metrics with the predicted segments of videos, frame by frame."""

from __future__ import annotations

import json
import logging
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from detectron2.config import CfgNode
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from gvseg.data.benchmark import (
    Benchmark,
    Record,
    annotated_frames,
    check_num_classes,
    check_task,
    get_benchmark,
)
from gvseg.data.loader import load_records
from gvseg.data.segments import FrameLabels, check_size
from gvseg.evaluation import vpq
from gvseg.evaluation.coco_ap import InstanceApMetric
from gvseg.evaluation.stq import SegmentationTrackingMetric
from gvseg.evaluation.vos import DavisMetric, YouTubeVosMetric
from gvseg.evaluation.vss import VideoSemanticMetric
from gvseg.structures import FrameSegments

logger = logging.getLogger(__name__)


class VideoMetric(Protocol):
    """Scores a set of videos; keeps counts or run lengths, no pixels of a finished video."""

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in the next frame of a video."""
        ...

    def end_video(self, record: Record) -> None:
        """Close a video: its last frame has been taken in."""
        ...

    def merge(self, other: Any) -> None:  # noqa: ANN401  (a metric of the same class)
        """Add what the same metric counted on other videos."""
        ...

    def compute(self) -> dict[str, float]:
        """Return named scores in 0..1, NaN where undefined."""
        ...

    def notes(self) -> list[str]:
        """Return sentences on the last `compute`: why a score is NaN, and what is odd in the data.

        Empty where there is nothing to say.
        """
        ...


def _vpq(benchmark: Benchmark, protocol: vpq.VpqProtocol) -> VideoMetric:
    classes = benchmark.classes
    return vpq.VideoPanopticMetric(classes.names, classes.is_thing, protocol)


def _stq(benchmark: Benchmark, first_is_crowd: bool = False) -> VideoMetric:
    classes = benchmark.classes
    return SegmentationTrackingMetric(
        classes.names, classes.is_thing, first_is_crowd=first_is_crowd
    )


# Protocol names, as benchmarks list them: what is measured / whose definition.
METRICS: dict[str, Callable[[Benchmark], VideoMetric]] = {
    "vpq/vipseg": partial(_vpq, protocol=vpq.VIPSEG),
    "vpq/vipseg_script": partial(_vpq, protocol=vpq.VIPSEG_SCRIPT),
    "vpq/cityscapes_vps": partial(_vpq, protocol=vpq.CITYSCAPES_VPS),
    "vpq/kitti_step": partial(_vpq, protocol=vpq.KITTI_STEP),
    "stq/vipseg": _stq,
    "stq/vipseg_script": partial(_stq, first_is_crowd=True),
    "stq/cityscapes_vps": _stq,  # not the benchmark's own measure
    "stq/kitti_step": _stq,
    "vss/vspw": lambda benchmark: VideoSemanticMetric(benchmark.classes.names),
    "vss/vspw_strict": lambda benchmark: VideoSemanticMetric(benchmark.classes.names, strict=True),
    "ap/coco": lambda benchmark: InstanceApMetric(benchmark.classes.names),
    "vos/davis2016": lambda benchmark: DavisMetric(),
    "vos/davis2017": lambda benchmark: DavisMetric(),
    "vos/youtube_vos": lambda benchmark: YouTubeVosMetric(),
    "vos/youtube_vos_excl_last": lambda benchmark: YouTubeVosMetric(skip_last=True),
}


def build_evaluator(cfg: CfgNode, dataset_name: str) -> VideoEvaluator:
    """Return the evaluator of a dataset, which writes to `inference/<dataset>` in OUTPUT_DIR.

    Raises:
        ValueError: the model has another task or number of classes than the dataset.
    """
    check_task(cfg, dataset_name)
    check_num_classes(cfg, dataset_name)
    return VideoEvaluator(dataset_name, Path(cfg.OUTPUT_DIR) / "inference" / dataset_name)


class VideoEvaluator(DatasetEvaluator):
    """Score predictions on one dataset.

    Videos come in any order and one at a time; frames of a video come in the order of time, all of
    them. The truth is read once a frame, for all metrics, which see frames with labels only.

    Args:
        dataset_name: as in detectron2's catalogs.
        output_dir: where `metrics.json` is written, NaN as null and with the notes of the metrics;
            None for nowhere.

    Attributes:
        notes: what the metrics had to say of their last scores, by protocol name.
    """

    def __init__(self, dataset_name: str, output_dir: str | Path | None = None) -> None:
        self.dataset_name = dataset_name
        self.output_dir = None if output_dir is None else Path(output_dir)
        self._benchmark = get_benchmark(dataset_name)
        self.reset()

    def reset(self) -> None:
        """Forget all videos."""
        self._metrics = {name: METRICS[name](self._benchmark) for name in self._benchmark.metrics}
        self._finished: list[str | int] = []
        self._current: Record | None = None
        self._num_frames = 0
        self.notes: dict[str, list[str]] = {}

    def process(self, inputs: Sequence[Record], outputs: Iterable[Iterable[FrameSegments]]) -> None:
        """Score whole videos: for each record an iterable over the segments of its frames."""
        for record, frames in zip(inputs, outputs, strict=True):
            for frame_segments in frames:
                self.process_frame(record, frame_segments)

    def process_frame(self, record: Record, prediction: FrameSegments) -> None:
        """Score the next frame of a video.

        Raises:
            ValueError: a frame is missing or out of order, segments do not have its size, or the
                labels of the video are hidden.
            OSError: its annotation is missing or cannot be read.
        """
        self._expect(record, prediction)
        path = record["file_names"][prediction.frame_index]
        video = f"video {record['video_id']}"
        frame_size = (record["height"], record["width"])
        if prediction.size != frame_size:
            raise ValueError(
                f"Predicted segments of {video}, frame {path}, have the size {prediction.size}, "
                f"but the frame has {frame_size} (height, width)."
            )
        if prediction.frame_index in annotated_frames(record):
            truth = self._benchmark.read_labels(record, prediction.frame_index)
            check_size(truth, frame_size, path)
            for metric in self._metrics.values():
                metric.update(record, truth, prediction)
        self._num_frames += 1
        if self._num_frames == record["length"]:
            for metric in self._metrics.values():
                metric.end_video(record)
            self._finished.append(record["video_id"])
            self._current, self._num_frames = None, 0

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Return {protocol name: {score name: percent}} on the main process, nothing on others.

        Raises:
            ValueError: a video of the dataset was not scored to its end, or was scored twice.
        """
        if self._current is not None:
            raise self._incomplete(self._current)
        parts = comm.gather((self._metrics, self._finished))
        if not comm.is_main_process():
            return OrderedDict()
        finished = [video_id for _, video_ids in parts for video_id in video_ids]
        self._check_videos(finished)
        metrics = {name: METRICS[name](self._benchmark) for name in self._benchmark.metrics}
        results: OrderedDict[str, dict[str, float]] = OrderedDict()
        for name, metric in metrics.items():
            for part, _ in parts:
                metric.merge(part[name])
            results[name] = {key: 100 * score for key, score in metric.compute().items()}
        self._report({name: metric.notes() for name, metric in metrics.items()})
        self._write(results)
        return results

    def _expect(self, record: Record, prediction: FrameSegments) -> None:
        if self._current is None:
            if not len(annotated_frames(record)):
                raise ValueError(
                    f"{self.dataset_name} cannot be scored here: the labels of video "
                    f"{record['video_id']} are hidden."
                )
            self._current = record
        elif self._current["video_id"] != record["video_id"]:
            raise self._incomplete(self._current)
        if prediction.frame_index != self._num_frames:
            raise ValueError(
                f"Video {record['video_id']}: segments of frame {prediction.frame_index} came "
                f"where those of frame {self._num_frames}, "
                f"{record['file_names'][self._num_frames]}, were expected."
            )

    def _incomplete(self, record: Record) -> ValueError:
        return ValueError(
            f"Video {record['video_id']} was left after {self._num_frames} of {record['length']} "
            f"frames; {record['file_names'][self._num_frames]} has no segments."
        )

    def _check_videos(self, finished: list[str | int]) -> None:
        twice = {video_id for video_id in finished if finished.count(video_id) > 1}
        if twice:
            raise ValueError(f"{self.dataset_name}: videos {_some(twice)} were scored twice.")
        expected = {record["video_id"] for record in load_records(self.dataset_name)}
        if expected != set(finished):
            raise ValueError(
                f"{self.dataset_name}: {len(expected - set(finished))} of {len(expected)} videos "
                f"were not scored, among them {_some(expected - set(finished))}."
            )

    def _report(self, notes: Mapping[str, Sequence[str]]) -> None:
        for name, sentences in notes.items():
            for sentence in sentences:
                logger.warning("%s on %s: %s", name, self.dataset_name, sentence)
        self.notes = {name: list(sentences) for name, sentences in notes.items() if sentences}

    def _write(self, results: Mapping[str, Mapping[str, float]]) -> None:
        if self.output_dir is None:
            return
        self.output_dir.mkdir(parents=True, exist_ok=True)
        path = self.output_dir / "metrics.json"
        # JSON has no NaN.
        content: dict[str, Any] = {
            name: {key: None if math.isnan(score) else score for key, score in scores.items()}
            for name, scores in results.items()
        }
        content["notes"] = self.notes
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        logger.info("Wrote %s", path)


def _some(video_ids: set[str | int]) -> str:
    return ", ".join(sorted(map(str, video_ids))[:5])
