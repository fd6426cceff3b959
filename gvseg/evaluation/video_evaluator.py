"""Feeds metrics with the predicted segments of videos, frame by frame."""

from __future__ import annotations

import json
import logging
import math
from collections import Counter, OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode
from detectron2.evaluation import DatasetEvaluator
from detectron2.utils import comm

from gvseg.data.benchmark import (
    Record,
    annotated_frames,
    check_num_classes,
    check_task,
    get_benchmark,
)
from gvseg.data.loader import load_records
from gvseg.data.segments import check_size
from gvseg.evaluation.protocols import METRICS, CountsVideos, VideoMetric, check_protocols
from gvseg.evaluation.submissions import SubmissionWriter, submission_format
from gvseg.structures import FrameSegments

logger = logging.getLogger(__name__)


def check_evaluator(cfg: CfgNode, dataset_name: str) -> None:
    """Raise the errors of `build_evaluator`."""
    check_task(cfg, dataset_name)
    check_num_classes(cfg, dataset_name)
    benchmark = get_benchmark(dataset_name)
    check_protocols(cfg.MODEL.GVSEG.TEST.MORE_PROTOCOLS, benchmark)
    if cfg.MODEL.GVSEG.TEST.WRITE_PREDICTIONS:
        submission_format(benchmark)


def build_evaluator(cfg: CfgNode, dataset_name: str) -> VideoEvaluator:
    """Return the evaluator of a dataset, which writes to `inference/<dataset>` in OUTPUT_DIR.

    Raises:
        ValueError: the model has another task or number of classes than the dataset, there is no
            such protocol, or predictions are to be written and the benchmark has no format.
    """
    check_evaluator(cfg, dataset_name)
    options = cfg.MODEL.GVSEG.TEST
    return VideoEvaluator(
        dataset_name,
        Path(cfg.OUTPUT_DIR) / "inference" / dataset_name,
        more_protocols=options.MORE_PROTOCOLS,
        write_predictions=options.WRITE_PREDICTIONS,
    )


class VideoEvaluator(DatasetEvaluator):
    """Score predictions on one dataset.

    Videos come in any order and one at a time; frames of a video come in the order of time, all of
    them. The truth is read once a frame, for all metrics, which see frames with labels only.

    Args:
        dataset_name: as in detectron2's catalogs.
        output_dir: where `metrics.json` is written, NaN as null and with the notes of the metrics;
            None for nowhere.
        more_protocols: keys of `METRICS` beside those of the benchmark.
        write_predictions: also write what is predicted to `predictions` in `output_dir`, in the
            format that the benchmark's organisers take. Labels may then be hidden.

    Attributes:
        notes: what the metrics had to say of their last scores, by protocol name.

    Raises:
        ValueError: there is no such protocol for the benchmark, or predictions have no format or no
            place.
    """

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | Path | None = None,
        *,
        more_protocols: Sequence[str] = (),
        write_predictions: bool = False,
    ) -> None:
        self.dataset_name = dataset_name
        self.output_dir = None if output_dir is None else Path(output_dir)
        self._benchmark = get_benchmark(dataset_name)
        check_protocols(more_protocols, self._benchmark)
        self._protocols = tuple(dict.fromkeys([*self._benchmark.metrics, *more_protocols]))
        if write_predictions and self.output_dir is None:
            raise ValueError("Predictions are to be written, but no output_dir is given.")
        self._writes = write_predictions
        self.reset()

    def reset(self) -> None:
        """Forget all videos."""
        self._metrics = self._new_metrics()
        self._writer = self._new_writer() if self._writes else None
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
        """Score the next frame of a video, and write what is predicted where that is wanted.

        Raises:
            ValueError: a frame is missing or out of order, segments do not have its size, or the
                labels of the video are hidden and nothing is written.
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
        if self._writer is not None:
            self._writer.write(record, prediction)
        self._num_frames += 1
        if self._num_frames == record["length"]:
            self._end_video(record)
            self._finished.append(record["video_id"])
            self._current, self._num_frames = None, 0

    def evaluate(self) -> OrderedDict[str, dict[str, float]]:
        """Return {protocol name: {score name: percent}} on the main process, nothing on others.

        Videos whose labels are hidden are not scored.

        Raises:
            ValueError: a video of the dataset was not scored to its end, or was scored twice.
        """
        if self._current is not None:
            raise self._incomplete(self._current)
        parts = comm.gather((self._metrics, self._finished))
        if not comm.is_main_process():
            return OrderedDict()
        finished = [video_id for _, video_ids in parts for video_id in video_ids]
        records = load_records(self.dataset_name)
        self._check_videos(finished, records)
        if self._writer is not None:
            self._writer.finish(records)
        hidden = [record["video_id"] for record in records if not len(annotated_frames(record))]
        if len(hidden) == len(records):
            logger.info("%s is not scored: its labels are hidden.", self.dataset_name)
            return OrderedDict()
        if hidden:
            logger.warning(
                "%s: %d of %d videos are not scored, as they have no labels, such as %s.",
                self.dataset_name, len(hidden), len(records), hidden[0],
            )  # fmt: skip
        metrics = self._new_metrics()
        results: OrderedDict[str, dict[str, float]] = OrderedDict()
        for name, metric in metrics.items():
            for part, _ in parts:
                metric.merge(part[name])
            results[name] = {key: 100 * score for key, score in metric.compute().items()}
        self._report({name: metric.notes() for name, metric in metrics.items()})
        by_video = {
            name: metric.per_video()
            for name, metric in metrics.items()
            if isinstance(metric, CountsVideos)
        }
        self._write(results, by_video)
        return results

    def _new_metrics(self) -> dict[str, VideoMetric]:
        return {name: METRICS[name](self._benchmark) for name in self._protocols}

    def _new_writer(self) -> SubmissionWriter:
        assert self.output_dir is not None
        folder = self.output_dir / "predictions"
        return submission_format(self._benchmark).open_writer(folder, self._benchmark)

    def _end_video(self, record: Record) -> None:
        if len(annotated_frames(record)):
            for metric in self._metrics.values():
                metric.end_video(record)
        if self._writer is not None:
            self._writer.end_video(record)

    def _expect(self, record: Record, prediction: FrameSegments) -> None:
        if self._current is None:
            if not len(annotated_frames(record)) and self._writer is None:
                raise ValueError(
                    f"{self.dataset_name} cannot be scored here: the labels of video "
                    f"{record['video_id']} are hidden. To predict for a server, set "
                    "MODEL.GVSEG.TEST.WRITE_PREDICTIONS."
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

    def _check_videos(self, finished: Sequence[str | int], records: Sequence[Record]) -> None:
        twice = {video_id for video_id, times in Counter(finished).items() if times > 1}
        if twice:
            raise ValueError(f"{self.dataset_name}: videos {_some(twice)} were scored twice.")
        expected = {record["video_id"] for record in records}
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

    def _write(
        self,
        results: Mapping[str, Mapping[str, float]],
        by_video: Mapping[str, Mapping[str | int, Mapping[str, int]]],
    ) -> None:
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
        if by_video:
            content["videos"] = by_video
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        logger.info("Wrote %s", path)


def _some(video_ids: set[str | int]) -> str:
    return ", ".join(sorted(map(str, video_ids))[:5])
