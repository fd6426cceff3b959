from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.synthetic.writers import vipseg_raw
from tests.data.synthetic.writers.one_frame import video_of

DOOR, WALL, CAR = 2, 0, 48


def values_of(root: Path) -> list[int]:
    with Image.open(root / "VIPSeg" / "panomasks" / "one" / "00000000.png") as image:
        assert image.mode == "I;16"
        return np.array(image)[0].tolist()


def test_objects_are_numbered_within_their_class_in_the_order_of_ids(tmp_path: Path):
    video = video_of([DOOR, WALL, CAR, DOOR, DOOR], [9, 1, 4, 2, 70_000])
    vipseg_raw.write(tmp_path, "val", [video])
    assert values_of(tmp_path) == [302, 1, 4901, 301, 303, 0]


def test_list_names_the_videos_in_order(tmp_path: Path):
    vipseg_raw.write(tmp_path, "val", [video_of([WALL], [1])])
    assert (tmp_path / "VIPSeg" / "val.txt").read_text() == "one\n"
    assert (tmp_path / "VIPSeg" / "imgs" / "one" / "00000000.jpg").is_file()


def test_test_labels_are_hidden(tmp_path: Path):
    vipseg_raw.write(tmp_path, "test", [video_of([WALL], [1])])
    assert not (tmp_path / "VIPSeg" / "panomasks").exists()


def test_hundredth_object_of_a_class_is_refused(tmp_path: Path):
    vipseg_raw.write(tmp_path / "most", "val", [video_of([CAR] * 99, range(1, 100))])
    with pytest.raises(ValueError, match=r"numbers 99 objects of a class, .* has 100 of car"):
        vipseg_raw.write(tmp_path / "more", "val", [video_of([CAR] * 100, range(1, 101))])


def test_crowd_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="vipseg_raw has no crowd regions"):
        vipseg_raw.write(tmp_path, "val", [video_of([CAR], [1], [True])])


def test_split_is_not_written_over(tmp_path: Path):
    vipseg_raw.write(tmp_path, "val", [])
    with pytest.raises(FileExistsError, match=r"val\.txt exists already"):
        vipseg_raw.write(tmp_path, "val", [])
