import numpy as np
import pytest
from pycocotools import mask as coco_mask

from gvseg.evaluation.mask_overlaps import (
    box_overlaps_of_segments,
    overlaps_of_run_lengths,
    overlaps_of_segments,
)
from tests.evaluation.stream import instance_segments, object_segments


def random_masks(seed: int, num: int, size: tuple[int, int] = (13, 17)) -> np.ndarray:
    rng = np.random.default_rng(seed)
    masks = rng.random((num, *size)) < rng.random((num, 1, 1))
    masks[:1] = False  # one is empty
    return masks


def encode(masks: np.ndarray) -> list[dict]:
    return [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]


def check(overlaps, truth: np.ndarray, prediction: np.ndarray) -> None:
    expected = np.einsum("ghw,phw->gp", truth.astype(int), prediction.astype(int))
    np.testing.assert_array_equal(overlaps.intersections, expected)
    np.testing.assert_array_equal(overlaps.truth_areas, truth.sum(axis=(1, 2)))
    np.testing.assert_array_equal(overlaps.prediction_areas, prediction.sum(axis=(1, 2)))


@pytest.mark.parametrize("num", [0, 1, 7, 300])
def test_pixels_are_counted_exactly_by_each_way(num: int):
    truth, prediction = random_masks(1, 5), random_masks(2, num)
    check(overlaps_of_run_lengths(encode(truth), encode(prediction)), truth, prediction)
    segments = [
        instance_segments(masks, [0] * len(masks), [1.0] * len(masks))
        for masks in (truth, prediction)
    ]
    check(overlaps_of_segments(*segments), truth, prediction)


def test_maps_are_counted_as_their_masks():
    rng = np.random.default_rng(0)
    maps = [object_segments(rng.integers(0, 5, (9, 11))) for _ in range(2)]
    masks = [np.stack([one.mask(n) for n in range(len(one))]) for one in maps]
    check(overlaps_of_segments(*maps), *masks)
    mixed = instance_segments(masks[1], [0] * len(masks[1]), [1.0] * len(masks[1]))
    check(overlaps_of_segments(maps[0], mixed), *masks)


def test_large_masks_are_counted_exactly():
    """IoU of large masks is near to that of many other pairs of counts."""
    rng = np.random.default_rng(3)
    truth = np.ones((1, 1080, 1920), dtype=bool)
    prediction = truth.copy()
    prediction[0].ravel()[rng.permutation(1080 * 1920)[:3]] = False
    check(overlaps_of_run_lengths(encode(truth), encode(prediction)), truth, prediction)


def test_boxes_are_those_around_the_masks():
    """Boxes of 2x3 and of 3x2 pixels that share 2x2."""
    masks = np.zeros((2, 6, 6), dtype=bool)
    masks[0, 1, 1] = masks[0, 2, 3] = True
    masks[1, 1, 2] = masks[1, 3, 3] = True
    one, other = (instance_segments(mask[None], [0], [1.0]) for mask in masks)
    overlaps = box_overlaps_of_segments(one, other)
    assert (overlaps.truth_areas.tolist(), overlaps.prediction_areas.tolist()) == ([6], [6])
    assert overlaps.intersections.tolist() == [[4]]
    assert overlaps.iou.tolist() == [[0.5]]


def test_masks_of_different_sizes_are_named():
    small, large = encode(np.ones((1, 2, 2), bool)), encode(np.ones((1, 3, 2), bool))
    with pytest.raises(ValueError, match=r"sizes \[\(2, 2\), \(3, 2\)\]"):
        overlaps_of_run_lengths(small, large)
    one, other = object_segments(np.ones((2, 2), int)), object_segments(np.ones((3, 2), int))
    for compare in (overlaps_of_segments, box_overlaps_of_segments):
        with pytest.raises(ValueError, match="sizes"):
            compare(one, other)
