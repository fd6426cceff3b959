"""The format of COCO's instances: one JSON with the objects of all images.

    <folder>/results.json    a list of {image_id, category_id, score, segmentation}, the last run
                             lengths; without boxes, which COCO's tools take from the masks

Frames are images of their own: a record has one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.mask_annotations import run_lengths
from gvseg.evaluation.submissions.json_parts import (
    RESULTS_FILE,
    Entry,
    JsonParts,
    class_index,
    entries_of,
    mask_of,
    read_predictions,
    score_of,
)
from gvseg.evaluation.submissions.submission import check_known
from gvseg.structures import FrameSegments


class ObjectJsonWriter:
    """Write objects in the order in which they are predicted, which settles ties of scores.

    Args:
        folder: made where needed.
        benchmark: that is submitted to.
    """

    def __init__(self, folder: Path, benchmark: Benchmark) -> None:
        self.folder = folder
        self._parts = JsonParts(folder)
        self._category_ids = benchmark.classes.ids

    def write(self, record: Record, segments: FrameSegments) -> None:
        """Keep the objects of an image.

        Raises:
            ValueError: the record has more frames than one.
        """
        if record["length"] != 1:
            raise ValueError(
                f"Video {record['video_id']} has {record['length']} frames, but COCO's format is "
                "one of single images."
            )
        entries = [
            {
                "image_id": record["video_id"],
                "category_id": self._category_ids[class_index],
                "score": score,
                "segmentation": run_lengths(segments.mask(position)),
            }
            for position, (class_index, score) in enumerate(
                zip(segments.classes.tolist(), segments.scores.tolist(), strict=True)
            )
        ]
        self._parts.add(record, entries)

    def end_video(self, record: Record) -> None:
        """Do nothing: an image is complete with its only frame."""

    def finish(self, records: Sequence[Record]) -> None:
        """Write the JSON."""
        self._parts.join(self.folder / RESULTS_FILE, records, head="[", tail="]")


class ObjectJsonReader:
    """Read objects; identities count from 1 in the order that the file has them in of each image.

    Args:
        path: the JSON, or the folder of results.json.
        benchmark: that it is for.
        records: all images of the split.

    Raises:
        FileNotFoundError: there is no JSON.
        ValueError: it is damaged, or has images or categories that the dataset does not have.
    """

    def __init__(self, path: Path, benchmark: Benchmark, records: Sequence[Record]) -> None:
        self.path = path / RESULTS_FILE if path.is_dir() else path
        required = ("image_id", "category_id", "score", "segmentation")
        entries = entries_of(read_predictions(self.path), required, self.path)
        check_known({entry["image_id"] for entry in entries}, records, f"Prediction {self.path}")
        self._objects: dict[Any, list[tuple[str, int, Entry]]] = defaultdict(list)
        for position, entry in enumerate(entries):
            source = f"Prediction {self.path}: entry {position}, of image {entry['image_id']},"
            index = class_index(entry["category_id"], benchmark.classes, source)
            score_of(entry["score"], source)
            self._objects[entry["image_id"]].append((source, index, entry))

    def frames(self, record: Record, frame_indices: Sequence[int]) -> Iterator[FrameSegments]:
        """Yield the predictions for an image."""
        objects = self._objects.get(record["video_id"], [])
        size = (record["height"], record["width"])
        for frame_index in frame_indices:
            masks = np.zeros((len(objects), *size), dtype=bool)
            for mask, (source, _, entry) in zip(masks, objects, strict=True):
                mask[:] = mask_of(entry["segmentation"], size, source)
            yield FrameSegments(
                frame_index=frame_index,
                ids=np.arange(1, len(objects) + 1),
                classes=np.array([index for _, index, _ in objects], dtype=np.int64),
                # Of as many digits as in the file, so that scores that differ do so here too.
                scores=np.array([entry["score"] for *_, entry in objects], dtype=np.float64),
                masks=masks,
            )
