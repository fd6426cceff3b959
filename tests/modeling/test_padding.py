import pytest
import torch

from gvseg.modeling.padding import image_size, in_frame, padded_size, sizes_in_map


def test_all_sizes_fit_into_the_smallest_multiple():
    assert padded_size([(0, 0), (33, 40), (20, 70)], 32) == (64, 96)
    assert padded_size([(64, 96)], 32) == (64, 96)
    assert image_size(torch.zeros(2, 3, 5, 7)) == (5, 7)


def test_sizes_in_a_map_are_not_rounded():
    sizes = sizes_in_map([(50, 70), (64, 96)], 8, torch.device("cpu"))
    assert sizes.tolist() == [[6.25, 8.75], [8, 12]]


@pytest.mark.parametrize(("rows", "inside"), [(2.0, 2), (2.5, 2), (2.51, 3), (3.0, 3), (9.0, 4)])
def test_a_pixel_is_in_the_frame_where_its_middle_is(rows, inside):
    """Of 4 x 2 pixels, whose middles are at 0.5, 1.5 and so on."""
    found = in_frame(torch.tensor([[rows, 1.6]]), (4, 2))
    assert found.shape == (1, 4, 2)
    assert found.all(2).sum().item() == inside == found.any(2).sum().item()
