"""Objects that are followed through a video, in images of their ids.

0 is background, 1 to 254 are objects, 255 is void; YouTube-VOS and DAVIS add a palette. All objects
are of the one class of `categories/object.json`. N objects, (H, W) pixels.
"""

from __future__ import annotations

import numpy as np

from gvseg.data.benchmark import Record
from gvseg.data.exemplars import exemplar_from_mask
from gvseg.data.frame_folders import label_file
from gvseg.data.problems import RESTORE, Problem, raise_problem
from gvseg.data.segments import FrameLabels, LabelRuns, read_id_image
from gvseg.structures import Exemplar, FrameSegments

VOID_ID = 255


def read_object_labels(record: Record, frame_index: int, *, is_single: bool = False) -> FrameLabels:
    """Return one segment for each object of a frame; identities are the ids of the image.

    Args:
        record: one video.
        frame_index: of a frame that has labels.
        is_single: all that is marked is object 1.

    Raises:
        OSError: the image is missing or damaged.
        ValueError: the frame has no labels, or they are of another size or no ids.
    """
    path = label_file(record, frame_index)
    return read_object_image(path, frame_index, record, is_single=is_single)


def read_object_image(
    path: str, frame_index: int, record: Record, *, is_single: bool = False
) -> FrameLabels:
    """Return what an id image shows of a frame of a video, as `read_object_labels` does."""
    id_image = read_id_image(path)
    if is_single:
        id_image = (id_image > 0).astype(np.int32)
    size = (record["height"], record["width"])
    if id_image.shape != size:
        what = "has {}x{} pixels, but its video has {}x{} (height x width)"
        raise_problem(Problem(path, what.format(*id_image.shape, *size), RESTORE))
    runs = LabelRuns.of(id_image)
    shown = np.flatnonzero((runs.values > 0) & (runs.values != VOID_ID))
    positions = np.full(len(runs.values), -1, dtype=np.int16)
    positions[shown] = np.arange(len(shown))
    segments = FrameSegments(
        frame_index=frame_index,
        ids=runs.values[shown].astype(np.int64),
        classes=np.zeros(len(shown), dtype=np.int64),
        scores=np.ones(len(shown), dtype=np.float32),
        index_map=runs.replaced_by(positions),
    )
    return FrameLabels(segments, np.zeros(len(shown), dtype=bool), runs.counts[shown].astype(float))


def exemplar_in(labels: FrameLabels, object_id: int, kind: str, path: str) -> Exemplar:
    """Return the exemplar of one object of a frame.

    Args:
        labels: of the frame.
        object_id: identity.
        kind: `mask`, `box` or `point`.
        path: of the id image, for the error.

    Raises:
        AnnotationError: the object is not to be seen in the frame.
    """
    segments = labels.segments
    found = np.flatnonzero(segments.ids == object_id).tolist()
    if not found:
        what = f"does not show object {object_id}, which is given there"
        raise_problem(Problem(path, what, RESTORE))
    return exemplar_from_mask(
        segments.mask(found[0]),
        kind=kind,
        object_id=object_id,
        frame_index=segments.frame_index,
    )


def object_palette() -> np.ndarray:
    """Return the colours of PASCAL VOC, (256, 3) uint8: bits of the index, spread over channels."""
    indices, colors = np.arange(256), np.zeros((256, 3), dtype=np.uint8)
    for level in range(8):
        for channel in range(3):
            bit = (indices >> (3 * level + channel)) & 1
            colors[:, channel] |= (bit << (7 - level)).astype(np.uint8)
    return colors
