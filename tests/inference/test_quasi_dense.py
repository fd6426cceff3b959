"""The bi-softmax, worked by hand."""

import numpy as np
import pytest
import torch

from gvseg.inference.linking import TrackLinker
from gvseg.inference.quasi_dense import QuasiDenseMemory
from gvseg.structures import TubePrediction

ZERO = np.zeros(2, dtype=np.int64)


def embeds(*rows):
    return np.array(rows, dtype=np.float32)


def test_likeness_is_the_mean_of_both_softmaxes():
    """Products are [[ln 3, 0], [0, ln 3]]: each softmax gives 3/4 on the diagonal, 1/4 beside it.

    With a third query whose products are 0, rows become (3, 1, 1) / 5 and its column (1, 1) / 2.
    """
    memory = QuasiDenseMemory(momentum=0.2)
    memory.start([embeds([1, 0], [0, 1]), ZERO])
    queries = embeds([np.log(3), 0], [0, np.log(3)])
    assert memory.similarity([queries, ZERO]) == pytest.approx(
        np.array([[0.75, 0.25], [0.25, 0.75]])
    )
    more = np.concatenate([queries, embeds([0, 0])])
    expected = [(0.6 + 0.75) / 2, (0.2 + 0.25) / 2, (0.2 + 0.5) / 2]
    assert memory.similarity([more, np.zeros(3)])[0] == pytest.approx(expected)


def test_other_classes_are_like_nothing():
    memory = QuasiDenseMemory(momentum=0.2)
    memory.start([embeds([1, 0]), np.array([2])])
    likeness = memory.similarity([embeds([1, 0], [1, 0]), np.array([1, 2])])
    assert likeness == pytest.approx(
        np.array([[-np.inf, 0.75]])
    )  # (1/2 + 1) / 2, were both of class 2


def test_other_classes_are_never_the_same_whatever_the_threshold():
    linker = TrackLinker(memory=QuasiDenseMemory(momentum=0.2), min_similarity=-1.0, min_score=0.0,
                         birth_score=0.0, max_age=3)  # fmt: skip

    def clip(class_index):
        classes = torch.full((1, 1, 3), -5.0)
        classes[..., class_index] = 5.0
        return TubePrediction(classes, torch.ones(1, 1, 1, 2, 2), torch.ones(1, 1, 4))

    assert [linker.link(clip(index)).tolist() for index in (0, 1, 0)] == [[1], [2], [1]]


def test_embedding_and_class_follow_what_is_seen():
    memory = QuasiDenseMemory(momentum=0.25)
    memory.start([embeds([4, 0], [0, 4]), ZERO])
    memory.renew(np.array([1]), [embeds([8, 0]), np.array([5])])
    memory.keep(np.array([False, True]))
    # The track is now (6, 1) of class 5; the query with the product ln 4 more is 4 times as likely.
    queries = embeds([np.log(4) / 6, 0], [0, 0])
    likeness = memory.similarity([queries, np.array([5, 5])])
    assert likeness == pytest.approx(np.array([[(0.8 + 1) / 2, (0.2 + 1) / 2]]))
    assert memory.similarity([queries, ZERO]).tolist() == [[-np.inf] * 2]


def test_nothing_is_alike_where_there_is_nothing():
    memory = QuasiDenseMemory(momentum=0.2)
    assert memory.similarity([embeds([1, 0]), np.array([0])]).shape == (0, 1)
    memory.start([embeds([1, 0]), np.array([0])])
    assert memory.similarity([np.empty((0, 2), np.float32), ZERO[:0]]).shape == (1, 0)
    memory.keep(np.array([False]))
    assert memory.similarity([embeds([1, 0]), np.array([0])]).shape == (0, 1)
    memory.reset()
    assert memory.similarity([embeds([1, 0, 0]), np.array([0])]).shape == (0, 1)


def test_cues_are_embedding_and_class():
    prediction = TubePrediction(
        torch.tensor([[[0.0, 2, 9], [1, 0, 9]]]), torch.zeros(1, 2, 1, 4, 4), torch.ones(1, 2, 3)
    )
    looks, classes = QuasiDenseMemory(momentum=0).cues(prediction)
    assert looks.shape == (2, 3)
    assert classes.tolist() == [1, 0]  # "no object" is no class


def test_momentum_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"MOMENTUM is -1"):
        QuasiDenseMemory(momentum=-1)
