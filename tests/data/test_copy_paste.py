from dataclasses import replace

import numpy as np
import pytest
from fvcore.transforms.transform import PadTransform

from gvseg.data.clip import Clip
from gvseg.data.copy_paste import paste
from gvseg.data.segments import FrameLabels
from gvseg.structures import FrameSegments

IS_THING = np.array([True, False, True])
SIZE = (20, 30)


def box_clip(
    boxes: list[tuple[int, int, int, int]], color: int, *, classes: list[int], num_frames: int = 2
) -> Clip:
    """Return frames of one colour with a box (top, left, bottom, right) for each segment."""
    masks = np.zeros((len(boxes), *SIZE), dtype=bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    labels = [
        FrameLabels(
            FrameSegments(
                frame_index=index,
                ids=np.arange(1, len(boxes) + 1),
                classes=np.array(classes),
                scores=np.ones(len(boxes), dtype=np.float32),
                masks=masks.copy(),
            ),
            is_crowd=np.zeros(len(boxes), dtype=bool),
            areas=masks.sum(axis=(1, 2)).astype(float),
        )
        for index in range(num_frames)
    ]
    return Clip([np.full((*SIZE, 3), color, dtype=np.uint8)] * num_frames, labels)


def pasted_clips(num: int = 30) -> list[Clip]:
    clip = box_clip([(0, 0, 10, 10), (10, 10, 20, 20)], 50, classes=[0, 2])
    donor = box_clip([(5, 5, 12, 25), (0, 0, 20, 2)], 200, classes=[2, 0])
    rng = np.random.default_rng(0)
    return [paste(rng, clip, donor, IS_THING) for _ in range(num)]


def test_pasted_pixels_belong_to_a_pasted_object_and_to_no_other():
    for clip in pasted_clips():
        for frame, labels in zip(clip.frames, clip.labels, strict=True):
            is_pasted = frame[..., 0] == 200
            masks, ids = labels.segments.masks, labels.segments.ids
            np.testing.assert_array_equal(masks[ids > 2].any(axis=0), is_pasted)
            assert not (masks[ids <= 2].any(axis=0) & is_pasted).any()


def test_what_is_pasted_varies_and_is_the_same_in_all_frames():
    pasted = set()
    for clip in pasted_clips():
        first, second = (tuple(labels.segments.ids.tolist()) for labels in clip.labels)
        assert first == second
        pasted.add(first)
    # Identities of the donor follow those of the clip.
    assert pasted == {(1, 2), (1, 2, 3), (1, 2, 4), (1, 2, 3, 4)}


def test_classes_follow_their_objects():
    for clip in pasted_clips():
        segments = clip.labels[0].segments
        class_of_id = dict(zip(segments.ids.tolist(), segments.classes.tolist(), strict=True))
        assert class_of_id.items() <= {1: 0, 2: 2, 3: 2, 4: 0}.items()
        assert len(clip.labels[0].is_crowd) == len(clip.labels[0].areas) == len(segments)


def test_segments_of_a_map_are_pasted_as_masks_are():
    clip = box_clip([(0, 0, 10, 10), (10, 10, 20, 20)], 50, classes=[0, 2])
    donor = box_clip([(5, 5, 12, 25), (12, 0, 20, 2)], 200, classes=[2, 0])
    num_pasted = 0
    for seed in range(6):
        from_masks, from_maps = (
            paste(np.random.default_rng(seed), below, above, IS_THING)
            for below, above in ((clip, donor), (with_maps(clip), with_maps(donor)))
        )
        for expected, labels in zip(from_masks.labels, from_maps.labels, strict=True):
            np.testing.assert_array_equal(labels.segments.masks, expected.segments.masks)
            assert labels.segments.ids.tolist() == expected.segments.ids.tolist()
            num_pasted += len(labels.segments) - 2
    assert num_pasted > 0


def with_maps(clip: Clip) -> Clip:
    """Return a clip whose segments, which do not overlap, are in maps."""
    labels = []
    for frame_labels in clip.labels:
        segments = frame_labels.segments
        void_first = np.concatenate([~segments.masks.any(0, keepdims=True), segments.masks])
        index_map = (void_first.argmax(0) - 1).astype(np.int16)
        segments = replace(segments, masks=None, index_map=index_map)
        labels.append(replace(frame_labels, segments=segments))
    return Clip(clip.frames, labels)


def test_stuff_and_crowds_are_not_pasted():
    clip = box_clip([(0, 0, 10, 10)], 50, classes=[0])
    donor = box_clip([(0, 0, 20, 30), (5, 5, 9, 9)], 200, classes=[1, 0])
    donor.labels = [replace(labels, is_crowd=np.array([False, True])) for labels in donor.labels]
    rng = np.random.default_rng(0)
    for _ in range(10):
        result = paste(rng, clip, donor, IS_THING)
        np.testing.assert_array_equal(result.frames[0], clip.frames[0])


def test_donor_of_another_size_is_cropped_and_padded():
    clip = box_clip([(0, 0, 10, 10)], 50, classes=[0])
    wide = Clip(
        [np.full((10, 60, 3), 200, dtype=np.uint8)] * 2,
        [
            replace(
                labels,
                segments=replace(labels.segments, masks=np.ones((1, 10, 60), dtype=bool)),
            )
            for labels in clip.labels
        ],
    )
    rng = np.random.default_rng(0)
    results = [paste(rng, clip, wide, IS_THING) for _ in range(10)]
    assert {result.size for result in results} == {SIZE}
    pasted = next(result for result in results if len(result.labels[0].segments) == 2)
    np.testing.assert_array_equal(pasted.labels[0].segments.masks[1][:10], True)
    np.testing.assert_array_equal(pasted.labels[0].segments.masks[1][10:], False)


def test_inputs_are_left_as_they_were():
    clip = box_clip([(0, 0, 10, 10)], 50, classes=[0])
    donor = box_clip([(0, 0, 20, 30)], 200, classes=[0])
    for seed in range(5):
        paste(np.random.default_rng(seed), clip, donor, IS_THING)
    assert (clip.frames[0] == 50).all()
    assert clip.labels[0].segments.masks.sum() == 100


def top_left(mask: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(mask)
    return int(rows.min()), int(columns.min())


def test_object_comes_beside_one_of_its_class():
    """Of two that could, the one that is as high; of two places, the one where its class is."""
    clip = box_clip([(2, 4, 10, 8), (12, 24, 20, 28)], 50, classes=[0, 2])
    donor = box_clip([(11, 0, 19, 4), (0, 20, 20, 26)], 200, classes=[0, 0])
    rng = np.random.default_rng(0)
    columns, others = set(), set()
    for _ in range(40):
        pasted = paste(rng, clip, donor, IS_THING, beside_prob=1.0)
        for frame, labels in zip(pasted.frames, pasted.labels, strict=True):
            ids, masks = labels.segments.ids.tolist(), labels.segments.masks
            others |= {tuple(ids)}
            row, column = top_left(masks[ids.index(3)])
            assert abs(row - 2) <= 1, "its lower edge is that of its neighbour, 8 rows below"
            assert abs(column - 4) <= 5, "its middle is up to 1.1 widths away"
            columns.add(column)
            np.testing.assert_array_equal(masks[2:].any(axis=0), frame[..., 0] == 200)
    assert min(columns) < 4 < max(columns), "on both sides"
    assert others == {(1, 2, 3), (1, 2, 3, 4)}, "the other one half of the time"


@pytest.mark.parametrize("donor_box", [(0, 0, 10, 10), (0, 30, 4, 40), (36, 0, 40, 3)])
def test_object_beside_one_that_fills_the_frame_keeps_a_pixel_in_it(donor_box):
    clip = box_clip([(0, 0, 40, 40)], 50, classes=[0])
    donor = box_clip([donor_box], 200, classes=[0])
    for seed in range(60):
        pasted = paste(np.random.default_rng(seed), clip, donor, IS_THING, beside_prob=1.0)
        assert pasted.size == clip.size
        for frame, labels in zip(pasted.frames, pasted.labels, strict=True):
            masks = labels.segments.masks
            np.testing.assert_array_equal(masks[1:].any(axis=0), frame[..., 0] == 200)


def test_without_a_neighbour_of_its_class_nothing_moves():
    clip = box_clip([(0, 0, 10, 10)], 50, classes=[0])
    donor = box_clip([(5, 5, 12, 25)], 200, classes=[2])
    results = [paste(np.random.default_rng(s), clip, donor, IS_THING, 1.0) for s in range(10)]
    pasted = [result for result in results if len(result.labels[0].segments) == 2]
    assert 0 < len(pasted) < 10
    for result in pasted:
        assert top_left(result.labels[0].segments.masks[1]) == (5, 5)


def test_object_at_the_edge_of_a_larger_donor_comes_into_the_frame():
    clip = box_clip([(0, 26, 20, 30)], 50, classes=[0])
    donor = box_clip([(2, 0, 20, 4)], 200, classes=[0])
    donor = donor.apply([PadTransform(40, 20, 0, 0, 30, 20)] * len(donor))
    for seed in range(20):
        result = paste(np.random.default_rng(seed), clip, donor, IS_THING, 1.0)
        assert result.size == SIZE
        assert result.labels[0].segments.masks[1].any()
