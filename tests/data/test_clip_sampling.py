import itertools
from collections import Counter
from functools import partial

import numpy as np
import pytest

from gvseg.data.clip_sampling import (
    ClipSampler,
    sample_all,
    sample_around,
    sample_consecutive,
    sample_distant,
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


@pytest.mark.parametrize("clip", [[0, 1, 2], [9, 10, 11], [27, 28, 29], [3, 14, 25]])
@pytest.mark.parametrize("num_frames", [1, 2, 5, 27])
def test_distant_frames_are_one_of_each_stretch_outside_the_clip(clip: list[int], num_frames: int):
    rest = [index for index in range(30) if index not in clip]
    seen = set()
    for frames in draws(sample_distant, 30, num_frames, clip=clip):
        assert len(frames) == num_frames
        assert frames == sorted(set(frames) - set(clip))
        for stretch, index in enumerate(frames):
            place = rest.index(index) * num_frames / len(rest)
            assert stretch - 1 < place < stretch + 1
        seen.update(frames)
    assert seen == set(rest)


@pytest.mark.parametrize(("length", "expected"), [(5, {3, 4}), (4, {3}), (3, {0, 1, 2}), (1, {0})])
def test_distant_frames_of_a_short_video_repeat(length: int, expected: set[int]):
    clip = [min(index, length - 1) for index in range(3)]
    for frames in draws(sample_distant, length, 4, clip=clip):
        assert len(frames) == 4
        assert frames == sorted(frames)
        assert set(frames) <= expected


@pytest.mark.parametrize("length", [1, 2, 3, 4, 30])
@pytest.mark.parametrize("num_extra", [0, 1, 4])
def test_sampler_gives_as_many_frames_of_either_kind_as_asked(length: int, num_extra: int):
    sampler = ClipSampler(sample_consecutive, 3, num_extra)
    rng = np.random.default_rng(0)
    for key_frame in [None, *range(length)]:
        frames, extra = sampler.draw(rng, length, key_frame=key_frame)
        assert (len(frames), len(extra)) == (3, num_extra)
        assert {*frames, *extra} <= set(range(length))
        assert key_frame is None or key_frame in frames
        if length >= 3 + num_extra:
            assert len({*frames, *extra}) == 3 + num_extra


def test_extra_frames_stay_near_the_clip_where_asked():
    sampler = ClipSampler(sample_consecutive, 3, 4, max_distance=5)
    rng = np.random.default_rng(0)
    for _ in range(50):
        frames, extra = sampler.draw(rng, 200)
        assert not {*frames} & {*extra}
        assert min(frames) - 5 <= min(extra) <= max(extra) <= max(frames) + 5


def test_the_first_of_several_extra_frames_lies_beside_the_clip():
    sampler = ClipSampler(sample_consecutive, 3, 4)
    rng = np.random.default_rng(0)
    sides, distances = set(), []
    for _ in range(100):
        frames, extra = sampler.draw(rng, 60)
        assert not {*frames} & {*extra}
        assert len({*extra}) == 4
        sides.add(extra[0] < frames[0])
        assert min(abs(extra[0] - index) for index in frames) == 1
        distances += [min(abs(far - index) for index in frames) for far in extra[1:]]
    assert sides == {True, False}
    assert np.mean(distances) > 10


def test_extra_frames_do_not_change_the_draw_of_the_clip():
    clips = [
        ClipSampler(partial(sample_around, max_distance=5), 3, num_extra).draw(
            np.random.default_rng(7), 40
        )[0]
        for num_extra in (0, 6)
    ]
    assert clips[0] == clips[1]


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
