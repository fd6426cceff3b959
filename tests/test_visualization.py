import numpy as np
import pytest
from PIL import Image

from detectron2.data.catalog import Metadata

from gvseg.structures import FrameSegments
from gvseg.visualization import (
    ClassLegend,
    _Labels,
    bold_font,
    draw_segments,
    identity_color,
)

LEGEND = ClassLegend(("person", "road"), (True, False), ((255, 0, 0), (90, 60, 200)))
SIZE = (120, 200)
GREY = np.full((*SIZE, 3), 128, dtype=np.uint8)


def boxes_to_segments(boxes, ids=None, classes=None, size=SIZE):
    masks = np.zeros((len(boxes), *size), dtype=bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    count = len(boxes)
    return FrameSegments(
        frame_index=0,
        ids=np.arange(1, count + 1) if ids is None else np.array(ids),
        classes=np.zeros(count, np.int64) if classes is None else np.array(classes),
        scores=np.linspace(0.9, 0.5, count).astype(np.float32),
        masks=masks,
    )


def test_object_is_tinted_in_the_colour_of_its_identity_whatever_its_place_in_the_list():
    box = (40, 40, 80, 80)
    other = (40, 120, 80, 160)
    alone = draw_segments(GREY, boxes_to_segments([box], ids=[7]), LEGEND)
    second = draw_segments(GREY, boxes_to_segments([other, box], ids=[3, 7]), LEGEND)
    np.testing.assert_array_equal(alone[60, 60], second[60, 60])
    expected = 0.55 * 128 + 0.45 * np.array(identity_color(7))
    np.testing.assert_allclose(alone[60, 60], expected, atol=1)
    assert np.abs(second[60, 60].astype(int) - second[60, 140]).max() > 30


def test_stuff_has_the_colour_of_its_class():
    index_map = np.zeros(SIZE, dtype=np.int16)
    index_map[:60] = -1
    segments = FrameSegments(
        0, np.array([2]), np.array([1]), np.ones(1, np.float32), index_map=index_map
    )
    drawn = draw_segments(GREY, segments, LEGEND, with_labels=False)
    np.testing.assert_allclose(drawn[90, 100], 0.45 * 128 + 0.55 * np.array((90, 60, 200)), atol=1)
    np.testing.assert_array_equal(drawn[:50], GREY[:50])


def test_masks_and_map_of_things_give_the_same_picture():
    as_masks = boxes_to_segments([(10, 10, 60, 60), (70, 90, 110, 180)])
    index_map = np.full(SIZE, -1, dtype=np.int16)
    for position in range(2):
        index_map[as_masks.mask(position)] = position
    as_map = FrameSegments(0, as_masks.ids, as_masks.classes, as_masks.scores, index_map=index_map)
    np.testing.assert_array_equal(
        draw_segments(GREY, as_masks, LEGEND), draw_segments(GREY, as_map, LEGEND)
    )


def test_smaller_of_overlapping_objects_lies_in_front():
    for boxes, ids in [
        ([(20, 20, 110, 180), (50, 80, 80, 110)], [1, 2]),
        ([(50, 80, 80, 110), (20, 20, 110, 180)], [2, 1]),
    ]:
        drawn = draw_segments(GREY, boxes_to_segments(boxes, ids=ids), LEGEND, with_labels=False)
        expected = 0.55 * 128 + 0.45 * np.array(identity_color(2))
        np.testing.assert_allclose(drawn[65, 95], expected, atol=1)


def test_layout_in_memory_does_not_matter():
    segments = boxes_to_segments([(40, 40, 80, 80)])
    expected = draw_segments(GREY, segments, LEGEND)
    drawn = draw_segments(np.asfortranarray(GREY), segments, LEGEND)
    np.testing.assert_array_equal(drawn, expected)


def test_frame_is_left_as_it_is():
    image = GREY.copy()
    segments = boxes_to_segments([(10, 10, 60, 60)])
    draw_segments(image, segments, LEGEND)
    np.testing.assert_array_equal(image, GREY)
    nothing = boxes_to_segments([])
    drawn = draw_segments(image, nothing, LEGEND)
    np.testing.assert_array_equal(drawn, GREY)
    assert drawn is not image


def test_outline_has_the_full_colour():
    drawn = draw_segments(GREY, boxes_to_segments([(40, 40, 100, 160)]), LEGEND, with_labels=False)
    for pixel in (drawn[40, 100], drawn[70, 159]):  # softened by anti-aliasing
        np.testing.assert_allclose(pixel, identity_color(1), atol=25)


@pytest.mark.parametrize(
    "box", [(0, 0, 9, 9), (111, 0, 120, 9), (0, 191, 9, 200), (111, 191, 120, 200)]
)
def test_label_of_an_object_in_a_corner_is_wholly_in_the_frame(box):
    segments = boxes_to_segments([box])
    plain = draw_segments(GREY, segments, LEGEND, with_labels=False)
    labelled = draw_segments(GREY, segments, LEGEND)
    rows, columns = np.nonzero((plain != labelled).any(-1))
    in_the_middle = draw_segments(GREY, boxes_to_segments([(60, 40, 69, 49)]), LEGEND)
    rows_whole, columns_whole = np.nonzero((in_the_middle != GREY).any(-1))
    assert np.ptp(columns) >= np.ptp(columns_whole) - 1
    assert np.ptp(rows) >= np.ptp(rows_whole) - 9 - 1  # less the object itself


def test_label_of_an_annotation_has_no_score():
    segments = boxes_to_segments([(60, 40, 100, 160)])
    plain = draw_segments(GREY, segments, LEGEND, with_labels=False)
    widths = []
    for with_scores in (True, False):
        labelled = draw_segments(GREY, segments, LEGEND, with_scores=with_scores)
        widths.append(np.ptp(np.nonzero((plain != labelled).any(-1))[1]))
    assert 20 < widths[1] < widths[0] - 20


def make_labels(*, is_crowded=False):
    return _Labels(Image.new("RGB", (200, 120)), is_crowded=is_crowded)


def test_labels_of_neighbours_avoid_each_other():
    labels = make_labels()
    corners = [(10, 10), (10, 40), (80, 10)]
    places = [labels.take_room(corners, (50, 12)) for _ in range(4)]
    assert [place and place[:2] for place in places] == [(10, 10), (10, 40), (80, 10), None]


def test_label_without_room_shrinks_to_its_shorter_form_or_is_left_out():
    labels = make_labels()
    labels.taken = [(0, 0, 80, 120), (120, 0, 200, 120)]  # a gap of 40 pixels is left
    labels.tag(["person 17  0.95", "17"], (90, 50, 110, 70), (200, 30, 40))
    left, _, right, _ = labels.taken[2]
    assert 80 <= left < right <= 120
    labels.taken.append((80, 0, 120, 120))
    labels.tag(["person 18  0.95", "18"], (90, 50, 110, 70), (200, 30, 40))
    assert len(labels.taken) == 4


@pytest.mark.parametrize(("width", "is_whole"), [(20, False), (180, True)])
def test_label_larger_than_its_object_shrinks_in_a_crowd(width, is_whole):
    full = {}
    for is_crowded in (False, True):
        labels = make_labels(is_crowded=is_crowded)
        labels.tag(["person 17  0.95", "17"], (10, 50, 10 + width, 90), (200, 30, 40))
        (place,) = labels.taken
        full[is_crowded] = place[2] - place[0] > 50
    assert full == {False: True, True: is_whole}


@pytest.mark.parametrize("factor", [1, 3, 9])
def test_letters_and_lines_grow_with_the_frame(factor):
    size = (120 * factor, 200 * factor)
    image = np.full((*size, 3), 128, dtype=np.uint8)
    box = tuple(factor * length for length in (60, 60, 110, 180))
    segments = boxes_to_segments([box], size=size)
    plain = draw_segments(image, segments, LEGEND, with_labels=False)
    labelled = draw_segments(image, segments, LEGEND)
    label_height = np.ptp(np.nonzero((plain != labelled).any((1, 2)))[0]) + 1
    assert label_height >= 15
    assert 0.03 <= label_height / size[0] <= 0.15
    left_half = plain[factor * 85, : 120 * factor].astype(int)
    line_width = (np.abs(left_half - identity_color(1)).max(-1) <= 25).sum()
    assert max(round(size[0] / 300), 1) <= line_width <= size[0] / 300 + 3


def to_oklab(color):
    """B. Ottosson's forward matrices, which the package has inverted."""
    rgb = np.array(color) / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return lab @ np.cbrt(cones @ linear)


def test_identities_close_in_number_have_colours_far_apart():
    labs = np.array([to_oklab(identity_color(identity)) for identity in range(1, 61)])
    distance = np.linalg.norm(labs[:, None] - labs[None], axis=-1)
    apart = np.abs(np.arange(60)[:, None] - np.arange(60))
    assert distance[(apart > 0) & (apart <= 8)].min() > 0.10
    assert distance[(apart > 0) & (apart <= 23)].min() > 0.05


def test_segments_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"\(60, 100\) pixels cannot be drawn"):
        draw_segments(GREY, boxes_to_segments([], size=(60, 100)), LEGEND)


