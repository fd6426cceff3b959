import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data import get_benchmark, read_frame
from gvseg.data.benchmarks.coco_stuff import COCO_STUFF21, load_records, read_labels
from gvseg.data.class_table import read_class_table
from gvseg.data.problems import AnnotationError
from gvseg.data.segments import FrameLabels
from gvseg.evaluation.protocols import METRICS
from tests.data.benchmarks.corruption import problems_of, truncate

SIZE = (20, 30)
PERSON, DOG, SKY, VOID = 0, 17, 156, 255  # values of label images
LABELS, NUMBERS, IMAGE = (
    f"coco_stuff21/val_{kind}/7.{suffix}"
    for kind, suffix in (("label", "png"), ("inst", "png"), ("img", "jpg"))
)


def label_map() -> np.ndarray:
    """Two persons that touch, a dog, sky around them and void on the right."""
    labels = np.full(SIZE, SKY)
    labels[4:16, 2:14] = PERSON
    labels[10:18, 16:24] = DOG
    labels[:, 26:] = VOID
    return labels


def number_map() -> np.ndarray:
    numbers = label_map()
    numbers[4:16, 2:8] = 0
    numbers[4:16, 8:14] = 2
    numbers[10:18, 16:24] = 1
    return numbers


def write(root: Path, name: str, image: np.ndarray) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image.astype(np.uint8)).save(root / name)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path, IMAGE, np.zeros((*SIZE, 3)))
    write(tmp_path, LABELS, label_map())
    write(tmp_path, NUMBERS, number_map())
    return tmp_path


def read(root: Path) -> FrameLabels:
    (record,) = load_records(root, "val")
    return read_labels(record, 0)


def masks(labels: FrameLabels) -> list[tuple[str, np.ndarray]]:
    """Name and mask of every segment, in the order of their identities."""
    names = COCO_STUFF21.classes.names
    segments = labels.segments
    return [
        (names[class_index], segments.mask(position))
        for position, class_index in enumerate(segments.classes)
    ]


def mask_of(labels: FrameLabels, name: str) -> np.ndarray:
    (mask,) = (mask for found, mask in masks(labels) if found == name)
    return mask


def test_record_is_an_image_of_one_frame(root: Path):
    (record,) = load_records(root, "val")
    assert (record["video_id"], record["length"]) == ("7", 1)
    assert (record["height"], record["width"]) == SIZE
    assert record["file_names"] == [str(root / IMAGE)]


def test_things_are_pairs_of_label_and_number_and_stuff_is_its_class(root: Path):
    labels = read(root)
    persons = [mask for name, mask in masks(labels) if name == "person"]
    np.testing.assert_array_equal(persons[0], (label_map() == PERSON) & (number_map() == 0))
    np.testing.assert_array_equal(persons[1], (label_map() == PERSON) & (number_map() == 2))
    np.testing.assert_array_equal(mask_of(labels, "dog"), label_map() == DOG)
    np.testing.assert_array_equal(mask_of(labels, "sky-other"), label_map() == SKY)
    np.testing.assert_array_equal(labels.segments.index_map < 0, label_map() == VOID)
    assert len(labels.segments) == 4
    assert not labels.is_crowd.any()
    assert labels.areas.sum() == (label_map() != VOID).sum()


def test_identities_are_unique_and_those_of_stuff_are_its_classes(root: Path):
    segments = read(root).segments
    is_thing = np.array(COCO_STUFF21.classes.is_thing)[segments.classes]
    assert len(set(segments.ids.tolist())) == len(segments)
    assert (segments.ids[~is_thing] == segments.classes[~is_thing] + 1).all()
    assert (segments.ids[is_thing] > len(COCO_STUFF21.classes)).all()


def test_rim_without_a_number_of_its_own_is_void(root: Path):
    numbers = number_map()
    rim = np.zeros(SIZE, dtype=bool)
    rim[10:18, 16:18] = True
    numbers[rim] = DOG
    write(root, NUMBERS, numbers)
    labels = read(root)
    np.testing.assert_array_equal(labels.segments.index_map < 0, rim | (label_map() == VOID))
    np.testing.assert_array_equal(mask_of(labels, "dog"), (label_map() == DOG) & ~rim)


