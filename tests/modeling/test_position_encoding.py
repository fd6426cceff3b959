import math

import pytest
import torch

from gvseg.modeling.position_encoding import SinePositionEncoding

CPU = torch.device("cpu")


def test_one_pixel_by_hand():
    """4 channels: sine and cosine of y, then of x; the last pixel stands at a full turn.

    Two rows, one column: y is 1/2 and 2/2 of a turn, x is a whole turn.
    """
    encoding = SinePositionEncoding(channels=4, dims=2)((1, 2, 1), CPU)
    half = [math.sin(math.pi), math.cos(math.pi)]
    turn = [math.sin(2 * math.pi), math.cos(2 * math.pi)]
    expected = torch.tensor([[half + turn], [turn + turn]])[None]
    torch.testing.assert_close(encoding, expected, atol=1e-5, rtol=0)


def test_wavelengths_grow_to_the_temperature():
    """Channel pair i of 8 has angle y / 10000^(2i/4): pair 1 turns a hundred times more slowly."""
    encoding = SinePositionEncoding(channels=8, dims=2)((1, 1, 1), CPU)[0, 0, 0]
    angles = [2 * math.pi, 2 * math.pi / 100]
    expected = [function(angle) for angle in angles for function in (math.sin, math.cos)]
    torch.testing.assert_close(encoding, torch.tensor(expected * 2), atol=1e-5, rtol=0)


def test_time_adds_the_same_to_every_pixel_of_a_frame():
    size = (3, 4, 5)
    image = SinePositionEncoding(channels=16, dims=2)(size, CPU)
    clip = SinePositionEncoding(channels=16, dims=3)(size, CPU)
    added = clip - image
    torch.testing.assert_close(added, added[:, :1, :1].expand_as(added))
    assert not torch.allclose(added[0], added[1])


def test_result_is_shared_between_calls_and_usable_in_training():
    encoding = SinePositionEncoding(channels=8, dims=2)
    with torch.inference_mode():
        first = encoding((1, 3, 3), CPU)
    assert encoding((1, 3, 3), CPU) is first
    weight = torch.ones(8, requires_grad=True)
    (first * weight).sum().backward()
    assert weight.grad is not None


@pytest.mark.parametrize("options", [{"channels": 6, "dims": 2}, {"channels": 8, "dims": 4}])
def test_impossible_options_are_refused(options):
    with pytest.raises(ValueError, match=r"multiple of 4|must be 2 or 3"):
        SinePositionEncoding(**options)
