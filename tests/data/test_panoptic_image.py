from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.class_table import ClassTable
from gvseg.data.panoptic_image import (
    NUM_RGB_VALUES,
    ValueMeanings,
    identities,
    panoptic_labels,
    read_rgb_values,
    write_rgb_values,
)

CLASSES = ClassTable(
    name="small",
    source="made up",
    ids=(10, 20, 30),
    names=("sky", "cat", "grass"),
    is_thing=(False, True, False),
    colors=((0, 0, 255), (255, 0, 0), (0, 255, 0)),
)


def test_values_of_colours_are_little_endian(tmp_path: Path):
    Image.fromarray(np.array([[[1, 2, 3], [255, 255, 255]]], dtype=np.uint8)).save(
        tmp_path / "labels.png"
    )
    values = read_rgb_values(tmp_path / "labels.png")
    assert values.tolist() == [[1 + 256 * 2 + 65536 * 3, NUM_RGB_VALUES - 1]]


def test_values_written_are_read_back(tmp_path: Path):
    values = np.random.default_rng(0).integers(0, NUM_RGB_VALUES, (17, 23))
    write_rgb_values(tmp_path / "labels.png", values)
    np.testing.assert_array_equal(read_rgb_values(tmp_path / "labels.png"), values)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_image_without_three_channels_is_named(tmp_path: Path, mode: str):
    Image.new(mode, (4, 4)).save(tmp_path / "labels.png")
    with pytest.raises(ValueError, match=rf"labels\.png is an image of mode {mode}"):
        read_rgb_values(tmp_path / "labels.png")


def test_values_of_one_identity_are_one_segment():
    image = np.array([[0, 5, 5, 9], [0, 7, 7, 7], [9, 9, 4, 4]])

    def meanings_of(values: np.ndarray) -> ValueMeanings:
        assert values.tolist() == [0, 4, 5, 7, 9]
        return ValueMeanings(
            classes=np.array([-1, 2, 1, 2, 1]),
            ids=np.array([0, 3, 50, 3, 40]),
            is_crowd=np.array([False, False, True, False, False]),
        )

    labels = panoptic_labels(image, meanings_of, frame_index=6)
    assert labels.segments.frame_index == 6
    assert labels.segments.ids.tolist() == [3, 40, 50]
    assert labels.segments.classes.tolist() == [2, 1, 1]
    assert labels.is_crowd.tolist() == [False, False, True]
    assert labels.areas.tolist() == [5, 3, 2]
    assert labels.segments.index_map.tolist() == [[-1, 2, 2, 1], [-1, 0, 0, 0], [1, 1, 0, 0]]


def test_image_of_void_alone_has_no_segments():
    void = ValueMeanings(np.array([-1]), np.array([0]), np.array([False]))
    labels = panoptic_labels(np.zeros((4, 5), dtype=np.int32), lambda values: void, frame_index=0)
    assert len(labels.segments) == len(labels.areas) == len(labels.is_crowd) == 0
    assert (labels.segments.index_map == -1).all()


def test_no_number_gives_an_object_the_identity_of_stuff():
    numbers = np.array([*range(1, 50), NUM_RGB_VALUES - 1])
    of_cats = identities(numbers, np.full(len(numbers), 1), CLASSES)
    assert len(set(of_cats.tolist())) == len(numbers), "objects stay apart"
    of_stuff = identities(numbers, np.resize([0, 2], len(numbers)), CLASSES)
    assert set(of_stuff.tolist()) == {1, 3}
    assert not set(of_cats.tolist()) & {1, 2, 3}
    np.testing.assert_array_equal(of_cats[3:], numbers[3:])
