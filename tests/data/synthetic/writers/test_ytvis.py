import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gvseg.data import read_frame
from gvseg.data.synthetic.formats import get_format
from gvseg.data.synthetic.writers.ytvis import tracks, write_ytvis_2019
from tests.data.synthetic.round_trip import check_video, write_and_read


@pytest.mark.parametrize("format_name", ["ytvis_2019", "ytvis_2021", "ytvis_2022", "ovis"])
def test_labels_read_back_are_those_made(tmp_path: Path, format_name: str):
    videos, records, benchmark = write_and_read(tmp_path, format_name, "train", num_frames=6)
    numbers = []
    for video, record in zip(videos, records, strict=True):
        numbers.extend(check_video(benchmark, record, video, list(range(6))).values())
    assert sorted(numbers) == list(range(1, len(numbers) + 1)), "annotation ids are the identities"
    assert any(labels.is_crowd.any() for video in videos for labels in video.labels)


@pytest.mark.parametrize(
    ("format_name", "frame_file"),
    [
        ("ytvis_2019", "ytvis_2019/train/JPEGImages/train_00001/00004.jpg"),
        ("ovis", "ovis/train/train_00001/img_0000004.jpg"),
    ],
)
def test_frames_lie_where_the_authors_put_them(tmp_path: Path, format_name: str, frame_file: str):
    videos, records, _ = write_and_read(tmp_path, format_name, "train", num_frames=6)
    assert records[1]["file_names"][4] == str(tmp_path / frame_file)
    written = read_frame(tmp_path / frame_file).astype(int)
    assert np.abs(written - videos[1].frames[4]).mean() < 8  # JPEG loses a little


@pytest.mark.parametrize("split", ["valid", "test"])
def test_labels_are_hidden_where_the_authors_hide_them(tmp_path: Path, split: str):
    _, records, _ = write_and_read(tmp_path, "ytvis_2019", split, num_frames=2)
    assert "annotations" not in json.loads((tmp_path / f"ytvis_2019/{split}.json").read_text())
    assert all(record["annotated_frames"] == [] for record in records)


def test_split_is_not_written_over(tmp_path: Path):
    write_and_read(tmp_path, "ytvis_2019", "train", num_frames=2)
    with pytest.raises(FileExistsError, match=r"train\.json exists already"):
        get_format("ytvis_2019").write(tmp_path, "train", [])


def test_crowd_of_some_frames_is_refused(tmp_path: Path):
    (video, *_), _, _ = write_and_read(tmp_path, "ytvis_2019", "train", num_frames=2)
    first = video.labels[0]
    changed = replace(video, labels=[replace(first, is_crowd=~first.is_crowd), video.labels[1]])
    with pytest.raises(ValueError, match="train_00000 has crowd regions that are none in some"):
        write_ytvis_2019(tmp_path / "other", "train", [changed])


def test_object_out_of_sight_has_no_mask(tmp_path: Path):
    videos, _, _ = write_and_read(tmp_path, "ovis", "train", num_frames=6)
    for video in videos:
        for position, track in enumerate(tracks(video, tuple(range(1, 26)))):
            areas = [int(labels.segments.mask(position).sum()) for labels in video.labels]
            assert [area or 0 for area in track["areas"]] == areas
            assert [mask is None for mask in track["segmentations"]] == [a == 0 for a in areas]
            assert [box is None for box in track["bboxes"]] == [a == 0 for a in areas]