def test_label_font_draws_letters_of_many_alphabets():
    font = bold_font(20)
    missing = font.getmask("\ufffe").getbbox()
    for letter in "aßłя":
        assert font.getmask(letter).getbbox() != missing


def metadata(**entries):
    return Metadata(name="tiny", **entries)


def test_legend_of_a_panoptic_dataset_tells_things_from_stuff():
    names = ["person", "road", "car"]
    legend = ClassLegend.from_metadata(
        metadata(
            thing_classes=names,
            stuff_classes=names,
            thing_colors=[[1, 2, 3]] * 3,
            thing_dataset_id_to_contiguous_id={24: 0, 26: 2},
            stuff_dataset_id_to_contiguous_id={7: 1},
        )
    )
    assert legend == ClassLegend(tuple(names), (True, False, True), ((1, 2, 3),) * 3, (24, 7, 26))


def test_legend_of_names_alone_has_things_and_colours():
    legend = ClassLegend.from_metadata(metadata(thing_classes=["a", "b"]))
    assert legend.is_thing == (True, True)
    assert legend.colors == (identity_color(1), identity_color(2))


def test_legend_of_a_semantic_dataset_has_no_things():
    legend = ClassLegend.from_metadata(metadata(stuff_classes=["sky"], stuff_colors=[[9, 9, 9]]))
    assert legend == ClassLegend(("sky",), (False,), ((9, 9, 9),))


def test_legend_without_names_is_refused():
    with pytest.raises(ValueError, match="'tiny' has no class names"):
        ClassLegend.from_metadata(metadata(evaluator_type="none"))


def test_objects_of_two_classes_numbered_by_thousands_have_different_colors():
    """1000 * class + number, as label images have it: each class has an object 1."""
    colors = {identity_color(1000 * class_id + 1) for class_id in range(9)}
    assert len(colors) == 9
