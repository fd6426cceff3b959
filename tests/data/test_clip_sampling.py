import itertools
from collections import Counter
from functools import partial

import numpy as np
import pytest

from gvseg.data.clip_sampling import (
    sample_all,
    sample_around,
    sample_consecutive,
    sample_still,
    shuffle,
)

NUM_DRAWS = 300


def draws(sampling, *args, **kwargs) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [sampling(rng, *args, **kwargs) for _ in range(NUM_DRAWS)]


def test_frames_around_the_key_frame_are_distinct_ordered_and_near():
    for frames in draws(sample_around, 50, 4, max_distance=5):
        assert frames == sorted(set(frames))
        assert len(frames) == 4
        assert frames[-1] - frames[0] <= 10
        assert 0 <= frames[0] <= frames[-1] < 50


def test_every_frame_near_the_key_frame_is_drawn():
    drawn = Counter(
        index
        for frames in draws(sample_around, 50, 2, max_distance=3, key_frame=1)
        for index in frames
    )
    assert drawn[1] == NUM_DRAWS
    assert set(drawn) == {0, 1, 2, 3, 4}


def test_short_video_repeats_drawn_frames():
    for frames in draws(sample_around, 2, 5, max_distance=20):
        assert len(frames) == 5
        assert set(frames) == {0, 1}
        assert frames == sorted(frames)


def test_key_frame_is_uniform_when_not_given():
    starts = Counter(frames[0] for frames in draws(sample_around, 4, 1, max_distance=2))
    assert set(starts) == {0, 1, 2, 3}
    assert min(starts.values()) > NUM_DRAWS / 8


@pytest.mark.parametrize("stride", [1, 3])
def test_consecutive_frames_are_a_stride_apart_and_reach_both_ends(stride: int):
    clips = draws(sample_consecutive, 12, 3, stride=stride)
    for frames in clips:
        assert [b - a for a, b in itertools.pairwise(frames)] == [stride] * 2
    assert min(frames[0] for frames in clips) == 0
    assert max(frames[-1] for frames in clips) == 11


@pytest.mark.parametrize("length", [1, 2, 5, 6, 20])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_consecutive_frames_pass_through_the_key_frame(length: int, stride: int):
    rng = np.random.default_rng(0)
    for key_frame in range(length):
        frames = sample_consecutive(rng, length, 3, stride=stride, key_frame=key_frame)
        assert key_frame in frames
        assert len(frames) == 3
        assert frames == sorted(frames)
        assert frames[-1] < length


def test_consecutive_frames_of_a_short_video_repeat_its_last():
    rng = np.random.default_rng(0)
    assert sample_consecutive(rng, 3, 5, stride=1) == [0, 1, 2, 2, 2]


def test_still_image_gives_its_only_frame():
    assert sample_still(3) == [0, 0, 0]


def test_test_clip_is_the_whole_video():
    assert sample_all(np.random.default_rng(0), 4, 1) == [0, 1, 2, 3]


def test_shuffled_frames_are_the_same_in_other_orders():
    clips = draws(partial(shuffle, partial(sample_consecutive, stride=1)), 3, 3)
    assert {tuple(frames) for frames in clips} == set(itertools.permutations(range(3)))


@pytest.mark.parametrize("sampling", [partial(sample_around, max_distance=9), sample_consecutive])
def test_same_generator_state_gives_the_same_frames(sampling):
    assert draws(sampling, 40, 3) == draws(sampling, 40, 3)
