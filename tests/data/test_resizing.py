from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.resizing import check_label_size, resize_frame, resize_labels, resized_size


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1080, 1920), (720, 1280)), ((480, 853), (720, 1279)), ((1280, 720), (720, 405))],
)
def test_every_frame_gets_the_height_and_its_width_is_cut_off(
    size: tuple[int, int], expected: tuple[int, int]
):
    assert resized_size(size, 720) == expected


def test_frame_has_the_bytes_that_pillow_writes(tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (50, 91, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "frame.png")
    assert resize_frame(tmp_path / "frame.png", tmp_path / "small.jpg", 24) == (50, 91)
    Image.fromarray(noise).resize((43, 24), Image.Resampling.BILINEAR).save(tmp_path / "ref.jpg")
    assert (tmp_path / "small.jpg").read_bytes() == (tmp_path / "ref.jpg").read_bytes()


def test_labels_take_the_nearest_pixel():
    values = np.random.default_rng(0).integers(0, 13_000, (50, 90), dtype=np.int32)
    resized = resize_labels(values, 20)
    rows = ((np.arange(20) + 0.5) * 50 / 20).astype(int)
    columns = ((np.arange(36) + 0.5) * 90 / 36).astype(int)
    np.testing.assert_array_equal(resized, values[np.ix_(rows, columns)])


def test_labels_of_another_size_are_named():
    check_label_size("frame.jpg", (4, 6), np.zeros((4, 6)))
    with pytest.raises(ValueError, match=r"frame\.jpg has 4x6 pixels, but its label image has 6x4"):
        check_label_size("frame.jpg", (4, 6), np.zeros((6, 4)))


def test_what_cannot_be_written_is_not_blamed_on_the_source(tmp_path: Path):
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg")
    with pytest.raises(OSError, match=r"missing/b\.jpg cannot be written"):
        resize_frame(tmp_path / "a.jpg", tmp_path / "missing" / "b.jpg", 10)
