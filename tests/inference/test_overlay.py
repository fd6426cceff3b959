import numpy as np
import pytest

from gvseg.inference.overlay import OverlayWriter, Trails
from gvseg.inference.sources import Frame
from gvseg.inference.video_info import VideoInfo
from gvseg.visualization import draw_segments, identity_color
from tests.inference.painted_video import COLORS, LEGEND, crossing_video, paint, true_segments

VIDEO = VideoInfo("walk", (64, 96), None, None, LEGEND)


class Kept:
    def __init__(self):
        self.files = []
        self.pictures = []

    def open(self, size, frame_rate):
        self.size = size

    def write(self, frame, picture):
        self.pictures.append(picture)

    def close(self):
        pass


def pictures_of(images, **options):
    sink = Kept()
    writer = OverlayWriter([sink], **options)
    writer.open(VIDEO)
    for index, image in enumerate(images):
        writer.write(Frame(index, None, image), true_segments(image, index))
    writer.close()
    assert all(picture.shape == (*sink.size, 3) for picture in sink.pictures)
    return sink.pictures


def test_side_by_side_has_the_frame_left_and_the_overlay_right():
    (image,) = crossing_video(1)
    (picture,) = pictures_of([image], view="side-by-side")
    np.testing.assert_array_equal(picture[:, :96], image)
    np.testing.assert_array_equal(
        picture[:, 96:], draw_segments(image, true_segments(image, 0), LEGEND)
    )


def test_masks_alone_have_the_colour_of_their_identity_in_every_frame():
    for image, picture in zip(
        crossing_video(6), pictures_of(crossing_video(6), view="masks"), strict=True
    ):
        for class_index in range(3):
            mask = (image == COLORS[class_index]).all(-1)
            assert (picture[mask] == identity_color(class_index + 1)).all()
        assert not picture[~image.any(-1)].any()


def test_trail_goes_through_the_last_places_and_no_further():
    places = [(0, 10 * t, 6, 10 * t + 6) for t in range(8)]
    pictures = pictures_of([paint((64, 96), {0: box}) for box in places], view="masks", trail=3)
    # From the middle of frame 5 to that of frame 7.
    assert pictures[-1][1:5, 55:72].any((0, 2)).all()
    assert not pictures[-1][:, :50].any()


@pytest.mark.parametrize("view", ["overlay", "side-by-side"])
def test_trail_is_drawn_over_the_labels_too(view):
    plain = pictures_of(crossing_video(4), view=view)
    trailed = pictures_of(crossing_video(4), view=view, trail=4)
    assert (plain[3] != trailed[3]).any()


def test_objects_that_are_gone_leave_no_trail_behind():
    trails = Trails(2, LEGEND)
    picture = np.zeros((64, 96, 3), np.uint8)
    trails.draw(picture, true_segments(paint((64, 96), {0: (0, 0, 9, 9)}), 0))
    for t in range(3):
        trails.draw(picture, true_segments(paint((64, 96), {1: (20, t, 29, t + 9)}), t + 1))
    assert set(trails._places) == {2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"view": "double"}, "'double'; choose from overlay, side-by-side, masks"),
        ({"trail": -1}, "cannot be -1 frames"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        OverlayWriter([], **options)
