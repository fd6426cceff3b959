from collections import Counter

import numpy as np
import pytest

from gvseg.data.hold_out import stratify


def made_up(num_videos: int, num_classes: int, seed: int) -> list[set[int]]:
    """Return classes of videos, some classes common and some rare."""
    rng = np.random.default_rng(seed)
    chances = 0.6 / np.arange(1, num_classes + 1)
    return [set(np.flatnonzero(rng.random(num_classes) < chances)) for _ in range(num_videos)]


def mean_miss(classes: list[set[int]], held_out: list[int], share: float) -> float:
    """Return by how many videos a class misses its share, on average."""
    total = Counter(index for seen in classes for index in seen)
    held = Counter(index for position in held_out for index in classes[position])
    return float(np.mean([abs(held[index] - share * num) for index, num in total.items()]))


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_every_class_keeps_its_share(share: float, seed: int):
    classes = made_up(300, 30, seed)
    held_out = stratify(classes, share, np.random.default_rng(seed))
    assert held_out == sorted(set(held_out))
    assert abs(len(held_out) - share * 300) <= 6
    rng = np.random.default_rng(seed)
    by_chance = [
        mean_miss(classes, rng.choice(300, round(share * 300), replace=False).tolist(), share)
        for _ in range(20)
    ]
    assert mean_miss(classes, held_out, share) < min(by_chance)


def test_class_of_one_video_stays_in_training():
    classes = [{0, position} if position < 5 else {0} for position in range(40)]
    held_out = stratify(classes, 0.2, np.random.default_rng(0))
    assert not set(held_out) & {1, 2, 3, 4}
    assert len(held_out) == 8


def test_class_of_few_videos_is_on_both_sides():
    classes = [{0} for _ in range(30)] + [{1} for _ in range(5)]
    held_out = stratify(classes, 0.2, np.random.default_rng(3))
    assert Counter(position >= 30 for position in held_out) == {False: 6, True: 1}


def test_videos_without_any_class_keep_their_share():
    held_out = stratify([set() for _ in range(20)], 0.3, np.random.default_rng(0))
    assert len(held_out) == 6


def test_seed_decides():
    classes = made_up(100, 10, 0)
    first, again, other = (
        stratify(classes, 0.2, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    assert first == again != other


@pytest.mark.parametrize(
    ("num", "share", "message"),
    [
        (20, 0.0, "share 0.0 is not between"),
        (20, 1.0, "share 1.0 is not between"),
        (3, 0.1, "0.1 of 3 videos leaves none to hold out"),
        (3, 0.9, "0.9 of 3 videos leaves none to train on"),
    ],
)
def test_share_that_leaves_a_side_empty_is_named(num: int, share: float, message: str):
    with pytest.raises(ValueError, match=message):
        stratify([{0}] * num, share, np.random.default_rng(0))
