import cv2
import numpy as np
import pytest

from gvseg.evaluation.boundary import boundary_f, contour_map, tolerance_pixels


def slow_contour(mask: np.ndarray) -> np.ndarray:
    """Follow the Berkeley benchmark word by word, pixel by pixel."""
    height, width = mask.shape
    contour = np.zeros((height, width), dtype=bool)
    for y in range(height):
        for x in range(width):
            right = x + 1 < width and mask[y, x] != mask[y, x + 1]
            below = y + 1 < height and mask[y, x] != mask[y + 1, x]
            both = y + 1 < height and x + 1 < width and mask[y, x] != mask[y + 1, x + 1]
            contour[y, x] = right or below or both
    return contour


def slow_f(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Match whole frames by the distance of each contour pixel to the other contour."""
    radius = tolerance_pixels(truth.shape)
    contours = np.argwhere(slow_contour(truth)), np.argwhere(slow_contour(prediction))
    if not len(contours[0]) or not len(contours[1]):
        return float(len(contours[0]) == len(contours[1]))
    offsets = contours[0][:, None] - contours[1][None]
    is_near = (offsets**2).sum(-1) <= radius**2
    recall = int(is_near.any(1).sum()) / len(contours[0])
    precision = int(is_near.any(0).sum()) / len(contours[1])
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def random_mask(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draw nothing, everything, blobs anywhere and at the edges, or noise."""
    kind = rng.integers(5)
    if kind < 2:
        return np.full(size, bool(kind))
    noise = rng.random(size).astype(np.float32)
    if kind < 4:
        noise = cv2.GaussianBlur(noise, (0, 0), rng.uniform(1, 4))
    return noise > np.quantile(noise, rng.uniform(0.3, 0.999))


def test_contour_of_one_pixel():
    mask = np.zeros((3, 4), dtype=bool)
    mask[1, 1] = True
    assert contour_map(mask).tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]]


def test_contour_at_the_last_row_and_column():
    """As in the official code, nothing is there where the mask goes on to the frame's edge."""
    mask = np.zeros((3, 4), dtype=bool)
    mask[1:, 2:] = True
    assert contour_map(mask).tolist() == [[0, 1, 1, 1], [0, 1, 0, 0], [0, 1, 0, 0]]


def test_f_worked_by_hand():
    """A tolerance of one pixel, two squares of 2x2 whose contours lie three columns apart.

    The contour of each is the rim of 3x3 pixels: columns 3, 4, 5 and 6, 7, 8. Column 5 (3 pixels)
    lies one from column 6 (3 pixels), the rest further: precision and recall are 3/8.
    """
    truth, prediction = np.zeros((40, 40), dtype=bool), np.zeros((40, 40), dtype=bool)
    truth[4:6, 4:6] = True
    prediction[4:6, 7:9] = True
    assert tolerance_pixels(truth.shape) == 1
    assert boundary_f(truth, prediction) == 3 / 8


@pytest.mark.parametrize(
    ("size", "radius"), [((60, 100), 1), ((480, 854), 8), ((720, 1280), 12), ((1080, 1920), 18)]
)
def test_tolerance_follows_the_diagonal(size: tuple[int, int], radius: int):
    assert tolerance_pixels(size) == radius


def test_f_of_what_has_no_contour():
    nothing, everything = np.zeros((20, 30), dtype=bool), np.ones((20, 30), dtype=bool)
    part = nothing.copy()
    part[5:9, 5:9] = True
    assert boundary_f(nothing, nothing) == 1
    assert boundary_f(part, nothing) == boundary_f(nothing, part) == 0
    assert boundary_f(nothing, everything) == 1, "a mask that fills the frame has no contour"
    assert boundary_f(part, part) == 1


@pytest.mark.parametrize("seed", range(150))
def test_f_is_the_slow_definition_bit_for_bit(seed: int):
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 70, 2).tolist())
    truth, prediction = random_mask(rng, size), random_mask(rng, size)
    np.testing.assert_array_equal(contour_map(truth), slow_contour(truth))
    assert boundary_f(truth, prediction) == slow_f(truth, prediction)


def test_wide_tolerance_is_the_slow_definition_bit_for_bit():
    """Masks apart, at the edge and far from it, where a disk reaches beyond their boxes."""
    rng = np.random.default_rng(0)
    for _ in range(3):
        truth, prediction = np.zeros((300, 400), dtype=bool), np.zeros((300, 400), dtype=bool)
        top, left = rng.integers(0, 200, 2)
        truth[top : top + 80, left : left + 60] = True
        prediction[max(top - 3, 0) : top + 77, left + 5 :] = True
        assert 0 < boundary_f(truth, prediction) == slow_f(truth, prediction) < 1
