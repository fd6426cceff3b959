"""Objects annotated one by one, each by polygons or run lengths.  N objects, (H, W) pixels.

Records hold run lengths compressed, as bytes. Of a 720p mask with 700 counts that is a seventeenth
of the memory of a list, and the loader's workers unpickle it forty times as fast.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from gvseg.data.segments import FrameLabels, decode_segmentation, encode_masks, is_polygon
from gvseg.structures import FrameSegments

Segmentation = list[list[float]] | dict[str, Any]  # in COCO's form


def compact(segmentation: Segmentation, size: tuple[int, int]) -> Segmentation:
    """Return a segmentation as records hold it.

    A polygon of fewer than three points encloses nothing; beside others it is left out.

    Args:
        segmentation: polygons `[[x, y, ...], ...]`, or run lengths, plain or compressed.
        size: height and width of the frame.

    Raises:
        ValueError: run lengths of another size, or nothing that encloses a pixel; the message is a
            clause without its subject.
    """
    if isinstance(segmentation, list):
        polygons = [points for points in segmentation if is_polygon(points)]
        if not polygons:
            raise ValueError("has no polygon of three points or more")
        return polygons
    if "size" not in segmentation or "counts" not in segmentation:
        raise ValueError("has neither polygons nor run lengths with size and counts")
    if tuple(segmentation["size"]) != size:
        height, width = segmentation["size"]
        raise ValueError(
            f"has run lengths for {height}x{width} pixels, but its frame has {size[0]}x{size[1]} "
            "(height x width)"
        )
    counts = segmentation["counts"]
    if isinstance(counts, list):
        _check_sum(sum(counts), size)
        return coco_mask.frPyObjects({"size": list(size), "counts": counts}, *size)
    return {"size": list(size), "counts": counts.encode() if isinstance(counts, str) else counts}


def frame_labels(
    annotations: Sequence[dict[str, Any]],
    ids: Sequence[int],
    size: tuple[int, int],
    frame_index: int,
    source: str,
) -> FrameLabels:
    """Rasterise the annotations of one frame.

    Args:
        annotations: N, each with `id` (for errors), `class_index`, `iscrowd`, `area` (None for as
            many pixels as its mask has) and a compact `segmentation`.
        ids: N identities in the video.
        size: height and width of the frame.
        frame_index: of the video.
        source: the file that they come from, for errors.

    Raises:
        ValueError: run lengths that are damaged or of another size.
    """
    masks = np.zeros((len(annotations), *size), dtype=bool)
    for mask, annotation in zip(masks, annotations, strict=True):
        what = f"{source}: annotation {annotation['id']}"
        mask[:] = decode_mask(annotation["segmentation"], size, what)
    areas = [
        mask.sum() if annotation["area"] is None else annotation["area"]
        for mask, annotation in zip(masks, annotations, strict=True)
    ]
    segments = FrameSegments(
        frame_index=frame_index,
        ids=np.array(ids, dtype=np.int64),
        classes=np.array([annotation["class_index"] for annotation in annotations], dtype=np.int64),
        scores=np.ones(len(annotations), dtype=np.float32),
        masks=masks,
    )
    is_crowd = np.array([annotation["iscrowd"] for annotation in annotations], dtype=bool)
    return FrameLabels(segments, is_crowd, np.array(areas, dtype=float))


def decode_mask(segmentation: Segmentation, size: tuple[int, int], source: str) -> np.ndarray:
    """Return the mask of a compact segmentation, (H, W) bool.

    Raises:
        ValueError: run lengths that are damaged or of another size.
    """
    if isinstance(segmentation, dict):
        # Of counts for fewer pixels than the frame has, pycocotools leaves the rest of the mask
        # uninitialised.
        try:
            _check_sum(num_pixels(segmentation["counts"]), size)
        except ValueError as error:
            raise ValueError(f"{source} {error}.") from None
    return decode_segmentation(segmentation, size, source)


def num_pixels(counts: bytes) -> int:
    """Return how many pixels compressed run lengths are for, set or not.

    COCO writes each count in groups of five bits, least first, the sixth bit telling that another
    group follows and the last group's fifth being the sign. From the fourth on, a count is the
    difference from the last but one.

    Raises:
        ValueError: the last count is cut off.
    """
    groups = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    is_last = (groups & 32) == 0
    if not len(groups) or not is_last[-1]:
        raise ValueError("has run lengths that are cut off")
    ends = np.flatnonzero(is_last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    place = np.arange(len(groups)) - np.repeat(starts, ends - starts + 1)
    runs = np.add.reduceat((groups & 31) << (5 * place), starts)
    is_negative = (groups[ends] & 16) != 0
    runs[is_negative] -= 1 << (5 * (place[ends][is_negative] + 1))
    # The first three are themselves; then two chains of differences, of unset and of set runs.
    return int(runs[:1].sum() + np.cumsum(runs[1::2]).sum() + np.cumsum(runs[2::2]).sum())


def _check_sum(total: int, size: tuple[int, int]) -> None:
    if total != size[0] * size[1]:
        raise ValueError(
            f"has run lengths for {total} pixels, but its frame has {size[0] * size[1]} "
            f"({size[0]}x{size[1]})"
        )


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Return a mask (H, W) bool as run lengths that JSON can hold."""
    (encoded,) = encode_masks(mask[None])
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}
