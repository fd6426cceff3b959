import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from detectron2.data import DatasetCatalog

from gvseg.data import get_benchmark
from gvseg.data.problems import AnnotationError
from gvseg.tasks import Task

SIZE = (20, 30)


def rle(left: int, size: tuple[int, int] = SIZE) -> str:
    mask = np.zeros(size, dtype=np.uint8, order="F")
    mask[4:10, left : left + 6] = 1
    return coco_mask.encode(mask)["counts"].decode()


NULL = coco_mask.encode(np.zeros(SIZE, dtype=np.uint8, order="F"))["counts"].decode()


def sequence(**changes: object) -> dict:
    """Return a sequence of five frames, of which two are annotated; track 4 comes late."""
    return {
        "id": 17,
        "seq_name": "walk",
        "dataset": "HACS",
        "height": SIZE[0],
        "width": SIZE[1],
        "fps": 30,
        "all_image_paths": [f"frame{index:04d}.jpg" for index in range(0, 50, 10)],
        "annotated_image_paths": ["frame0010.jpg", "frame0040.jpg"],
        "neg_category_ids": [3],
        "not_exhaustive_category_ids": [805],
        "track_category_ids": {"2": 805, "4": 95},
        "segmentations": [
            {"2": {"rle": rle(3), "is_gt": True}},
            {"2": {"rle": rle(5), "is_gt": True}, "4": {"rle": rle(20), "is_gt": True}},
        ],
        **changes,
    }


def first_frames(**changes: object) -> dict:
    exemplars = [
        {"2": {"rle": rle(3), "bbox": [3, 4, 6, 6], "point": [5, 9]}},
        {"4": {"rle": rle(20), "bbox": [20, 4, 6, 6], "point": [25, 4]}},
    ]
    return sequence(segmentations=exemplars, **changes)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    (tmp_path / "burst" / "images" / "val").mkdir(parents=True)
    write(tmp_path, "all_classes", sequence())
    write(tmp_path, "first_frame_annotations", first_frames())
    return tmp_path


def write(root: Path, name: str, *sequences: dict) -> None:
    folder = root / "burst" / "annotations" / "val"
    folder.mkdir(parents=True, exist_ok=True)
    content = {"split": "val", "categories": [], "sequences": sequences}
    (folder / f"{name}.json").write_text(json.dumps(content))


def load(root: Path) -> dict:
    (record,) = DatasetCatalog.get("burst_mask_val")
    return record


def test_benchmarks_are_of_one_class_and_three_kinds():
    for kind in ("mask", "box", "point"):
        for split in ("val", "test"):
            benchmark = get_benchmark(f"burst_{kind}_{split}")
            assert (benchmark.task, len(benchmark.classes)) == (Task.EVS, 1)
            assert benchmark.read_exemplars is not None
    assert get_benchmark("burst_train").read_exemplars is None
    assert get_benchmark("burst_train").counts.keys() == {"train"}
    assert get_benchmark("burst_box_val").counts.keys() == {"val"}


def test_record_lists_all_frames_and_those_annotated(root: Path):
    record = load(root)
    assert (record["video_id"], record["length"]) == (17, 5)
    assert record["annotated_frames"] == [1, 4]
    assert record["file_names"][1] == str(root / "burst/images/val/HACS/walk/frame0010.jpg")
    assert record["category_ids"] == {2: 805, 4: 95}
    assert record["neg_category_ids"] == [3]
    assert record["not_exhaustive_category_ids"] == [805]
    assert (record["sequence_name"], record["source_dataset"]) == ("walk", "HACS")


def test_images_may_lie_where_tao_unpacks_them(root: Path):
    (root / "burst" / "images").rename(root / "burst" / "frames")
    assert load(root)["file_names"][0] == str(root / "burst/frames/val/HACS/walk/frame0000.jpg")


def test_labels_are_masks_by_track(root: Path):
    benchmark, record = get_benchmark("burst_mask_val"), load(root)
    labels = benchmark.read_labels(record, 4)
    assert labels.segments.ids.tolist() == [2, 4]
    assert labels.segments.classes.tolist() == [0, 0]
    assert labels.areas.tolist() == [36, 36]
    assert labels.segments.masks[1, 4:10, 20:26].all()
    with pytest.raises(AnnotationError, match=r"all_classes\.json has no labels for frame 2 of"):
        benchmark.read_labels(record, 2)


def test_exemplars_are_those_of_the_first_frames(root: Path):
    record = load(root)
    mask, late = get_benchmark("burst_mask_val").read_exemplars(record)
    assert (mask.object_id, mask.frame_index, late.object_id, late.frame_index) == (2, 1, 4, 4)
    assert mask.mask[4:10, 3:9].all()
    assert mask.mask.sum() == 36
    box, late = get_benchmark("burst_box_val").read_exemplars(record)
    assert (box.box.tolist(), late.box.tolist()) == ([3, 4, 9, 10], [20, 4, 26, 10])
    point, late = get_benchmark("burst_point_val").read_exemplars(record)
    assert (point.point.tolist(), late.point.tolist()) == ([5.5, 9.5], [25.5, 4.5])


