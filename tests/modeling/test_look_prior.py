"""Likeness of pixels to points of objects, against its formula and what it is to tell."""

import math

import pytest
import torch

from gvseg.modeling.look_prior import LookPrior, looks_of_masks
from gvseg.structures import ObjectFeatures
from tests.modeling.task_samples import build_whole, task_sample

NAN = float("nan")
X, Y, Z = ([1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0])


def prior(scale=8.0):
    module = LookPrior(embed_dim=4, feature="res4", in_channels=[6, 6], look_dim=6)
    with torch.no_grad():
        module.log_scale.fill_(math.log(scale))
        module.threshold.fill_(0.25)
    return module


def pixels(*columns):
    """Features (1, 3, 1, w) of a frame of one row."""
    return torch.tensor(columns).T[None, :, None]


def compare(looks, features):
    with torch.no_grad():
        return prior().compare(features, torch.tensor(looks)[None])[0, 0, 0]


def test_likeness_is_of_smooth_maxima_over_points():
    inside, outside = [X, Y], [Z, [0.0, 0.6, 0.8]]
    likeness = compare([inside, outside], pixels(X, Z, [0, 2.0, 0]))
    expected = [
        math.log((math.exp(8) + 1) / 2) - math.log(1),
        math.log(1) - math.log((math.exp(8) + math.exp(6.4)) / 2),
        math.log((1 + math.exp(8)) / 2) - math.log((1 + math.exp(4.8)) / 2),
    ]
    torch.testing.assert_close(likeness, torch.tensor(expected))


def test_missing_points_count_for_nothing():
    some = compare([[X, [NAN] * 3, X], [Y, Z, [NAN] * 3]], pixels(X, Y, Z))
    torch.testing.assert_close(some, compare([[X, X], [Y, Z]], pixels(X, Y, Z)))


def test_where_nothing_is_known_of_the_outside_a_threshold_stands_for_it():
    likeness = compare([[X, X], [[NAN] * 3] * 2], pixels(X, Y))
    torch.testing.assert_close(likeness, torch.tensor([8 - 8 * 0.25, -8 * 0.25]))


def test_objects_are_compared_alike_however_many_there_are():
    module, features = prior(), torch.randn(2, 3, 4, 5)
    looks = torch.randn(19, 2, 7, 3)
    together = module.compare(features, looks)
    assert together.shape == (19, 2, 4, 5)
    apart = torch.cat([module.compare(features, part[None]) for part in looks])
    torch.testing.assert_close(together, apart)


def test_clips_with_fewer_objects_are_left_alone():
    module = prior()
    features = torch.randn(3, 2, 3, 4, 4)
    objects = [
        None,
        *(
            ObjectFeatures(torch.zeros(k, 4), torch.zeros(k, 2), torch.randn(k, 2, 5, 3))
            for k in (2, 1)
        ),
    ]
    likeness = module(features, objects)
    added = likeness(torch.zeros(3, 6, 4), (8, 8))
    assert added.shape == (3, 2, 2, 8, 8)
    assert (added[0] == 0).all()
    assert (added[2, 1] == 0).all()
    assert (added[1] != 0).any((-1, -2)).all()
    assert module(features, [None, None, None]) is None


def test_queries_say_how_much_it_counts():
    module = prior()
    with torch.no_grad():
        module.gain.weight[0, 0] = 100.0
    looks = ObjectFeatures(torch.zeros(2, 4), torch.zeros(2, 2), torch.randn(2, 2, 5, 3))
    likeness = module(torch.randn(1, 1, 3, 4, 4), [looks])
    embeds = torch.tensor([[[1.0, 0, 0, 0], [-1.0, 0, 0, 0]]])
    counts, counts_not = likeness(embeds, (4, 4))[0]
    assert counts.abs().max() > 1
    assert counts_not.abs().max() < 1e-6


def test_missing_points_have_no_gradient_that_is_not_a_number():
    module = prior()
    looks = torch.tensor([[X, [NAN] * 3], [[NAN] * 3] * 2])[None]
    features = torch.randn(1, 3, 2, 2, requires_grad=True)
    module.compare(features, looks).sum().backward()
    assert features.grad.isfinite().all()
    assert module.log_scale.grad.isfinite()


