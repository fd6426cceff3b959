import cv2
import numpy as np
import pytest
from fvcore.transforms.transform import CropTransform, HFlipTransform, Transform, TransformList
from PIL import Image

from gvseg.data.transforms import (
    PAD_VALUE,
    AffineTransform,
    ExactResizeTransform,
    PhotometricTransform,
    Photometry,
    ResizedCropTransform,
    fuse,
)

FRAME = np.random.default_rng(0).integers(0, 256, (24, 36, 3), dtype=np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32])
def test_resized_labels_are_sampled_at_pixel_centres(dtype: type):
    labels = np.arange(12, dtype=dtype).reshape(3, 4)
    enlarged = ExactResizeTransform(3, 4, 6, 8).apply_segmentation(labels)
    np.testing.assert_array_equal(enlarged, labels.repeat(2, axis=0).repeat(2, axis=1))
    every_third = ExactResizeTransform(9, 9, 3, 3).apply_segmentation(
        np.arange(81, dtype=dtype).reshape(9, 9)
    )
    assert every_third.tolist() == [[10, 13, 16], [37, 40, 43], [64, 67, 70]]


@pytest.mark.parametrize("new_size", [(12, 18), (31, 47), (24, 36), (50, 70), (7, 90)])
@pytest.mark.parametrize("is_flipped", [False, True])
def test_frames_are_resized_as_pillow_does(new_size: tuple[int, int], is_flipped: bool):
    frame = FRAME[:, ::-1] if is_flipped else FRAME
    resized = ExactResizeTransform(24, 36, *new_size).apply_image(frame)
    expected = np.asarray(Image.fromarray(frame).resize(new_size[::-1], Image.Resampling.BILINEAR))
    assert resized.dtype == np.uint8
    assert resized.shape == (*new_size, 3)
    difference = np.abs(resized.astype(int) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 0.25, "rounding alone, most of it where one side grows a lot"


def test_frame_that_may_not_be_written_is_resized_too():
    frozen = FRAME.copy()
    frozen.flags.writeable = False
    resize = ExactResizeTransform(24, 36, 12, 18)
    np.testing.assert_array_equal(resize.apply_image(frozen), resize.apply_image(FRAME))
    np.testing.assert_array_equal(frozen, FRAME)


class TestResizedCrop:
    """One step against the two that it stands for."""

    def steps(self, rng: np.random.Generator) -> list[Transform]:
        height, width = rng.integers(20, 300, 2)
        crop_height, crop_width = rng.integers(1, [height + 1, width + 1])
        top = int(rng.integers(height - crop_height + 1))
        left = int(rng.integers(width - crop_width + 1))
        return [
            ExactResizeTransform(*self.frame.shape[:2], int(height), int(width)),
            CropTransform(left, top, int(crop_width), int(crop_height)),
        ]

    frame = np.random.default_rng(1).integers(0, 256, (111, 173, 3), dtype=np.uint8)

    def test_pixels_are_those_of_a_resize_and_a_crop(self):
        rng = np.random.default_rng(0)
        num_pixels = num_different = 0
        for _ in range(100):
            steps = self.steps(rng)
            expected = TransformList(steps).apply_image(self.frame)
            moved = ResizedCropTransform(*steps).apply_image(self.frame)
            difference = np.abs(moved.astype(int) - expected)
            assert difference.shape == expected.shape
            assert difference.max() <= 2
            num_pixels += difference.size
            num_different += np.count_nonzero(difference)
        assert num_different < 0.05 * num_pixels

    def test_labels_and_points_move_exactly_as_in_two_steps(self):
        steps = self.steps(np.random.default_rng(3))
        fused = ResizedCropTransform(*steps)
        labels = self.frame[..., 0].astype(np.uint16)
        np.testing.assert_array_equal(
            fused.apply_segmentation(labels), TransformList(steps).apply_segmentation(labels)
        )
        points = np.array([[3.0, 4.0], [50.0, 60.0]])
        np.testing.assert_allclose(
            fused.apply_coords(points.copy()), TransformList(steps).apply_coords(points.copy())
        )

    def test_a_resize_takes_up_the_crop_behind_it_and_nothing_else(self):
        resize, crop = self.steps(np.random.default_rng(0))
        flip = HFlipTransform(crop.w)
        fused = fuse([flip, TransformList([resize, crop]), flip])
        assert [type(step) for step in fused] == [
            HFlipTransform, ResizedCropTransform, HFlipTransform
        ]  # fmt: skip
        assert fuse([resize, flip, crop]) == [resize, flip, crop]
        assert fuse([crop, resize]) == [crop, resize]


def test_identity_matrix_leaves_frame_and_labels():
    transform = AffineTransform(np.eye(2, 3))
    np.testing.assert_array_equal(transform.apply_image(FRAME), FRAME)
    np.testing.assert_array_equal(transform.apply_segmentation(FRAME[..., 0]), FRAME[..., 0])


def test_half_turn_about_the_centre_is_exact():
    matrix = cv2.getRotationMatrix2D((36 / 2, 24 / 2), 180, 1)
    transform = AffineTransform(matrix)
    np.testing.assert_array_equal(transform.apply_image(FRAME), FRAME[::-1, ::-1])
    np.testing.assert_array_equal(transform.apply_segmentation(FRAME[..., 0]), FRAME[::-1, ::-1, 0])


def test_pixels_from_outside_are_grey_and_void():
    shift = np.array([[1.0, 0, 5], [0, 1, 0]])
    transform = AffineTransform(shift)
    assert (transform.apply_image(FRAME)[:, :5] == PAD_VALUE).all()
    np.testing.assert_array_equal(transform.apply_image(FRAME)[:, 5:], FRAME[:, :-5])
    assert (transform.apply_segmentation(np.ones((24, 36), np.int16))[:, :5] == 0).all()


def test_coordinates_move_with_the_pixels():
    matrix = cv2.getRotationMatrix2D((10, 8), 25, 1.2)
    labels = np.zeros((24, 36), np.uint8)
    labels[9:12, 14:17] = 1
    moved = AffineTransform(matrix).apply_segmentation(labels)
    rows, columns = np.nonzero(moved)
    centre = AffineTransform(matrix).apply_coords(np.array([[15.5, 10.5]]))[0]
    np.testing.assert_allclose([columns.mean() + 0.5, rows.mean() + 0.5], centre, atol=0.3)


def test_brightness_and_contrast_clip_at_black_and_white():
    change = PhotometricTransform(Photometry(gain=2.0, offset=-50))
    expected = np.clip(2 * FRAME.astype(int) - 50, 0, 255)
    np.testing.assert_array_equal(change.apply_image(FRAME), expected)


def test_hue_turns_red_into_green_and_blue():
    red = np.full((2, 2, 3), [200, 0, 0], dtype=np.uint8)
    third = PhotometricTransform(Photometry(hue=120)).apply_image(red)[0, 0].astype(int)
    np.testing.assert_allclose(third, [0, 200, 0], atol=5)
    two_thirds = PhotometricTransform(Photometry(hue=-120)).apply_image(red)[0, 0].astype(int)
    np.testing.assert_allclose(two_thirds, [0, 0, 200], atol=5)


def test_no_saturation_leaves_grey_of_the_same_value():
    grey = PhotometricTransform(Photometry(saturation=0.0)).apply_image(FRAME)
    np.testing.assert_array_equal(grey, np.repeat(FRAME.max(axis=2, keepdims=True), 3, axis=2))


def test_colours_leave_labels_alone():
    labels = FRAME[..., 0]
    assert PhotometricTransform(Photometry(gain=3)).apply_segmentation(labels) is labels
