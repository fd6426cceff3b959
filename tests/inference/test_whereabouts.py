"""Objects that look alike are told apart by where they were."""

import math

import numpy as np
import pytest
import torch

from gvseg.inference.sources import ArraySource
from gvseg.inference.whereabouts import Whereabouts, exemplar_area
from gvseg.structures import Exemplar
from tests.inference.followed_video import (
    SIZE,
    dataset,  # noqa: F401  the classes of the predictor
    make_predictor,
)

RED = (220, 30, 30)


def squares(*corners, side=4, size=(24, 32)):
    """A mask with a square at each top left corner."""
    mask = np.zeros(size, dtype=bool)
    for top, left in corners:
        mask[top : top + side, left : left + side] = True
    return mask


def known(max_jump, *corners):
    where = Whereabouts(max_jump)
    where.point_out(1, squares(*corners))
    return where


def near(where, mask):
    (kept,) = where.near([1], mask[None])
    where.remember([1], kept[None])
    return kept


def test_of_two_alike_the_near_one_is_kept_whole():
    where = known(0.5, (4, 4))  # 4 pixels wide: within reach is what is at most 2 pixels away
    np.testing.assert_array_equal(near(where, squares((4, 9), (4, 20))), squares((4, 9)))
    np.testing.assert_array_equal(near(where, squares((4, 14), (4, 20))), squares((4, 14)))


def test_parts_of_one_object_are_all_kept_where_all_are_near():
    both = squares((4, 4), (4, 12))
    np.testing.assert_array_equal(near(known(0.5, (4, 6), (4, 10)), both), both)


def test_reach_grows_while_an_object_is_hidden():
    where = known(0.5, (4, 4))
    far = squares((4, 15))  # 8 pixels away
    kept = [near(where, far).any() for _ in range(4)]
    assert kept == [False, False, False, True]
    assert not near(where, squares((4, 4))).any(), "the reach is that of one frame again"


def test_an_object_that_is_half_covered_has_the_reach_of_the_whole():
    where = known(1.0, (8, 4), (8, 8), (12, 4), (12, 8))  # 8 pixels wide and high
    assert near(where, squares((8, 4))).any()
    assert near(where, squares((8, 15))).any(), "it was 8 pixels wide"


def test_objects_of_a_window_are_told_apart_by_their_identity():
    where = Whereabouts(0.5)
    where.point_out(7, squares((4, 4)))
    where.point_out(2, squares((4, 20)))
    mask = squares((4, 4), (4, 20))
    kept = where.near([7, 2], np.stack([mask, mask]))
    np.testing.assert_array_equal(kept, [squares((4, 4)), squares((4, 20))])


def test_padding_does_not_join_parts_of_a_mask():
    """Two squares stand apart in a frame of 16 rows, and the rows below claim to be both."""
    claims = squares((12, 4), (12, 20))
    claims[16:] = True
    logits = torch.from_numpy(claims[None]).float() * 2 - 1
    where, blind = Whereabouts(0.5), Whereabouts(0.5)
    for one in (where, blind):
        one.point_out(7, squares((12, 4)))
    is_there = np.array([True])
    size = torch.tensor([16.0, claims.shape[1]])
    kept = where.tell_apart(logits, [7], is_there=is_there, frame_size=size) > 0
    np.testing.assert_array_equal(kept[0], squares((12, 4)))
    assert (blind.tell_apart(logits, [7], is_there=is_there) > 0)[0, 12:16, 20:24].all()


@pytest.mark.parametrize(
    ("given", "rows", "columns"),
    [
        ({"box": np.array([8, 16, 24, 40], np.float32)}, (4, 10), (2, 6)),
        ({"box": np.array([9, 17, 10, 18], np.float32)}, (4, 5), (2, 3)),
        ({"point": np.array([9.5, 17.5], np.float32)}, (4, 5), (2, 3)),
        ({"point": np.array([128, 96], np.float32)}, (23, 24), (31, 32)),
        ({"mask": np.pad([[True]], ((17, 78), (9, 118)))}, (4, 5), (2, 3)),
    ],
)
def test_area_of_an_exemplar_on_the_map_of_masks(given, rows, columns):
    area = exemplar_area(Exemplar(1, 0, **given), (96, 128), (24, 32))
    expected = np.zeros((24, 32), dtype=bool)
    expected[slice(*rows), slice(*columns)] = True
    np.testing.assert_array_equal(area, expected)


@pytest.mark.parametrize("max_jump", [-1.0, math.nan, math.inf])
def test_a_reach_without_sense_is_refused(max_jump):
    with pytest.raises(ValueError, match=r"MAX_JUMP is .*; give a number above 0"):
        Whereabouts(max_jump)


