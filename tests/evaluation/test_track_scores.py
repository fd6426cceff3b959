"""Scores of the tracks of a video, from what its frames list and what is unlikely in them."""

import numpy as np
import pytest

from gvseg.evaluation.overlaps import TrackScores
from gvseg.structures import FrameSegments

MASK = np.ones((1, 2, 2), dtype=bool)


def frame(
    index: int, listed: list[tuple[int, int, float]], unlikely: list[int] | None = None
) -> FrameSegments:
    """A frame that lists (identity, class, score)."""
    ids, classes, scores = np.array(listed).reshape(-1, 3).T
    return FrameSegments(
        frame_index=index,
        ids=ids.astype(np.int64),
        classes=classes.astype(np.int64),
        scores=scores,
        masks=np.repeat(MASK, len(listed), axis=0),
        unlikely=None if unlikely is None else np.array(unlikely),
    )


def scores_of(*frames: FrameSegments) -> TrackScores:
    scores = TrackScores()
    for segments in frames:
        scores.update(segments)
    return scores


def test_mean_over_frames_that_list_an_identity():
    scores = scores_of(
        frame(0, [(5, 0, 0.9), (5, 1, 0.3)]), frame(1, [(5, 0, 0.6)]), frame(2, [(7, 0, 0.5)])
    )
    assert scores.ids == [5, 7]
    assert scores.of(5) == pytest.approx({0: 0.75, 1: 0.15})
    assert scores.of(7) == {0: 0.5}


def test_frames_in_which_it_is_unlikely_count_as_none():
    """Before an identity is first listed, between, and after."""
    scores = scores_of(
        frame(0, [], [1, 2]),
        frame(1, [(1, 3, 0.8)], [2]),
        frame(2, [], [1, 2]),
        frame(3, [(1, 3, 0.8), (1, 4, 0.4)], [2]),
    )
    assert scores.of(1) == pytest.approx({3: 0.4, 4: 0.1})
    assert scores.ids == [1], "what is never listed is no track"


def test_what_was_likely_once_is_behind_what_always_was():
    frames = [frame(0, [(1, 0, 0.5), (2, 0, 0.9)])]
    frames += [frame(index, [(1, 0, 0.5)], [2]) for index in range(1, 10)]
    scores = scores_of(*frames)
    assert scores.of(1)[0] == pytest.approx(0.5)
    assert scores.of(2)[0] == pytest.approx(0.09)


def test_an_identity_that_ended_keeps_its_score():
    scores = scores_of(frame(0, [(1, 0, 0.6)], []), frame(1, []), frame(2, [], [2]))
    assert scores.of(1) == {0: 0.6}
