"""The descriptor beside a slow definition that traces outlines, and what changes it."""

import math
from unittest.mock import patch

import cv2
import numpy as np
import pytest
import torch

from gvseg.modeling.task_oriented import shape_position
from gvseg.modeling.task_oriented.shape_position import (
    ShapePositionDescriptor,
    descriptor_change,
    polar_histograms,
)

SIZE = (120, 200)


def traced_shares(mask, *, reaches_object, phase=0.5, num_points=200):
    """Share of points, evenly spaced on traced outlines, in each of 36 x 12 bins."""
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    starts = np.concatenate([outline[:, 0] for outline in outlines]).astype(float)
    ends = np.concatenate([np.roll(outline[:, 0], -1, 0) for outline in outlines]).astype(float)
    lengths = np.hypot(*(ends - starts).T)
    reached = np.concatenate([[0], lengths.cumsum()])
    wanted = (np.arange(num_points) + phase) / num_points * reached[-1]
    step = np.clip(np.searchsorted(reached, wanted, side="right") - 1, 0, len(starts) - 1)
    share = (wanted - reached[step]) / np.maximum(lengths[step], 1e-9)
    points = starts[step] + (ends - starts)[step] * share[:, None]
    rows, columns = np.nonzero(mask)
    x, y = (points - (columns.mean(), rows.mean())).T
    distance = np.hypot(x, y)
    reach = distance.max() if reaches_object else math.hypot(*mask.shape) / 2
    angle_bin = (np.arctan2(y, x) % (2 * np.pi) / (2 * np.pi) * 36).astype(int) % 36
    radius_bin = np.minimum(distance / max(reach, 0.5) * 12, 11).astype(int)
    shares = np.zeros((36, 12))
    np.add.at(shares, (angle_bin, radius_bin), 1 / num_points)
    return shares


def ellipse(centre=(100, 60), axes=(40, 25), angle=20.0, size=SIZE):
    mask = np.zeros(size, np.uint8)
    cv2.ellipse(mask, centre, axes, angle, 0, 360, 1, -1)
    return mask.astype(bool)


def parts():
    return ellipse((60, 50), (20, 30), 0) | ellipse((150, 80), (30, 10), 40)


def ring():
    return ellipse() & ~ellipse(axes=(20, 12))


def star():
    angles = np.arange(10) * np.pi / 5
    radii = np.where(np.arange(10) % 2, 20, 50)
    corners = np.stack([90 + radii * np.cos(angles), 60 + radii * np.sin(angles)], -1)
    mask = np.zeros(SIZE, np.uint8)
    cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
    return mask.astype(bool)


def touching_the_border():
    return ellipse((5, 100), (60, 40), 10)


SHAPES = {
    "ellipse": ellipse(),
    "small": ellipse(axes=(6, 4)),
    "parts": parts(),
    "ring": ring(),
    "star": star(),
    "border": touching_the_border(),
    "whole frame": np.ones(SIZE, dtype=bool),
}


def histograms_of(mask, *, reaches_object=False, frame_size=SIZE):
    """Shares and outside of 36 x 12 bins of one mask."""
    sizes = torch.tensor([frame_size], dtype=torch.float32)
    return polar_histograms(torch.from_numpy(mask[None]), sizes, 36, 12, reaches_object, False)


def padded(mask, size=(160, 256), beyond=False):
    """A mask in a larger canvas, with something or nothing beyond its frame."""
    canvas = np.full(size, beyond)
    canvas[: mask.shape[0], : mask.shape[1]] = mask
    return canvas


def describe(*masks, **options):
    module = ShapePositionDescriptor(embed_dim=256, **options)
    return module(torch.from_numpy(np.stack(masks)))


def change(before, after, **options):
    return descriptor_change(*describe(before, after, **options)).item()


