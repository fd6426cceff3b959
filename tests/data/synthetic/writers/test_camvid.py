from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.synthetic.writers import camvid
from tests.data.synthetic.round_trip import write_and_read


def test_files_lie_as_in_segnets_copy(tmp_path: Path):
    videos, _, _ = write_and_read(tmp_path, "camvid", "val", num_frames=2)
    names = [f"val_0000{video}_0000{frame}.png" for video in range(3) for frame in range(2)]
    for folder in ("val", "valannot"):
        assert sorted(path.name for path in (tmp_path / "camvid" / folder).iterdir()) == names
    with Image.open(tmp_path / "camvid" / "valannot" / names[3]) as image:
        assert image.mode == "L"
        ids = np.array(image)
    segments = videos[1].labels[1].segments
    for position, class_index in enumerate(segments.classes):
        np.testing.assert_array_equal(ids[segments.mask(position)], class_index)
    is_void = segments.index_map == -1
    np.testing.assert_array_equal(ids[is_void], 11)


def test_crowd_is_refused(tmp_path: Path):
    (video, *_), _, _ = write_and_read(tmp_path, "camvid", "val", num_frames=1)
    video.labels[0] = replace(video.labels[0], is_crowd=~video.labels[0].is_crowd)
    with pytest.raises(ValueError, match="camvid has no crowd"):
        camvid.write(tmp_path, "test", [video])


def test_split_is_not_written_over(tmp_path: Path):
    videos, _, _ = write_and_read(tmp_path, "camvid", "val", num_frames=1)
    with pytest.raises(FileExistsError, match="camvid/valannot exists already"):
        camvid.write(tmp_path, "val", videos)
