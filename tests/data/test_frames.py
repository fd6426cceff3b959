from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.frames import frame_size, read_frame

EXIF_ORIENTATION = 0x0112
NOISE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_frame_is_read_as_rgb(tmp_path: Path):
    Image.fromarray(NOISE).save(tmp_path / "frame.png")
    frame = read_frame(tmp_path / "frame.png")
    assert frame.dtype == np.uint8
    np.testing.assert_array_equal(frame, NOISE)


def test_grey_frame_gets_three_equal_channels(tmp_path: Path):
    Image.fromarray(NOISE[..., 0]).save(tmp_path / "grey.png")
    frame = read_frame(tmp_path / "grey.png")
    np.testing.assert_array_equal(frame, np.repeat(NOISE[..., :1], 3, axis=2))


def test_frame_is_turned_upright_by_its_exif_orientation(tmp_path: Path):
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6  # the camera was held a quarter turn to the left
    Image.fromarray(NOISE).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(read_frame(tmp_path / "turned.png"), np.rot90(NOISE, k=-1))
    assert frame_size(tmp_path / "turned.png") == (30, 20)


def test_frame_size_is_height_and_width(tmp_path: Path):
    Image.fromarray(NOISE).save(tmp_path / "frame.jpg")
    assert frame_size(tmp_path / "frame.jpg") == (20, 30)


@pytest.mark.parametrize("read", [read_frame, frame_size])
def test_missing_frame_is_named(tmp_path: Path, read):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jpg does not exist"):
        read(tmp_path / "nowhere.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_truncated_frame_is_named_instead_of_filled_with_grey(tmp_path: Path, suffix: str):
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(NOISE).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(OSError, match=rf"cut\.{suffix} cannot be read"):
        read_frame(path)


@pytest.mark.parametrize("read", [read_frame, frame_size])
def test_file_that_is_no_image_is_named(tmp_path: Path, read):
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(OSError, match=r"text\.jpg cannot be read"):
        read(tmp_path / "text.jpg")


def test_frame_of_16_bits_is_refused(tmp_path: Path):
    Image.fromarray(np.full((4, 6), 9000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png has grey values of 16 bits or more; convert"):
        read_frame(tmp_path / "deep.png")


@pytest.mark.parametrize("read", [read_frame, frame_size])
def test_size_beyond_belief_is_a_damaged_file(tmp_path: Path, read):
    path = tmp_path / "0.jpg"
    Image.new("RGB", (8, 8)).save(path)
    content = bytearray(path.read_bytes())
    start = content.index(b"\xff\xc0") + 5  # height and width, behind the marker of the frame
    content[start : start + 4] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(OSError, match=r"0\.jpg cannot be read"):
        read(path)
