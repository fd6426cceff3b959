import numpy as np
import pytest

from gvseg.data.synthetic.shapes import outline
from gvseg.data.synthetic.sprites import Sprite, make_sprite, paste

SIZE = (60, 80)


def blank() -> tuple[np.ndarray, np.ndarray]:
    return np.zeros((*SIZE, 3), np.uint8), np.full(SIZE, -1, np.int16)


def pose(x: float, y: float, radius: float, turn: float = 0.0) -> np.ndarray:
    cos, sin = radius * np.cos(turn), radius * np.sin(turn)
    return np.array([[cos, -sin, x], [sin, cos, y]])


def flat(color: tuple[int, int, int], family: int = 0) -> Sprite:
    return Sprite(outline(family), np.full((32, 32, 3), color, np.uint8))


def test_looks_of_a_class_table_differ_in_shape_or_pattern():
    sprites = [make_sprite(look, 12, 0.0) for look in range(124)]
    for first in range(124):
        for second in range(first):
            same_shape = len(sprites[first].curves[0]) == len(
                sprites[second].curves[0]
            ) and np.array_equal(sprites[first].curves[0], sprites[second].curves[0])
            same_picture = np.array_equal(sprites[first].picture, sprites[second].picture)
            assert not (same_shape and same_picture)


def test_pixels_and_labels_are_those_of_the_last_painted():
    """With flat colours every pixel tells who was painted there last, but for mixed edges."""
    colors = np.array([[200, 10, 30], [20, 220, 40], [30, 50, 240], [0, 0, 0]])
    frame, index_map = blank()
    for position, where in enumerate([(30, 30, 20), (45, 28, 18), (38, 45, 15)]):
        paste(frame, index_map, flat(tuple(colors[position]), position), pose(*where), position)
    nearest = np.abs(frame[:, :, None].astype(int) - colors).sum(axis=-1).argmin(axis=-1)
    pure = (frame == colors[nearest]).all(axis=-1)
    assert pure.mean() > 0.85
    np.testing.assert_array_equal(np.append([0, 1, 2], -1)[nearest][pure], index_map[pure])
    assert set(np.unique(index_map)) == {-1, 0, 1, 2}


def test_edge_pixel_belongs_to_what_covers_half_of_it():
    square = Sprite([np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])], flat((250, 0, 0)).picture)
    for shift, is_in in ((0.7, True), (0.1, False)):
        frame, index_map = blank()
        paste(frame, index_map, square, pose(20 + shift, 20.0, 10), 0)
        # The square ends at 30 + shift, within column 30.
        assert (index_map[20, 30] == 0) == is_in
        assert frame[20, 30, 0] == pytest.approx(250 * shift, abs=40)
        assert index_map[20, 29] == 0
        assert index_map[20, 31] == -1


def test_picture_moves_with_the_outline():
    sprite = make_sprite(3, 14, 0.0)
    first, second = blank(), blank()
    paste(*first, sprite, pose(30.3, 25.6, 14, 0.7), 0)
    paste(*second, sprite, pose(41.3, 30.6, 14, 0.7), 0)
    for here, there in zip(first, second, strict=True):
        np.testing.assert_array_equal(here[5:50, 10:60], there[10:55, 21:71])


def test_thing_outside_of_the_frame_changes_nothing():
    for x, y in ((-30, 20), (120, 20), (40, -25), (40, 95)):
        frame, index_map = blank()
        paste(frame, index_map, flat((9, 9, 9)), pose(x, y, 20), 0)
        assert not frame.any()
        assert (index_map == -1).all()


def test_thing_over_the_border_is_cut():
    frame, index_map = blank()
    paste(frame, index_map, flat((9, 9, 9)), pose(0, 0, 20), 0)
    assert index_map[0, 0] == 0
    assert (index_map[25:] == -1).all()
