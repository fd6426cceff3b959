"""Time our metrics beside their plain formulations, and HOTA beside TrackEval if it is installed.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.bench_metrics

A video of 720x1280 with 20 wavy segments, void in the truth, and a prediction of it that is shifted
and torn, is in memory as both sides take it: as class and number of every pixel, and as segments.
The plain VPQ stacks every window and counts it with `np.unique`, as the scripts of VIPSeg and
Cityscapes-VPS do; the plain STQ counts pairs of tubes with `np.unique`, as that of KITTI-STEP does;
the plain mIoU counts pixels with `np.bincount`, and the plain mVC compares the frames of each
window, as those of VSPW do. All scores are compared.
Rounds alternate, and the minima are compared: on a shared machine the mean measures the neighbours.
Memory is the peak over 2 and over 20 videos. Writes `results/metrics_cpu.json` beside this file.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import tracemalloc
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from gvseg.evaluation.hota import TrackFrame, hota_counts
from gvseg.evaluation.stq import SegmentationTrackingMetric
from gvseg.evaluation.vpq import VIPSEG, VideoPanopticMetric
from gvseg.evaluation.vss import VideoSemanticMetric, video_consistency
from tests.benchmarks.bench_network import measure, processor
from tests.evaluation.panoptic_videos import Listed, PanopticFrame, PanopticVideo
from tests.evaluation.plain_panoptic import plain_confusion, plain_vpq, quality

RESULT = Path(__file__).parent / "results" / "metrics_cpu.json"
SIZE = (720, 1280)
NUM_FRAMES = 20
NUM_SEGMENTS = 20
NUM_CLASSES = 124  # of VIPSeg
IS_THING = np.arange(NUM_CLASSES) % 2 == 1
TRACKS = (20, 60)  # true and predicted ones of a long video with objects
TRACK_FRAMES = 300
RECORD = {"video_id": "blobs"}

Metric = VideoPanopticMetric | SegmentationTrackingMetric | VideoSemanticMetric


def make_video(seed: int = 0, num_frames: int = NUM_FRAMES) -> PanopticVideo:
    """Return cells around centres that walk, with ripples, and a poor prediction of them."""
    rng = np.random.default_rng(seed)
    classes = rng.permutation(NUM_CLASSES)[:NUM_SEGMENTS]
    centres = rng.random((NUM_SEGMENTS, 2)) * SIZE
    grid = np.stack(np.mgrid[: SIZE[0], : SIZE[1]], axis=-1)
    ripple = 15 * np.sin(grid[..., ::-1] / 40)  # edges are no straight lines
    truth, prediction = [], []
    for _ in range(num_frames):
        cells = _nearest(grid + ripple, centres)
        shifted = np.roll(_nearest(grid + 1.3 * ripple, centres + rng.normal(0, 8, centres.shape)),
                          3, axis=1)  # fmt: skip
        frames = [_frame(cells, classes), _frame(shifted, classes)]
        frames[0].numbers[:40] = 0
        truth.append(_with_areas(frames[0]))
        prediction.append(frames[1])
        centres = np.clip(centres + rng.normal(0, 6, centres.shape), 0, np.array(SIZE) - 1)
    return PanopticVideo(tuple(truth), tuple(prediction))


def _nearest(places: np.ndarray, centres: np.ndarray) -> np.ndarray:
    distances = [np.square(places - centre).sum(axis=-1) for centre in centres]
    return np.argmin(distances, axis=0)


def _frame(cells: np.ndarray, classes: np.ndarray) -> PanopticFrame:
    segments = tuple(Listed(int(n) + 1000, int(classes[n]), 0) for n in np.unique(cells))
    return _with_areas(PanopticFrame(cells + 1000, segments))


def _with_areas(frame: PanopticFrame) -> PanopticFrame:
    areas = {s: int((frame.numbers == s.number).sum()) for s in frame.segments}
    segments = tuple(Listed(s.number, s.class_index, a) for s, a in areas.items() if a)
    return PanopticFrame(frame.numbers, segments)


class Prepared:
    """A video in the form that each side takes."""

    def __init__(self, video: PanopticVideo) -> None:
        self.video = video
        self.labels = [frame.labels(index) for index, frame in enumerate(video.truth)]
        self.predictions = [frame.prediction(i) for i, frame in enumerate(video.prediction)]
        self.classes = [
            (truth.class_map().astype(np.uint8), prediction.class_map().astype(np.uint8))
            for truth, prediction in zip(video.truth, video.prediction, strict=True)
        ]

    def feed(self, metric: Metric) -> dict[str, float]:
        """Score the video."""
        for labels, prediction in zip(self.labels, self.predictions, strict=True):
            metric.update(RECORD, labels, prediction)
        metric.end_video(RECORD)
        return metric.compute()


def plain_vpq_score(prepared: Prepared) -> float:
    """Return VPQ over the windows of VIPSeg."""
    windows = (plain_vpq([prepared.video], n, NUM_CLASSES) for n in VIPSEG.windows)
    return float(np.mean([np.nanmean(quality(sums)) for sums in windows]))


def plain_stq_score(prepared: Prepared) -> float:
    """Return STQ, counted by pixels; this video has no crowd."""
    side = NUM_CLASSES + 1
    confusion = np.zeros((side, side), dtype=np.int64)
    sizes: list[dict[int, int]] = [{}, {}, {}]
    things = np.append(IS_THING, np.zeros(256 - NUM_CLASSES, dtype=bool))
    video = prepared.video
    for (true_class, predicted_class), truth, prediction in zip(
        prepared.classes, video.truth, video.prediction, strict=True
    ):
        rows, columns = (np.minimum(c, NUM_CLASSES).astype(np.int64)
                         for c in (true_class, predicted_class))  # fmt: skip
        confusion += np.bincount((rows * side + columns).ravel(), minlength=side**2).reshape(
            side, side
        )
        tubes = [
            (classes.astype(np.int64) << 16) + frame.numbers
            for classes, frame in ((true_class, truth), (predicted_class, prediction))
        ]
        is_true, is_predicted = things[true_class], things[predicted_class]
        is_shared = is_true & is_predicted
        counted = (tubes[0][is_true], tubes[1][is_predicted],
                   (tubes[0][is_shared] << 32) + tubes[1][is_shared])  # fmt: skip
        for seen, values in zip(sizes, counted, strict=True):
            for tube, count in zip(*np.unique(values, return_counts=True), strict=True):
                seen[int(tube)] = seen.get(int(tube), 0) + int(count)
    true_sizes, predicted_sizes, shared_sizes = sizes
    association = sum(
        shared**2 / (true_sizes[pair >> 32] + predicted_sizes[pair % (1 << 32)] - shared)
        / true_sizes[pair >> 32]
        for pair, shared in shared_sizes.items()
    )  # fmt: skip
    confusion[-1] = 0
    unions = confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion)
    sq = (np.diag(confusion) / np.maximum(unions, 1)).sum() / np.count_nonzero(unions)
    return float(np.sqrt(sq * association / len(true_sizes)))


def plain_miou_score(prepared: Prepared) -> float:
    """Return mIoU."""
    confusion = sum(plain_confusion(*maps, NUM_CLASSES) for maps in prepared.classes)
    hits, true = np.diag(confusion), confusion.sum(axis=1)
    iou = hits / np.maximum(true + confusion.sum(axis=0) - hits, 1)
    return float(iou[true > 0].mean())


def plain_consistency_score(prepared: Prepared) -> float:
    """Return mVC8 and mVC16, added to mIoU."""
    truth, prediction = (np.stack(maps) for maps in zip(*prepared.classes, strict=True))
    windows = [video_consistency(truth, prediction, window) for window in (8, 16)]
    return plain_miou_score(prepared) + sum(float(np.nanmean(scores)) for scores in windows)


def new_vpq() -> VideoPanopticMetric:
    """Return the metric of VIPSeg."""
    return VideoPanopticMetric(range(NUM_CLASSES), IS_THING, VIPSEG)


def new_stq() -> SegmentationTrackingMetric:
    """Return the metric of VIPSeg."""
    return SegmentationTrackingMetric(range(NUM_CLASSES), IS_THING)


def new_miou() -> VideoSemanticMetric:
    """Return the metric without consistency over time, as the plain one is."""
    return VideoSemanticMetric(range(NUM_CLASSES), windows=())


def consistency_score(prepared: Prepared) -> float:
    """Return what the plain one does."""
    scores = prepared.feed(VideoSemanticMetric(range(NUM_CLASSES)))
    return scores["mIoU"] + scores["mVC8"] + scores["mVC16"]


def make_tracks() -> list[TrackFrame]:
    """Return overlaps of a long video at random, near 1 for pairs that belong together."""
    rng = np.random.default_rng(0)
    frames = []
    for _ in range(TRACK_FRAMES):
        truth, prediction = (np.flatnonzero(rng.random(num) < 0.7) for num in TRACKS)
        iou = np.where(rng.random((len(truth), len(prediction))) < 0.05, 0.3, 0.0)
        belongs = (truth[:, None] == prediction) & (rng.random(iou.shape) < 0.8)
        iou[belongs] = rng.uniform(0.4, 1, np.count_nonzero(belongs))
        frames.append(TrackFrame(truth, prediction, iou))
    return frames


def trackeval_hota(frames: list[TrackFrame]) -> float:
    """Return the peer's HOTA."""
    import trackeval

    scores = trackeval.metrics.HOTA().eval_sequence(
        {
            "num_tracker_dets": sum(len(frame.prediction) for frame in frames),
            "num_gt_dets": sum(len(frame.truth) for frame in frames),
            "num_gt_ids": TRACKS[0],
            "num_tracker_ids": TRACKS[1],
            "gt_ids": [frame.truth for frame in frames],
            "tracker_ids": [frame.prediction for frame in frames],
            "similarity_scores": [frame.iou for frame in frames],
        }
    )
    return float(scores["HOTA"].mean())


