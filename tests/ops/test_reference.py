import pytest
import torch

from gvseg.ops import ms_deform_attn_reference
from tests.ops.samples import make_arguments


def _sample_by_hand(pixels, x, y):
    """Bilinear sample of (H, W, D) at a position in pixels, zero outside."""
    height, width, channels = pixels.shape
    total = torch.zeros(channels, dtype=pixels.dtype)
    for row in range(height):
        for column in range(width):
            total += pixels[row, column] * max(0, 1 - abs(x - column)) * max(0, 1 - abs(y - row))
    return total


def test_reference_is_a_weighted_sum_of_bilinear_samples():
    arguments = make_arguments(((3, 4), (2, 1)), queries=3).to(torch.float64)
    value, locations, weights = arguments.tensors
    expected = torch.zeros(2, 3, 3, 8, dtype=torch.float64)
    for batch, query, head, level, point in torch.cartesian_prod(
        *(torch.arange(size) for size in weights.shape)
    ).tolist():
        height, width = arguments.spatial_shapes[level]
        first = 12 * level
        pixels = value[batch, first : first + height * width, head].view(height, width, -1)
        x, y = locations[batch, query, head, level, point].tolist()
        sample = _sample_by_hand(pixels, x * width - 0.5, y * height - 0.5)
        expected[batch, query, head] += weights[batch, query, head, level, point] * sample

    output = ms_deform_attn_reference(value, arguments.spatial_shapes, locations, weights)

    torch.testing.assert_close(output, expected.flatten(2))


def test_reference_of_a_worked_example():
    # One level of 1 x 2 pixels worth 10 and 20. Half way between their centres is 15; the right
    # edge of the level is half of pixel 1 and half of what lies outside.
    value = torch.tensor([10.0, 20.0]).view(1, 2, 1, 1)
    locations = torch.tensor([[0.5, 0.5], [1.0, 0.5]]).view(1, 1, 1, 1, 2, 2)
    weights = torch.tensor([0.8, 0.2]).view(1, 1, 1, 1, 2)

    output = ms_deform_attn_reference(value, [(1, 2)], locations, weights)

    assert output.item() == pytest.approx(0.8 * 15 + 0.2 * 10)


def test_half_precision_values_keep_their_dtype():
    arguments = make_arguments(((3, 4),)).to(torch.bfloat16)

    output = ms_deform_attn_reference(
        arguments.value, arguments.spatial_shapes, *arguments.tensors[1:]
    )

    assert output.dtype == torch.bfloat16
