"""Metrics by the name of their protocol: what is measured / whose definition."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, runtime_checkable

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.class_table import read_class_table
from gvseg.data.segments import FrameLabels
from gvseg.evaluation import vpq
from gvseg.evaluation.coco_ap import InstanceApMetric
from gvseg.evaluation.hota import HotaMetric
from gvseg.evaluation.hota_burst import BurstHotaMetric, Guidance
from gvseg.evaluation.stq import SegmentationTrackingMetric
from gvseg.evaluation.tracking import TrackingMetric
from gvseg.evaluation.vos import DavisMetric, YouTubeVosMetric
from gvseg.evaluation.vss import VideoSemanticMetric
from gvseg.evaluation.ytvis_ap import VideoInstanceApMetric
from gvseg.structures import FrameSegments
from gvseg.tasks import Task


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


@runtime_checkable
class CountsVideos(Protocol):
    """A metric that keeps counts of each video, which say more than their share in all."""

    def per_video(self) -> dict[str | int, dict[str, int]]:
        """Return named counts by the ids of videos."""
        ...


def _vpq(benchmark: Benchmark, protocol: vpq.VpqProtocol) -> VideoMetric:
    classes = benchmark.classes
    return vpq.VideoPanopticMetric(classes.names, classes.is_thing, protocol)


def _stq(benchmark: Benchmark, first_is_crowd: bool = False) -> VideoMetric:
    classes = benchmark.classes
    return SegmentationTrackingMetric(
        classes.names, classes.is_thing, first_is_crowd=first_is_crowd
    )


def _video_ap(benchmark: Benchmark) -> VideoMetric:
    return VideoInstanceApMetric(benchmark.classes.names)


def _hota(benchmark: Benchmark) -> VideoMetric:
    return HotaMetric(benchmark.classes.names, benchmark.classes.is_thing)


def _burst(benchmark: Benchmark, guidance: Guidance) -> VideoMetric:
    if guidance is Guidance.CLASS and len(benchmark.classes) == 1:
        raise ValueError(f"{benchmark.name} has no classes to score by; burst_class has.")
    categories = read_class_table("burst")
    names = dict(zip(categories.ids, categories.names, strict=True))
    return BurstHotaMetric(guidance, benchmark.classes.ids, names)


METRICS: dict[str, Callable[[Benchmark], VideoMetric]] = {
    "vpq/vipseg": partial(_vpq, protocol=vpq.VIPSEG),
    "vpq/vipseg_script": partial(_vpq, protocol=vpq.VIPSEG_SCRIPT),
    "vpq/cityscapes_vps": partial(_vpq, protocol=vpq.CITYSCAPES_VPS),
    "vpq/kitti_step": partial(_vpq, protocol=vpq.KITTI_STEP),
    "pq/coco": partial(_vpq, protocol=vpq.COCO),
    "stq/vipseg": _stq,
    "stq/vipseg_script": partial(_stq, first_is_crowd=True),
    "stq/cityscapes_vps": _stq,  # not the benchmark's own measure
    "stq/kitti_step": _stq,
    "vss/vspw": lambda benchmark: VideoSemanticMetric(benchmark.classes.names),
    "vss/vspw_strict": lambda benchmark: VideoSemanticMetric(benchmark.classes.names, strict=True),
    "vss/images": lambda benchmark: VideoSemanticMetric(benchmark.classes.names, windows=()),
    "ap/coco": lambda benchmark: InstanceApMetric(benchmark.classes.names),
    "ap/youtube_vis": _video_ap,
    "ap/ovis": _video_ap,
    "vos/davis2016": lambda benchmark: DavisMetric(),
    "vos/davis2017": lambda benchmark: DavisMetric(),
    "vos/youtube_vos": lambda benchmark: YouTubeVosMetric(),
    "vos/youtube_vos_excl_last": lambda benchmark: YouTubeVosMetric(skip_last=True),
    "hota/burst_exemplar": partial(_burst, guidance=Guidance.EXEMPLAR),
    "hota/burst_class": partial(_burst, guidance=Guidance.CLASS),
    "hota/burst_open_world": partial(_burst, guidance=Guidance.OPEN_WORLD),
    "hota/trackeval": _hota,  # a diagnosis for any tracked objects
    "tracking/gvseg": lambda benchmark: TrackingMetric(benchmark.classes.is_thing),  # likewise
}


# Tasks whose labels a family of protocols can score, where not those of all.
_SHARED_OUT = frozenset({Task.VPS, Task.VSS})  # every pixel has at most one segment
_OBJECTS = frozenset({Task.VIS, Task.EVS})
_TASKS = {
    "ap": _OBJECTS,
    "vpq": _SHARED_OUT,
    "pq": _SHARED_OUT,
    "stq": _SHARED_OUT,
    "vss": _SHARED_OUT,
    "vos": frozenset({Task.EVS}),
}


# Families that ask for what the records of one benchmark alone have.
_OWN = {
    "hota/burst": "is for BURST, whose labels say which categories a video has; {} can have "
    "hota/trackeval",
    "vos/youtube_vos": "is for YouTube-VOS, which says in which frame each object is given; {} can "
    "have vos/davis2017",
}


def check_protocols(names: Iterable[str], benchmark: Benchmark) -> None:
    """Raise a ValueError unless all of these protocols exist and can score the benchmark."""
    for name in names:
        if name not in METRICS:
            raise ValueError(f"Unknown protocol {name!r}; choose one of {', '.join(METRICS)}.")
        for family, why in _OWN.items():
            of_family = [own.startswith(family) for own in benchmark.metrics]
            if name.startswith(family) and not any(of_family):
                raise ValueError(f"Protocol {name} {why.format(benchmark.name)}.")
        tasks = _TASKS.get(name.partition("/")[0], frozenset(Task))
        if benchmark.task not in tasks:
            known = " and ".join(sorted(task.value for task in tasks))
            raise ValueError(
                f"Protocol {name} scores {known}, but {benchmark.name} is for "
                f"{benchmark.task.value}."
            )
        METRICS[name](benchmark)  # what it says of the classes