def contests() -> dict[str, dict[str, Callable[[], float]]]:
    """Return what computes each score, the plain way and ours."""
    prepared = Prepared(make_video())
    found = {
        "VPQ over 1, 2, 4, 6 frames": {
            "plain": lambda: plain_vpq_score(prepared),
            "gvseg": lambda: prepared.feed(new_vpq())["VPQ"],
        },
        "STQ": {
            "plain": lambda: plain_stq_score(prepared),
            "gvseg": lambda: prepared.feed(new_stq())["STQ"],
        },
        "mIoU": {
            "plain": lambda: plain_miou_score(prepared),
            "gvseg": lambda: prepared.feed(new_miou())["mIoU"],
        },
    }
    found["mIoU, mVC8 and mVC16"] = {
        "plain": lambda: plain_consistency_score(prepared),
        "gvseg": lambda: consistency_score(prepared),
    }
    if importlib.util.find_spec("trackeval"):
        frames = make_tracks()
        found["HOTA of given overlaps"] = {
            "TrackEval": lambda: trackeval_hota(frames),
            "gvseg": lambda: float(hota_counts(frames).scores()["HOTA"].mean()),
        }
    return found


def peak_megabytes(make: Callable[[], Metric], num_videos: int, prepared: Prepared) -> float:
    """Return the most memory that a metric takes over so many videos."""
    tracemalloc.start()
    metric = make()
    for _ in range(num_videos):
        prepared.feed(metric)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak / 2**20


