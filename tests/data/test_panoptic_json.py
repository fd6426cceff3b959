from pathlib import Path

import numpy as np
import pytest

from gvseg.data.class_table import read_class_table
from gvseg.data.panoptic_image import write_rgb_values
from gvseg.data.panoptic_json import (
    FrameAnnotation,
    ListedFrame,
    category_entries,
    frame_annotations,
    panoptic_record,
    read_panoptic_labels,
    report_unmatched,
)
from gvseg.data.problems import AnnotationError, Problem

CLASSES = read_class_table("cityscapes")
JSON = Path("panoptic.json")


def entry(*segments: dict, image_id: str = "a") -> dict:
    return {"image_id": image_id, "file_name": f"{image_id}.png", "segments_info": list(segments)}


def segment(number: int, category_id: int, iscrowd: int = 0) -> dict:
    return {"id": number, "category_id": category_id, "iscrowd": iscrowd}


def record_of(folder: Path, *entries: dict) -> dict:
    annotations = frame_annotations({"annotations": list(entries)}, folder, CLASSES, JSON)
    frames = [ListedFrame(Path(f"{image_id}.jpg"), image_id, (2, 3)) for image_id in annotations]
    return panoptic_record("video", frames, annotations, JSON)


def test_labels_are_those_of_image_and_json(tmp_path: Path):
    write_rgb_values(tmp_path / "a.png", np.array([[0, 7, 7], [3, 70_000, 500]]))
    record = record_of(
        tmp_path,
        entry(segment(70_000, 13, iscrowd=1), segment(7, 10), segment(500, 13), segment(3, 13)),
    )
    labels = read_panoptic_labels(record, 0, CLASSES)
    found = {
        int(identity): (int(class_index), bool(is_crowd), labels.segments.mask(position).sum())
        for position, (identity, class_index, is_crowd) in enumerate(
            zip(labels.segments.ids, labels.segments.classes, labels.is_crowd, strict=True)
        )
    }
    # The sky has the identity of its class; the car numbered 3 may not have that of building.
    assert found == {
        11: (10, False, 2),
        500: (13, False, 1),
        70_000: (13, True, 1),
        3 + 2**24: (13, False, 1),
    }
    assert labels.segments.index_map[0, 0] == -1


def test_order_and_areas_are_those_of_the_json(tmp_path: Path):
    """Official scores go by both. Segments of one class of stuff are one, as early as the first."""
    write_rgb_values(tmp_path / "a.png", np.array([[0, 7, 7], [3, 70_000, 500]]))
    listed = [segment(70_000, 10) | {"area": 5}, segment(500, 13) | {"area": 9}, segment(3, 13)]
    record = record_of(tmp_path, entry(*listed, segment(7, 10) | {"area": 4}))
    labels = read_panoptic_labels(record, 0, CLASSES)
    assert labels.segments.ids.tolist() == [11, 500, 3 + 2**24]
    assert labels.areas.tolist() == [5 + 4, 9, 1]
    assert labels.segments.index_map.tolist() == [[-1, 0, 0], [2, 0, 1]]


def test_frames_without_annotation_are_those_not_annotated():
    segments = frame_annotations({"annotations": [entry()]}, Path(), CLASSES, JSON)["a"].segments
    frames = [ListedFrame(Path(f"{name}.jpg"), name, (2, 3)) for name in "xay"]
    annotations = {"a": FrameAnnotation("a.png", segments)}
    record = panoptic_record("video", frames, annotations, JSON)
    assert record["annotated_frames"] == [1]
    assert record["label_files"] == [None, "a.png", None]
    with pytest.raises(AnnotationError, match=r"^x\.jpg has no labels"):
        read_panoptic_labels(record, 0, CLASSES)


@pytest.mark.parametrize(
    ("segments", "what"),
    [
        ([segment(5, 19)], r"segment 5 has category id 19, which is not among .* \(frame a\.png\)"),
        ([segment(5, 1), segment(5, 2)], r"'segments_info' with id 5 \(frame a\.png\)"),
        ([segment(0, 1)], r"a segment with id 0, which no colour can hold \(frame a\.png\)"),
        ([segment(2**24, 1)], "id 16777216, which no colour can hold"),
        ([{"id": 4}], "lacks category_id in entry 1 of 'segments_info'"),
    ],
)
def test_wrong_segment_is_reported_and_left_out(segments: list[dict], what: str):
    content = {"annotations": [entry(segment(9, 2), *segments)]}
    with pytest.raises(AnnotationError, match=what):
        frame_annotations(content, Path(), CLASSES, JSON)
    problems: list[Problem] = []
    (kept,) = frame_annotations(content, Path(), CLASSES, JSON, report=problems.append).values()
    assert [problem.file for problem in problems] == [str(JSON)]
    assert kept.segments["number"].tolist() == ([5, 9] if len(segments) == 2 else [9])


def test_number_of_several_categories_is_reported():
    with pytest.raises(AnnotationError, match="gives segment 7 of video video several categories"):
        record_of(Path(), entry(segment(7, 13)), entry(segment(7, 14), image_id="b"))


def test_frames_of_several_sizes_are_reported():
    frames = [ListedFrame(Path("a"), "a", (2, 3)), ListedFrame(Path("b"), "b", (3, 2))]
    with pytest.raises(AnnotationError, match=r"sizes \(2, 3\) and \(3, 2\)"):
        panoptic_record("video", frames, {}, JSON)


def test_unmatched_frames_and_annotations_are_reported():
    annotations = frame_annotations({"annotations": [entry()]}, Path(), CLASSES, JSON)
    problems: list[Problem] = []
    report_unmatched(["b"], annotations, JSON, report=problems.append)
    assert [problem.what for problem in problems] == [
        "has no annotations of frame b",
        "has annotations of frame a, which is not listed",
    ]


@pytest.mark.parametrize(
    ("number", "what"),
    [
        (8, r"a\.png has segments \[8\] that panoptic\.json does not list"),
        (0, r"lacks segments \[7\]"),
    ],
)
def test_image_and_json_that_differ_are_named(tmp_path: Path, number: int, what: str):
    write_rgb_values(tmp_path / "a.png", np.array([[number, number, 9], [9, 9, 9]]))
    listed = [segment(9, 2), segment(7, 13)] if number == 0 else [segment(9, 2)]
    with pytest.raises(AnnotationError, match=what):
        read_panoptic_labels(record_of(tmp_path, entry(*listed)), 0, CLASSES)


def test_categories_are_those_of_the_table():
    entries = category_entries(CLASSES)
    assert entries[13] == {"id": 13, "name": "car", "isthing": 1, "color": [0, 0, 142]}
    assert sum(category["isthing"] for category in entries) == 8