def test_rim_of_persons_is_no_part_of_object_0_of_another_class(root: Path):
    """A person's label is 0, and so is what a pixel of it without a number repeats."""
    numbers = number_map()
    numbers[label_map() == DOG] = 0
    numbers[4:16, 2:8] = 1
    numbers[4:16, 2] = PERSON
    write(root, NUMBERS, numbers)
    labels = read(root)
    assert (labels.segments.index_map[4:16, 2] < 0).all()
    assert [mask.sum() for name, mask in masks(labels) if name == "person"] == [12 * 5, 12 * 6]
    np.testing.assert_array_equal(mask_of(labels, "dog"), label_map() == DOG)


def test_object_whose_number_is_its_label_is_told_by_its_inside(root: Path):
    numbers = number_map()
    numbers[label_map() == DOG] = DOG
    write(root, NUMBERS, numbers)
    np.testing.assert_array_equal(mask_of(read(root), "dog"), label_map() == DOG)


def test_number_of_a_neighbour_makes_no_object(root: Path):
    labels, numbers = label_map(), number_map()
    labels[4:16, 14:16] = DOG  # two columns of dog beside a person, under the person's number
    numbers[4:16, 14:16] = 2
    write(root, LABELS, labels)
    write(root, NUMBERS, numbers)
    found = read(root)
    assert (found.segments.index_map[4:16, 14:16] < 0).all()
    assert [name for name, _ in masks(found)].count("dog") == 1


def test_numbers_on_stuff_change_nothing(root: Path):
    numbers = number_map()
    numbers[0:3, 0:10] = 2
    numbers[18:20, 24:30] = 1  # on void too
    write(root, NUMBERS, numbers)
    labels = read(root)
    np.testing.assert_array_equal(mask_of(labels, "sky-other"), label_map() == SKY)
    np.testing.assert_array_equal(labels.segments.index_map < 0, label_map() == VOID)


def test_thing_under_a_void_number_is_void(root: Path):
    numbers = number_map()
    numbers[label_map() == DOG] = VOID
    write(root, NUMBERS, numbers)
    assert "dog" not in [name for name, _ in masks(read(root))]


def test_prediction_of_the_truth_scores_one_by_every_protocol(root: Path):
    (record,) = load_records(root, "val")
    truth = read_labels(record, 0)
    for protocol in COCO_STUFF21.metrics:
        metric = METRICS[protocol](COCO_STUFF21)
        metric.update(record, truth, truth.segments)
        metric.end_video(record)
        scores = metric.compute()
        assert scores["VPQ" if protocol == "pq/coco" else "STQ"] == 1.0


def test_class_table_has_the_things_of_coco_and_all_kinds_of_stuff():
    table, coco = read_class_table("coco_stuff"), read_class_table("coco")
    panoptic = read_class_table("coco_panoptic")
    assert (table.ids[:80], table.names[:80]) == (coco.ids, coco.names)
    assert table.is_thing == (True,) * 80 + (False,) * 91
    assert table.ids[80:] == tuple(range(92, 183))
    assert len(set(table.names)) == len(set(table.colors)) == 171
    name_of_id = dict(zip(table.ids, table.names, strict=True))
    shared = {
        id_: name for id_, name in zip(panoptic.ids, panoptic.names, strict=True) if id_ <= 182
    }
    assert len(shared) > 100
    assert {id_: name_of_id[id_] for id_ in shared} == shared


# Failures


def test_missing_folder_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"coco_stuff21 does not exist; unpack"):
        load_records(tmp_path, "val")
    write(tmp_path, IMAGE, np.zeros((*SIZE, 3)))
    with pytest.raises(FileNotFoundError, match=r"val_label does not exist; unpack"):
        load_records(tmp_path, "val")


