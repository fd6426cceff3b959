from pathlib import Path

import numpy as np
import pytest

from gvseg.data.synthetic.formats import get_format
from gvseg.data.synthetic.scene import make_videos
from gvseg.data.synthetic.writers import davis
from tests.data.synthetic.round_trip import write_and_read


def test_files_lie_as_in_the_archive(tmp_path: Path):
    write_and_read(tmp_path, "davis", "val", num_frames=2)
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {
        "DAVIS/ImageSets/2017/val.txt",
        *(
            f"DAVIS/{folder}/480p/val_0000{video}/0000{frame}.{suffix}"
            for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "png"))
            for video in range(3)
            for frame in range(2)
        ),
    }


def test_object_that_comes_late_is_refused(tmp_path: Path):
    """A model is given the objects of the first frame and nothing later."""
    spec = get_format("youtube_vos").scene("train", size=(48, 64), num_frames=20)
    videos = make_videos(spec, num_videos=5, seed=0, split="train")
    late = next(video for video in videos if not np.all(video.labels[0].areas > 0))
    with pytest.raises(ValueError, match=rf"Video {late.name} has objects that its first frame"):
        davis.write(tmp_path, "train", [late])


def test_split_is_not_written_over(tmp_path: Path):
    videos, _, _ = write_and_read(tmp_path, "davis", "val", num_frames=1)
    with pytest.raises(FileExistsError, match=r"2017/val\.txt exists already"):
        davis.write(tmp_path, "val", videos)
