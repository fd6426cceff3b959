import numpy as np
import pytest
from pycocotools import mask as coco_mask

from gvseg.data.mask_annotations import compact, decode_mask, frame_labels, num_pixels
from gvseg.data.synthetic.json_entries import run_lengths

SIZE = (30, 40)


def noise(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Return a mask of blocks, large and small, and sometimes of nothing or of everything."""
    side = int(rng.integers(1, 9))
    blocks = rng.random((size[0] // side + 1, size[1] // side + 1)) < rng.choice([0, 0.2, 0.5, 1])
    return np.kron(blocks, np.ones((side, side), dtype=bool))[: size[0], : size[1]]


def compressed(mask: np.ndarray) -> dict:
    return coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))


def test_all_three_kinds_of_run_lengths_give_the_mask():
    rng = np.random.default_rng(0)
    for _ in range(50):
        mask = noise(rng, SIZE)
        in_bytes = compressed(mask)
        in_text = {"size": [*SIZE], "counts": in_bytes["counts"].decode()}
        for given in (run_lengths(mask), in_text, in_bytes):
            kept = compact(given, SIZE)
            assert kept == {"size": [*SIZE], "counts": in_bytes["counts"]}
            np.testing.assert_array_equal(decode_mask(kept, SIZE, "mask"), mask)


def test_polygons_give_the_mask_of_coco_itself():
    polygons = [[3, 2, 20, 4, 17.5, 25], [25, 5, 35, 5, 35, 12, 25, 12]]
    expected = coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, *SIZE)))
    kept = compact([*polygons, [1, 1, 2, 2]], SIZE)
    assert kept == polygons
    np.testing.assert_array_equal(decode_mask(kept, SIZE, "mask"), expected.astype(bool))


def test_number_of_pixels_is_read_from_compressed_counts():
    rng = np.random.default_rng(1)
    for _ in range(200):
        size = tuple(rng.integers(1, 90, 2))
        assert num_pixels(compressed(noise(rng, size))["counts"]) == size[0] * size[1]
    wide = np.zeros((3000, 4000), dtype=bool)
    wide[7, 3000:3002] = True
    assert num_pixels(compressed(wide)["counts"]) == 12_000_000


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": [40, 30], "counts": [1200]}, "has run lengths for 40x30 pixels, but its frame"),
        ({"size": [30, 40], "counts": [7, 10]}, "has run lengths for 17 pixels, but its frame"),
        ({"size": [30, 40]}, "has neither polygons nor run lengths"),
        ([[1, 1, 5, 5]], "has no polygon of three points"),
        ([[1, 1, 5, 5, 2]], "has no polygon of three points"),
        ([], "has no polygon of three points"),
    ],
)
def test_what_is_no_mask_of_the_frame_is_refused(given: list | dict, message: str):
    with pytest.raises(ValueError, match=message):
        compact(given, SIZE)


@pytest.mark.parametrize("change", [slice(None, -1), slice(None, -4), slice(0, 0), slice(2, None)])
def test_cut_run_lengths_are_refused_with_their_source(change: slice):
    mask = np.zeros(SIZE, dtype=bool)
    mask[4:20, 10:34] = True
    counts = compressed(mask)["counts"][change]
    with pytest.raises(ValueError, match=r"^a\.json: annotation 4 has run lengths"):
        decode_mask({"size": [*SIZE], "counts": counts}, SIZE, "a.json: annotation 4")


def test_run_lengths_of_fewer_pixels_are_refused():
    """Decoded, the rest of the mask would be whatever was in memory."""
    counts = compressed(np.ones((15, 40), dtype=bool))["counts"]
    with pytest.raises(ValueError, match=r"has run lengths for 600 pixels, but its frame has 1200"):
        decode_mask({"size": [*SIZE], "counts": counts}, SIZE, "a.json")


class TestFrameLabels:
    def test_columns_follow_the_annotations(self):
        rng = np.random.default_rng(2)
        masks = [noise(rng, SIZE) for _ in range(3)]
        annotations = [
            {
                "id": number,
                "class_index": 5 - number,
                "iscrowd": number == 1,
                "area": None if number == 2 else 1000 + number,
                "segmentation": compact(run_lengths(mask), SIZE),
            }
            for number, mask in enumerate(masks)
        ]
        labels = frame_labels(annotations, [9, 4, 6], SIZE, 17, "a.json")
        assert labels.segments.frame_index == 17
        assert labels.segments.ids.tolist() == [9, 4, 6]
        assert labels.segments.classes.tolist() == [5, 4, 3]
        assert labels.is_crowd.tolist() == [False, True, False]
        assert labels.areas.tolist() == [1000, 1001, masks[2].sum()]
        np.testing.assert_array_equal(labels.segments.masks, masks)

    def test_frame_without_objects_has_its_size(self):
        labels = frame_labels([], [], SIZE, 0, "a.json")
        assert (len(labels.segments), labels.size) == (0, SIZE)
        assert labels.areas.shape == labels.is_crowd.shape == (0,)
