import json
from pathlib import Path

import pytest

from gvseg.data.synthetic.writers import cityscapes_vps
from tests.data.synthetic.writers.one_frame import video_of

ROAD, CAR = 0, 13


def read(root: Path, kind: str, split: str) -> dict:
    return json.loads((root / "cityscapes_vps" / f"{kind}_{split}_city_vps.json").read_text())


def test_lists_are_those_of_the_authors(tmp_path: Path):
    cityscapes_vps.write(tmp_path, "val", [video_of([ROAD, CAR], [1, 1], num_frames=12)] * 2)
    whole = read(tmp_path, "im_all_info", "val")["images"]
    assert [image["id"] for image in whole] == [
        10_000 * number + frame for number in (1, 2) for frame in range(1, 13)
    ]
    labelled = read(tmp_path, "panoptic_im", "val")["images"]
    names = [f"000{n}_000{i}_synthetic_00000{n}_00000{i}" for n in (1, 2) for i in (4, 9)]
    assert [image["id"] for image in labelled] == names
    truth = read(tmp_path, "panoptic_gt", "val")
    assert truth["images"] == labelled
    assert [entry["file_name"] for entry in truth["annotations"]] == [
        f"{name}_final_mask.png" for name in names
    ]
    # The car comes after the 19 classes, of which road is the first.
    assert [s["id"] for s in truth["annotations"][0]["segments_info"]] == [1, 20]
    folder = tmp_path / "cityscapes_vps" / "val"
    assert len(list((folder / "img_all").iterdir())) == 24
    assert sorted(path.name for path in (folder / "panoptic_video").iterdir()) == [
        f"{name}_final_mask.png" for name in names
    ]


def test_training_has_no_list_of_whole_videos_and_test_no_labels(tmp_path: Path):
    for split in ("train", "test"):
        cityscapes_vps.write(tmp_path, split, [video_of([ROAD], [1], num_frames=5)])
    assert sorted(path.name for path in (tmp_path / "cityscapes_vps").glob("*.json")) == [
        "im_all_info_test_city_vps.json",
        "panoptic_gt_train_city_vps.json",
        "panoptic_im_test_city_vps.json",
        "panoptic_im_train_city_vps.json",
    ]
    assert not any((tmp_path / "cityscapes_vps" / "test" / "panoptic_video").iterdir())


def test_video_without_a_fifth_frame_is_refused(tmp_path: Path):
    video = video_of([ROAD], [1], num_frames=4)
    with pytest.raises(ValueError, match=r"one has 4 frames, but .* labels for every 5th"):
        cityscapes_vps.write(tmp_path, "val", [video])


def test_split_is_not_written_over(tmp_path: Path):
    cityscapes_vps.write(tmp_path, "val", [])
    with pytest.raises(FileExistsError, match=r"val_city_vps\.json exists already"):
        cityscapes_vps.write(tmp_path, "val", [])
