import numpy as np
import pytest

from gvseg.data.synthetic.textures import (
    NUM_PATTERNS,
    NUM_STUFF_PATTERNS,
    stuff_color,
    stuff_texture,
    thing_colors,
    thing_texture,
)

BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@pytest.mark.parametrize("look", range(NUM_PATTERNS))
def test_pattern_shows_both_colours_with_smooth_edges(look: int):
    picture = thing_texture(look, 128, (BLACK, WHITE))
    assert picture.shape == (128, 128, 3)
    assert 0.1 < (picture == 0).mean() < 0.9
    assert 0.1 < (picture == 1).mean() < 0.9
    between = (picture > 0) & (picture < 1)
    assert between.mean() < 0.35


def test_patterns_differ_from_each_other():
    pictures = [thing_texture(look, 64, (BLACK, WHITE)) for look in range(NUM_PATTERNS)]
    for first in range(NUM_PATTERNS):
        for second in range(first):
            assert np.abs(pictures[first] - pictures[second]).mean() > 0.15


def test_pattern_is_the_same_at_any_resolution():
    for look in range(NUM_PATTERNS):
        coarse = thing_texture(look, 64, (BLACK, WHITE))
        fine = thing_texture(look, 256, (BLACK, WHITE))
        shrunk = fine.reshape(64, 4, 64, 4, 3).mean(axis=(1, 3))
        assert np.abs(shrunk - coarse).mean() < 0.05


@pytest.mark.parametrize("look", range(NUM_STUFF_PATTERNS))
@pytest.mark.parametrize("size", [(96, 160), (33, 40)])
def test_stuff_varies_about_its_colour(look: int, size: tuple[int, int]):
    color = stuff_color(look, 0.0)
    picture = stuff_texture(look, size, color, np.random.default_rng(0))
    assert picture.shape == (*size, 3)
    assert 0 <= picture.min() < picture.max() <= 1
    np.testing.assert_allclose(picture.mean(axis=(0, 1)), color, atol=0.15)
    assert picture.std(axis=(0, 1)).max() > 0.02


def test_looks_side_by_side_have_other_colours():
    for look in range(20):
        here, there = (np.array(thing_colors(number, 0.0)[0]) for number in (look, look + 1))
        assert np.abs(here - there).max() > 0.2
