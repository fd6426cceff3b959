import re
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.checks.image_files import check_whole


def picture(size: int = 40) -> Image.Image:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def thumbnail() -> Image.Exif:
    """An EXIF block of a camera: a whole JPEG before the picture, with an end of its own."""
    exif = Image.Exif()
    exif[0x927C] = encoded(picture(8), "JPEG")
    return exif


FILES = {
    "png": encoded(picture(), "PNG"),
    "palette.png": encoded(picture().convert("P"), "PNG"),
    "jpg": encoded(picture(), "JPEG"),
    "progressive.jpg": encoded(picture(), "JPEG", progressive=True),
    "thumbnail.jpg": encoded(picture(), "JPEG", exif=thumbnail()),
}


@pytest.fixture(params=FILES)
def whole_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / f"frame.{request.param}"
    path.write_bytes(FILES[request.param])
    return path


def test_whole_file_passes(whole_file: Path):
    check_whole(whole_file)


# Zeros, and what a phone appends: its bytes may be those of markers.
@pytest.mark.parametrize("more", [bytes(100), b"MotionPhoto\x01\xff\xda\x03\xff\xd8\xff\xe1"])
def test_file_with_more_behind_its_end_passes(whole_file: Path, more: bytes):
    whole_file.write_bytes(whole_file.read_bytes() + more)
    check_whole(whole_file)


@pytest.mark.parametrize("kind", ["jpg", "progressive.jpg", "thumbnail.jpg"])
def test_fill_bytes_before_a_marker_are_no_fault(tmp_path: Path, kind: str):
    path = tmp_path / "frame.jpg"
    start, rest = FILES[kind][:2], FILES[kind][2:]
    path.write_bytes(start + b"\xff\xff" + rest[:-2] + b"\xff\xff\xff" + rest[-2:])
    check_whole(path)


@pytest.mark.parametrize("num_missing", [1, 2, 5, 12, 100, 400])
def test_file_that_ends_early_is_named_however_little_is_missing(
    whole_file: Path, num_missing: int
):
    whole_file.write_bytes(whole_file.read_bytes()[:-num_missing])
    with pytest.raises(OSError, match=re.escape(f"{whole_file} is truncated")):
        check_whole(whole_file)


def test_decoder_alone_would_not_see_the_missing_end(tmp_path: Path):
    """Why this check is there: the last row of pixels comes before the end of the file."""
    path = tmp_path / "frame.png"
    path.write_bytes(FILES["png"][:-1])
    np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(picture()))


@pytest.mark.parametrize("kind", ["png", "palette.png"])
def test_flipped_bit_in_a_png_is_found(tmp_path: Path, kind: str):
    path = tmp_path / "labels.png"
    for position in range(20, len(FILES[kind]) - 20, 97):
        content = bytearray(FILES[kind])
        content[position] ^= 1
        path.write_bytes(content)
        with pytest.raises(OSError, match=re.escape(str(path))):
            check_whole(path)


def test_png_without_compression_may_decode_to_other_labels_but_is_found(tmp_path: Path):
    """The worst case: every flipped bit of the pixels decodes, only checksums tell."""
    path = tmp_path / "labels.png"
    content = bytearray(encoded(picture().convert("L"), "PNG", compress_level=0))
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(OSError, match="checksum"):
        check_whole(path)


def test_missing_file_and_other_formats(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"none\.png does not exist"):
        check_whole(tmp_path / "none.png")
    picture().save(tmp_path / "frame.bmp")
    check_whole(tmp_path / "frame.bmp")
    shutil.copy(__file__, tmp_path / "frame.txt")
    check_whole(tmp_path / "frame.txt")
