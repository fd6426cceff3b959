"""Identities of marked people, worked by hand."""

import numpy as np
import pytest

from tests.benchmarks.count_switches import (
    identities_of,
    num_shared,
    num_switches,
    read_masks,
    read_people,
)


def box(left: int, right: int) -> np.ndarray:
    mask = np.zeros((10, 40), dtype=np.uint8)
    mask[2:8, left:right] = 1
    return mask


def test_smallest_mask_at_a_person_counts():
    people = {"left": {0: (5.0, 5.0), 1: (5.4, 5.0)}, "right": {0: (25.0, 5.0), 1: (25.0, 5.0)}}
    masks = [
        [(60, 7, box(0, 10)), (180, 9, box(0, 30))],  # the larger one has both
        [(60, 9, box(0, 10))],
    ]
    found = identities_of(people, masks)
    assert found == {"left": {0: 7, 1: 9}, "right": {0: 9, 1: None}}
    assert num_shared(found) == 0
    assert num_shared(identities_of(people, [masks[0][1:], []])) == 1


def test_a_gap_is_no_switch_and_each_change_is_one():
    assert num_switches({0: 3, 1: None, 2: 3}) == 0
    assert num_switches({0: 3, 1: 4, 2: None, 3: 3, 4: 3}) == 2


def test_marked_people_are_in_the_frames():
    people = read_people()
    assert len(people) == 7
    assert sum(map(len, people.values())) == 362
    places = [place for marks in people.values() for place in marks.values()]
    assert all(0 <= x < 767.5 and 0 <= y < 575.5 for x, y in places)
    assert 8 not in people["man behind the post"]
    assert people["man in red and blue"][1] == (254.0, 424.8)


def test_output_of_too_few_frames_is_refused(tmp_path):
    (tmp_path / "segments.json").write_text('{"frames": [{"segments": []}]}')
    with pytest.raises(SystemExit, match="has 1 frames, but 60 are marked"):
        read_masks(tmp_path)