def test_points_of_masks_are_read_inside_and_outside():
    """Features tell their own place, at a quarter of the size of masks."""
    y, x = torch.meshgrid(torch.arange(4.0), torch.arange(6.0), indexing="ij")
    masks = torch.zeros(1, 16, 24, dtype=torch.bool)
    masks[0, 4:12, 8:16] = True
    inside, outside = looks_of_masks(torch.stack([x, y]), masks, 40)[0]
    assert {tuple(point) for point in inside.tolist()} == {(2, 1), (3, 1), (2, 2), (3, 2)}
    assert len({tuple(point) for point in outside.tolist()}) == 24 - 4
    assert not {tuple(point) for point in outside.tolist()} & {(2, 1), (3, 1), (2, 2), (3, 2)}


def test_masks_smaller_than_a_pixel_are_read_where_they_are():
    features = torch.arange(6.0).view(1, 2, 3)
    masks = torch.zeros(1, 8, 12, dtype=torch.bool)
    masks[0, 5, 6] = True
    assert looks_of_masks(features, masks, 2)[0, 0].tolist() == [[4], [4]]


def test_masks_of_nothing_and_of_everything_leave_points_missing():
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[1] = True
    nothing, everything = looks_of_masks(torch.ones(3, 4, 4), masks, 5)
    assert nothing.isnan().all()
    assert everything[0].isfinite().all()
    assert everything[1].isnan().all()


def test_padding_is_not_outside():
    features = torch.arange(4.0).expand(1, 1, 4)
    masks = torch.tensor([[[True, False, False, False]]])
    frame_size = torch.tensor([1.0, 3.0])
    outside = looks_of_masks(features, masks, 6, frame_size)[0, 1]
    assert set(outside.flatten().tolist()) == {1, 2}


@pytest.mark.parametrize("task", ["evs", "mixed"])
def test_every_part_of_it_learns(task):
    torch.manual_seed(0)
    model = build_whole(task, "MODEL.GVSEG.LOOK_MASKS", "True").train()
    point = task_sample("evs", seed=1)
    for exemplar in point["exemplars"]:
        exemplar.box, exemplar.mask, exemplar.point = None, None, exemplar_point()
    sum(model([task_sample("evs"), point]).values()).backward()
    for name, parameter in model.look_prior.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def exemplar_point():
    return torch.tensor([20.0, 30.0]).numpy()


def test_other_tasks_have_no_use_for_it():
    assert build_whole("vis", "MODEL.GVSEG.LOOK_MASKS", "True").look_prior is None


@pytest.mark.parametrize("tube", ["clip", "frame"])
def test_masks_rise_where_pixels_look_like_the_object(tube):
    """By the likeness of each frame, as much as the query says."""
    torch.manual_seed(0)
    model = build_whole("evs", "MODEL.GVSEG.LOOK_MASKS", "True", "MODEL.GVSEG.TUBE", tube).eval()
    for layer in model.query_decoder.layers:
        layer.cross_attention.forward = lambda queries, *_: torch.zeros_like(queries)
    model.cues = None
    sample = task_sample("evs")
    logits, gains = [], (0.25, 1.5)
    with torch.inference_mode():
        for gain in gains:
            model.look_prior.gain.bias.fill_(math.log(math.expm1(gain)))
            prediction = model([sample])
            logits.append(prediction.mask_logits)
        looks, (objects,) = prediction.looks[0], prediction.objects
        likeness = model.look_prior.compare(looks, objects.looks)
    num_objects = len(objects.features)
    added = (logits[1] - logits[0]) / (gains[1] - gains[0])
    # Frames in the batch, or in the tube.
    added = added[:, :num_objects].transpose(0, 1).flatten(1, 2)
    expected = torch.nn.functional.interpolate(
        likeness, added.shape[-2:], mode="bilinear", align_corners=False
    )
    torch.testing.assert_close(added, expected, rtol=1e-3, atol=1e-3)


def test_features_are_finite_in_half_precision():
    module = prior()
    with torch.autocast("cpu", dtype=torch.float16), torch.no_grad():
        features = module.features([torch.zeros(1, 1, 6, 4, 4), torch.rand(1, 1, 6, 2, 2)])
    assert features.dtype == torch.float32
    assert features.isfinite().all()
