import json
from pathlib import Path

import pytest

from gvseg.data.panoptic_image import read_rgb_values
from gvseg.data.synthetic.writers import vipseg
from tests.data.synthetic.writers.one_frame import video_of

DOOR, WALL = 2, 0


def test_json_lists_frames_and_segments_as_the_authors_do(tmp_path: Path):
    vipseg.write(tmp_path, "val", [video_of([DOOR, WALL], [1, 1], [True, False])])
    folder = tmp_path / "VIPSeg_720P"
    content = json.loads((folder / "panoptic_gt_VIPSeg_val.json").read_text())
    image = {"id": "00000000", "file_name": "00000000.png", "height": 4, "width": 3}
    assert content["videos"] == [{"video_id": "one", "images": [image]}]
    # The door comes after the 124 classes, of which wall is the first.
    segments = [
        {"id": 125, "category_id": DOOR, "area": 4, "iscrowd": 1},
        {"id": 1, "category_id": WALL, "area": 4, "iscrowd": 0},
    ]
    annotation = {"image_id": "00000000", "file_name": "00000000.png", "segments_info": segments}
    assert content["annotations"] == [{"video_id": "one", "annotations": [annotation]}]
    values = read_rgb_values(folder / "panomasksRGB" / "one" / "00000000.png")
    assert values[0].tolist() == [125, 1, 0]
    assert (folder / "images" / "one" / "00000000.jpg").is_file()
    assert len(content["categories"]) == 124


def test_test_labels_are_hidden(tmp_path: Path):
    vipseg.write(tmp_path, "test", [video_of([WALL], [1])])
    content = json.loads((tmp_path / "VIPSeg_720P" / "panoptic_gt_VIPSeg_test.json").read_text())
    assert content["annotations"] == []
    assert not (tmp_path / "VIPSeg_720P" / "panomasksRGB").exists()


def test_split_is_not_written_over(tmp_path: Path):
    vipseg.write(tmp_path, "val", [])
    with pytest.raises(FileExistsError, match=r"VIPSeg_val\.json exists already"):
        vipseg.write(tmp_path, "val", [])