@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize("reaches_object", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_histogram_is_that_of_traced_points_within_sampling_noise(shape, reaches_object, is_padded):
    """It is as far from 200 traced points as these from each other as they slide along.

    Of an outline shorter than that nothing changes as they slide; half a pixel is left then.
    """
    mask = SHAPES[shape]
    counts, _ = histograms_of(padded(mask) if is_padded else mask, reaches_object=reaches_object)
    phases = [
        traced_shares(mask, reaches_object=reaches_object, phase=phase)
        for phase in np.arange(0, 1, 0.1)
    ]
    noise = np.mean([np.linalg.norm(a - b) for a in phases for b in phases if a is not b])
    fine = traced_shares(mask, reaches_object=reaches_object, num_points=20000)
    distances = [np.linalg.norm(counts[0].numpy() - shares) for shares in phases]
    size = np.linalg.norm(fine)
    assert np.mean(distances) < 1.5 * noise + (0.2 if shape == "small" else 0.05) * size
    assert np.linalg.norm(counts[0].numpy() - fine) < (0.4 if shape == "small" else 0.2) * size
    # What is beyond the bins is not counted.
    assert counts.sum().item() == pytest.approx(fine.sum(), abs=0.02)


@pytest.mark.parametrize("outside", ["image", "object"])
@pytest.mark.parametrize("radius", ["image", "object"])
def test_padding_is_no_part_of_the_frame(radius, outside):
    """Masks of two frames that are padded to one size, and go on beyond: as without padding."""
    module = ShapePositionDescriptor(embed_dim=64, radius=radius, outside=outside)
    wide = list(SHAPES.values())
    tall = [mask.T for mask in wide]
    size = (224, 256)
    canvases = np.stack([[padded(mask, size, True) for mask in masks] for masks in (wide, tall)])
    sizes = torch.tensor([SIZE, SIZE[::-1]], dtype=torch.float32)
    together = module(torch.from_numpy(canvases), sizes[:, None])
    for masks, descriptors in zip((wide, tall), together, strict=True):
        alone = module(torch.from_numpy(np.stack(masks)))
        assert torch.equal(descriptors, alone)
    beyond = torch.ones(1, *size, dtype=torch.bool)
    beyond[:, : SIZE[0], : SIZE[1]] = False
    assert not module(beyond, sizes[0]).any()


@pytest.mark.parametrize("stride", [4, 8])
def test_a_frame_may_end_within_a_pixel_of_the_mask(stride):
    """114 x 194 pixels are 14.25 x 24.25 at stride 8, and the same bins are outside as at 1."""
    module, size = ShapePositionDescriptor(embed_dim=256), torch.tensor([114.0, 194.0])
    mask = ellipse(size=(114, 194))
    full = module.histograms(torch.from_numpy(mask[None]))
    offset = stride // 2
    small = torch.from_numpy(padded(mask, (128, 224))[None, offset::stride, offset::stride])
    at_stride, of_canvas = module.histograms(small, size / stride), module.histograms(small)
    assert ((at_stride < 0) != (full < 0)).sum() <= 2
    assert ((of_canvas < 0) != (full < 0)).sum() > 20


def test_values_are_those_of_equation_4():
    """200 points share out 200/16 over the bins; a bin outside of the frame holds -1/16."""
    histogram = ShapePositionDescriptor(embed_dim=256).histograms(
        torch.from_numpy(ellipse()[None])
    )[0]
    assert histogram[histogram > 0].sum().item() == pytest.approx(200 / 16, rel=1e-4)
    assert set(histogram[histogram < 0].tolist()) == {-1 / 16}
    # The frame is 200x120, so straight below its centre 60 of the 116.6 pixels of reach are inside.
    middles = (np.arange(12) + 0.5) / 12 * math.hypot(*SIZE) / 2
    below = histogram[9]  # the tenth of 36 angles holds 90 to 100 degrees
    np.testing.assert_array_equal((below < 0).numpy(), middles * math.sin(math.radians(95)) > 59.5)


def test_translation_changes_it_as_the_frame_is_seen_and_not_as_the_object_is():
    """The literal reading, bins and outside both of the object, carries no position."""
    shifted = ellipse((60, 50))
    literal = {"outside": "object", "radius": "object"}
    assert change(ellipse(), shifted) > 0.1
    assert change(ellipse(), shifted, **literal) < 1e-3
    assert change(ellipse(), shifted, outside="object") < 1e-3


@pytest.mark.parametrize("shape", ["ellipse", "star"])
def test_turning_and_stretching_change_it(shape):
    mask = SHAPES[shape]
    centre = (100.0, 60.0)
    turned = cv2.warpAffine(
        mask.astype(np.uint8), cv2.getRotationMatrix2D(centre, 25, 1), SIZE[::-1]
    )
    smaller = cv2.warpAffine(
        mask.astype(np.uint8), cv2.getRotationMatrix2D(centre, 0, 0.5), SIZE[::-1]
    )
    assert change(mask, turned > 0) > 0.2
    assert change(mask, smaller > 0) > 0.2


def test_size_alone_does_not_change_bins_that_reach_to_the_object():
    small = ellipse((50, 30), (20, 12), 20)
    large = ellipse((100, 60), (60, 36), 20)
    literal = {"outside": "object", "radius": "object"}
    other_shape = ellipse((100, 60), (60, 20), 20)
    assert change(large, small, **literal) < change(large, other_shape, **literal)


def test_one_pixel_is_one_bin():
    mask = np.zeros(SIZE, dtype=bool)
    mask[30, 40] = True
    for reaches_object in (False, True):
        counts, _ = histograms_of(mask, reaches_object=reaches_object)
        assert counts[0, 0, 0] == 1
        assert counts.sum() == 1


def test_an_empty_mask_is_described_by_zeros():
    descriptors = describe(np.zeros(SIZE, dtype=bool), ellipse())
    assert not descriptors[0].any()
    assert descriptors[1].any()
    assert descriptor_change(descriptors[0], descriptors[0]) == 0
    assert descriptor_change(descriptors[0], descriptors[1]) == math.inf


def test_no_masks_and_many_dimensions():
    module = ShapePositionDescriptor(embed_dim=64)
    assert module(torch.zeros(0, 9, 9, dtype=torch.bool)).shape == (0, 64)
    masks = torch.rand(2, 3, 4, 20, 30) > 0.5
    described = module(masks)
    assert described.shape == (2, 3, 4, 64)
    torch.testing.assert_close(described[1, 2, 3], module(masks[1, 2, 3][None])[0])


def test_interpolation_is_linear_along_the_flattened_histogram():
    module = ShapePositionDescriptor(embed_dim=864)  # twice 432: each bin gives two channels
    mask = torch.from_numpy(ellipse()[None])
    flat, described = module.histograms(mask).flatten(), module(mask)[0]
    torch.testing.assert_close(described[1:-1:2], 0.75 * flat[:-1] + 0.25 * flat[1:])


@pytest.mark.parametrize("embed_dim", [64, 96, 128, 256])
def test_every_bin_alone_reaches_a_channel(embed_dim):
    """432 bins: with half as many channels, interpolation passes over none; with fewer, means."""
    module = ShapePositionDescriptor(embed_dim=embed_dim)
    with patch.object(module, "histograms", return_value=torch.eye(432).view(432, 36, 12)):
        described = module(torch.ones(432, 1, 1, dtype=torch.bool))
    assert (described.abs().sum(1) > 1e-3).all()


def test_many_channels_are_interpolated_linearly_as_in_the_paper():
    """By hand at 256: the middle of channel i lies 432/256 (i + 1/2) - 1/2 bins along."""
    module = ShapePositionDescriptor(embed_dim=256)
    mask = torch.from_numpy(ellipse()[None])
    flat, described = module.histograms(mask).flatten().numpy(), module(mask)[0].numpy()
    middles = 432 / 256 * (np.arange(256) + 0.5) - 0.5
    np.testing.assert_allclose(described, np.interp(middles, np.arange(432), flat), atol=1e-5)


def test_few_channels_are_means_of_neighbouring_bins():
    module = ShapePositionDescriptor(embed_dim=144)  # a third of 432
    mask = torch.from_numpy(ellipse()[None])
    torch.testing.assert_close(module(mask)[0], module.histograms(mask).view(144, 3).mean(1))


def test_a_learnt_projection_gets_gradients_and_the_masks_none():
    module = ShapePositionDescriptor(embed_dim=32, projection="linear")
    module(torch.from_numpy(ellipse()[None])).sum().backward()
    assert module.linear.weight.grad.any()


@pytest.mark.parametrize("key", ["outside", "radius", "projection"])
def test_unknown_readings_are_refused(key):
    with pytest.raises(ValueError, match="'nowhere'; choose"):
        ShapePositionDescriptor(embed_dim=8, **{key: "nowhere"})


def test_masks_that_do_not_fit_at_once_are_described_alike(monkeypatch):
    masks = torch.from_numpy(np.stack(list(SHAPES.values())))
    sizes = torch.tensor([118.25, 160.5])
    module = ShapePositionDescriptor(embed_dim=64)
    whole = module(masks, sizes)
    for at_once in (1, 2 * masks[0].numel() + 5):
        monkeypatch.setattr(shape_position, "PIXELS_AT_ONCE", at_once)
        assert torch.equal(module(masks, sizes), whole)
    assert module(masks[:0], sizes).shape == (0, 64)


def test_operator_keeps_its_contract_with_compilers():
    masks = torch.from_numpy(np.stack([ellipse(), star()]))
    sizes = torch.tensor([SIZE, (118.25, 160.5)])
    torch.library.opcheck(polar_histograms, (masks, sizes, 36, 12, False, False))
    torch.library.opcheck(polar_histograms, (masks, sizes, 8, 3, True, True))


@pytest.mark.gpu
def test_device_gives_the_descriptors_of_the_host():
    masks = torch.from_numpy(np.stack(list(SHAPES.values())))
    module = ShapePositionDescriptor(embed_dim=256)
    torch.testing.assert_close(module(masks.cuda()).cpu(), module(masks), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_mixed_precision_describes_the_same(dtype):
    """Rows times areas of a wide mask exceed the range of float16, and the digits of bfloat16."""
    masks = torch.zeros(2, 180, 320, dtype=torch.bool)
    masks[0, 61:149, 101:255] = True
    masks[1, 3:9, 200:305] = True
    descriptor = ShapePositionDescriptor(embed_dim=64)
    with torch.autocast("cpu", dtype):
        mixed = descriptor(masks)
    assert torch.equal(mixed, descriptor(masks))
