import json
import logging
from pathlib import Path

import numpy as np
import pytest

from detectron2.data import DatasetCatalog

from gvseg.data.image_json import read_image_labels as read_labels
from tests.data.small_benchmarks import COCO_SIZES, box_annotation


def edit_json(root: Path, **changes: list) -> None:
    """Add entries to the lists of the annotation file."""
    path = root / "coco128" / "instances_train2017.json"
    content = json.loads(path.read_text())
    for key, entries in changes.items():
        content[key] = content[key] + entries
    path.write_text(json.dumps(content))


def test_each_image_is_a_video_of_one_frame(small_benchmarks: Path):
    records = DatasetCatalog.get("coco128_train")
    assert [record["video_id"] for record in records] == sorted(COCO_SIZES)
    for record in records:
        assert record["length"] == len(record["file_names"]) == len(record["annotations"]) == 1
        assert (record["height"], record["width"]) == COCO_SIZES[record["video_id"]]


def test_labels_hold_masks_classes_and_crowds(small_benchmarks: Path):
    record = DatasetCatalog.get("coco128_train")[1]
    labels = read_labels(record, 0)
    assert labels.segments.ids.tolist() == [1, 2, 3]
    assert labels.segments.classes.tolist() == [0, 79, 0]
    assert labels.is_crowd.tolist() == [False, False, True]
    assert labels.areas.tolist() == [600, 384, 120]
    expected = np.zeros((3, 40, 60), dtype=bool)
    expected[0, 4:34, 4:24] = True
    expected[1, 10:26, 30:54] = True
    expected[2, :, -3:] = True
    np.testing.assert_array_equal(labels.segments.masks, expected)


def test_image_without_annotations_has_no_segments(small_benchmarks: Path):
    labels = read_labels(DatasetCatalog.get("coco128_train")[2], 0)
    assert len(labels.segments) == 0
    assert labels.size == COCO_SIZES[12]


def test_annotation_of_an_unlisted_image_is_named(small_benchmarks: Path):
    edit_json(small_benchmarks, annotations=[box_annotation(50, 999, 1, (0, 0, 5, 5))])
    with pytest.raises(ValueError, match="annotation 50 is of image 999, which is not listed"):
        DatasetCatalog.get("coco128_train")


def test_unknown_category_is_named(small_benchmarks: Path):
    edit_json(small_benchmarks, annotations=[box_annotation(50, 7, 12, (0, 0, 5, 5))])
    with pytest.raises(ValueError, match=r"annotation 50 has category id 12, .* among the 80"):
        DatasetCatalog.get("coco128_train")


def test_annotation_without_area_is_left_out_with_a_warning(
    small_benchmarks: Path, caplog: pytest.LogCaptureFixture
):
    flat = dict(box_annotation(50, 7, 1, (0, 0, 5, 5)), segmentation=[[0, 0, 5, 5]])
    partly = box_annotation(51, 7, 1, (0, 0, 5, 5))
    partly["segmentation"].append([1, 1])
    edit_json(small_benchmarks, annotations=[flat, partly])
    with caplog.at_level(logging.WARNING):
        record = DatasetCatalog.get("coco128_train")[1]
    assert "left out 1 annotations without area" in caplog.text
    assert [annotation["id"] for annotation in record["annotations"][0]] == [1, 2, 99, 51]
    assert read_labels(record, 0).segments.masks[3].sum() == 25


def test_broken_json_is_named(small_benchmarks: Path):
    (small_benchmarks / "coco128" / "instances_train2017.json").write_text('{"images": [')
    with pytest.raises(ValueError, match=r"instances_train2017\.json is not valid JSON"):
        DatasetCatalog.get("coco128_train")


def test_missing_json_is_named(small_benchmarks: Path):
    (small_benchmarks / "coco128" / "instances_train2017.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"instances_train2017\.json does not exist"):
        DatasetCatalog.get("coco128_train")


def test_run_lengths_of_another_size_name_the_annotation(small_benchmarks: Path):
    record = DatasetCatalog.get("coco128_train")[1]
    record["annotations"][0][2]["segmentation"]["size"] = [60, 40]
    with pytest.raises(ValueError, match=r"train2017\.json: annotation 99 has run lengths"):
        read_labels(record, 0)
