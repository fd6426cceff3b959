"""BURST: any object of a video, pointed out once by its mask, a box or a point, or by its class.

On disk:

    burst/annotations/{train,val,test}/all_classes.json
    burst/annotations/{val,test}/first_frame_annotations.json
    burst/images/{train,val,test}/<dataset>/<sequence>/<frame>.jpg (TAO unpacks them as `frames`)

Train is annotated densely, val and test once a second; all frames are listed. Masks may overlap.
The LVIS category of each object (`category_ids`, by identity) and the categories known to be absent
or not annotated throughout are kept in the record for scoring by class.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Benchmark, Counts, KnownBug, Record, require_directory
from gvseg.data.burst_json import (
    drop_null_masks,
    find_null_mask,
    load_burst_json,
    load_first_frames,
    visible_masks,
)
from gvseg.data.class_table import ClassTable, read_class_table
from gvseg.data.json_files import first_existing
from gvseg.data.mask_annotations import decode_mask, frame_labels
from gvseg.data.problems import Report, raise_problem
from gvseg.data.segments import FrameLabels
from gvseg.data.video_json import check_annotated
from gvseg.structures import Exemplar
from gvseg.tasks import Task


def load_records(root: Path, split: str, *, report: Report = raise_problem) -> list[Record]:
    """Read the sequences of a split; those of val and test come with an exemplar of each object.

    Raises:
        FileNotFoundError: a folder or an annotation file is missing.
        AnnotationError: a file is no JSON.
    """
    folder = require_directory(root / "burst", "BURST")
    images = first_existing([folder / "images" / split, folder / "frames" / split])
    annotations = folder / "annotations" / split
    records = load_burst_json(annotations / "all_classes.json", images, report=report)
    if split != "train":
        load_first_frames(annotations / "first_frame_annotations.json", records, report=report)
    return records


def read_labels(
    record: Record, frame_index: int, *, classes: ClassTable | None = None
) -> FrameLabels:
    """Rasterise the objects of one frame; identities are the ids of the tracks.

    Masks of no pixels, a known bug, are left out.

    Args:
        record: of the video.
        frame_index: of the video.
        classes: by whose categories objects are told apart; all are of one class by default.

    Raises:
        ValueError: the frame is not annotated, run lengths are damaged or of another size, or an
            object has a category that there is not.
    """
    check_annotated(record, frame_index)
    size = (record["height"], record["width"])
    masks = visible_masks(record, frame_index)
    source = f"{record['annotation_file']}, {record['file_names'][frame_index]}"
    class_indices = np.zeros(len(masks), dtype=np.int64)
    if classes is not None:
        category_ids = np.array([record["category_ids"][track_id] for track_id in masks], dtype=int)
        class_indices = classes.indices(category_ids, source)
    annotations = [
        {"id": id_, "class_index": index, "iscrowd": False, "area": None, "segmentation": mask}
        for (id_, mask), index in zip(masks.items(), class_indices.tolist(), strict=True)
    ]
    return frame_labels(annotations, list(masks), size, frame_index, source)


def read_exemplars(kind: str, record: Record) -> list[Exemplar]:
    """Return what points out each object, in the frame where it is first annotated.

    Args:
        kind: `mask`, `box` or `point`.
        record: of val or test.

    Raises:
        ValueError: run lengths are damaged or of another size.
    """
    return [_exemplar(kind, record, track_id) for track_id in sorted(record["exemplars"])]


def _exemplar(kind: str, record: Record, track_id: int) -> Exemplar:
    given = record["exemplars"][track_id]
    frame_index = given["frame_index"]
    if kind == "point":
        # The file counts pixels; a point is the centre of one.
        point = np.array(given["point"], dtype=np.float32) + np.float32(0.5)
        return Exemplar(track_id, frame_index, point=point)
    if kind == "box":
        left, top, width, height = given["bbox"]
        box = np.array([left, top, left + width, top + height], dtype=np.float32)
        return Exemplar(track_id, frame_index, box=box)
    source = f"{record['exemplar_file']}: annotation {track_id} of video {record['video_id']}"
    mask = decode_mask(given["mask"], (record["height"], record["width"]), source)
    return Exemplar(track_id, frame_index, mask=mask)


def _benchmark(name: str, splits: tuple[str, ...], kind: str | None = None) -> Benchmark:
    return Benchmark(
        name=name,
        task=Task.EVS,
        classes=read_class_table("object"),
        splits=splits,
        load_records=load_records,
        read_labels=read_labels,
        metrics=("hota/burst_exemplar",),
        read_exemplars=None if kind is None else partial(read_exemplars, kind),
        counts={split: _COUNTS[split] for split in splits if split in _COUNTS},
        submission="burst_json",
        known_bugs=(KnownBug("masks of no pixels", find_null_mask, drop_null_masks),),
    )


# The paper counts 993 videos in val, but its authors say that the 988 of the file are right
# (BURST-benchmark issue #8); of test (1421 in the paper) there is no such word.
_CATEGORIES = read_class_table("burst")
_COUNTS = {"train": Counts(500), "val": Counts(988)}

BURST = _benchmark("burst", ("train",))
BURST_MASK = _benchmark("burst_mask", ("val", "test"), "mask")
BURST_BOX = _benchmark("burst_box", ("val", "test"), "box")
BURST_POINT = _benchmark("burst_point", ("val", "test"), "point")
BURST_CLASS = replace(
    _benchmark("burst_class", ("train", "val", "test")),
    task=Task.VIS,
    classes=_CATEGORIES,
    read_labels=partial(read_labels, classes=_CATEGORIES),
    metrics=("hota/burst_class",),
)
