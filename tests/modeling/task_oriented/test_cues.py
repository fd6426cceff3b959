from dataclasses import replace

import pytest
import torch

from gvseg.modeling.matching import HungarianMatcher
from gvseg.modeling.task_oriented.cues import (
    PredictedGuide,
    ShapePositionCues,
    TeachingGuide,
    mean_over_frames,
    true_masks,
    tube_descriptors,
)
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor
from gvseg.structures import ClipTargets, TubePrediction

IS_THING = torch.tensor([[True, False, False]])  # of class 0, class 1 and "no object"


def cues(source="mixed", predicted_prob=0.5, **options):
    descriptor = ShapePositionDescriptor(embed_dim=8, **options)
    return ShapePositionCues(descriptor=descriptor, source=source, predicted_prob=predicted_prob)


def block(top, left, num_frames=2, size=(16, 20)):
    """One mask of 6 x 6 pixels in every frame, (T, H, W) bool."""
    masks = torch.zeros(num_frames, *size, dtype=torch.bool)
    masks[:, top : top + 6, left : left + 6] = True
    return masks


def logits_of(classes):
    """Class logits (1, Q, 3) of which class `classes[i]` is the best of query i."""
    return torch.nn.functional.one_hot(torch.tensor([classes]), 3).float()


def targets(num_frames=2):
    """Thing 3, stuff, thing 5, at four times the size of mask logits."""
    masks = torch.stack([block(0, 0), block(8, 8), block(2, 10)])[:, :num_frames]
    full = masks.repeat_interleave(4, -1).repeat_interleave(4, -2)
    return ClipTargets(torch.tensor([0, 1, 0]), full, torch.tensor([3, -1, 5]))


def prediction(num_queries=4):
    """Query 0 shows a thing, 1 stuff, 2 nothing, 3 a thing with an empty mask."""
    masks = torch.full((1, num_queries, 2, 16, 20), -5.0)
    for query, tube in enumerate((block(0, 0), block(8, 8), block(2, 10))):
        masks[0, query][tube] = 5
    return TubePrediction(logits_of([0, 1, 2, 0]), masks, torch.zeros(1, num_queries, 8))


def test_cues_of_predictions_are_those_of_masks_that_show_a_thing():
    start = prediction()
    given = cues().of_predictions(start.class_logits, start.mask_logits, IS_THING)
    assert given.shape == (1, 4, 8)
    expected = cues().descriptor(block(0, 0)[:1])[0]
    torch.testing.assert_close(given[0, 0], expected)
    assert expected.any()
    assert not given[0, 1:].any()


def test_cues_of_objects_go_to_the_queries_matched_to_them():
    """Queries 2 and 0 are matched to targets 0 and 2 of the first clip; the second has none."""
    described = torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    nothing = torch.zeros(0, dtype=torch.int64)
    given, is_matched = cues().of_targets(
        [described, described[:0]],
        [(torch.tensor([2, 0]), torch.tensor([0, 2])), (nothing, nothing)],
        num_queries=3,
    )
    assert given.tolist() == [[[5, 6], [0, 0], [1, 2]], [[0, 0], [0, 0], [0, 0]]]
    assert is_matched.tolist() == [[True, False, True], [False, False, False]]


def test_a_cue_is_the_mean_over_the_frames_that_show_the_object():
    first, second = torch.tensor([1.0, 4.0]), torch.tensor([3.0, 0.0])
    tube = torch.stack([first, torch.zeros(2), second])
    assert mean_over_frames(tube[None]).tolist() == [[2, 2]]
    assert mean_over_frames(torch.zeros(1, 3, 2)).tolist() == [[0, 0]]


def test_a_frame_without_the_object_does_not_weaken_its_cue():
    descriptor = cues().descriptor
    tube = block(4, 4)
    half_seen = tube.clone()
    half_seen[1] = False
    torch.testing.assert_close(
        tube_descriptors(descriptor, half_seen[None]), tube_descriptors(descriptor, tube[None])
    )


