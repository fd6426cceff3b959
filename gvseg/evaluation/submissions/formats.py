"""The formats that organisers take, by name.  A benchmark says which is its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gvseg.data.benchmark import Benchmark, Record
from gvseg.evaluation.submissions.burst_json import BurstJsonReader, BurstJsonWriter
from gvseg.evaluation.submissions.class_images import ClassImageWriter, open_class_images
from gvseg.evaluation.submissions.object_images import ObjectImageWriter, open_object_images
from gvseg.evaluation.submissions.object_json import ObjectJsonReader, ObjectJsonWriter
from gvseg.evaluation.submissions.panoptic import (
    CITYSCAPES_LAYOUT,
    COCO_LAYOUT,
    VIPSEG_LAYOUT,
    PanopticLayout,
    PanopticReader,
    PanopticWriter,
)
from gvseg.evaluation.submissions.step_images import StepImageWriter, open_step_images
from gvseg.evaluation.submissions.submission import SubmissionReader, SubmissionWriter
from gvseg.evaluation.submissions.track_json import TrackJsonReader, TrackJsonWriter


@dataclass(frozen=True)
class SubmissionFormat:
    """One format; both sides know the benchmark, and so its classes."""

    open_writer: Callable[[Path, Benchmark], SubmissionWriter]
    open_reader: Callable[[Path, Benchmark, Sequence[Record]], SubmissionReader]


def _panoptic(layout: PanopticLayout) -> SubmissionFormat:
    return SubmissionFormat(
        partial(PanopticWriter, layout=layout), partial(PanopticReader, layout=layout)
    )


FORMATS = {
    "class_images": SubmissionFormat(ClassImageWriter, open_class_images),  # VSPW
    "vipseg": _panoptic(VIPSEG_LAYOUT),
    "cityscapes_vps": _panoptic(CITYSCAPES_LAYOUT),
    "coco_panoptic": _panoptic(COCO_LAYOUT),  # COCO panoptic, coco_stuff21
    "object_json": SubmissionFormat(ObjectJsonWriter, ObjectJsonReader),  # COCO
    "step_images": SubmissionFormat(StepImageWriter, open_step_images),  # KITTI-STEP
    "track_json": SubmissionFormat(TrackJsonWriter, TrackJsonReader),  # YouTube-VIS, OVIS
    "object_images": SubmissionFormat(ObjectImageWriter, open_object_images),  # YouTube-VOS, DAVIS
    "object_masks": SubmissionFormat(  # DAVIS 2016
        partial(ObjectImageWriter, is_single=True), partial(open_object_images, is_single=True)
    ),
    "burst_json": SubmissionFormat(BurstJsonWriter, BurstJsonReader),
}


def submission_format(benchmark: Benchmark) -> SubmissionFormat:
    """Return the format of a benchmark.

    Raises:
        ValueError: it has none.
    """
    if benchmark.submission is None:
        raise ValueError(f"Benchmark {benchmark.name} has no format for predictions.")
    return FORMATS[benchmark.submission]