def main() -> None:
    """Measure, print a table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    seconds, scores = {}, {}
    for name, runs in contests().items():
        values = {contestant: run() for contestant, run in runs.items()}
        if not np.allclose(list(values.values()), values["gvseg"], atol=1e-9):
            raise ValueError(f"{name} differs: {values}.")
        scores[name] = round(values["gvseg"], 6)
        seconds[name] = measure(runs, args.rounds)
    prepared = Prepared(make_video(num_frames=3))
    memory = {
        name: {num: round(peak_megabytes(make, num, prepared), 1) for num in (2, 20)}
        for name, make in (("VPQ", new_vpq), ("STQ", new_stq), ("mIoU", new_miou))
    }
    report(seconds, scores, memory)


def report(
    seconds: dict[str, dict[str, list[float]]],
    scores: dict[str, float],
    memory: dict[str, dict[int, float]],
) -> None:
    """Print the table and write the JSON."""
    table = Table(title=f"{NUM_FRAMES} frames of {SIZE[0]}x{SIZE[1]}, one process")
    for column in ("score", "by", "minimum ms", "median ms", "other / gvseg"):
        table.add_column(column)
    for name, values_of in seconds.items():
        for contestant, values in values_of.items():
            table.add_row(
                name, contestant, f"{1000 * min(values):.1f}",
                f"{1000 * statistics.median(values):.1f}",
                f"{min(values) / min(values_of['gvseg']):.2f}",
            )  # fmt: skip
    Console().print(table)
    Console().print(f"Peak MB over 2 and over 20 videos: {memory}")
    result = {
        "what": f"scores of a video of {NUM_FRAMES} frames with {NUM_SEGMENTS} segments; HOTA of "
        f"{TRACKS[0]} true and {TRACKS[1]} predicted tracks over {TRACK_FRAMES} frames",
        "size": list(SIZE),
        "scores": scores,
        "seconds": {
            name: {who: [round(value, 5) for value in values] for who, values in runs.items()}
            for name, runs in seconds.items()
        },
        "other_over_ours": {
            name: {
                who: round(min(values) / min(runs["gvseg"]), 2)
                for who, values in runs.items()
                if who != "gvseg"
            }
            for name, runs in seconds.items()
        },
        "peak_megabytes_by_videos": memory,
        "date": date.today().isoformat(),
        "processor": processor(),
        "numpy": np.__version__,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
