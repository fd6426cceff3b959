from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gvseg.data import get_benchmark
from gvseg.data.exemplars import tight_box
from gvseg.data.synthetic.formats import get_format
from tests.data.synthetic.round_trip import check_video, visible, write_and_read

NUM_FRAMES = 12


@pytest.mark.parametrize(
    ("split", "annotated"), [("train", list(range(NUM_FRAMES))), ("val", [0, 5, 10])]
)
def test_labels_read_back_are_those_made(tmp_path: Path, split: str, annotated: list[int]):
    videos, records, benchmark = write_and_read(tmp_path, "burst", split, num_frames=NUM_FRAMES)
    for video, record in zip(videos, records, strict=True):
        assert record["annotated_frames"] == annotated
        identities = check_video(benchmark, record, video, annotated)
        ids = video.labels[0].segments.ids
        assert all(identity == ids[position] for position, identity in identities.items())
        assert record["category_ids"] == dict.fromkeys(ids.tolist(), 1)


@pytest.mark.parametrize("kind", ["mask", "box", "point"])
def test_each_object_is_pointed_out_where_it_is_first_annotated(tmp_path: Path, kind: str):
    videos, records, _ = write_and_read(tmp_path, "burst", "val", num_frames=NUM_FRAMES)
    read_exemplars = get_benchmark(f"burst_{kind}_val").read_exemplars
    num_late = 0
    for video, record in zip(videos, records, strict=True):
        frames_of_object = {}
        for frame_index in record["annotated_frames"]:
            labels = video.labels[frame_index]
            for position in visible(labels):
                object_id = int(labels.segments.ids[position])
                frames_of_object.setdefault(
                    object_id, (frame_index, labels.segments.mask(position))
                )
        exemplars = {exemplar.object_id: exemplar for exemplar in read_exemplars(record)}
        assert exemplars.keys() == frames_of_object.keys()
        for object_id, (frame_index, mask) in frames_of_object.items():
            exemplar = exemplars[object_id]
            assert (exemplar.kind, exemplar.frame_index) == (kind, frame_index)
            num_late += frame_index > 0
            if kind == "mask":
                np.testing.assert_array_equal(exemplar.mask, mask)
            elif kind == "box":
                np.testing.assert_array_equal(exemplar.box, tight_box(mask))
            else:
                column, row = exemplar.point
                assert column % 1 == row % 1 == 0.5
                assert mask[int(row), int(column)]
    assert num_late, "some object comes in late"


def test_split_is_not_written_over(tmp_path: Path):
    write_and_read(tmp_path, "burst", "val", num_frames=2)
    with pytest.raises(FileExistsError, match=r"val/all_classes\.json exists already"):
        get_format("burst").write(tmp_path, "val", [])


def test_crowd_regions_are_refused(tmp_path: Path):
    (video, *_), _, _ = write_and_read(tmp_path, "burst", "val", num_frames=2)
    labels = [replace(frame, is_crowd=~frame.is_crowd) for frame in video.labels]
    with pytest.raises(ValueError, match="burst has no crowd regions"):
        get_format("burst").write(tmp_path, "test", [replace(video, labels=labels)])
