from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data import get_benchmark
from gvseg.data.benchmarks.vspw import VSPW, VSPW_RAW
from gvseg.data.clip_mapper import read_clip
from gvseg.data.segments import IGNORE_LABEL, class_map
from tests.data.benchmarks.corruption import problems_of, truncate
from tests.data.synthetic.round_trip import write_and_read


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write three videos of three frames, the first called val_00000."""
    write_and_read(tmp_path, "vspw", "val", num_frames=3)
    return tmp_path


def first_mask(root: Path) -> Path:
    return root / "VSPW_480p" / "data" / "val_00000" / "mask" / "00000000.png"


def test_values_mean_what_the_shift_of_the_authors_makes_of_them(root: Path):
    values = np.resize(np.array([*range(125), 253, 254, 255], dtype=np.uint8), (48, 64))
    Image.fromarray(values).save(first_mask(root))
    record = VSPW.load_records(root, "val")[0]
    # As published: 0 becomes 255, all lose one, 254 becomes 255; then no class is above 123.
    shifted = np.where(values == 0, 255, values).astype(int) - 1
    shifted[shifted > 123] = IGNORE_LABEL
    np.testing.assert_array_equal(class_map(VSPW.read_labels(record, 0).segments), shifted)


def test_classes_are_those_of_vipseg_in_the_same_order():
    vipseg = get_benchmark("vipseg_val").classes
    assert VSPW.classes.names == vipseg.names
    assert VSPW.classes.ids == tuple(id_ + 1 for id_ in vipseg.ids)
    assert not any(VSPW.classes.is_thing)


def test_original_sizes_are_a_benchmark_of_their_own(root: Path):
    (root / "VSPW_480p").rename(root / "VSPW")
    assert len(VSPW_RAW.load_records(root, "val")) == 3
    with pytest.raises(FileNotFoundError, match="VSPW_480p does not exist"):
        VSPW.load_records(root, "val")


def test_test_labels_are_hidden_unless_they_are_there(root: Path):
    folder = root / "VSPW_480p"
    (folder / "val.txt").rename(folder / "test.txt")
    assert all("annotated_frames" not in record for record in VSPW.load_records(root, "test"))
    mask = first_mask(root).parent
    mask.rename(mask.with_name("elsewhere"))
    hidden = VSPW.load_records(root, "test")[0]
    assert (hidden["annotated_frames"], hidden["length"]) == ([], 3)


def test_stray_values_are_found_and_repaired(root: Path):
    (bug,) = VSPW.known_bugs
    path = first_mask(root)
    record = VSPW.load_records(root, "val")[0]
    assert bug.find(record, 0) is None
    with Image.open(path) as image:
        values = np.array(image)
    values[:4], values[4:6] = 253, 254
    Image.fromarray(values).save(path)
    problem = bug.find(record, 0)
    assert (problem.file, bug.find(record, 1)) == (str(path), None)
    assert problem.what.startswith("has pixels of value 253 and 254")
    before = class_map(VSPW.read_labels(record, 0).segments)
    bug.repair(path)
    assert bug.find(record, 0) is None
    np.testing.assert_array_equal(class_map(VSPW.read_labels(record, 0).segments), before)
    with Image.open(path) as image:
        assert (image.mode, np.unique(np.array(image)[:6]).tolist()) == ("L", [255])


@pytest.mark.parametrize(
    ("kind", "what"), [("origin", "has no frame in"), ("mask", "has no label image in")]
)
def test_missing_file_is_named(root: Path, kind: str, what: str):
    folder = root / "VSPW_480p" / "data" / "val_00001"
    next((folder / kind).glob("00000001.*")).unlink()
    (problem,) = problems_of(VSPW, root, "val")
    assert "val_00001" in problem.file
    assert "00000001" in problem.file
    assert problem.what.startswith(what)


def test_missing_video_is_named_and_the_others_are_read(root: Path):
    folder = root / "VSPW_480p" / "data" / "val_00001"
    folder.rename(folder.with_name("elsewhere"))
    problems = problems_of(VSPW, root, "val")
    assert {problem.what for problem in problems} == {"does not exist"}
    assert all("val_00001" in problem.file for problem in problems)
    records = VSPW.load_records(root, "val", report=problems.append)
    assert [record["video_id"] for record in records] == ["val_00000", "val_00002"]


def test_damaged_labels_are_named_on_reading(root: Path):
    record = VSPW.load_records(root, "val")[0]
    truncate(first_mask(root))
    with pytest.raises(OSError, match=r"val_00000/mask/00000000\.png cannot be read"):
        VSPW.read_labels(record, 0)
    Image.fromarray(np.full((48, 64), 125, np.uint8)).save(first_mask(root))
    with pytest.raises(ValueError, match=r"00000000\.png has category ids \[125\]"):
        VSPW.read_labels(record, 0)
    Image.fromarray(np.full((64, 48), 5, np.uint8)).save(first_mask(root))
    with pytest.raises(ValueError, match=r"origin/00000000\.jpg has 48x64 .* has 64x48"):
        read_clip(record, [0], VSPW)


def test_counts_add_up_to_those_of_the_paper():
    assert sum(counts.videos for counts in VSPW.counts.values()) == 3536
