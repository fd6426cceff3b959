from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.benchmarks.kitti_step import KITTI_STEP
from gvseg.data.clip_mapper import read_clip
from tests.data.benchmarks.corruption import problems_of, truncate
from tests.data.synthetic.round_trip import write_and_read

SIZE = (48, 64)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write three sequences of three frames, 0000 to 0002."""
    write_and_read(tmp_path, "kitti_step", "val", num_frames=3)
    return tmp_path


def first_labels(root: Path) -> Path:
    return root / "kitti_step" / "panoptic_maps" / "val" / "0000" / "000000.png"


def save(path: Path, *regions: tuple[int, int, int]) -> np.ndarray:
    """Write columns of colours of equal width; return which region each pixel is of."""
    region = np.arange(SIZE[1]) * len(regions) // SIZE[1]
    colors = np.array(regions, dtype=np.uint8)[np.broadcast_to(region, SIZE)]
    Image.fromarray(colors).save(path)
    return np.broadcast_to(region, SIZE)


def test_red_is_the_class_and_the_rest_the_number(root: Path):
    regions = [(13, 0, 7), (13, 1, 7), (11, 0, 7), (13, 0, 0), (0, 0, 0), (0, 0, 9), (255, 0, 0)]
    region = save(first_labels(root), *regions)
    labels = KITTI_STEP.read_labels(KITTI_STEP.load_records(root, "val")[0], 0)
    found = {
        int(identity): (int(class_index), bool(is_crowd), labels.segments.mask(position))
        for position, (identity, class_index, is_crowd) in enumerate(
            zip(labels.segments.ids, labels.segments.classes, labels.is_crowd, strict=True)
        )
    }
    # One number in two classes is two objects; numbers of stuff mean nothing.
    expected = {
        13 * 65536 + 7: (13, False, [0]),
        13 * 65536 + 256 + 7: (13, False, [1]),
        11 * 65536 + 7: (11, False, [2]),
        14: (13, True, [3]),
        1: (0, False, [4, 5]),
    }
    assert found.keys() == expected.keys()
    for identity, (class_index, is_crowd, columns) in expected.items():
        assert found[identity][:2] == (class_index, is_crowd)
        np.testing.assert_array_equal(found[identity][2], np.isin(region, columns))


def test_things_without_a_number_are_noted(root: Path):
    (bug,) = KITTI_STEP.known_bugs
    record = KITTI_STEP.load_records(root, "val")[0]
    save(first_labels(root), (13, 0, 7), (11, 0, 0), (0, 0, 0))
    problem = bug.find(record, 0)
    assert problem.file == str(first_labels(root))
    assert problem.what == "has pixels of person without the number of an object"
    save(first_labels(root), (13, 0, 7), (0, 0, 0), (255, 0, 0))
    assert bug.find(record, 0) is None


def test_only_person_and_car_are_things():
    classes = KITTI_STEP.classes
    assert [classes.names[i] for i in range(19) if classes.is_thing[i]] == ["person", "car"]


def test_test_labels_are_hidden(root: Path):
    images = root / "kitti_step" / "images"
    (images / "val").rename(images / "test")
    assert [record["annotated_frames"] for record in KITTI_STEP.load_records(root, "test")] == [
        [],
        [],
        [],
    ]


def test_missing_folder_of_labels_is_named(root: Path):
    maps = root / "kitti_step" / "panoptic_maps"
    (maps / "val").rename(maps / "train")
    with pytest.raises(FileNotFoundError, match="panoptic_maps/val does not exist"):
        KITTI_STEP.load_records(root, "val")


def test_missing_files_are_named(root: Path):
    (root / "kitti_step" / "images" / "val" / "0001" / "000002.png").unlink()
    first_labels(root).unlink()
    problems = problems_of(KITTI_STEP, root, "val")
    assert [problem.file.rsplit("/val/")[1] for problem in problems] == [
        "0000/000000.png",
        "0001/000002.png",
    ]
    assert [problem.what.split(" in ")[0] for problem in problems] == [
        "has no label image",
        "has no frame",
    ]


def test_split_without_sequences_is_named(root: Path):
    for kind in ("images", "panoptic_maps"):
        (root / "kitti_step" / kind / "train").mkdir()
    (problem,) = problems_of(KITTI_STEP, root, "train")
    assert problem.what == "has no sequences"


def test_damaged_labels_are_named_on_reading(root: Path):
    record = KITTI_STEP.load_records(root, "val")[0]
    save(first_labels(root), (19, 0, 0))
    with pytest.raises(ValueError, match=r"0000/000000\.png has category ids \[19\]"):
        KITTI_STEP.read_labels(record, 0)
    Image.new("RGB", (64, 40)).save(first_labels(root))
    with pytest.raises(ValueError, match=r"images/val/0000/000000\.png has 48x64 .* has 40x64"):
        read_clip(record, [0], KITTI_STEP)
    truncate(first_labels(root))
    with pytest.raises(OSError, match=r"0000/000000\.png cannot be read"):
        KITTI_STEP.read_labels(record, 0)


def test_counts_are_those_of_the_benchmark():
    labelled = [KITTI_STEP.counts[split] for split in ("train", "val")]
    assert [counts.videos for counts in labelled] == [12, 9]
    assert sum(counts.frames for counts in labelled) == 8008  # of KITTI tracking's training set
