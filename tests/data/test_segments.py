import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from gvseg.data.class_table import read_class_table
from gvseg.data.segments import (
    LabelRuns,
    check_size,
    class_map,
    decode_segmentation,
    encode_masks,
    read_id_image,
    semantic_labels,
)
from gvseg.structures import FrameSegments

CAMVID = read_class_table("camvid")
SIZE = (12, 20)


def triangle() -> np.ndarray:
    """Draw a mask whose rows and columns differ, so that a transposed one is noticed."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return (columns > 3) & (rows > 2) & (rows + columns < 20)


def test_semantic_labels_hold_one_segment_for_each_class_seen():
    ids = np.array([[8, 8, 11], [0, 3, 3]])
    labels = semantic_labels(ids, CAMVID, frame_index=4, source="labels.png")
    segments = labels.segments
    assert segments.frame_index == 4
    assert segments.classes.tolist() == [0, 3, 8]
    assert segments.index_map.tolist() == [[2, 2, -1], [0, 1, 1]]
    assert labels.areas.tolist() == [1, 2, 2]
    assert not labels.is_crowd.any()


def test_identity_of_a_stuff_region_is_the_same_in_every_frame():
    first = semantic_labels(np.array([[8, 0]]), CAMVID, 0, "a.png").segments
    second = semantic_labels(np.array([[3, 8]]), CAMVID, 1, "b.png").segments
    assert first.ids[first.classes == 8] == second.ids[second.classes == 8]
    assert min(*first.ids, *second.ids) >= 1


def test_class_map_restores_the_image_of_ids():
    ids = np.random.default_rng(0).integers(0, 12, SIZE)
    classes = class_map(semantic_labels(ids, CAMVID, 0, "labels.png").segments)
    np.testing.assert_array_equal(classes, np.where(ids == 11, 255, ids))


def test_class_map_of_a_frame_without_segments_is_void():
    labels = semantic_labels(np.full(SIZE, 11), CAMVID, 0, "labels.png")
    assert len(labels.segments) == 0
    assert (class_map(labels.segments, void=-1) == -1).all()


def test_class_map_of_masks_lets_the_later_one_win():
    masks = np.zeros((2, *SIZE), dtype=bool)
    masks[0, :6], masks[1, 4:] = True, True
    segments = FrameSegments(0, np.array([1, 2]), np.array([5, 7]), np.ones(2), masks=masks)
    classes = class_map(segments)
    assert classes[:4].tolist() == [[5] * SIZE[1]] * 4
    assert (classes[4:] == 7).all()


@pytest.mark.parametrize(("mode", "highest"), [("1", 1), ("L", 255), ("P", 255), ("I;16", 65535)])
def test_id_image_is_read_whatever_its_depth(tmp_path: Path, mode: str, highest: int):
    ids = np.random.default_rng(0).integers(0, highest + 1, SIZE)
    if mode == "P":
        image = Image.fromarray(ids.astype(np.uint8))
        image = image.convert("P") if image.mode == "P" else image
        image.putpalette([value for index in range(256) for value in (255 - index, 3, 7)])
    elif mode == "1":
        image = Image.fromarray(ids.astype(bool))
    else:
        image = Image.fromarray(ids.astype(np.uint16 if mode == "I;16" else np.uint8))
    image.save(tmp_path / "ids.png")
    with Image.open(tmp_path / "ids.png") as saved:
        assert saved.mode == mode
    np.testing.assert_array_equal(read_id_image(tmp_path / "ids.png"), ids)


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_grey_of_few_bits_is_read_as_stored(tmp_path: Path, bits: int):
    rows = [bytes([0b00011011, 0b11100100]), bytes([0b11110000, 0b00001111])]
    width = 16 // bits
    path = tmp_path / "ids.png"
    path.write_bytes(grey_png(rows, width, bits))
    expected = [
        [int(digits[column * bits : (column + 1) * bits], 2) for column in range(width)]
        for digits in ("".join(f"{byte:08b}" for byte in row) for row in rows)
    ]
    assert read_id_image(path).tolist() == expected


def grey_png(rows: list[bytes], width: int, bits: int) -> bytes:
    """A grey PNG of packed rows, which Pillow itself cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        crc = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, len(rows), bits, 0, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_colour_image_is_refused_as_ids(tmp_path: Path):
    Image.new("RGB", (4, 4)).save(tmp_path / "colour.png")
    with pytest.raises(ValueError, match=r"colour\.png is an image of mode RGB"):
        read_id_image(tmp_path / "colour.png")