@pytest.mark.parametrize("projection", ["interpolate", "linear"])
def test_empty_masks_give_zeros(projection):
    given = cues(projection=projection).of_predictions(
        logits_of([0, 0]), torch.full((1, 2, 2, 16, 20), -1.0), IS_THING
    )
    assert not given.any()


def test_true_masks_are_of_some_segments_at_a_stride():
    masks = true_masks(targets(), 4, "things")
    assert true_masks(targets(), 4).any((1, 2, 3)).all()
    of_stuff = true_masks(targets(), 4, "stuff")
    assert of_stuff.any((1, 2, 3)).tolist() == (targets().ids < 0).tolist()
    assert torch.equal(masks[0], block(0, 0))
    assert not masks[1].any()
    assert torch.equal(masks[2], block(2, 10))


# Query 3 is matched to thing 5, query 1 to thing 3 and query 0 to the stuff.
MATCH = (torch.tensor([0, 1, 3]), torch.tensor([1, 0, 2]))


def guide(source, predicted_prob=0.5, **options):
    """A guide in training, for one clip."""
    return TeachingGuide(
        cues(source, predicted_prob, **options), IS_THING, [targets()], lambda _: [MATCH]
    )


@pytest.mark.parametrize(("source", "prob"), [("matched_gt", 1.0), ("mixed", 0.0)])
def test_true_cues_follow_the_matches(source, prob):
    teaching = guide(source, prob)
    start = prediction()
    given = teaching(start, start.mask_logits)[0]
    of_targets = tube_descriptors(teaching.cues.descriptor, true_masks(targets(), 4, "things"))
    assert not given[0].any()  # matched to stuff
    torch.testing.assert_close(given[1], of_targets[0])
    torch.testing.assert_close(given[3], of_targets[2])


def test_having_a_cue_does_not_tell_which_queries_are_matched():
    """Query 2 has no match: as in the text it has no cue, where sources are mixed its own."""
    start = prediction()
    start.class_logits[0, 2] = start.class_logits[0, 0]  # a thing now
    at_inference = PredictedGuide(cues(), IS_THING)(start, start.mask_logits)[0]
    assert at_inference[2].any()
    assert not guide("matched_gt")(start, start.mask_logits)[0, 2].any()
    given = guide("mixed", 0.0)(start, start.mask_logits)[0]
    assert torch.equal(given[2], at_inference[2])


@pytest.mark.parametrize(("source", "prob"), [("predicted", 0.0), ("mixed", 1.0)])
def test_predicted_cues_are_those_of_inference(source, prob):
    start = prediction()
    given = guide(source, prob)(start, start.mask_logits)
    at_inference = PredictedGuide(cues("matched_gt"), IS_THING)(start, start.mask_logits)
    assert torch.equal(given, at_inference)
    assert at_inference.any()


def test_mixed_sources_are_drawn_for_each_clip():
    torch.manual_seed(0)
    two = prediction()
    start = TubePrediction(
        two.class_logits.repeat(8, 1, 1), two.mask_logits.repeat(8, 1, 1, 1, 1), two.query_embeds
    )
    teaching = TeachingGuide(
        cues("mixed", 0.5), IS_THING.repeat(8, 1), [targets()] * 8, lambda _: [MATCH] * 8
    )
    given = teaching(start, start.mask_logits)
    # Query 0 shows the thing of its own mask or, matched to stuff, nothing; query 1 the opposite.
    is_predicted, is_true = given[:, 0].any(1), given[:, 1].any(1)
    assert (is_predicted ^ is_true).all()
    assert 0 < is_predicted.sum() < 8


def test_where_a_task_has_no_things_no_query_gets_a_cue():
    nothing = torch.zeros_like(IS_THING)
    start = prediction()
    assert not PredictedGuide(cues(), nothing)(start, start.mask_logits).any()


