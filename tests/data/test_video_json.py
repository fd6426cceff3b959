import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gvseg.data.class_table import ClassTable
from gvseg.data.problems import AnnotationError, Problem
from gvseg.data.synthetic.json_entries import run_lengths
from gvseg.data.video_json import load_video_json, read_video_labels

CLASSES = ClassTable(
    "pets", "made up", (5, 7), ("cat", "dog"), (True, True), ((255, 0, 0), (0, 255, 0))
)
SIZE = (20, 30)


def square(left: int, side: int = 6) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[4 : 4 + side, left : left + side] = True
    return mask


def content() -> dict:
    """Return two videos of three frames; a cat and a crowd of dogs in one, a dog in the other."""
    shape = {"height": SIZE[0], "width": SIZE[1], "length": 3}
    return {
        "videos": [
            {"id": 8, **shape, "file_names": [f"b/{index}.jpg" for index in range(3)]},
            {"id": 2, **shape, "file_names": [f"a/{index}.jpg" for index in range(3)]},
        ],
        "categories": [{"id": 5, "name": "cat"}, {"id": 7, "name": "dog"}],
        "annotations": [
            {
                "id": 31,
                "video_id": 8,
                "category_id": 5,
                "iscrowd": 0,
                "segmentations": [None, run_lengths(square(3)), run_lengths(square(5))],
                "areas": [None, 36, 35],
            },
            {
                "id": 4,
                "video_id": 8,
                "category_id": 7,
                "iscrowd": 1,
                "segmentations": [[[20, 2, 28, 2, 28, 10, 20, 10]], [], None],
                "areas": [64, None, None],
            },
            {
                "id": 9,
                "video_id": 2,
                "category_id": 7,
                "segmentations": [run_lengths(square(left)) for left in (0, 1, 2)],
            },
        ],
    }


def written(folder: Path, changed: dict) -> Path:
    path = folder / "labels.json"
    path.write_text(json.dumps(changed))
    return path


def load(folder: Path, changed: dict, **options: Callable[[Problem], None]) -> list[dict]:
    return load_video_json(written(folder, changed), folder / "frames", CLASSES, **options)


def test_records_are_in_the_order_of_ids(tmp_path: Path):
    first, second = load(tmp_path, content())
    assert (first["video_id"], second["video_id"]) == (2, 8)
    assert (second["height"], second["width"], second["length"]) == (*SIZE, 3)
    assert second["file_names"] == [str(tmp_path / f"frames/b/{index}.jpg") for index in range(3)]
    assert second["annotation_file"] == str(tmp_path / "labels.json")
    assert "annotated_frames" not in second, "all frames are annotated"


def test_labels_are_of_the_objects_seen_in_a_frame(tmp_path: Path):
    _, record = load(tmp_path, content())
    first, second, third = (read_video_labels(record, index) for index in range(3))
    assert [labels.segments.ids.tolist() for labels in (first, second, third)] == [[4], [31], [31]]
    assert [labels.segments.frame_index for labels in (first, second, third)] == [0, 1, 2]
    assert (first.segments.classes.tolist(), first.is_crowd.tolist()) == ([1], [True])
    assert (third.segments.classes.tolist(), third.is_crowd.tolist()) == ([0], [False])
    np.testing.assert_array_equal(third.segments.masks[0], square(5))
    assert first.areas.tolist() == [64]
    assert third.areas.tolist() == [35], "as the file counts"


def test_areas_are_counted_where_the_file_has_none(tmp_path: Path):
    record, _ = load(tmp_path, content())
    assert read_video_labels(record, 2).areas.tolist() == [36]


def test_masks_are_held_compressed(tmp_path: Path):
    record, _ = load(tmp_path, content())
    for mask in record["tracks"][0]["segmentations"]:
        assert isinstance(mask["counts"], bytes)
        assert len(mask["counts"]) < 30


@pytest.mark.parametrize("annotations", [None, []])
def test_hidden_labels_leave_no_annotated_frame(tmp_path: Path, annotations: list | None):
    for record in load(tmp_path, {**content(), "annotations": annotations}):
        assert record["annotated_frames"] == []
        with pytest.raises(
            AnnotationError, match=r"labels\.json has no labels for frame 1 of video \d"
        ):
            read_video_labels(record, 1)


