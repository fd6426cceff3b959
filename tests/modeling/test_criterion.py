import math

import pytest
import torch

from gvseg.modeling.criterion import SetCriterion
from gvseg.modeling.matching import HungarianMatcher
from gvseg.structures import ClipTargets, TubePrediction

NUM_CLASSES = 3


def criterion(deep_supervision=True, **weights):
    return SetCriterion(
        matcher=HungarianMatcher(
            class_weight=2.0, mask_weight=5.0, dice_weight=5.0, num_points=200
        ),
        weights={"ce": 1.0, "mask": 1.0, "dice": 1.0, **weights},
        no_object_weight=0.1,
        points={"num_points": 200, "oversample_ratio": 3.0, "importance_ratio": 0.75},
        deep_supervision=deep_supervision,
    )


def targets(num=2, num_frames=1):
    masks = torch.zeros(num, num_frames, 64, 64, dtype=torch.bool)
    for index in range(num):
        masks[index, :, 16 * index : 16 * (index + 1)] = True
    return ClipTargets(torch.arange(num) % NUM_CLASSES, masks, torch.arange(num))


def prediction(num_frames=1, num_queries=5, seed=0):
    torch.manual_seed(seed)
    return TubePrediction(
        torch.randn(1, num_queries, NUM_CLASSES + 1, requires_grad=True),
        torch.randn(1, num_queries, num_frames, 16, 16, requires_grad=True),
        torch.zeros(1, num_queries, 4),
    )


def test_class_loss_by_hand():
    """Two queries, no target: both should say "no object", which they do with logits 0 of 4.

    Each costs log 4; the weighted mean of equal weights is log 4, whatever the weight.
    """
    empty = targets(0)
    flat = TubePrediction(torch.zeros(1, 2, 4), torch.zeros(1, 2, 1, 8, 8), torch.zeros(1, 2, 4))
    losses = criterion()(flat, [empty])
    assert losses["loss_ce"].item() == pytest.approx(math.log(4))
    assert losses["loss_mask"] == losses["loss_dice"] == 0


def test_no_object_counts_a_tenth():
    """One query matched (cost 0 by a certain class), one not (cost log 4 of weight 0.1).

    The weighted mean is 0.1 log 4 / 1.1.
    """
    one = targets(1)
    logits = torch.tensor([[[100.0, 0, 0, 0], [0, 0, 0, 0]]])
    masks = torch.where(one.masks[None].float() > 0, 50.0, -50.0).expand(1, 2, 1, 64, 64)
    losses = criterion()(TubePrediction(logits, masks, torch.zeros(1, 2, 4)), [one])
    assert losses["loss_ce"].item() == pytest.approx(0.1 * math.log(4) / 1.1, rel=1e-5)


def test_every_layer_is_judged_and_weighted():
    last = prediction()
    last.intermediate = [prediction(seed=1), prediction(seed=2)]
    names = {f"loss_{kind}{layer}" for kind in ("ce", "mask", "dice") for layer in ("", "_0", "_1")}
    losses = criterion()(last, [targets()])
    assert set(losses) == names
    torch.manual_seed(5)
    plain = criterion(deep_supervision=False)(last, [targets()])
    torch.manual_seed(5)
    doubled = criterion(deep_supervision=False, ce=2.0, mask=3.0)(last, [targets()])
    assert set(plain) == {"loss_ce", "loss_mask", "loss_dice"}
    torch.testing.assert_close(doubled["loss_ce"], 2 * plain["loss_ce"])
    torch.testing.assert_close(doubled["loss_mask"], 3 * plain["loss_mask"])


def test_gradient_reaches_classes_and_masks_even_without_targets():
    for target in (targets(), targets(0)):
        guess = prediction()
        sum(criterion()(guess, [target]).values()).backward()
        assert guess.class_logits.grad is not None
        assert guess.mask_logits.grad is not None


def test_clip_without_targets_is_defined_in_half_precision():
    """The sum of so many logits is beyond the range of float16."""
    guess = TubePrediction(
        torch.zeros(1, 20, 4), torch.full((1, 20, 1, 100, 100), -5.0).half(), torch.zeros(1, 20, 4)
    )
    losses = criterion()(guess, [targets(0)])
    assert losses["loss_mask"] == losses["loss_dice"] == 0


def test_descending_the_loss_finds_the_targets():
    """The losses have their minimum where the tubes are the targets."""
    guess, goal, judge = prediction(num_frames=2), targets(num_frames=2), criterion()
    optimizer = torch.optim.Adam([guess.class_logits, guess.mask_logits], 0.3)
    for _ in range(120):
        optimizer.zero_grad()
        sum(judge(guess, [goal]).values()).backward()
        optimizer.step()
    classes = guess.class_logits[0].argmax(-1)
    assert sorted(classes.tolist()) == [0, 1, NUM_CLASSES, NUM_CLASSES, NUM_CLASSES]
    for index in range(2):
        query = int((classes == goal.classes[index]).nonzero())
        found = guess.mask_logits[0, query] > 0
        wanted = goal.masks[index][:, 2::4, 2::4]
        assert (found == wanted).float().mean() > 0.95
