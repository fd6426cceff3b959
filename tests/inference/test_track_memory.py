"""Likeness by place, worked by hand, and what it adds: look-alikes stay apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gvseg.inference.linking import TrackLinker, build_linker
from gvseg.inference.track_memory import (
    AppearanceMemory,
    LocationAwareMemory,
    ShapePositionMemory,
    mask_boxes,
)
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor
from gvseg.structures import TubePrediction
from tests.inference.hand_made_tracks import linker_config

SIDE = 20


def clip(boxes, embeds=None, class_logits=(5.0, 0.0)):
    """One clip whose query q has a mask that fills its box of pixels in each of T frames.

    `boxes` is (Q, T, 4): left, top, right, bottom, None where there is no mask.
    """
    logits = torch.full((1, len(boxes), len(boxes[0]), SIDE, SIDE), -1.0)
    for query, tube in enumerate(boxes):
        for frame, box in enumerate(tube):
            if box is not None:
                left, top, right, bottom = box
                logits[0, query, frame, top:bottom, left:right] = 1.0
    embeds = torch.ones(len(boxes), 4) if embeds is None else torch.as_tensor(embeds)
    classes = torch.tensor(class_logits).expand(1, len(boxes), -1)
    return TubePrediction(classes, logits, embeds[None].float())


def memory(temperature=0.01, momentum=0.2):
    return LocationAwareMemory(
        appearance=AppearanceMemory(momentum=momentum), temperature=temperature
    )


def make_linker(**changes):
    options = {"min_similarity": 0.1, "min_score": 0.5, "birth_score": 0.5, "max_age": 5}
    return TrackLinker(**({"memory": memory()} | options | changes))


def seen(tracked, prediction):
    return [cue.numpy() for cue in tracked.cues(prediction)]


def test_boxes_of_masks_are_fractions_of_the_frame():
    prediction = clip([[(5, 2, 10, 20), None]])
    boxes = mask_boxes(prediction.mask_logits[0] > 0)
    assert boxes[0, 0].tolist() == pytest.approx([0.25, 0.1, 0.5, 1.0])
    assert boxes[0, 1].isnan().all()


def test_boxes_have_no_padding_in_them():
    """The same boxes of a frame alone, and of one on a larger canvas that masks go on over."""
    alone = clip([[(5, 2, 10, 20)], [(5, 5, 20, 15)]])
    canvas = torch.full((1, 2, 1, 24, 32), -1.0)
    canvas[..., :SIDE, :SIDE] = alone.mask_logits
    canvas[..., SIDE:, 6:9] = canvas[..., 6:9, SIDE:] = 1.0
    padded = replace(alone, mask_logits=canvas, frame_sizes=torch.tensor([[SIDE, SIDE]]).float())
    torch.testing.assert_close(memory().cues(padded)[1], memory().cues(alone)[1])


@pytest.mark.parametrize("reading", ["image", "object"])
def test_shape_and_position_are_those_of_the_frame_without_its_padding(reading):
    """The same mask in a frame of 20x20, and in a canvas beyond which it goes on."""
    memory = ShapePositionMemory(
        appearance=AppearanceMemory(momentum=0.0),
        descriptor=ShapePositionDescriptor(embed_dim=4, outside=reading, radius=reading),
    )
    alone = clip([[(2, 3, 20, 9)] * 2, [(5, 5, 9, 15)] * 2])
    canvas = torch.full((1, 2, 2, 24, 32), -1.0)
    canvas[..., :SIDE, :SIDE] = alone.mask_logits
    canvas[:, 0, :, :, SIDE:] = 1.0
    sizes = torch.tensor([[SIDE, SIDE]], dtype=torch.float32)
    padded = replace(alone, mask_logits=canvas, frame_sizes=sizes)
    for first, second in zip(memory.cues(alone), memory.cues(padded), strict=True):
        assert torch.equal(first, second)
    unknown = replace(padded, frame_sizes=None)
    assert not torch.equal(memory.cues(alone)[0], memory.cues(unknown)[0])


def test_likeness_is_that_of_equation_5():
    """Boxes differ by 0.1 along x at both edges: exp(-(0.1^2 + 0.1^2) / 0.5), times cosine 0.6."""
    tracked = memory(temperature=0.5)
    tracked.start(seen(tracked, clip([[(2, 2, 6, 6)]], [[1.0, 0, 0, 0]])))
    likeness = tracked.similarity(seen(tracked, clip([[(4, 2, 8, 6)]], [[0.6, 0.8, 0, 0]])))
    assert likeness == pytest.approx(0.6 * np.exp(-0.02 / 0.5), rel=1e-5)


def test_look_alikes_that_change_queries_are_told_apart_by_place():
    linker = make_linker()
    left, right = [(1, 1, 5, 9)], [(12, 1, 16, 9)]
    assert linker.link(clip([left, right])).tolist() == [1, 2]
    assert linker.link(clip([right, left])).tolist() == [2, 1]


@pytest.mark.parametrize(("hidden", "identity"), [(2, 1), (0, 2)])
def test_a_hidden_object_is_looked_for_where_its_speed_has_taken_it(hidden, identity):
    """It moves 2 pixels a frame: 6 pixels further after two hidden frames, never at once."""
    linker = make_linker()
    linker.link(clip([[(0, 4, 4, 8)]]))
    assert linker.link(clip([[(2, 4, 6, 8)]])).tolist() == [1]
    for _ in range(hidden):
        linker.link(clip([[None]], class_logits=(0.0, 5.0)))
    assert linker.link(clip([[(8, 4, 12, 8)]])).tolist() == [identity]


def test_between_clips_the_nearest_frames_are_compared():
    """The tube ends on the right, where the next one begins; its own first frame is on the left."""
    linker = make_linker(min_similarity=0.9)
    linker.link(clip([[(0, 4, 4, 8), (10, 4, 14, 8)]]))
    assert linker.link(clip([[(10, 4, 14, 8), (0, 4, 4, 8)]])).tolist() == [1]


@pytest.mark.parametrize("name", ["LocationAwareLinker", "ShapePositionLinker"])
def test_between_clips_that_share_frames_the_last_of_these_is_compared(name):
    """Both look the same; at the end of the first clip they stand where the second has them.

    The second clip's frames are the first's last two and a new one. In its first frame each is
    where the other was at the end.
    """
    cfg = linker_config(name, overlap=2)
    cfg.MODEL.MASK_FORMER.HIDDEN_DIM = 4
    cfg.MODEL.LINKER.MIN_IOU = 1.1  # none is stitched
    linker = build_linker(cfg)
    left, right = (1, 1, 5, 9), (12, 1, 16, 9)
    assert linker.link(clip([[right, right, left], [left, left, right]])).tolist() == [1, 2]
    swapped = clip([[left, right, right], [right, left, left]])
    assert linker.link(swapped).tolist() == [2, 1]


def shape_position_cues(weight):
    cfg = linker_config("ShapePositionLinker")
    cfg.MODEL.MASK_FORMER.HIDDEN_DIM = 4
    cfg.MODEL.LINKER.DESCRIPTOR_WEIGHT = weight
    boxes = [[(1, 1, 5, 9), (2, 1, 6, 9)], [(12, 1, 16, 9), (12, 2, 19, 10)]]
    embeds = [[3.0, 0, 0, 1], [0, 2, 2, 0]]
    return build_linker(cfg).memory.cues(clip(boxes, embeds))


def test_descriptors_are_added_to_embeddings_by_their_weight():
    alone, once, trebled = (shape_position_cues(weight) for weight in (0.0, 1.0, 3.0))
    for embeds, added, more in zip(alone, once, trebled, strict=True):
        assert embeds.tolist() == [[3.0, 0, 0, 1], [0, 2, 2, 0]]
        assert (added - embeds).norm(dim=1).min() > 0.1
        torch.testing.assert_close(more - embeds, 3 * (added - embeds))


def test_a_weight_of_descriptors_below_zero_is_refused():
    with pytest.raises(ValueError, match=r"DESCRIPTOR_WEIGHT is -1\.0; give 0 or more"):
        shape_position_cues(-1.0)


def test_a_query_without_a_mask_uses_up_no_identity():
    linker = make_linker()
    for _ in range(3):
        assert linker.link(clip([[None], [(1, 1, 5, 5)]])).tolist() == [-1, 1]
    assert linker.num_identities == 1


def test_a_query_with_a_mask_in_any_frame_has_a_place():
    linker = make_linker(min_similarity=0.9)
    linker.link(clip([[(0, 4, 4, 8), None]]))
    assert linker.link(clip([[None, (0, 4, 4, 8)]])).tolist() == [1]


def test_a_temperature_that_is_not_above_zero_is_refused():
    with pytest.raises(ValueError, match=r"LOCATION_TEMPERATURE is 0"):
        memory(temperature=0)


def test_of_queries_with_one_mask_the_best_is_tracked():
    """Boxes 8x8 and 8x7 share 56 of 64 pixels: 0.875."""
    boxes = [[(0, 0, 8, 7)], [(0, 0, 8, 8)], [(10, 10, 14, 14)]]
    prediction = clip(boxes)
    prediction.class_logits = torch.tensor([[[3.0, 0.0], [5.0, 0.0], [4.0, 0.0]]])
    assert make_linker(max_overlap=0.87).link(prediction).tolist() == [-1, 1, 2]
    assert make_linker(max_overlap=0.88).link(prediction).tolist() == [1, 2, 3]
