"""What the writers of predictions refuse, and what they leave out."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.benchmark import annotated_frames
from gvseg.evaluation.submissions import submission_format
from tests.evaluation.submissions.made_up import MadeUp, Sets, perfect


def test_pixel_without_a_class_cannot_be_written(sets: Sets, folder: Path, tmp_path: Path):
    """VSPW's script would take it for another class without a word."""
    made = sets.copy("vspw_val", folder)
    record = made.records[0]
    (first, *_) = perfect(made, record)
    index_map = first.index_map.copy()
    index_map[0, :3] = -1
    writer = submission_format(made.benchmark).open_writer(tmp_path / "new", made.benchmark)
    with pytest.raises(ValueError, match=r"Video .*, frame .*: 3 pixels are predicted to be of no"):
        writer.write(record, replace(first, index_map=index_map))


def test_video_cannot_be_written_as_objects_of_an_image(sets: Sets, folder: Path, tmp_path: Path):
    made = sets.copy("coco_val2017", folder)
    record = made.records[0]
    (only,) = perfect(made, record)
    writer = submission_format(made.benchmark).open_writer(tmp_path / "new", made.benchmark)
    with pytest.raises(ValueError, match="Video 1 has 2 frames, but COCO's format is one of"):
        writer.write({**record, "length": 2}, only)


def test_identity_twice_in_a_frame_cannot_be_written(sets: Sets, folder: Path, tmp_path: Path):
    made = sets.copy("burst_mask_val", folder)
    record = made.records[0]
    first = perfect(made, record)[annotated_frames(record)[0]]
    writer = submission_format(made.benchmark).open_writer(tmp_path / "new", made.benchmark)
    with pytest.raises(ValueError, match="Identity 1 is listed twice as class 0 in frame 0"):
        writer.write(record, replace(first, ids=np.ones_like(first.ids)))


def test_video_that_was_not_written_is_named(sets: Sets, folder: Path, tmp_path: Path):
    made = sets.copy("ytvis_2019_train", folder)
    writer = submission_format(made.benchmark).open_writer(tmp_path / "new", made.benchmark)
    for record in made.records[:2]:
        writer.end_video(record)
    with pytest.raises(FileNotFoundError, match=f"Video {made.records[2]['video_id']} was not"):
        writer.finish(made.records)


# What the organisers' scripts would stop at.


def test_burst_has_no_empty_masks(sets: Sets, folder: Path, tmp_path: Path):
    made = sets.copy("burst_mask_val", folder)

    def with_an_empty_mask(made: MadeUp, record: dict) -> list:
        frames = perfect(made, record)
        return [replace(f, masks=f.masks & (f.ids > f.ids.min())[:, None, None]) for f in frames]

    made.submit(tmp_path / "new", with_an_empty_mask)
    for sequence in json.loads((tmp_path / "new" / "results.json").read_text())["sequences"]:
        for tracks in sequence["segmentations"]:
            assert all(track["rle"] for track in tracks.values())
            assert "1" not in tracks


def test_panoptic_json_lists_what_the_image_shows(sets: Sets, folder: Path):
    made = sets.copy("vipseg_val", folder)
    content = json.loads((folder / "pred.json").read_text())
    assert [video["video_id"] for video in content["annotations"]] == [
        record["video_id"] for record in made.records
    ]
    for video in content["annotations"]:
        for frame in video["annotations"]:
            with Image.open(folder / "pan_pred" / video["video_id"] / frame["file_name"]) as image:
                rgb = np.array(image).astype(int)
            numbers, areas = np.unique(rgb @ [1, 256, 65536], return_counts=True)
            shown = dict(zip(numbers.tolist(), areas.tolist(), strict=True))
            shown.pop(0, None)
            assert {s["id"]: s["area"] for s in frame["segments_info"]} == shown
