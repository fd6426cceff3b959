"""Made-up benchmarks on disk, and poor predictions of them in memory and in official formats."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Benchmark, Record, annotated_frames, get_benchmark
from gvseg.data.synthetic.formats import get_format
from gvseg.data.synthetic.scene import make_videos
from gvseg.evaluation.overlaps import take_segments
from gvseg.evaluation.protocols import METRICS, VideoMetric
from gvseg.evaluation.submissions import submission_format
from gvseg.structures import FrameSegments
from gvseg.tasks import Task

# The format that is written, and the dataset that it is read as; each has labels.
DATASETS = {
    "vipseg_val": "vipseg",
    "vipseg_raw_val": "vipseg_raw",
    "kitti_step_val": "kitti_step",
    "cityscapes_vps_val": "cityscapes_vps",
    "vspw_val": "vspw",
    "camvid_val": "camvid",
    "ytvis_2019_train": "ytvis_2019",
    "ovis_train": "ovis",
    "davis2016_val": "davis",
    "davis2017_val": "davis",
    "youtube_vos_2019_train": "youtube_vos",
    "burst_mask_val": "burst",
    "burst_class_val": "burst",
    "coco_val2017": "coco",
    "coco_panoptic_val2017": "coco_panoptic",
    "coco_semantic_val2017": "coco_panoptic",
}
Predict = Callable[["MadeUp", Record], list[FrameSegments]]


@dataclass
class MadeUp:
    """One split on disk."""

    root: Path
    dataset_name: str
    benchmark: Benchmark
    records: list[Record]

    def submit(self, folder: Path, predict: Predict) -> Path:
        """Write predictions of all videos and return where."""
        writer = submission_format(self.benchmark).open_writer(folder, self.benchmark)
        for record in self.records:
            for segments in predict(self, record):
                writer.write(record, segments)
            writer.end_video(record)
        writer.finish(self.records)
        return folder

    def scores(self, predict: Predict, protocol: str, records=None) -> VideoMetric:
        """Return the metric of a protocol that has seen predictions in memory."""
        metric = METRICS[protocol](self.benchmark)
        for record in self.records if records is None else records:
            predictions = predict(self, record)
            for index in annotated_frames(record):
                labels = self.benchmark.read_labels(record, index)
                metric.update(record, labels, predictions[index])
            metric.end_video(record)
        return metric


def make(root: Path, dataset_name: str, *, num_videos: int = 3) -> MadeUp:
    """Write a split, with enough frames that windows of all lengths occur."""
    row, benchmark = get_format(DATASETS[dataset_name]), get_benchmark(dataset_name)
    split = benchmark.split_of(dataset_name)
    num_frames = 20 if benchmark.name == "cityscapes_vps" else 11
    spec = row.scene(
        split,
        size=(48, 72),
        num_frames=1 if row.is_still else num_frames,
        num_classes=6 if row.benchmark(split).task is not Task.EVS else None,
    )
    row.write(root, split, make_videos(spec, num_videos=num_videos, seed=5, split=split))
    if dataset_name == "davis2016_val":
        shutil.copytree(root / "DAVIS/ImageSets/2017", root / "DAVIS/ImageSets/2016")
    return MadeUp(root, dataset_name, benchmark, benchmark.load_records(root, split))


def perfect(made: MadeUp, record: Record) -> list[FrameSegments]:
    """Predict the truth, for frames without labels that of the last one with labels."""
    labelled = list(annotated_frames(record))
    frames = []
    for index in range(record["length"]):
        known = max([frame for frame in labelled if frame <= index], default=labelled[0])
        labels = made.benchmark.read_labels(record, known)
        segments = replace(labels.segments, frame_index=index)
        # A crowd has to be predicted as what it is made of, where every pixel has a class.
        if labels.is_crowd.any() and made.benchmark.task is not Task.VPS:
            segments = without(segments, labels.is_crowd)
        frames.append(_filled(segments) if made.benchmark.task is Task.VSS else segments)
    return frames


def poor(made: MadeUp, record: Record) -> list[FrameSegments]:
    """Predict shifted masks, exchanged identities, wrong classes and scores of all sizes."""
    rng = np.random.default_rng(record["length"] + len(str(record["video_id"])))
    frames = []
    for segments in perfect(made, record):
        shift = tuple(rng.integers(-1, 2, 2).tolist())
        moved = np.roll(segments.index_map, shift, (0, 1)) if segments.masks is None else None
        masks = None if segments.masks is None else np.roll(segments.masks, shift, (1, 2))
        segments = replace(segments, index_map=moved, masks=masks)
        segments = replace(segments, scores=_scores_of(segments.ids))
        # A format of objects that are given knows no other identities.
        if segments.frame_index > 5 and made.benchmark.task is Task.VPS:
            things = np.array(made.benchmark.classes.is_thing)[segments.classes]
            segments = replace(segments, ids=np.where(things, segments.ids + 5000, segments.ids))
        if segments.frame_index % 4 == 3 and len(segments) > 1:
            dropped = np.arange(len(segments)) == 0
            segments = without(segments, dropped)
        if made.benchmark.task is Task.VSS:
            segments = _filled(segments)
        frames.append(segments)
    return frames


def _scores_of(ids: np.ndarray) -> np.ndarray:
    return (0.3 + 0.6 * (ids * 7 % 11) / 11).astype(np.float32)


def without(segments: FrameSegments, dropped: np.ndarray) -> FrameSegments:
    """Return segments without some, (N,) bool."""
    return take_segments(segments, np.flatnonzero(~dropped))


def _filled(segments: FrameSegments) -> FrameSegments:
    """Return segments that share out the whole frame."""
    return replace(segments, index_map=np.maximum(segments.index_map, 0))


class Sets:
    """Perfect submissions, made once for each dataset and copied for each test."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._made: dict[str, MadeUp] = {}

    def copy(self, dataset_name: str, folder: Path) -> MadeUp:
        if dataset_name not in self._made:
            made = make(self.root / dataset_name, dataset_name)
            made.submit(self.root / f"{dataset_name}_submission", perfect)
            self._made[dataset_name] = made
        shutil.copytree(self.root / f"{dataset_name}_submission", folder)
        return self._made[dataset_name]
