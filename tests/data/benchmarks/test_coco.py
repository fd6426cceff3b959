import json
import logging
from pathlib import Path

import numpy as np
import pytest

from detectron2.data import DatasetCatalog

from gvseg.data import get_benchmark
from gvseg.data.image_json import read_image_labels as read_labels
from gvseg.data.problems import AnnotationError
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


class TestCoco2017:
    """COCO's own layout, with images that are in no file: none is opened."""

    @pytest.fixture(autouse=True)
    def root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
        size = {"height": 40, "width": 60}
        images = [{"id": id_, "file_name": f"{id_:012d}.jpg", **size} for id_ in (9, 4, 6)]
        annotations = [
            box_annotation(1, 9, 62, (1, 2, 5, 5)),  # chair
            box_annotation(2, 9, 3, (10, 2, 20, 10)),  # car
            box_annotation(3, 9, 2, (30, 2, 5, 9)),  # bicycle
            box_annotation(4, 4, 62, (1, 2, 5, 5)),
            {**box_annotation(5, 6, 1, (1, 2, 5, 5)), "iscrowd": 1},  # person
        ]
        folder = tmp_path / "coco" / "annotations"
        folder.mkdir(parents=True)
        for split in ("train", "val"):
            content = {"images": images, "annotations": annotations, "categories": []}
            (folder / f"instances_{split}2017.json").write_text(json.dumps(content))
        return tmp_path

    @pytest.mark.parametrize("split", ["train2017", "val2017"])
    def test_each_image_is_a_record(self, root: Path, split: str):
        records = DatasetCatalog.get(f"coco_{split}")
        assert [record["video_id"] for record in records] == [4, 6, 9]
        assert records[0]["file_names"] == [str(root / f"coco/{split}/000000000004.jpg")]
        labels = read_labels(records[2], 0)
        assert labels.segments.classes.tolist() == [56, 2, 1]

    @pytest.mark.parametrize(
        ("table", "names"),
        [
            ("ytvis_2019", ["sedan", "motorbike"]),
            ("ytvis_2021", ["car", "motorbike"]),
            ("ovis", ["Vehical", "Bicycle"]),
        ],
    )
    @pytest.mark.parametrize("split", ["train", "val"])
    def test_classes_of_a_video_benchmark_are_kept(self, table: str, names: list[str], split: str):
        person, vehicles = DatasetCatalog.get(f"coco_as_{table}_{split}")
        assert (person["video_id"], vehicles["video_id"]) == (6, 9), "a chair alone is no record"
        assert vehicles["file_names"][0].endswith(f"coco/{split}2017/000000000009.jpg")
        classes = get_benchmark(f"coco_as_{table}_train").classes
        assert classes == get_benchmark(f"{table}_train").classes
        labels = read_labels(vehicles, 0)
        assert [classes.names[index] for index in labels.segments.classes] == names
        assert labels.areas.tolist() == [200, 45]
        crowd = read_labels(person, 0)
        assert crowd.is_crowd.tolist() == [True]
        assert classes.names[crowd.segments.classes[0]].lower() == "person"

    def test_unknown_category_is_no_category_left_out(self, root: Path):
        path = root / "coco" / "annotations" / "instances_train2017.json"
        content = json.loads(path.read_text())
        content["annotations"][0]["category_id"] = 12
        path.write_text(json.dumps(content))
        with pytest.raises(AnnotationError, match="annotation 1 has category id 12"):
            DatasetCatalog.get("coco_as_ovis_train")


def test_collector_gets_all_problems_and_the_rest_is_kept(small_benchmarks: Path):
    damaged = box_annotation(53, 3, 1, (0, 0, 5, 5))
    damaged["segmentation"] = {"size": [40, 60], "counts": [2400]}
    edit_json(
        small_benchmarks,
        annotations=[
            box_annotation(51, 999, 1, (0, 0, 5, 5)),
            box_annotation(52, 7, 12, (0, 0, 5, 5)),
            damaged,
            box_annotation(1, 7, 1, (0, 0, 5, 5)),
        ],
        images=[{"id": 3, "file_name": "3.png", "height": 5, "width": 5}, {"id": 50}],
    )
    problems = []
    records = get_benchmark("coco128_train").load_records(
        small_benchmarks, "train", report=problems.append
    )
    assert sorted(problem.what for problem in problems) == [
        "has several entries of 'annotations' with id 1",
        "has several entries of 'images' with id 3",
        "lacks height, width, file_name in entry 4 of 'images'",
        "says that annotation 51 is of image 999, which is not listed",
        "says that annotation 52 has category id 12, which is not among the 80 of COCO 2017 things",
        "says that annotation 53 has run lengths for 40x60 pixels, but its frame has 60x40 "
        "(height x width)",
    ]
    assert {problem.file for problem in problems} == {records[0]["annotation_file"]}
    assert [len(record["annotations"][0]) for record in records] == [2, 3, 0]