class TestNullMasks:
    def given(self, root: Path) -> dict:
        changed = sequence()
        changed["segmentations"][0]["4"] = {"rle": NULL, "is_gt": True}
        write(root, "all_classes", changed)
        return load(root)

    def test_they_are_read_around(self, root: Path):
        record = self.given(root)
        labels = get_benchmark("burst_mask_val").read_labels(record, 1)
        assert labels.segments.ids.tolist() == [2]

    def test_they_are_a_known_bug_of_their_frame(self, root: Path):
        record = self.given(root)
        (bug,) = get_benchmark("burst_mask_val").known_bugs
        problem = bug.find(record, 1)
        assert problem.file.endswith("val/all_classes.json")
        assert problem.what == ("says that video 17 has masks of no pixels in frame 1, of tracks 4")
        assert bug.find(record, 4) is None

    def test_repair_leaves_them_out_and_all_else_alone(self, root: Path):
        self.given(root)
        path = root / "burst" / "annotations" / "val" / "all_classes.json"
        (bug,) = get_benchmark("burst_mask_val").known_bugs
        bug.repair(path)
        assert json.loads(path.read_text())["sequences"] == [sequence()]


CORRUPTIONS = {
    "no frames": (sequence(all_image_paths=[]), "says that video 17 has no frames"),
    "no size": (
        {key: value for key, value in sequence().items() if key != "width"},
        "lacks width in entry 0 of 'sequences'",
    ),
    "fewer masks than frames": (
        sequence(segmentations=[{}]),
        "says that video 17 has masks for 1 frames, but names 2 annotated ones",
    ),
    "annotated frame nowhere": (
        sequence(annotated_image_paths=["frame0010.jpg", "frame0041.jpg"]),
        "says that video 17 has frame0041.jpg among the annotated frames, but not once among all",
    ),
    "annotated frame twice": (
        sequence(annotated_image_paths=["frame0010.jpg", "frame0010.jpg"]),
        "says that video 17 has frame0010.jpg among the annotated frames, but not once among all",
    ),
    "track without category": (
        sequence(track_category_ids={"2": 805}),
        "says that video 17 has a track 4 without a category",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corruption_is_named_with_its_file(root: Path, name: str):
    changed, expected = CORRUPTIONS[name]
    write(root, "all_classes", changed)
    with pytest.raises(AnnotationError) as caught:
        load(root)
    assert caught.value.problem.file == str(root / "burst/annotations/val/all_classes.json")
    assert caught.value.problem.what.startswith(expected)

    problems = []
    benchmark = get_benchmark("burst_mask_val")
    records = benchmark.load_records(root, "val", report=problems.append)
    assert problems[0] == caught.value.problem
    for record in records:
        for frame_index in record["annotated_frames"]:
            benchmark.read_labels(record, frame_index)


def test_sequences_of_one_id_are_named(root: Path):
    write(root, "all_classes", sequence(), sequence(seq_name="other"))
    with pytest.raises(AnnotationError, match="several entries of 'sequences' with id 17"):
        load(root)


@pytest.mark.parametrize(
    ("corrupt", "expected"),
    [
        (lambda first: first["segmentations"][1].clear(), "has no exemplar of track 4"),
        (
            lambda first: first["segmentations"][1]["4"].pop("point"),
            "has a track 4 without point",
        ),
        (lambda first: first.update(id=18), "has no exemplar of track 2"),
    ],
)
def test_missing_exemplar_is_named(root: Path, corrupt: Callable[[dict], None], expected: str):
    first = first_frames()
    corrupt(first)
    write(root, "first_frame_annotations", first)
    with pytest.raises(
        AnnotationError, match=rf"first_frame_annotations\.json says that video 17 {expected}"
    ):
        load(root)


def test_missing_file_of_first_frames_is_named(root: Path):
    (root / "burst/annotations/val/first_frame_annotations.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"first_frame_annotations\.json does not exist"):
        load(root)


def test_run_lengths_of_another_size_are_named_on_reading(root: Path):
    changed = sequence()
    changed["segmentations"][1]["4"]["rle"] = rle(20, (30, 40))
    write(root, "all_classes", changed)
    benchmark, record = get_benchmark("burst_mask_val"), load(root)
    with pytest.raises(
        ValueError, match=r"all_classes\.json, .*frame0040\.jpg: annotation 4 has run lengths for"
    ):
        benchmark.read_labels(record, 4)
    assert benchmark.read_labels(record, 1).segments.ids.tolist() == [2]


def test_exemplar_of_another_size_is_named_on_reading(root: Path):
    first = first_frames()
    first["segmentations"][0]["2"]["rle"] = rle(3, (30, 40))
    write(root, "first_frame_annotations", first)
    with pytest.raises(ValueError, match=r"annotations\.json: annotation 2 of video 17 has run "):
        get_benchmark("burst_mask_val").read_exemplars(load(root))