def two_alike(t):
    """A red square that walks to the right, below one that stands in its column."""
    image = np.zeros((*SIZE, 3), dtype=np.uint8)
    image[40:56, 64:80] = RED
    if t not in (4, 5):
        image[8:24, 8 * t : 8 * t + 16] = RED
    return image


def found(predictor, frames):
    """The top and left edge of everything that is found, None where nothing is."""
    corners = []
    for t in frames:
        segments = predictor.step(two_alike(t))
        masks = [segments.mask(position) for position in range(len(segments))]
        corners.append([tuple(np.argwhere(mask).min(0).tolist()) for mask in masks])
    return corners


def test_follows_the_one_that_was_pointed_out_and_finds_it_again():
    predictor = make_predictor(MAX_JUMP=0.6)
    predictor.add_exemplar(point=(8, 16))
    walked = [[(8, 8 * t)] if t not in (4, 5) else [] for t in range(8)]
    corners = found(predictor, range(8))
    assert [[(top, round(left / 8) * 8) for top, left in each] for each in corners] == walked


@pytest.mark.parametrize("window", [1, 3])
def test_objects_that_appear_within_a_window_are_known_from_then_on(window):
    predictor = make_predictor(window, MAX_JUMP=0.6)
    predictor.add_exemplar(point=(16, 16), frame_index=1)
    predictor.add_exemplar(point=(72, 48), frame_index=7)
    segments = [predictor.step(two_alike(t)) for t in range(10)][window - 1 :] + predictor.flush()
    shown = [[] if t == 0 else [1] for t in range(7)] + [[1, 2]] * 3
    shown[4] = shown[5] = []
    assert [each.ids.tolist() for each in segments] == shown
    assert not any(each.mask(0)[48, 72] for each in segments if len(each))


@pytest.mark.parametrize("overlap", [0, 1, 2, 3])
def test_frames_that_windows_share_count_once(overlap):
    """Two alike walk in a row, so that a step back would take one for the other."""

    def row(t):
        image = np.zeros((*SIZE, 3), dtype=np.uint8)
        for left in (4 * t, 4 * t + 20):
            image[8:20, left : left + 12] = RED
        return image

    predictor = make_predictor(4, overlap=overlap, MAX_JUMP=0.4)
    predictor.add_exemplar(point=(6, 14))
    segments = [predictor.step(row(t)) for t in range(12)][3:] + predictor.flush()
    lefts = [np.argwhere(each.mask(0))[:, 1].min() for each in segments]
    np.testing.assert_allclose(lefts, 4 * np.arange(12), atol=1)


def test_an_object_may_be_removed_between_the_frames_of_a_window():
    predictor = make_predictor(3, MAX_JUMP=0.6)
    predictor.add_exemplar(point=(8, 16))
    predictor.add_exemplar(point=(72, 48))
    source = ArraySource([two_alike(t) for t in range(6)])
    for frame, _ in predictor.runner.run(source):
        if frame.index == 1:
            predictor.remove_object(1)


def test_a_place_is_known_in_frames_of_another_size():
    where = known(0.5, (4, 4))
    larger = squares((8, 8), (8, 40), side=8, size=(48, 64))
    np.testing.assert_array_equal(near(where, larger), squares((8, 8), side=8, size=(48, 64)))


def test_without_a_limit_both_are_taken_for_it():
    predictor = make_predictor()
    predictor.add_exemplar(point=(8, 16))
    segments = predictor.step(two_alike(0))
    assert segments.mask(0)[48, 72]
    assert segments.mask(0)[16, 8]


def test_a_pixel_that_two_claim_is_one_objects():
    predictor = make_predictor(MAX_JUMP=1.5)
    predictor.add_exemplar(point=(8, 16))
    predictor.add_exemplar(point=(72, 48))
    segments = predictor.step(two_alike(0))
    assert [segments.mask(position)[[16, 48], [8, 72]].tolist() for position in (0, 1)] == [
        [True, False],
        [False, True],
    ]


def test_a_restored_tracker_knows_where_objects_were():
    first, second = make_predictor(MAX_JUMP=0.6), make_predictor(MAX_JUMP=0.6)
    first.add_exemplar(point=(8, 16))
    found(first, range(4))
    second.runner.restore(first.runner.state(), [])
    both = squares((2, 8), (10, 16), size=(16, 24))
    (kept,) = second.runner.exemplars.whereabouts.near([1], both[None])
    np.testing.assert_array_equal(kept, squares((2, 8), size=(16, 24)))