@pytest.mark.parametrize(
    ("names", "file", "folders"),
    [
        ((LABELS,), IMAGE, "val_label"),
        ((NUMBERS,), IMAGE, "val_inst"),
        ((IMAGE,), LABELS, "val_img"),
        ((LABELS, NUMBERS), IMAGE, "val_label and val_inst"),
    ],
)
def test_file_without_its_counterpart_is_named(
    root: Path, names: tuple[str, ...], file: str, folders: str
):
    for name in (IMAGE, LABELS, NUMBERS):
        write(root, name.replace("/7.", "/8."), np.zeros(SIZE))  # so that no folder is empty
    for name in names:
        (root / name).unlink()
    (problem,) = problems_of(COCO_STUFF21, root, "val")
    assert (problem.file, problem.what) == (str(root / file), f"has no counterpart in {folders}")
    (left,) = load_records(root, "val", report=lambda problem: None)
    assert left["video_id"] == "8"


def test_damaged_image_is_left_out_and_named(root: Path):
    (root / IMAGE).write_bytes(b"")
    (problem,) = problems_of(COCO_STUFF21, root, "val")
    assert problem.file == str(root / IMAGE)


def test_empty_folder_is_named(root: Path):
    (root / NUMBERS).unlink()
    first, second = problems_of(COCO_STUFF21, root, "val")
    assert (Path(first.file).name, first.what) == ("val_inst", "has no images (.png)")
    assert second.what == "has no counterpart in val_inst"


def test_sizes_that_differ_are_named(root: Path):
    write(root, NUMBERS, number_map()[:, :-1])
    with pytest.raises(AnnotationError, match=r"val_inst/7\.png .* size: 20x29 and 20x30 pixels"):
        read(root)


@pytest.mark.parametrize(("value", "id_"), [(11, 12), (90, 91), (182, 183), (254, 255)])
def test_label_outside_the_classes_is_named(root: Path, value: int, id_: int):
    labels = label_map()
    labels[0, 0] = value
    write(root, LABELS, labels)
    with pytest.raises(ValueError, match=rf"val_label/7\.png has category ids \[{id_}\]"):
        read(root)


def test_values_of_more_than_a_byte_are_named(root: Path):
    Image.fromarray(np.full(SIZE, 300, dtype=np.uint16)).save(root / NUMBERS)
    with pytest.raises(AnnotationError, match=r"val_inst/7\.png has values up to 300"):
        read(root)


@pytest.mark.parametrize("name", [LABELS, NUMBERS])
def test_truncated_label_image_is_named(root: Path, name: str):
    truncate(root / name)
    with pytest.raises(OSError, match=rf"{name} cannot be read"):
        read(root)


# The real files


@pytest.mark.data
@pytest.mark.skipif("DETECTRON2_DATASETS" not in os.environ, reason="no DETECTRON2_DATASETS")
@pytest.mark.parametrize(
    ("split", "num_images", "num_objects", "num_classes"),
    [("train", 13, 73, 57), ("val", 8, 60, 62)],
)
def test_real_objects_have_a_number_each(
    split: str, num_images: int, num_objects: int, num_classes: int
):
    dataset_name = f"coco_stuff21_{split}"
    benchmark = get_benchmark(dataset_name)
    records = load_records(Path(os.environ["DETECTRON2_DATASETS"]), split)
    is_thing = np.array(benchmark.classes.is_thing)
    found, seen = 0, set()
    for record in records:
        labels = read_labels(record, 0)
        assert read_frame(record["file_names"][0]).shape[:2] == labels.size
        objects = labels.segments.ids[is_thing[labels.segments.classes]]
        numbers = (objects - len(benchmark.classes) - 1) % 256
        assert len(set(numbers.tolist())) == len(numbers)
        found += len(objects)
        seen |= set(labels.segments.classes.tolist())
    assert (len(records), found, len(seen)) == (num_images, num_objects, num_classes)


@pytest.mark.data
@pytest.mark.skipif("DETECTRON2_DATASETS" not in os.environ, reason="no DETECTRON2_DATASETS")
def test_real_classes_lie_where_the_picture_shows_them():
    """A skier, 000000000785: snow below fog, the person above the skis."""
    records = load_records(Path(os.environ["DETECTRON2_DATASETS"]), "val")
    (record,) = (record for record in records if record["video_id"] == "000000000785")
    rows = {name: np.nonzero(mask)[0].mean() for name, mask in masks(read_labels(record, 0))}
    assert sorted(rows, key=rows.get) == ["fog", "person", "snow", "skis"]
