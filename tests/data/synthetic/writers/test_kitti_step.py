from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.synthetic.writers import kitti_step
from tests.data.synthetic.writers.one_frame import video_of

ROAD, PERSON, CAR = 0, 11, 13


def test_colours_are_class_and_number(tmp_path: Path):
    video = video_of([ROAD, CAR, PERSON, CAR], [1, 1, 259, 7], [False, False, False, True])
    kitti_step.write(tmp_path, "val", [video, video])
    folder = tmp_path / "kitti_step"
    for sequence in ("0000", "0001"):
        assert (folder / "images" / "val" / sequence / "000000.png").is_file()
        with Image.open(folder / "panoptic_maps" / "val" / sequence / "000000.png") as image:
            colors = np.array(image)[0].tolist()
        assert colors == [[0, 0, 0], [13, 0, 1], [11, 1, 3], [13, 0, 0], [255, 0, 0]]


def test_test_labels_are_hidden(tmp_path: Path):
    kitti_step.write(tmp_path, "test", [video_of([ROAD], [1])])
    assert not (tmp_path / "kitti_step" / "panoptic_maps").exists()


def test_what_the_format_cannot_hold_is_refused(tmp_path: Path):
    kitti_step.write(tmp_path, "train", [video_of([CAR], [65_535])])
    with pytest.raises(ValueError, match="Object 65536 is too many"):
        kitti_step.write(tmp_path, "val", [video_of([CAR], [65_536])])
    crowds = video_of([CAR, PERSON, CAR], [1, 2, 3], [True, True, True])
    with pytest.raises(ValueError, match="has one crowd region of a class"):
        kitti_step.write(tmp_path / "other", "val", [crowds])


def test_split_is_not_written_over(tmp_path: Path):
    kitti_step.write(tmp_path, "val", [])
    with pytest.raises(FileExistsError, match="panoptic_maps/val exists already"):
        kitti_step.write(tmp_path, "val", [])
