from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from gvseg.data.benchmarks.cityscapes_vps import CITYSCAPES_VPS
from gvseg.data.clip_mapper import read_clip
from gvseg.data.problems import AnnotationError
from tests.data.benchmarks.corruption import edit_json, problems_of, truncate
from tests.data.synthetic.round_trip import write_and_read

NUM_FRAMES = 11


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write three videos of 11 frames, of which the fifth and the tenth have labels."""
    write_and_read(tmp_path, "cityscapes_vps", "val", num_frames=NUM_FRAMES)
    return tmp_path


def json_of(root: Path, kind: str, split: str = "val") -> Path:
    return root / "cityscapes_vps" / f"{kind}_{split}_city_vps.json"


def rename_everywhere(root: Path, old: str, new: str) -> None:
    """Rename files and what the JSONs say of them."""
    folder = root / "cityscapes_vps"
    for path in sorted(folder.rglob("*.png")):
        path.rename(path.with_name(path.name.replace(old, new)))
    for path in folder.glob("*.json"):
        path.write_text(path.read_text().replace(old, new))


def test_whole_videos_have_labels_for_every_fifth_frame(root: Path):
    records = CITYSCAPES_VPS.load_records(root, "val")
    assert [record["video_id"] for record in records] == ["0001", "0002", "0003"]
    for record in records:
        assert (record["length"], record["annotated_frames"]) == (NUM_FRAMES, [4, 9])
        assert all("/val/img_all/" in path for path in record["file_names"])
        for index in (4, 9):
            frame, labels = Path(record["file_names"][index]), record["label_files"][index]
            assert frame.name.removesuffix("_leftImg8bit.png") in labels
        with pytest.raises(AnnotationError, match=r"_000003_leftImg8bit\.png has no labels"):
            CITYSCAPES_VPS.read_labels(record, 3)


def test_frames_of_cityscapes_itself_have_other_names_of_labels(root: Path):
    # In the lists of labelled frames a leftImg8bit goes with a gtFine_color.
    rename_everywhere(root, "000009_newImg8bit", "000009_leftImg8bit")
    rename_everywhere(root, "000009_final_mask", "000009_gtFine_color")
    record = CITYSCAPES_VPS.load_records(root, "val")[0]
    assert record["label_files"][9].endswith("_000009_gtFine_color.png")
    assert len(CITYSCAPES_VPS.read_labels(record, 9).segments) > 0


def test_training_videos_have_labelled_frames_alone(tmp_path: Path):
    write_and_read(tmp_path, "cityscapes_vps", "train", num_frames=6)
    for record in CITYSCAPES_VPS.load_records(tmp_path, "train"):
        assert record["length"] == 6
        assert "annotated_frames" not in record
        assert all("/train/img/" in path for path in record["file_names"])


def test_test_labels_are_hidden(tmp_path: Path):
    write_and_read(tmp_path, "cityscapes_vps", "test", num_frames=NUM_FRAMES)
    for record in CITYSCAPES_VPS.load_records(tmp_path, "test"):
        assert (record["length"], record["annotated_frames"]) == (NUM_FRAMES, [])


@pytest.mark.parametrize("kind", ["panoptic_im", "im_all_info", "panoptic_gt"])
def test_missing_json_is_named(root: Path, kind: str):
    json_of(root, kind).unlink()
    with pytest.raises(FileNotFoundError, match=rf"{kind}_val_city_vps\.json does not exist"):
        CITYSCAPES_VPS.load_records(root, "val")


CORRUPTIONS: dict[str, tuple[str, Callable[[dict], object], str]] = {
    "unknown category": (
        "panoptic_gt",
        lambda content: content["annotations"][0]["segments_info"][0].update(category_id=19),
        "has category id 19, which is not among the 19 of Cityscapes",
    ),
    "image id twice": (
        "panoptic_gt",
        lambda content: content["annotations"].append(content["annotations"][0]),
        "has several entries of 'annotations' with image_id 0001_0004_synthetic_000001_000004",
    ),
    "frame without annotations": (
        "panoptic_gt",
        lambda content: content["annotations"].pop(0),
        "has no annotations of frame 0001_0004_synthetic_000001_000004",
    ),
    "annotations without frame": (
        "panoptic_im",
        lambda content: content["images"].pop(0),
        "has annotations of frame 0001_0004_synthetic_000001_000004, which is not listed",
    ),
    "name of another kind": (
        "im_all_info",
        lambda content: content["images"][0].update(file_name="first.png"),
        "lists first.png, which is not named",
    ),
    "moment twice": (
        "panoptic_im",
        lambda content: content["images"].append(content["images"][0] | {"id": "0009_0004_x"}),
        "lists synthetic_000001_000004 several times",
    ),
    "labelled frame in no video": (
        "im_all_info",
        lambda content: content["images"].pop(4),
        "does not list synthetic_000001_000004, which has labels",
    ),
    "two videos under one number": (
        "im_all_info",
        lambda content: [
            image.update(id=image["id"] - 10_000 + 100)
            for image in content["images"]
            if image["id"] // 10_000 == 2
        ],
        "has in video 1 labelled frames of 2 videos",
    ),
    "frames of two sizes": (
        "im_all_info",
        lambda content: content["images"][1].update(width=10),
        "gives frames of video 0001 the sizes",
    ),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_corrupt_json_is_named(root: Path, name: str):
    kind, edit, what = CORRUPTIONS[name]
    edit_json(json_of(root, kind), edit)
    problem, *_ = problems_of(CITYSCAPES_VPS, root, "val")
    assert problem.what.startswith(what) or what in problem.what
    assert problem.file.endswith("_val_city_vps.json")


def test_damaged_files_are_named_on_reading(root: Path):
    record = CITYSCAPES_VPS.load_records(root, "val")[0]
    labels = Path(record["label_files"][4])
    read_clip(record, [4, 9], CITYSCAPES_VPS)
    with Image.open(labels) as image:
        image.resize((32, 24), Image.Resampling.NEAREST).save(labels)
    with pytest.raises(ValueError, match=r"000004_leftImg8bit\.png has 48x64 .* has 24x32"):
        read_clip(record, [4], CITYSCAPES_VPS)
    truncate(labels)
    with pytest.raises(OSError, match=r"000004_final_mask\.png cannot be read"):
        CITYSCAPES_VPS.read_labels(record, 4)
    labels.unlink()
    with pytest.raises(FileNotFoundError, match=r"000004_final_mask\.png does not exist"):
        CITYSCAPES_VPS.read_labels(record, 4)


def test_things_are_people_and_vehicles():
    classes = CITYSCAPES_VPS.classes
    assert [classes.is_thing[index] for index in range(19)] == [False] * 11 + [True] * 8


def test_counts_are_six_labelled_frames_of_each_video():
    for split in ("train", "val"):
        counts = CITYSCAPES_VPS.counts[split]
        assert counts.frames == 6 * counts.videos
