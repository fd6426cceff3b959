from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.benchmarks.vipseg import VIPSEG
from gvseg.data.clip_mapper import read_clip
from gvseg.data.problems import AnnotationError
from tests.data.benchmarks.corruption import edit_json, problems_of, truncate
from tests.data.synthetic.round_trip import write_and_read


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write three videos of three frames, the first called val_00000."""
    write_and_read(tmp_path, "vipseg", "val", num_frames=3)
    return tmp_path


def json_of(root: Path) -> Path:
    return root / "VIPSeg_720P" / "panoptic_gt_VIPSeg_val.json"


def test_table_has_58_things_and_66_kinds_of_stuff():
    assert (sum(VIPSEG.classes.is_thing), len(VIPSEG.classes)) == (58, 124)
    assert VIPSEG.classes.ids == tuple(range(124))


def test_folder_may_lie_in_that_of_the_release(root: Path):
    (root / "VIPSeg").mkdir()
    (root / "VIPSeg_720P").rename(root / "VIPSeg" / "VIPSeg_720P")
    assert len(VIPSEG.load_records(root, "val")) == 3
    with pytest.raises(FileNotFoundError, match=r"VIPSeg_720P does not exist, nor does "):
        VIPSEG.load_records(root / "elsewhere", "val")


def test_missing_json_is_named(root: Path):
    with pytest.raises(FileNotFoundError, match=r"panoptic_gt_VIPSeg_train\.json does not exist"):
        VIPSEG.load_records(root, "train")


def test_two_segments_of_stuff_of_one_class_are_one(root: Path):
    record = VIPSEG.load_records(root, "val")[0]
    # As the authors' converter makes of value 200: a second ceiling, with a colour of its own.
    segments = record["segments"][0]
    stuff = segments[segments["number"] <= len(VIPSEG.classes)]
    assert len(stuff) > 1
    before = VIPSEG.read_labels(record, 0)
    segments["class_index"][segments["number"] == stuff["number"][0]] = stuff["class_index"][1]
    labels = VIPSEG.read_labels(record, 0)
    assert len(labels.segments) == len(before.segments) - 1
    merged = labels.segments.ids.tolist().index(stuff["class_index"][1] + 1)
    union = np.isin(
        np.append(before.segments.ids, 0)[before.segments.index_map], stuff["class_index"][:2] + 1
    )
    expected = union | (
        np.append(before.segments.ids, 0)[before.segments.index_map] == stuff["number"][0]
    )
    np.testing.assert_array_equal(labels.segments.mask(merged), expected)


def first(content: dict) -> dict:
    return content["annotations"][0]["annotations"][0]


CORRUPTIONS: dict[str, tuple[Callable[[dict], object], str]] = {
    "unknown category": (
        lambda content: first(content)["segments_info"][0].update(category_id=124),
        r"has category id 124, .* \(frame 00000000\.png\) \(video val_00000\)$",
    ),
    "segment twice": (
        lambda content: first(content)["segments_info"].append(first(content)["segments_info"][0]),
        r"several entries of 'segments_info' with id \d+ \(frame 00000000\.png\)",
    ),
    "video twice": (
        lambda content: content["videos"].append(content["videos"][1]),
        "several entries of 'videos' with video_id val_00001",
    ),
    "video without frames": (
        lambda content: (
            content["videos"][1]["images"].clear(),
            content["annotations"][1]["annotations"].clear(),
        ),
        r"lists a video without frames \(video val_00001\)",
    ),
    "video without annotations": (
        lambda content: content["annotations"].pop(1),
        r"has no annotations of frame 00000000 \(video val_00001\)",
    ),
    "annotations of no video": (
        lambda content: content["videos"].pop(1),
        "has annotations of video val_00001, which it does not list",
    ),
    "annotations of no frame": (
        lambda content: content["videos"][1]["images"].pop(),
        r"has annotations of frame 00000002, which is not listed \(video val_00001\)",
    ),
    "frames of two sizes": (
        lambda content: content["videos"][1]["images"][2].update(height=50),
        r"gives frames of video val_00001 the sizes \(48, 64\) and \(50, 64\)",
    ),
    "another data set": (
        lambda content: content["categories"][13].update(name="car"),
        "has car as category 13, but in VIPSeg it is 48",
    ),
    "no list of videos": (lambda content: content.pop("videos"), "has no list 'videos'"),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupt_json_is_named(root: Path, name: str):
    edit, what = CORRUPTIONS[name]
    edit_json(json_of(root), edit)
    problems = problems_of(VIPSEG, root, "val")
    assert {problem.file for problem in problems} == {str(json_of(root))}
    with pytest.raises(AnnotationError, match=what.removesuffix("$")):
        VIPSEG.load_records(root, "val")


def test_problems_in_one_video_leave_the_others(root: Path):
    edit_json(json_of(root), CORRUPTIONS["video without annotations"][0])
    records = VIPSEG.load_records(root, "val", report=[].append)
    assert [record["video_id"] for record in records] == ["val_00000", "val_00002"]


def test_hidden_labels_are_those_of_test_alone(root: Path):
    edit_json(json_of(root), lambda content: content["annotations"].clear())
    assert len(problems_of(VIPSEG, root, "val")) == 9
    json_of(root).rename(json_of(root).with_name("panoptic_gt_VIPSeg_test.json"))
    for record in VIPSEG.load_records(root, "test"):
        assert (record["annotated_frames"], record["length"]) == ([], 3)
        with pytest.raises(AnnotationError, match=r"00000001\.jpg has no labels"):
            VIPSEG.read_labels(record, 1)


def test_damaged_files_are_named_on_reading(root: Path):
    record = VIPSEG.load_records(root, "val")[0]
    labels = Path(record["label_files"][0])
    read_clip(record, [0, 2], VIPSEG)
    with Image.open(labels) as image:
        image.resize((32, 24), Image.Resampling.NEAREST).save(labels)
    with pytest.raises(ValueError, match=r"images/val_00000/00000000\.jpg has 48x64 .* 24x32"):
        read_clip(record, [0], VIPSEG)
    truncate(labels)
    with pytest.raises(OSError, match=r"panomasksRGB/val_00000/00000000\.png cannot be read"):
        VIPSEG.read_labels(record, 0)
    Path(record["file_names"][1]).unlink()
    with pytest.raises(FileNotFoundError, match=r"images/val_00000/00000001\.jpg does not exist"):
        read_clip(record, [1], VIPSEG)


def test_broken_json_is_named(root: Path):
    truncate(json_of(root))
    with pytest.raises(AnnotationError, match=r"VIPSeg_val\.json is not valid JSON"):
        VIPSEG.load_records(root, "val")


def test_counts_add_up_to_those_of_the_paper():
    assert sum(counts.videos for counts in VIPSEG.counts.values()) == 3536
    assert sum(counts.frames for counts in VIPSEG.counts.values()) == 84_750
