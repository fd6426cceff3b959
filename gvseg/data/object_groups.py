"""Groups of touching objects taken for one, as a rider and the horse.

In DAVIS 2016, for one, all that moves together is one object, while image datasets label its parts.

T frames, N segments of a frame, (H, W) pixels.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import cv2
import numpy as np

from gvseg.data.clip import Clip
from gvseg.data.sample import visible_objects
from gvseg.data.segments import FrameLabels

REACH = 3  # pixels from one object to another that touches it, at most


def group_objects(
    rng: np.random.Generator, clip: Clip, probability: float, is_thing: np.ndarray
) -> Clip:
    """Return the clip with some pairs of objects joined, each under the identity of one of them.

    Args:
        rng: the source of all randomness.
        clip: with labels.
        probability: that an object which touches others is joined with one of these; of a pair that
            touches nothing else, that the two are joined.
        is_thing: (K,) bool by class.
    """
    positions = [visible_objects(labels, is_thing) for labels in clip.labels]
    neighbours: dict[int, set[int]] = {}
    for labels, position_of_id in zip(clip.labels, positions, strict=True):
        for first, second in _touching(labels, position_of_id):
            neighbours.setdefault(first, set()).add(second)
            neighbours.setdefault(second, set()).add(first)
    joined: dict[int, int] = {}  # what goes into what
    free = set(neighbours)
    for object_id in rng.permutation(sorted(neighbours)).tolist():
        others = sorted(neighbours[object_id] & free - {object_id})
        if object_id not in free or not others:
            continue
        if rng.random() >= probability:
            free.remove(object_id)  # nor is it asked by others, so that a pair is joined so often
            continue
        other = others[int(rng.integers(len(others)))]
        joined[other] = object_id
        free -= {object_id, other}
    if not joined:
        return clip
    return clip.relabelled(
        [
            _joined(labels, position_of_id, joined)
            for labels, position_of_id in zip(clip.labels, positions, strict=True)
        ]
    )


def _touching(labels: FrameLabels, position_of_id: dict[int, int]) -> list[tuple[int, int]]:
    """Return the pairs of objects of a frame that are within reach of each other."""
    grown, kernel = {}, np.ones((2 * REACH + 1, 2 * REACH + 1), dtype=np.uint8)
    boxes = {}
    for object_id, position in position_of_id.items():
        rows, columns = (
            np.flatnonzero(labels.segments.mask(position).any(axis=axis)) for axis in (1, 0)
        )
        boxes[object_id] = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
    pairs = []
    for first, second in itertools.combinations(position_of_id, 2):
        # Only what lies within reach of both can touch.
        top, left = np.maximum(boxes[first][:2], boxes[second][:2]) - REACH
        bottom, right = np.minimum(boxes[first][2:], boxes[second][2:]) + REACH
        if top >= bottom or left >= right:
            continue
        if first not in grown:
            mask = labels.segments.mask(position_of_id[first]).astype(np.uint8)
            grown[first] = cv2.dilate(mask, kernel)
        part = slice(max(top, 0), bottom), slice(max(left, 0), right)
        other = labels.segments.mask(position_of_id[second])[part]
        if (grown[first][part] & other).any():
            pairs.append((first, second))
    return pairs


def _joined(
    labels: FrameLabels, position_of_id: dict[int, int], joined: dict[int, int]
) -> FrameLabels:
    """Return labels in which pixels, or the identity, of one object went over to another."""
    segments = labels.segments
    ids, areas = segments.ids.copy(), labels.areas.copy()
    masks = None if segments.masks is None else segments.masks.copy()
    index_map = None if segments.index_map is None else segments.index_map.copy()
    for part, whole in joined.items():
        if part not in position_of_id:
            continue
        source, target = position_of_id[part], position_of_id.get(whole)
        if target is None:
            ids[source] = whole
            continue
        areas[target] += areas[source]
        if masks is not None:
            masks[target] |= masks[source]
            masks[source] = False
        if index_map is not None:
            index_map[index_map == source] = target
    segments = replace(segments, ids=ids, masks=masks, index_map=index_map)
    return replace(labels, segments=segments, areas=areas)
