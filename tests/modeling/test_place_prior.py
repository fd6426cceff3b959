"""The prior against its formula, over scales, and what its offset and sharpness mean."""

import pytest
import torch

from gvseg.modeling.place_prior import UNIT, PlacePrior


def prior(offset=(0.0, 0.0), log_sharpness=(0.0, 0.0)):
    module = PlacePrior(embed_dim=4)
    with torch.no_grad():
        module.shape.bias.copy_(torch.tensor([*offset, *log_sharpness]))
    return module


def logits(module, centre, full_size, size=None):
    embeds = torch.zeros(1, 1, 4)
    return module(embeds, torch.tensor([[centre]]), full_size, size or full_size)[0, 0].detach()


def test_logits_follow_the_formula():
    """Centre (8, 4) mask pixels moved by (8, -2); at a distance of one unit along x: -s_x."""
    module = prior((1.0, -0.25), (torch.tensor(3.0).log().item(), torch.tensor(0.5).log().item()))
    maps = logits(module, (0.25, 0.25), (16, 32))
    y, x = torch.meshgrid(torch.arange(16) + 0.5, torch.arange(32) + 0.5, indexing="ij")
    expected = -3.0 * ((x - 16) / UNIT) ** 2 - 0.5 * ((y - 2) / UNIT) ** 2
    torch.testing.assert_close(maps, expected)


def test_distances_are_in_image_pixels_whatever_the_size_of_the_image():
    """The fall-off around the centre is the same in an image twice as large."""
    small, large = (logits(prior(), (0.5, 0.5), (side, side)) for side in (32, 64))
    torch.testing.assert_close(large[16:48, 16:48], small)


def test_a_smaller_map_shows_the_same_frame():
    full = logits(prior(), (0.3, 0.7), (32, 48))
    small = logits(prior(), (0.3, 0.7), (32, 48), (8, 12))
    means = full.reshape(8, 4, 12, 4).mean((1, 3))
    # A parabola's mean over a cell is its value at the middle less a constant.
    torch.testing.assert_close(means - small, torch.full((8, 12), (means - small)[0, 0].item()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_logits_are_computed_in_float32(dtype):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        maps = prior()(torch.zeros(2, 3, 4, dtype=dtype), torch.rand(2, 3, 2), (16, 16), (16, 16))
    assert maps.dtype == torch.float32


def test_masks_of_queries_without_a_place_do_not_fade():
    module = prior(offset=(0.5, 0.0), log_sharpness=(1.0, 0.0))
    centres = torch.tensor([[[0.5, 0.5], [float("nan"), float("nan")]]])
    embeds = torch.zeros(1, 2, module.shape.in_features)
    fading = module(embeds, centres, (16, 24), (16, 24))
    assert (fading[0, 1] == 0).all()
    assert (fading[0, 0] < 0).any()
    fading.sum().backward()
    assert module.shape.weight.grad.isfinite().all()
    assert module.shape.bias.grad.isfinite().all()
