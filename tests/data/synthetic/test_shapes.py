import numpy as np
import pytest

from gvseg.data.synthetic.shapes import NUM_FAMILIES, coverage, outline


def filled(family: int, turn: float = 0.0) -> np.ndarray:
    """Return a shape of 100 pixels across, turned by radians."""
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return coverage([50 * (curve @ rotation.T + 1) for curve in outline(family)], (100, 100)) > 127


@pytest.mark.parametrize("family", range(NUM_FAMILIES))
def test_outline_fits_the_unit_circle(family: int):
    radii = np.linalg.norm(outline(family)[0], axis=1)
    assert radii.max() == pytest.approx(1)
    assert filled(family).mean() > 0.15


def test_no_shape_is_another_one_turned():
    turns = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    for first in range(NUM_FAMILIES):
        mask = filled(first)
        for second in range(first):
            others = [filled(second, turn) for turn in turns]
            best = max((mask & other).sum() / (mask | other).sum() for other in others)
            assert best < 0.87, (first, second)


def test_coverage_is_the_share_of_the_pixel():
    square = np.array([[1.0, 1.0], [3.5, 1.0], [3.5, 3.25], [1.0, 3.25]])
    found = coverage([square], (5, 5)) / 255
    shares = np.array([0, 1, 1, 0.5, 0])[None, :] * np.array([0, 1, 1, 0.25, 0])[:, None]
    # Drawing rounds outwards by up to an eighth of a pixel.
    np.testing.assert_allclose(found, shares, atol=0.27)
    np.testing.assert_array_equal(found[shares == 1], 1)
    np.testing.assert_array_equal(found[4], 0)


def test_inner_curve_is_a_hole():
    (ring,) = (family for family in range(NUM_FAMILIES) if len(outline(family)) == 2)
    mask = filled(ring)
    assert not mask[50, 50]
    assert mask[50, 10]
