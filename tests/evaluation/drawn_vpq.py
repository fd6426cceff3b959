"""Metrics of VPQ and videos drawn by letters, for its tests."""

from gvseg.evaluation.vpq import (
    VideoPanopticMetric,
    VpqProtocol,
)
from tests.evaluation.panoptic_videos import (
    IS_THING,
    NAMES,
    PanopticVideo,
    draw,
)

# Letters of frames drawn by hand: sky, cats and a dog.
CLASSES = {"s": 0, "a": 3, "b": 3, "c": 3, "d": 4}


def new_metric(*windows: int, **options: bool) -> VideoPanopticMetric:
    return VideoPanopticMetric(NAMES, IS_THING, VpqProtocol(windows, **options))


def video(truth: list, prediction: list) -> PanopticVideo:
    """Return a video of frames, or of one row of letters each."""
    frames = [
        tuple(draw(frame, CLASSES) if isinstance(frame, str) else frame for frame in side)
        for side in (truth, prediction)
    ]
    return PanopticVideo(*frames)


def counts_of(metric: VideoPanopticMetric, window: int, class_index: int) -> tuple[float, ...]:
    """Return the sum of IoU, hits, false and missed."""
    counts = metric.counts[window]
    return tuple(
        float(values[class_index])
        for values in (counts.iou, counts.hits, counts.false, counts.missed)
    )
