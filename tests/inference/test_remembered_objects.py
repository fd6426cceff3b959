"""What a tracker of exemplars remembers of objects, window by window."""

import numpy as np
import pytest
import torch

from gvseg.inference.exemplar_tracking import ExemplarTracker
from gvseg.modeling.requests import ClipRequest
from gvseg.structures import Exemplar, TubePrediction
from gvseg.tasks import Task


def ask(tracker, frame_index):
    """Ask for the objects of one frame of 8x8 pixels."""
    frames = ([frame_index], lambda it: it, (8, 8), torch.device("cpu"))
    return tracker.ask(ClipRequest(Task.EVS, size=(8, 8)), *frames)


def test_padding_is_not_taken_for_the_object():
    """A mask goes on beyond the left half that is the frame: of the padding nothing is known."""
    features = torch.zeros(1, 1, 1, 8, 8)
    features[..., 4:] = 9.0
    masks = torch.full((1, 8, 8), -1.0)
    masks[0, 2:4, 2:] = 1.0
    tracker = ExemplarTracker(first_weight=0.0, momentum=0.0, min_score=0.5, num_points=4)
    tracker.add(Exemplar(1, 0, point=np.array([3.0, 3.0], dtype=np.float32)))

    prediction = TubePrediction(
        torch.zeros(1, 1, 2), masks[None, :, None], torch.zeros(1, 1, 4),
        frame_sizes=torch.tensor([[8.0, 4.0]]), features=features,
        objects=[ask(tracker, 0).read(features[0])],
    )  # fmt: skip
    tracker.take_in(prediction, masks, torch.ones(1), 0)
    known = ask(tracker, 1).known
    assert known.features.tolist() == [[0]]
    assert known.centres.tolist() == [[3 / 8, 3 / 8]]


def look(tracker, frame_index, masks, looks, score=1.0):
    """Let a tracker see a mask in a frame of (1, h, w) looks; return what it knew before."""
    request = ask(tracker, frame_index)
    objects = request.read(torch.zeros(1, 1, 8, 8), looks[None])
    prediction = TubePrediction(
        torch.zeros(1, 1, 2), masks[None, :, None], torch.zeros(1, 1, 4),
        features=torch.zeros(1, 1, 1, 8, 8), looks=looks[None, None], objects=[objects],
    )  # fmt: skip
    tracker.take_in(prediction, masks, torch.tensor([score]), 0)
    return request.known


def test_object_is_known_by_how_it_looked_first_and_last():
    """A mask shows fives among zeros; later frames show the object as a six, then not at all."""
    mask = torch.full((1, 8, 8), -1.0)
    mask[0, 2:4, 2:4] = 1.0

    def painted(value):
        return (mask > 0).float() * value

    tracker = ExemplarTracker(first_weight=0.5, momentum=0.5, min_score=0.5, num_points=4)
    tracker.add(Exemplar(1, 0, mask=(mask[0] > 0).numpy()))
    assert look(tracker, 0, mask, painted(5.0)) is None
    known = [look(tracker, t, mask, painted(6.0), score) for t, score in ((1, 1.0), (2, 0.0))]
    copy = ExemplarTracker(first_weight=0.5, momentum=0.5, min_score=0.5, num_points=4)
    copy.restore(tracker.state(), torch.device("cpu"))
    known += [look(follower, 3, mask, painted(9.0)) for follower in (tracker, copy)]
    for latest, objects in zip((5, 6, 6, 6), known, strict=True):
        inside, outside = objects.looks[0, :, :, 0].tolist()
        assert inside == [5] * 4 + [latest] * 4
        assert outside == [0] * 8


@pytest.mark.parametrize(("first_weight", "expected"), [(0.0, {6}), (0.5, {5, 6}), (1.0, {5})])
def test_looks_without_weight_are_left_out(first_weight, expected):
    mask = torch.full((1, 8, 8), -1.0)
    mask[0, 2:4, 2:4] = 1.0
    tracker = ExemplarTracker(first_weight=first_weight, momentum=0.5, min_score=0.5, num_points=4)
    tracker.add(Exemplar(1, 0, mask=(mask[0] > 0).numpy()))
    for t, value in enumerate((5.0, 6.0, 7.0)):
        known = look(tracker, t, mask, (mask > 0).float() * value)
    assert set(known.looks[0, 0].flatten().tolist()) == expected


@pytest.mark.parametrize("max_jump", [0.0, 0.25])
def test_mask_that_was_given_is_what_is_remembered(max_jump):
    """The query of the object at the left takes in another at the right, beside it."""
    given, other = np.zeros((8, 8), dtype=bool), np.zeros((8, 8), dtype=bool)
    given[2:6, 0:3] = other[2:6, 3:8] = True
    predicted = torch.from_numpy(given | other).float()[None] * 4 - 2
    tracker = ExemplarTracker(
        first_weight=0.0, momentum=0.0, min_score=0.5, num_points=4, max_jump=max_jump
    )
    tracker.add(Exemplar(1, 0, mask=given))
    features = torch.from_numpy(other).float()[None, None, None]
    for score in (0.9, 0.1):
        tracker.reset()
        objects = ask(tracker, 0).read(features[0])
        logits = tracker.apart(predicted, np.array([score]), 0, None)
        np.testing.assert_array_equal(logits[0] > 0, given)
        prediction = TubePrediction(
            torch.zeros(1, 1, 2), logits[None, :, None], torch.zeros(1, 1, 4),
            features=features, objects=[objects],
        )  # fmt: skip
        tracker.take_in(prediction, logits, torch.tensor([score]), 0)
        known = ask(tracker, 1).known
        assert known.features.item() == 0
        assert known.centres[0, 0] == pytest.approx(1.5 / 8)


def test_mask_that_was_given_is_of_no_other_object():
    masks = np.zeros((2, 8, 8), dtype=bool)
    masks[0, 2:6, 0:3] = masks[1, 2:6, 0:8] = True
    tracker = ExemplarTracker(first_weight=0.0, momentum=0.0, min_score=0.5, num_points=4)
    tracker.add(Exemplar(1, 0, mask=masks[0]))
    tracker.add(Exemplar(2, 0, point=np.array([6.0, 4.0], dtype=np.float32)))
    ask(tracker, 0)
    predicted = torch.from_numpy(masks).float() * 4 - 2
    logits = tracker.apart(predicted, np.ones(2), 0, None)
    np.testing.assert_array_equal(logits.numpy() > 0, [masks[0], masks[1] & ~masks[0]])
