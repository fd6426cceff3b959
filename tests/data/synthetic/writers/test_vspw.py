from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.synthetic.writers import vspw
from tests.data.synthetic.writers.one_frame import video_of


@pytest.mark.parametrize(
    ("write", "folder"), [(vspw.write_480p, "VSPW_480p"), (vspw.write_raw, "VSPW")]
)
def test_values_are_classes_counted_from_one(tmp_path: Path, write, folder: str):
    write(tmp_path, "val", [video_of([123, 0], [124, 1])])
    video = tmp_path / folder / "data" / "one"
    with Image.open(video / "mask" / "00000000.png") as image:
        assert (image.mode, np.array(image)[0].tolist()) == ("L", [124, 1, 0])
    assert (video / "origin" / "00000000.jpg").is_file()
    assert (tmp_path / folder / "val.txt").read_text() == "one\n"


def test_test_labels_are_hidden(tmp_path: Path):
    vspw.write_480p(tmp_path, "test", [video_of([0], [1])])
    assert not (tmp_path / "VSPW_480p" / "data" / "one" / "mask").exists()


def test_crowd_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="vspw has no crowd regions"):
        vspw.write_480p(tmp_path, "val", [video_of([0], [1], [True])])


def test_split_is_not_written_over(tmp_path: Path):
    vspw.write_480p(tmp_path, "val", [])
    with pytest.raises(FileExistsError, match=r"VSPW_480p/val\.txt exists already"):
        vspw.write_480p(tmp_path, "val", [])