def test_jpeg_is_refused_as_ids(tmp_path: Path):
    Image.new("L", (8, 8)).save(tmp_path / "mask.jpg")
    with pytest.raises(ValueError, match=r"Mask .*mask\.jpg is a JPEG, which does not keep ids"):
        read_id_image(tmp_path / "mask.jpg", "Mask")


def test_missing_annotation_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"Annotation .*gone\.png does not exist"):
        read_id_image(tmp_path / "gone.png")


def test_truncated_annotation_is_named(tmp_path: Path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 9, (60, 60), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(OSError, match=r"Annotation .*cut\.png cannot be read"):
        read_id_image(path)


def plain_run_lengths(mask: np.ndarray) -> dict:
    flat = mask.ravel(order="F").astype(np.int8)
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, mask.size]).tolist()
    return {"size": list(mask.shape), "counts": counts if flat[0] == 0 else [0, *counts]}


@pytest.mark.parametrize("form", ["plain", "bytes", "text"])
def test_run_lengths_decode_to_the_mask_in_every_form(form: str):
    mask = triangle()
    compressed = encode_masks(mask[None])[0]
    segmentation = {
        "plain": plain_run_lengths(mask),
        "bytes": compressed,
        "text": dict(compressed, counts=compressed["counts"].decode()),
    }[form]
    decoded = decode_segmentation(segmentation, SIZE, "file: annotation 1")
    assert decoded.dtype == bool
    np.testing.assert_array_equal(decoded, mask)


def test_polygons_of_one_object_are_united():
    squares = [[0, 0, 4, 0, 4, 4, 0, 4], [10, 2, 16, 2, 16, 8, 10, 8]]
    mask = decode_segmentation(squares, SIZE, "file")
    expected = np.zeros(SIZE, dtype=bool)
    expected[:4, :4] = expected[2:8, 10:16] = True
    np.testing.assert_array_equal(mask, expected)


def test_encoding_keeps_every_mask():
    masks = np.stack([triangle(), ~triangle(), np.zeros(SIZE, dtype=bool)])
    decoded = coco_mask.decode(encode_masks(masks)).transpose(2, 0, 1)
    np.testing.assert_array_equal(decoded, masks)


def test_polygon_of_two_points_is_not_read_as_a_box():
    with pytest.raises(ValueError, match=r"a\.json: annotation 5 has a polygon"):
        decode_segmentation([[0, 0, 4, 4]], SIZE, "a.json: annotation 5")


def test_run_lengths_of_another_size_are_named():
    segmentation = encode_masks(np.zeros((1, 5, 5), dtype=bool))[0]
    with pytest.raises(ValueError, match=r"annotation 5 has run lengths for 5x5 pixels.*12x20"):
        decode_segmentation(segmentation, SIZE, "a.json: annotation 5")


def test_annotation_of_another_size_than_its_frame_is_named():
    labels = semantic_labels(np.zeros(SIZE, dtype=int), CAMVID, 0, "labels.png")
    check_size(labels, SIZE, "frame.jpg")
    with pytest.raises(ValueError, match=r"frame\.jpg has 24x40 pixels, .* has 12x20"):
        check_size(labels, (24, 40), "frame.jpg")


@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (40, 64)])
def test_runs_hold_the_values_and_pixels_of_an_image(shape: tuple[int, int]):
    image = np.random.default_rng(shape[0]).integers(0, 9, shape).repeat(3, axis=1) * 1_000_003
    runs = LabelRuns.of(image)
    values, counts = np.unique(image, return_counts=True)
    np.testing.assert_array_equal(runs.values, values)
    np.testing.assert_array_equal(runs.counts, counts)
    np.testing.assert_array_equal(runs.replaced_by(values), image)
    np.testing.assert_array_equal(
        runs.replaced_by(np.arange(len(values)))[0, 0], values.searchsorted(image[0, 0])
    )
