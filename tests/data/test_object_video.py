from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.benchmark import Record
from gvseg.data.object_video import (
    exemplar_in,
    object_palette,
    read_object_image,
    read_object_labels,
)
from gvseg.data.problems import AnnotationError

IDS = np.array([[0, 0, 7, 7], [2, 2, 7, 255], [2, 0, 0, 254]], np.uint8)


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """Two frames, of which the first has labels."""
    Image.fromarray(IDS).save(tmp_path / "ids.png")
    return {
        "video_id": "one",
        "height": 3,
        "width": 4,
        "length": 2,
        "file_names": ["first.jpg", "second.jpg"],
        "label_files": [str(tmp_path / "ids.png"), None],
    }


def test_each_id_is_an_object_but_background_and_void(record: Record):
    labels = read_object_labels(record, 0)
    assert labels.segments.ids.tolist() == [2, 7, 254]
    assert labels.segments.classes.tolist() == [0, 0, 0]
    assert labels.areas.tolist() == [3, 3, 1]
    assert not labels.is_crowd.any()
    for position, object_id in enumerate((2, 7, 254)):
        np.testing.assert_array_equal(labels.segments.mask(position), object_id == IDS)


def test_single_object_is_all_that_is_marked(record: Record):
    labels = read_object_labels(record, 0, is_single=True)
    assert labels.segments.ids.tolist() == [1]
    np.testing.assert_array_equal(labels.segments.mask(0), IDS > 0)


def test_image_without_objects_has_no_segments(record: Record):
    path = record["label_files"][0]
    Image.new("L", (4, 3)).save(path)
    labels = read_object_labels(record, 0)
    assert len(labels.segments) == 0
    assert labels.size == (3, 4)


def test_frame_without_labels_is_named(record: Record):
    with pytest.raises(AnnotationError, match=r"second\.jpg has no labels"):
        read_object_labels(record, 1)


def test_image_of_another_size_is_named(record: Record):
    path = record["label_files"][0]
    Image.new("L", (3, 4)).save(path)
    with pytest.raises(AnnotationError, match=r"ids\.png has 4x3 pixels, but its video has 3x4"):
        read_object_image(path, 0, record)


def test_exemplar_is_of_the_object_asked_for(record: Record):
    labels = read_object_image(record["label_files"][0], 1, record)
    exemplar = exemplar_in(labels, 7, "box", "ids.png")
    assert (exemplar.object_id, exemplar.frame_index) == (7, 1)
    assert exemplar.box.tolist() == [2, 0, 4, 2]
    with pytest.raises(AnnotationError, match=r"ids\.png does not show object 255"):
        exemplar_in(labels, 255, "box", "ids.png")


def test_palette_is_that_of_pascal_voc():
    palette = object_palette()
    assert palette.shape == (256, 3)
    assert palette.dtype == np.uint8
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 8: (64, 0, 0), 20: (0, 64, 128)}
    for index, color in known.items():
        assert tuple(palette[index].tolist()) == color
    assert len(np.unique(palette, axis=0)) == 256
