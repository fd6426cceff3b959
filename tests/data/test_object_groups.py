from dataclasses import replace

import numpy as np
import pytest

from gvseg.data.clip import Clip
from gvseg.data.object_groups import group_objects
from tests.data.test_copy_paste import box_clip

IS_THING = np.array([True, False, True])
# The first two touch, the third lies apart.
BOXES = [(0, 0, 10, 10), (0, 11, 10, 20), (16, 24, 20, 30)]


def clip_of_three(classes=(0, 0, 0)) -> Clip:
    return box_clip(BOXES, 50, classes=list(classes))


def grouped(clip: Clip, probability: float = 1.0, seed: int = 0) -> Clip:
    return group_objects(np.random.default_rng(seed), clip, probability, IS_THING)


def masks_by_id(clip: Clip, frame: int = 0) -> dict[int, np.ndarray]:
    segments = clip.labels[frame].segments
    masks = {int(id_): segments.mask(index) for index, id_ in enumerate(segments.ids)}
    return {id_: mask for id_, mask in masks.items() if mask.any()}


@pytest.mark.parametrize("as_map", [False, True])
def test_touching_objects_become_one_in_all_frames(as_map: bool):
    clip = clip_of_three()
    before = masks_by_id(clip)
    if as_map:
        clip = clip.relabelled([labels_as_map(labels) for labels in clip.labels])
    wholes = set()
    for seed in range(10):
        result = grouped(clip, seed=seed)
        for frame in range(len(clip)):
            after = masks_by_id(result, frame)
            (whole,) = after.keys() - {3}
            wholes.add(whole)
            np.testing.assert_array_equal(after[whole], before[1] | before[2])
            np.testing.assert_array_equal(after[3], before[3])
    assert wholes == {1, 2}
    assert masks_by_id(clip).keys() == {1, 2, 3}  # labels that came in are as they were


def labels_as_map(labels):
    segments = labels.segments
    index_map = np.full(segments.size, -1, dtype=np.int16)
    for position in range(len(segments)):
        index_map[segments.mask(position)] = position
    return replace(labels, segments=replace(segments, masks=None, index_map=index_map))


def test_part_takes_the_identity_where_the_whole_is_hidden():
    clip = clip_of_three()
    clip.labels[1].segments.masks[0] = False
    for seed in range(10):
        result = grouped(clip, seed=seed)
        (whole,) = masks_by_id(result).keys() - {3}
        assert masks_by_id(result, 1).keys() == {whole, 3}


def test_stuff_and_crowds_are_never_joined():
    assert masks_by_id(grouped(clip_of_three([0, 1, 0]))).keys() == {1, 2, 3}
    clip = clip_of_three()
    for labels in clip.labels:
        labels.is_crowd[1] = True
    assert masks_by_id(grouped(clip)).keys() == {1, 2, 3}


def test_objects_are_joined_as_often_as_asked():
    joined = [len(masks_by_id(grouped(clip_of_three(), 0.3, seed))) == 2 for seed in range(300)]
    assert 0.22 < np.mean(joined) < 0.38


def test_objects_touch_within_reach_and_no_farther():
    """Two pixels lie between the first two, three between the others, whatever their boxes."""
    near, far = (box_clip([(4, 4, 9, 9), (4, x, 9, 25)], 50, classes=[0, 0]) for x in (11, 12))
    assert len(masks_by_id(grouped(near))) == 1
    assert len(masks_by_id(grouped(far))) == 2
    # Boxes that overlap are not enough.
    corner = box_clip([(0, 0, 2, 20), (8, 18, 20, 20)], 50, classes=[0, 0])
    for labels in corner.labels:
        labels.segments.masks[0, :18, :2] = True
    assert len(masks_by_id(grouped(corner))) == 2


def test_frames_stay_as_they_are():
    clip = clip_of_three()
    result = grouped(clip)
    for before, after in zip(clip.frames, result.frames, strict=True):
        np.testing.assert_array_equal(before, after)
