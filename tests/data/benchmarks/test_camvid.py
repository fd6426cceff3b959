from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog

from gvseg.data.benchmarks.camvid import load_records, read_labels
from tests.data.small_benchmarks import CAMVID_SIZE


def test_sequences_and_holes_cut_a_split_into_videos(small_benchmarks: Path):
    records = DatasetCatalog.get("camvid_train")
    assert [(record["video_id"], record["length"]) for record in records] == [
        ("0001TP_00030", 3),
        ("0001TP_00390", 1),
        ("0006R0_00010", 1),
    ]
    assert {(record["height"], record["width"]) for record in records} == {CAMVID_SIZE}


def test_frames_of_a_video_are_in_the_order_of_time_with_their_labels(small_benchmarks: Path):
    (record,) = DatasetCatalog.get("camvid_val")
    assert record["length"] == len(record["file_names"]) == len(record["label_files"]) == 10
    assert record["file_names"] == sorted(record["file_names"])
    assert [Path(name).stem for name in record["file_names"]] == [
        Path(name).stem for name in record["label_files"]
    ]


def test_labels_are_those_of_the_file(small_benchmarks: Path):
    (record,) = DatasetCatalog.get("camvid_val")
    labels = read_labels(record, 3)
    assert labels.segments.frame_index == 3
    with Image.open(record["label_files"][3]) as image:
        ids = np.array(image)
    assert sorted(labels.segments.classes) == sorted(set(np.unique(ids)) - {11})
    for position, class_index in enumerate(labels.segments.classes):
        np.testing.assert_array_equal(labels.segments.mask(position), ids == class_index)


def test_label_outside_the_classes_is_named(small_benchmarks: Path):
    (record,) = DatasetCatalog.get("camvid_val")
    Image.fromarray(np.full(CAMVID_SIZE, 12, dtype=np.uint8)).save(record["label_files"][0])
    with pytest.raises(ValueError, match=r"0016E5_07959\.png has category ids \[12\]"):
        read_labels(record, 0)


def test_frame_with_another_kind_of_name_is_named(small_benchmarks: Path):
    (small_benchmarks / "camvid" / "val" / "cover.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cover\.png is not named"):
        DatasetCatalog.get("camvid_val")


def test_labels_without_their_frame_are_named(small_benchmarks: Path):
    (small_benchmarks / "camvid" / "val" / "0016E5_07963.png").unlink()
    with pytest.raises(ValueError, match=r"valannot/0016E5_07963\.png has labels of a frame that"):
        DatasetCatalog.get("camvid_val")


def test_all_problems_are_reported_and_the_rest_is_read(small_benchmarks: Path):
    folder = small_benchmarks / "camvid" / "val"
    (folder / "0016E5_07963.png").unlink()
    (folder / "0016E5_07959.png").write_bytes(b"")
    (folder / "cover.png").write_bytes(b"")
    problems = []
    (record,) = load_records(small_benchmarks, "val", report=problems.append)
    assert [Path(problem.file).name for problem in problems] == [
        "cover.png", "0016E5_07963.png", "0016E5_07959.png",
    ]  # fmt: skip
    assert (record["length"], record["height"], record["width"]) == (9, *CAMVID_SIZE)


def test_video_without_any_frame_that_can_be_opened_is_left_out(small_benchmarks: Path):
    frames = sorted((small_benchmarks / "camvid" / "val").iterdir())
    for path in frames:
        path.write_bytes(b"")
    problems = []
    assert load_records(small_benchmarks, "val", report=problems.append) == []
    assert [problem.file for problem in problems] == [str(path) for path in frames]


def test_empty_folder_is_named(small_benchmarks: Path):
    (small_benchmarks / "camvid" / "test").mkdir()
    (small_benchmarks / "camvid" / "testannot").mkdir()
    with pytest.raises(FileNotFoundError, match=r"camvid/test has no \.jpg or \.png frames"):
        DatasetCatalog.get("camvid_test")
