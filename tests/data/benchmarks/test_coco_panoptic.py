import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectron2.data import DatasetCatalog

from gvseg.data import get_benchmark
from gvseg.data.panoptic_image import write_rgb_values
from gvseg.data.problems import AnnotationError

SIZE = (20, 30)
NUMBERS = (1_000_003, 70_000, 300)  # two persons and sky; all three channels are in use


def values() -> np.ndarray:
    image = np.zeros(SIZE, dtype=np.int64)
    image[:8] = NUMBERS[2]
    image[4:16, 2:9] = NUMBERS[0]
    image[6:18, 20:27] = NUMBERS[1]
    return image


def content() -> dict:
    segments = [
        {"id": NUMBERS[0], "category_id": 1, "iscrowd": 0, "area": 84},
        {"id": NUMBERS[1], "category_id": 1, "iscrowd": 1, "area": 84},
        {"id": NUMBERS[2], "category_id": 187, "iscrowd": 0, "area": 198},
    ]
    return {
        "images": [{"id": 42, "file_name": "42.jpg", "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [{"image_id": 42, "file_name": "42.png", "segments_info": segments}],
        "categories": [{"id": 1, "name": "person"}, {"id": 187, "name": "sky-other-merged"}],
    }


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    for folder in ("annotations", "val2017", "panoptic_val2017"):
        (tmp_path / "coco" / folder).mkdir(parents=True)
    Image.fromarray(np.zeros((*SIZE, 3), np.uint8)).save(tmp_path / "coco" / "val2017" / "42.jpg")
    write_rgb_values(tmp_path / "coco" / "panoptic_val2017" / "42.png", values())
    write_json(tmp_path, content())
    return tmp_path


def write_json(root: Path, changed: dict) -> None:
    path = root / "coco" / "annotations" / "panoptic_val2017.json"
    path.write_text(json.dumps(changed))


def test_segments_are_those_of_colours_and_json(root: Path):
    (record,) = DatasetCatalog.get("coco_panoptic_val2017")
    assert (record["video_id"], record["length"]) == (42, 1)
    benchmark = get_benchmark("coco_panoptic_val2017")
    labels = benchmark.read_labels(record, 0)
    found = {
        (benchmark.classes.names[class_index], bool(is_crowd)): labels.segments.mask(position)
        for position, (class_index, is_crowd) in enumerate(
            zip(labels.segments.classes, labels.is_crowd, strict=True)
        )
    }
    assert len(found) == len(labels.segments) == 3
    np.testing.assert_array_equal(found["person", False], values() == NUMBERS[0])
    np.testing.assert_array_equal(found["person", True], values() == NUMBERS[1])
    np.testing.assert_array_equal(found["sky-other-merged", False], values() == NUMBERS[2])
    assert (labels.segments.index_map < 0).sum() == (values() == 0).sum()


def test_semantic_view_merges_objects_and_crowds_of_a_class(root: Path):
    (record,) = DatasetCatalog.get("coco_semantic_val2017")
    labels = get_benchmark("coco_semantic_val2017").read_labels(record, 0)
    person, sky = labels.segments.classes.tolist()
    names = get_benchmark("coco_semantic_val2017").classes.names
    assert (names[person], names[sky]) == ("person", "sky-other-merged")
    assert labels.segments.ids.tolist() == [person + 1, sky + 1]
    is_person = np.isin(values(), NUMBERS[:2])
    np.testing.assert_array_equal(labels.segments.mask(0), is_person)
    assert labels.areas.tolist() == [is_person.sum(), (values() == 300).sum()]


def test_label_images_may_lie_among_the_annotations(root: Path):
    coco = root / "coco"
    (coco / "panoptic_val2017").rename(coco / "annotations" / "panoptic_val2017")
    (record,) = DatasetCatalog.get("coco_panoptic_val2017")
    assert len(get_benchmark("coco_panoptic_val2017").read_labels(record, 0).segments) == 3


CORRUPTIONS = {
    "image without annotation": (
        lambda changed: changed["annotations"].clear(),
        "has no annotation of image 42",
    ),
    "annotation without image": (
        lambda changed: changed["images"].clear(),
        "has an annotation of image 42, which is not listed",
    ),
    "two images of an id": (
        lambda changed: changed["images"].append(changed["images"][0]),
        "has several entries of 'images' with id 42",
    ),
    "unknown category": (
        lambda changed: changed["annotations"][0]["segments_info"][0].update(category_id=12),
        "says that segment 1000003 has category id 12, which is not among the 133",
    ),
    "file of another set": (
        lambda changed: changed["categories"].append({"id": 2, "name": "car"}),
        "has car as category 2, but in COCO 2017 panoptic it is 3",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_is_named_with_its_file(root: Path, name: str):
    corrupt, expected = CORRUPTIONS[name]
    changed = content()
    corrupt(changed)
    write_json(root, changed)
    with pytest.raises(AnnotationError) as caught:
        DatasetCatalog.get("coco_panoptic_val2017")
    assert caught.value.problem.file.endswith("panoptic_val2017.json")
    assert caught.value.problem.what.startswith(expected)


@pytest.mark.parametrize(
    ("corrupt", "error", "expected"),
    [
        (lambda path: path.unlink(), FileNotFoundError, r"42\.png does not exist"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:60]),
            OSError,
            r"42\.png cannot be read",
        ),
        (
            lambda path: Image.fromarray(np.zeros(SIZE, np.uint8)).save(path),
            ValueError,
            r"42\.png is an image of mode L",
        ),
        (
            lambda path: write_rgb_values(path, np.where(values() == 300, 301, values())),
            ValueError,
            r"42\.png has segments \[301\] that .*panoptic_val2017\.json does not list",
        ),
        (
            lambda path: write_rgb_values(path, np.where(values() == 300, 0, values())),
            ValueError,
            r"42\.png lacks segments \[300\] that .*panoptic_val2017\.json lists",
        ),
    ],
)
def test_damaged_label_image_is_named(
    root: Path, corrupt: Callable[[Path], None], error: type[Exception], expected: str
):
    (record,) = DatasetCatalog.get("coco_panoptic_val2017")
    corrupt(root / "coco" / "panoptic_val2017" / "42.png")
    with pytest.raises(error, match=expected):
        get_benchmark("coco_panoptic_val2017").read_labels(record, 0)
