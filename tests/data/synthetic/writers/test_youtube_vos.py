import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.synthetic.writers import youtube_vos
from tests.data.synthetic.round_trip import write_and_read


def test_files_lie_as_in_the_archive_with_every_fifth_frame(tmp_path: Path):
    write_and_read(tmp_path, "youtube_vos", "train", num_frames=3)
    folder = tmp_path / "youtube_vos_2019" / "train"
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {
        "meta.json",
        *(
            f"{kind}/train_0000{video}/000{stem}.{suffix}"
            for kind, suffix in (("JPEGImages", "jpg"), ("Annotations", "png"))
            for video in range(3)
            for stem in ("00", "05", "10")
        ),
    }


def test_meta_lists_the_frames_in_which_an_object_is_seen(tmp_path: Path):
    videos, _, _ = write_and_read(tmp_path, "youtube_vos", "train", num_frames=20)
    path = tmp_path / "youtube_vos_2019" / "train" / "meta.json"
    content = json.loads(path.read_text())["videos"]
    assert list(content) == [video.name for video in videos]
    for video in videos:
        objects = content[video.name]["objects"]
        for position, object_id in enumerate(video.labels[0].segments.ids.tolist()):
            seen = [f"{5 * t:05d}" for t, frame in enumerate(video.labels) if frame.areas[position]]
            assert objects[str(object_id)] == {"category": "object", "frames": seen}
        assert len(objects) == len(video.labels[0].segments)


def test_split_to_test_on_shows_every_object_once(tmp_path: Path):
    videos, _, _ = write_and_read(tmp_path, "youtube_vos", "valid", num_frames=20)
    num_late = 0
    for video in videos:
        folder = tmp_path / "youtube_vos_2019" / "valid" / "Annotations" / video.name
        shown: list[int] = []
        for path in sorted(folder.iterdir()):
            with Image.open(path) as image:
                ids = sorted(set(np.unique(np.array(image)).tolist()) - {0})
            num_late += path.stem != "00000"
            assert not set(ids) & set(shown)
            shown += ids
        assert sorted(shown) == video.labels[0].segments.ids.tolist()
    assert num_late > 0


def test_year_decides_the_folder(tmp_path: Path):
    videos, _, _ = write_and_read(tmp_path, "youtube_vos", "train", num_frames=1)
    youtube_vos.write_2018(tmp_path, "train", videos)
    assert (tmp_path / "youtube_vos_2018" / "train" / "meta.json").is_file()
    with pytest.raises(FileExistsError, match="youtube_vos_2019/train exists already"):
        youtube_vos.write_2019(tmp_path, "train", videos)