@pytest.mark.parametrize("source", ["matched_gt", "predicted"])
def test_a_learnt_projection_gets_gradient_from_either_source(source):
    teaching, start = guide(source, projection="linear"), prediction()
    teaching(start, start.mask_logits).sum().backward()
    assert teaching.cues.descriptor.linear.weight.grad.any()


def test_a_clip_without_objects_gets_no_cues():
    nothing = torch.zeros(0, dtype=torch.int64)
    full = targets()
    empty = ClipTargets(full.classes[:0], full.masks[:0], full.ids[:0])
    teaching = TeachingGuide(cues("matched_gt"), IS_THING, [empty], lambda _: [(nothing, nothing)])
    start = prediction()
    assert not teaching(start, start.mask_logits).any()


def test_true_cues_equal_predicted_ones_where_predictions_are_true():
    """Masks at one size and the matcher of the loss: both ways lead to the same cue."""
    goal = targets()
    masks = torch.where(true_masks(goal, 4), 5.0, -5.0)[None]
    start = TubePrediction(10 * logits_of([0, 1, 0]), masks, torch.zeros(1, 3, 8))
    matcher = HungarianMatcher(class_weight=2.0, mask_weight=5.0, dice_weight=5.0, num_points=200)
    given = [
        TeachingGuide(cues(source), IS_THING, [goal], lambda s: matcher(s, [goal]))(start, masks)
        for source in ("matched_gt", "predicted")
    ]
    torch.testing.assert_close(*given)


@pytest.mark.parametrize("stride", [4, 8, 16])
def test_true_and_predicted_masks_are_described_at_one_size(stride):
    """Whatever size the decoder shows, both sources give the cue of that size."""
    goal = targets()
    for mask, (top, left) in zip(goal.masks, [(0, 0), (32, 32), (16, 32)], strict=True):
        mask[:] = False
        mask[:, top : top + 32, left : left + 48] = True
    masks = torch.where(goal.masks[..., stride // 2 :: stride, stride // 2 :: stride], 5.0, -5.0)
    start = TubePrediction(10 * logits_of([0, 1, 0]), masks[None], torch.zeros(1, 3, 8))
    match = [(torch.arange(3), torch.arange(3))]
    given = [
        TeachingGuide(cues(source), IS_THING, [goal], lambda _: match)(start, masks[None])
        for source in ("matched_gt", "predicted")
    ]
    assert given[0][0, 0].any()
    assert torch.equal(*given)


def in_canvas(masks, fill):
    """Masks (..., 16, 20) in the corner of a canvas of 24 x 32."""
    canvas = masks.new_full((*masks.shape[:-2], 24, 32), fill)
    canvas[..., :16, :20] = masks
    return canvas


@pytest.mark.parametrize("source", ["matched_gt", "predicted", "mixed"])
def test_padding_does_not_change_a_cue(source):
    """True and predicted masks of a frame of 64x80 alone, and padded to 96x128."""
    alone, goal = prediction(), targets()
    full = goal.masks.new_zeros(3, 2, 96, 128)
    full[..., :64, :80] = goal.masks
    padded = replace(goal, masks=full, size=(64, 80))
    beside = replace(alone, mask_logits=in_canvas(alone.mask_logits, 5.0))
    sizes = torch.tensor([[16.0, 20.0]])
    given = []
    for start, target, frame_sizes in ((alone, goal, None), (beside, padded, sizes)):
        teaching = TeachingGuide(cues(source, 0.0), IS_THING, [target], lambda _: [MATCH])
        given.append(teaching(start, start.mask_logits, frame_sizes))
    assert given[0].any()
    assert torch.equal(*given)


@pytest.mark.parametrize(
    ("source", "prob", "message"),
    [("gt", 0.5, "CUE is 'gt'"), ("mixed", 1.5, "PREDICTED_CUE_PROB is 1.5")],
)
def test_options_that_make_no_sense_are_named(source, prob, message):
    with pytest.raises(ValueError, match=message):
        cues(source, prob)
