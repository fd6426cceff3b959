from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.benchmarks.vipseg_raw import BROKEN_VIDEO, VIPSEG_RAW
from gvseg.data.clip_mapper import read_clip
from gvseg.data.problems import AnnotationError
from tests.data.benchmarks.corruption import problems_of, truncate
from tests.data.synthetic.round_trip import write_and_read

SIZE = (48, 64)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write three videos of three frames, the first called val_00000."""
    write_and_read(tmp_path, "vipseg_raw", "val", num_frames=3)
    return tmp_path


def first_labels(root: Path, video: str = "val_00000") -> Path:
    return root / "VIPSeg" / "panomasks" / video / "00000000.png"


def save(path: Path, *values: int) -> None:
    """Write values in columns of equal width."""
    columns = np.array(values, dtype=np.uint16)[np.arange(SIZE[1]) * len(values) // SIZE[1]]
    Image.fromarray(np.broadcast_to(columns, SIZE).copy()).save(path)


def rename_first_video(root: Path, name: str) -> None:
    folder = root / "VIPSeg"
    for kind in ("imgs", "panomasks"):
        (folder / kind / "val_00000").rename(folder / kind / name)
    list_file = folder / "val.txt"
    list_file.write_text(list_file.read_text().replace("val_00000", name))


def test_values_below_125_are_classes_and_those_above_objects(root: Path):
    save(first_labels(root), 0, 1, 124, 61, 6101, 6199, 12401, 300)
    labels = VIPSEG_RAW.read_labels(VIPSEG_RAW.load_records(root, "val")[0], 0)
    names = [VIPSEG_RAW.classes.names[index] for index in labels.segments.classes]
    assert dict(zip(labels.segments.ids.tolist(), names, strict=True)) == {
        1: "wall",
        61: "person",
        124: "train",
        300: "door",
        6101: "person",
        6199: "person",
        12401: "train",
    }
    assert labels.areas.tolist() == [SIZE[0] * SIZE[1] / 8] * 7
    assert (labels.segments.index_map[:, : SIZE[1] // 8] == -1).all()
    assert not labels.is_crowd.any()


def test_frames_may_lie_in_a_folder_called_images(root: Path):
    (root / "VIPSeg" / "imgs").rename(root / "VIPSeg" / "images")
    assert len(VIPSEG_RAW.load_records(root, "val")) == 3


@pytest.mark.parametrize("value", [200, 125, 299, 12500, 60_000, 6801])
def test_value_of_no_class_or_object_is_named(root: Path, value: int):
    # The last would be an object of flowers, which are stuff and have none.
    save(first_labels(root), 1, value)
    with pytest.raises(AnnotationError, match=r"val_00000/00000000\.png has values \[\d+\], which"):
        VIPSEG_RAW.read_labels(VIPSEG_RAW.load_records(root, "val")[0], 0)


def test_known_wrong_value_is_void_in_its_video_alone(root: Path):
    rename_first_video(root, BROKEN_VIDEO)
    path = first_labels(root, BROKEN_VIDEO)
    save(path, 1, 200, 6101)
    record, other, _ = VIPSEG_RAW.load_records(root, "val")
    labels = VIPSEG_RAW.read_labels(record, 0)
    assert labels.segments.ids.tolist() == [1, 6101]
    (bug,) = VIPSEG_RAW.known_bugs
    assert bug.find(record, 0).file == str(path)
    assert bug.find(record, 1) is None
    assert bug.find(other, 0) is None
    bug.repair(path)
    assert bug.find(record, 0) is None
    with Image.open(path) as image:
        assert np.unique(np.array(image)).tolist() == [0, 1, 6101]
    repaired = VIPSEG_RAW.read_labels(record, 0)
    np.testing.assert_array_equal(repaired.segments.index_map, labels.segments.index_map)


def test_test_labels_are_hidden_unless_they_are_there(root: Path):
    (root / "VIPSeg" / "val.txt").rename(root / "VIPSeg" / "test.txt")
    assert all("annotated_frames" not in r for r in VIPSEG_RAW.load_records(root, "test"))
    (root / "VIPSeg" / "panomasks").rename(root / "VIPSeg" / "elsewhere")
    assert all(r["annotated_frames"] == [] for r in VIPSEG_RAW.load_records(root, "test"))


def test_missing_files_are_named(root: Path):
    first_labels(root).unlink()
    (root / "VIPSeg" / "imgs" / "val_00002" / "00000001.jpg").unlink()
    list_file = root / "VIPSeg" / "val.txt"
    list_file.write_text(list_file.read_text() + "nowhere\n")
    problems = problems_of(VIPSEG_RAW, root, "val")
    assert [problem.file.split("VIPSeg/")[1] for problem in problems] == [
        "imgs/val_00000/00000000.jpg",
        "panomasks/val_00002/00000001.png",
        "imgs/nowhere",
        "panomasks/nowhere",
    ]


def test_missing_list_is_named(root: Path):
    with pytest.raises(FileNotFoundError, match=r"VIPSeg/train\.txt does not exist"):
        VIPSEG_RAW.load_records(root, "train")


def test_damaged_labels_are_named_on_reading(root: Path):
    record = VIPSEG_RAW.load_records(root, "val")[0]
    Image.new("I;16", (10, 10)).save(first_labels(root))
    with pytest.raises(ValueError, match=r"imgs/val_00000/00000000\.jpg has 48x64 .* has 10x10"):
        read_clip(record, [0], VIPSEG_RAW)
    truncate(first_labels(root))
    with pytest.raises(OSError, match=r"val_00000/00000000\.png cannot be read"):
        VIPSEG_RAW.read_labels(record, 0)
