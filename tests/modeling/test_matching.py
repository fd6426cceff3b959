import itertools

import pytest
import torch

from gvseg.modeling.losses import dice_loss, mask_bce_loss
from gvseg.modeling.matching import (
    HungarianMatcher,
    NonFiniteCostError,
    pairwise_bce,
    pairwise_dice,
    sample_tubes,
)
from gvseg.structures import ClipTargets, TubePrediction


def matcher(**weights):
    options = {"class_weight": 2.0, "mask_weight": 5.0, "dice_weight": 5.0, "num_points": 400}
    return HungarianMatcher(**{**options, **weights})


def squares(num_frames=2):
    """Three objects in three corners, at all frames."""
    masks = torch.zeros(3, num_frames, 32, 32, dtype=torch.bool)
    masks[0, :, :16, :16] = masks[1, :, :16, 16:] = masks[2, :, 16:, :16] = True
    return ClipTargets(torch.tensor([0, 1, 1]), masks, torch.arange(3))


def predict(targets, order, num_queries=6, num_classes=3):
    """A prediction whose query `order[i]` says exactly what target i is."""
    masks = torch.full((1, num_queries, *targets.masks.shape[1:]), -10.0)
    logits = torch.zeros(1, num_queries, num_classes + 1)
    logits[..., -1] = 10
    for target, query in enumerate(order):
        masks[0, query][targets.masks[target]] = 10
        logits[0, query, -1] = 0
        logits[0, query, targets.classes[target]] = 10
    return TubePrediction(logits, masks, torch.zeros(1, num_queries, 4))


@pytest.mark.parametrize("order", [(0, 1, 2), (5, 2, 4)])
def test_queries_that_say_the_target_are_matched(order):
    targets = squares()
    ((queries, matched),) = matcher()(predict(targets, order), [targets])
    assert dict(zip(matched.tolist(), queries.tolist(), strict=True)) == dict(enumerate(order))


def test_masks_decide_where_classes_agree():
    """Targets 1 and 2 share the class, so only the place tells their queries apart."""
    targets = squares()
    prediction = predict(targets, (0, 1, 2))
    prediction.mask_logits[:, [1, 2]] = prediction.mask_logits[:, [2, 1]]
    ((queries, matched),) = matcher()(prediction, [targets])
    assert dict(zip(matched.tolist(), queries.tolist(), strict=True)) == {0: 0, 1: 2, 2: 1}


def test_a_tube_is_matched_as_one_object():
    """Query 0 is right in one of three frames, query 1 in the other two: query 1 wins."""
    masks = torch.zeros(1, 3, 32, 32, dtype=torch.bool)
    masks[..., :16] = True
    targets = ClipTargets(torch.tensor([0]), masks, torch.tensor([1]))
    logits = torch.where(masks, 10.0, -10.0)
    first, second = logits.clone(), logits.clone()
    first[:, 1:] *= -1
    second[:, :1] *= -1
    prediction = TubePrediction(
        torch.zeros(1, 2, 2), torch.stack([first[0], second[0]])[None], torch.zeros(1, 2, 4)
    )
    ((queries, _),) = matcher()(prediction, [targets])
    assert queries.tolist() == [1]


def test_clip_without_targets_matches_nothing():
    targets = squares()
    empty = ClipTargets(targets.classes[:0], targets.masks[:0], targets.ids[:0])
    ((queries, matched),) = matcher()(predict(targets, (0, 1, 2)), [empty])
    assert len(queries) == len(matched) == 0


def test_more_targets_than_queries_leaves_some_out():
    targets = squares()
    ((queries, matched),) = matcher()(predict(targets, (0, 1), num_queries=2), [targets])
    assert len(queries) == len(matched) == 2


def test_pairwise_costs_equal_the_losses_of_each_pair():
    torch.manual_seed(0)
    logits, labels = torch.randn(4, 30), (torch.rand(3, 30) > 0.5).float()
    bce, dice, one = pairwise_bce(logits, labels), pairwise_dice(logits, labels), torch.tensor(1.0)
    for query, target in itertools.product(range(4), range(3)):
        pair = logits[query : query + 1], labels[target : target + 1]
        torch.testing.assert_close(bce[query, target], mask_bce_loss(*pair, one))
        torch.testing.assert_close(dice[query, target], dice_loss(*pair, one))


def test_all_frames_of_a_tube_share_the_points():
    tubes = torch.stack([torch.full((4, 4), float(value)) for value in range(6)]).view(3, 2, 4, 4)
    values = sample_tubes(tubes, torch.full((1, 5, 2), 0.5))
    torch.testing.assert_close(values[1], torch.tensor([2.0] * 5 + [3.0] * 5))


@pytest.mark.parametrize(("term", "field"), [("class", "class_logits"), ("mask", "mask_logits")])
def test_diverged_network_is_named(term, field):
    targets = squares()
    prediction = predict(targets, (0, 1, 2))
    getattr(prediction, field)[:] = float("nan")
    with pytest.raises(NonFiniteCostError, match=rf"Iteration 7, clip 0 .* {term} cost"):
        matcher()(prediction, [targets], iteration=7)
