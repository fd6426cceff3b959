import cv2
import numpy as np
import pytest
from PIL import Image

from gvseg.inference.exemplar_options import PointedOut, parse_exemplar, point_out, read_masks
from tests.inference.followed_video import (
    BLUE,
    GREEN,
    RED,
    SIZE,
    assert_found,
    box_of,
    dataset,  # noqa: F401  the classes of the predictor
    make_predictor,
    mask_of,
    run,
)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("point", "310,205@12", PointedOut(12, point=(310, 205))),
        ("point", "3.5,4", PointedOut(0, point=(3.5, 4))),
        ("box", "1,2,30,40@7", PointedOut(7, box=(1, 2, 30, 40))),
    ],
)
def test_text_points_out_an_object_in_a_frame(kind, text, expected):
    assert parse_exemplar(kind, text) == expected


def test_mask_is_a_file_whose_name_may_have_an_at_sign(tmp_path):
    assert parse_exemplar("mask", "me@home.png@3").mask_file.name == "me@home.png"


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("point", "3,4,5@0", "is no point; give x,y@frame"),
        ("point", "3;4@0", "is no point"),
        ("point", "nan,4@0", "is no point"),
        ("box", "1,2,3@0", "is no box; give left,top,right,bottom@frame"),
        ("box", "1,2,3,4@-1", "names no frame after the @"),
        ("mask", "a.png@first", "names no frame"),
    ],
)
def test_text_that_points_out_nothing_is_refused(kind, text, message):
    with pytest.raises(ValueError, match=message):
        parse_exemplar(kind, text)


def write_mask(path, labels):
    image = Image.fromarray(labels.astype(np.uint8))
    image.putpalette(list(range(256)) * 3)
    image.save(path)
    return path


def test_point_box_and_mask_are_followed_and_identities_count_up(tmp_path):
    labels = 4 * mask_of(GREEN, 0) + 9 * mask_of(BLUE, 0)
    labels[0, 0] = 255  # void beside other values
    mask = parse_exemplar("mask", f"{write_mask(tmp_path / 'm.png', labels)}@0")
    top, left, bottom, right = box_of(RED, 0)
    box = parse_exemplar("box", f"{left},{top},{right},{bottom}@0")
    predictor = make_predictor()
    assert point_out(predictor, [box, mask], original=SIZE, size=SIZE) == [1, 2, 3]
    for t, segments in enumerate(run(predictor, 4)):
        assert_found(segments, {1: RED, 2: GREEN, 3: BLUE}, t)


def test_exemplars_follow_frames_that_are_made_smaller(tmp_path):
    double = (2 * SIZE[0], 2 * SIZE[1])
    top, left, bottom, right = (2 * edge for edge in box_of(GREEN, 0))
    box = PointedOut(0, box=(left, top, right, bottom))
    top, left, *_ = box_of(BLUE, 0)
    point = PointedOut(0, point=(2 * left + 16, 2 * top + 16))
    large = cv2.resize(mask_of(RED, 0).astype(np.uint8), double[::-1], interpolation=0)
    mask = PointedOut(0, mask_file=write_mask(tmp_path / "m.png", 255 * large))
    predictor = make_predictor()
    point_out(predictor, [box, point, mask], original=double, size=SIZE)
    for t, segments in enumerate(run(predictor, 3)):
        assert_found(segments, {1: GREEN, 2: BLUE, 3: RED}, t)


@pytest.mark.parametrize(
    ("exemplar", "message"),
    [
        (PointedOut(9, point=(400.0, 75.0)), r"400,75, pointed out in frame 9, .* 96 pixels wide"),
        (PointedOut(0, box=(1.0, 70.0, 5.0, 99.0)), r"1,70,5,99, .* 64 pixels high"),
        (PointedOut(0, point=(5.0, -1.0)), r"5,-1, .* 64 pixels high"),
    ],
)
def test_what_lies_outside_of_the_frames_is_told_in_the_users_pixels(exemplar, message):
    small = (SIZE[0] // 2, SIZE[1] // 2)
    with pytest.raises(ValueError, match=message):
        point_out(make_predictor(), [exemplar], original=SIZE, size=small)


def test_masks_that_do_not_fit_are_named(tmp_path):
    path = write_mask(tmp_path / "m.png", np.ones((5, 6)))
    with pytest.raises(ValueError, match=r"m\.png is 6x5 pixels but the video is 96x64"):
        list(read_masks(path, SIZE, SIZE))
    path = write_mask(tmp_path / "m.png", np.zeros(SIZE))
    with pytest.raises(ValueError, match=r"m\.png is 0 everywhere"):
        list(read_masks(path, SIZE, SIZE))
    with pytest.raises(FileNotFoundError, match=r"none\.png does not exist"):
        list(read_masks(tmp_path / "none.png", SIZE, SIZE))
