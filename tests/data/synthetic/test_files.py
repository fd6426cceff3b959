from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.files import (
    check_no_crowd,
    create_folder,
    value_image,
    write_jpeg,
    write_object_png,
)
from gvseg.structures import FrameSegments


def labels(ids: tuple[int, ...] = (3, 7), is_crowd: tuple[bool, ...] = (False, False)):
    """Return two segments beside void, three columns each."""
    index_map = np.repeat(np.array([0, 1, -1], np.int16), 3)[None].repeat(4, axis=0)
    segments = FrameSegments(
        0, np.array(ids), np.zeros(2, int), np.ones(2, np.float32), None, index_map
    )
    return FrameLabels(segments, np.array(is_crowd), np.array([12.0, 12.0]))


def test_values_stand_where_their_segments_are():
    image = value_image(labels(), np.array([300, 40000]), background=9)
    np.testing.assert_array_equal(image, [[300] * 3 + [40000] * 3 + [9] * 3] * 4)


def test_folder_is_made_once(tmp_path: Path):
    assert create_folder(tmp_path / "a" / "b").is_dir()
    with pytest.raises(FileExistsError, match="a/b exists already; choose another root"):
        create_folder(tmp_path / "a" / "b")


def test_jpeg_loses_little(tmp_path: Path):
    ramp = np.linspace(0, 255, 64).astype(np.uint8)
    frame = np.stack([ramp[None].repeat(48, 0), ramp[None, ::-1].repeat(48, 0)] * 2, -1)[..., :3]
    write_jpeg(tmp_path / "frame.jpg", frame)
    with Image.open(tmp_path / "frame.jpg") as image:
        assert np.abs(np.array(image).astype(int) - frame).max() < 8


def test_object_png_holds_ids_and_the_colours_of_davis(tmp_path: Path):
    write_object_png(tmp_path / "all.png", labels())
    with Image.open(tmp_path / "all.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.array(image), [[3] * 3 + [7] * 3 + [0] * 3] * 4)
        colors = np.array(image.convert("RGB"))[0, ::3]
    np.testing.assert_array_equal(colors, [[128, 128, 0], [128, 128, 128], [0, 0, 0]])


def test_object_png_leaves_out_what_is_not_to_be_written(tmp_path: Path):
    write_object_png(tmp_path / "one.png", labels(), np.array([False, True]))
    with Image.open(tmp_path / "one.png") as image:
        np.testing.assert_array_equal(np.unique(np.array(image)), [0, 7])


def test_object_png_refuses_what_it_cannot_hold(tmp_path: Path):
    with pytest.raises(ValueError, match="Object 255 is too many; ids end at 254"):
        write_object_png(tmp_path / "x.png", labels(ids=(3, 255)))
    with pytest.raises(ValueError, match="has no crowd regions"):
        write_object_png(tmp_path / "x.png", labels(is_crowd=(False, True)))
    assert list(tmp_path.iterdir()) == []


def test_crowd_is_refused_by_name():
    check_no_crowd(labels(), "camvid")
    with pytest.raises(ValueError, match="The format camvid has no crowd regions"):
        check_no_crowd(labels(is_crowd=(True, False)), "camvid")
