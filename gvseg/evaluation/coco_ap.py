"""Average precision of instances on single frames, as COCO's own evaluation computes it.

N segments, K classes, (H, W) pixels.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from gvseg.data.benchmark import Record
from gvseg.data.segments import FrameLabels, encode_masks
from gvseg.structures import FrameSegments

logger = logging.getLogger(__name__)

Annotation = dict[str, Any]

# The order of COCOeval's `stats`.
_STAT_NAMES = (
    *("AP", "AP50", "AP75", "APs", "APm", "APl"),
    *("AR1", "AR10", "AR100", "ARs", "ARm", "ARl"),
)


@dataclass
class _ScoredImage:
    place: tuple[str | int, int]  # id of the record and index of the frame
    size: tuple[int, int]  # height, width
    truth: list[Annotation]
    predictions: list[Annotation]


class InstanceApMetric:
    """Mask AP and AR over all frames of a set, each an image of its own.

    Crowd regions and size ranges go by the truth's `is_crowd` and `areas`. Masks are held as run
    lengths.

    Args:
        class_names: K names.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self.images: list[_ScoredImage] = []
        self._undefined: list[str] = []

    def update(self, record: Record, truth: FrameLabels, prediction: FrameSegments) -> None:
        """Take in one frame."""
        true_annotations = _annotations(truth.segments)
        for annotation, is_crowd, area in zip(
            true_annotations, truth.is_crowd, truth.areas, strict=True
        ):
            annotation["iscrowd"], annotation["area"] = int(is_crowd), float(area)
        place = (record["video_id"], prediction.frame_index)
        image = _ScoredImage(place, truth.size, true_annotations, _annotations(prediction))
        self.images.append(image)

    def end_video(self, record: Record) -> None:
        """Do nothing: frames are scored on their own."""

    def merge(self, other: InstanceApMetric) -> None:
        """Add the frames of another process."""
        self.images.extend(other.images)

    def compute(self) -> dict[str, float]:
        """Return AP and AR in 0..1, over all classes and AP of each.

        A number that nothing in the truth defines (a class or a size that does not occur) is NaN.
        """
        evaluation = self._evaluate()
        scores = {
            name: float(value) if value >= 0 else float("nan")
            for name, value in zip(_STAT_NAMES, evaluation.stats, strict=True)
        }
        # (thresholds, recalls, K, area ranges, detection limits): all areas, the largest limit.
        precision = evaluation.eval["precision"][:, :, :, 0, -1]
        for class_index, name in enumerate(self.class_names):
            values = precision[:, :, class_index]
            values = values[values >= 0]
            scores[f"AP-{name}"] = float(values.mean()) if values.size else float("nan")
        self._undefined = [name for name, score in scores.items() if np.isnan(score)]
        return scores

    def notes(self) -> list[str]:
        """Name the scores that the last `compute` left undefined."""
        if not self._undefined:
            return []
        names = ", ".join(self._undefined)
        return [f"Undefined, as nothing annotated falls under it: {names}."]

    def _evaluate(self) -> COCOeval:
        # Objects of equal scores rank as their images do, however many processes there were.
        self.images.sort(key=lambda image: image.place)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            truth = self._coco([image.truth for image in self.images])
            predictions = self._coco([image.predictions for image in self.images])
            evaluation = COCOeval(truth, predictions, "segm")
            evaluation.evaluate()
            evaluation.accumulate()
            evaluation.summarize()
        logger.debug(printed.getvalue())
        return evaluation

    def _coco(self, annotations_of_image: list[list[Annotation]]) -> COCO:
        """Put annotations of each image into COCO's structure; ids count from 1 as it expects."""
        coco = COCO()
        flat = [
            dict(annotation, image_id=image_id)
            for image_id, annotations in enumerate(annotations_of_image, 1)
            for annotation in annotations
        ]
        coco.dataset = {
            "images": [
                {"id": image_id, "height": image.size[0], "width": image.size[1]}
                for image_id, image in enumerate(self.images, 1)
            ],
            "categories": [{"id": index} for index in range(len(self.class_names))],
            "annotations": [dict(annotation, id=id_) for id_, annotation in enumerate(flat, 1)],
        }
        coco.createIndex()
        return coco


def _annotations(segments: FrameSegments) -> list[Annotation]:
    if len(segments) == 0:
        return []
    masks = np.stack([segments.mask(position) for position in range(len(segments))])
    return [
        {
            "category_id": int(class_index),
            "score": float(score),
            "segmentation": run_length,
            "area": int(area),
            "iscrowd": 0,
        }
        for class_index, score, run_length, area in zip(
            segments.classes,
            segments.scores,
            encode_masks(masks),
            masks.sum(axis=(1, 2)),
            strict=True,
        )
    ]