def test_key_may_be_missing_where_labels_are_hidden(tmp_path: Path):
    hidden = content()
    del hidden["annotations"]
    assert [record["annotated_frames"] for record in load(tmp_path, hidden)] == [[], []]


def change(*keys: str | int, value: object) -> Callable[[dict], None]:
    """Return what sets one value deep in the content."""

    def apply(changed: dict) -> None:
        for key in keys[:-1]:
            changed = changed[key]
        changed[keys[-1]] = value

    return apply


CORRUPTIONS = {
    "video without frames": (
        change("videos", 1, "file_names", value=[]),
        "says that video 2 has no frames",
    ),
    "video without a size": (
        lambda changed: changed["videos"][0].pop("height"),
        "lacks height in entry 0 of 'videos'",
    ),
    "videos of one id": (
        change("videos", 1, "id", value=8),
        "has several entries of 'videos' with id 8",
    ),
    "annotations of one id": (
        change("annotations", 1, "id", value=31),
        "has several entries of 'annotations' with id 31",
    ),
    "id that is no identity": (
        change("annotations", 2, "id", value=0),
        "says that annotation 0 has an id below 1",
    ),
    "unlisted video": (
        change("annotations", 0, "video_id", value=3),
        "says that annotation 31 is of video 3, which is not listed",
    ),
    "unknown category": (
        change("annotations", 2, "category_id", value=6),
        "says that annotation 9 has category id 6, which is not among the 2 of pets",
    ),
    "mask too few": (
        lambda changed: changed["annotations"][2]["segmentations"].pop(),
        "says that annotation 9 has 2 masks and 2 areas, but its video 2 has 3 frames",
    ),
    "area too many": (
        change("annotations", 0, "areas", value=[1, 2, 3, 4]),
        "says that annotation 31 has 3 masks and 4 areas, but its video 8 has 3 frames",
    ),
    "mask of another size": (
        change("annotations", 0, "segmentations", 2, "size", value=[30, 20]),
        "says that annotation 31, in frame 2, has run lengths for 30x20 pixels, but its frame has "
        "20x30 (height x width)",
    ),
    "mask cut short": (
        change("annotations", 0, "segmentations", 2, "counts", value=[100, 20]),
        "says that annotation 31, in frame 2, has run lengths for 120 pixels",
    ),
    "line for a polygon": (
        change("annotations", 1, "segmentations", 0, value=[[1, 1, 5, 5]]),
        "says that annotation 4, in frame 0, has no polygon of three points or more",
    ),
    "categories of another set": (
        change("categories", value=[{"id": 5, "name": "dog"}]),
        "has dog as category 5, but in pets it is 7",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_is_named_with_its_file(tmp_path: Path, name: str):
    corrupt, expected = CORRUPTIONS[name]
    changed = content()
    corrupt(changed)
    with pytest.raises(AnnotationError) as caught:
        load(tmp_path, changed)
    assert caught.value.problem.file == str(tmp_path / "labels.json")
    assert caught.value.problem.what.startswith(expected)

    problems = []
    records = load(tmp_path, changed, report=problems.append)
    assert expected in [problem.what[: len(expected)] for problem in problems]
    whole = {record["video_id"]: record for record in load(tmp_path, content())}
    for record in records:  # what is whole is kept, and the rest is not in the way
        tracks = {track["id"]: track for track in whole[record["video_id"]]["tracks"]}
        for track in record["tracks"]:
            read = [
                given == kept
                for given, kept in zip(
                    track["segmentations"], tracks[track["id"]]["segmentations"], strict=True
                )
                if given is not None
            ]
            assert all(read)
        for frame_index in range(3):
            read_video_labels(record, frame_index)


def test_compressed_counts_of_another_frame_are_named_on_reading(tmp_path: Path):
    changed = content()
    changed["annotations"][2]["segmentations"][1] = {"size": [*SIZE], "counts": "PQ1"}
    record, _ = load(tmp_path, changed)
    with pytest.raises(ValueError, match=r"labels\.json: annotation 9 has run lengths for"):
        read_video_labels(record, 1)
    assert len(read_video_labels(record, 0).segments) == 1
