from pathlib import Path

import numpy as np
import pytest

from gvseg.data import get_benchmark
from gvseg.data.synthetic.formats import get_format
from gvseg.data.synthetic.scene import make_videos
from tests.data.synthetic.round_trip import check_video, write_and_read


@pytest.mark.parametrize("format_name", ["coco", "coco_panoptic"])
@pytest.mark.parametrize("split", ["train2017", "val2017"])
def test_labels_read_back_are_those_made(tmp_path: Path, format_name: str, split: str):
    videos, records, benchmark = write_and_read(tmp_path, format_name, split)
    for video, record in zip(videos, records, strict=True):
        check_video(benchmark, record, video, [0])
    assert any(video.labels[0].is_crowd.any() for video in videos)


def test_panoptic_labels_keep_void(tmp_path: Path):
    videos, records, benchmark = write_and_read(tmp_path, "coco_panoptic", "train2017")
    num_void = 0
    for video, record in zip(videos, records, strict=True):
        is_void = video.labels[0].segments.index_map < 0
        read = benchmark.read_labels(record, 0).segments.index_map
        np.testing.assert_array_equal(read < 0, is_void)
        num_void += is_void.sum()
    assert num_void > 0


def test_semantic_view_has_the_class_of_each_pixel(tmp_path: Path):
    videos, _, _ = write_and_read(tmp_path, "coco_panoptic", "val2017")
    benchmark = get_benchmark("coco_semantic_val2017")
    for video, record in zip(videos, benchmark.load_records(tmp_path, "val2017"), strict=True):
        made = video.labels[0].segments
        read = benchmark.read_labels(record, 0)
        assert len(set(read.segments.classes.tolist())) == len(read.segments)
        np.testing.assert_array_equal(read.segments.ids, read.segments.classes + 1)
        classes = np.append(made.classes, -1)[made.index_map]
        np.testing.assert_array_equal(
            np.append(read.segments.classes, -1)[read.segments.index_map], classes
        )
        areas = [(classes == class_index).sum() for class_index in read.segments.classes]
        assert read.areas.tolist() == areas
        assert not read.is_crowd.any()


@pytest.mark.parametrize("format_name", ["coco", "coco_panoptic"])
def test_video_of_several_frames_is_refused(tmp_path: Path, format_name: str):
    scene = get_format("ytvis_2019").scene("train", size=(48, 64), num_frames=2)
    videos = make_videos(scene, num_videos=1, seed=0, split="train")
    with pytest.raises(ValueError, match="train_00000 has 2 frames, but COCO has still images"):
        get_format(format_name).write(tmp_path, "train2017", videos)


def test_split_is_not_written_over(tmp_path: Path):
    write_and_read(tmp_path, "coco", "val2017")
    with pytest.raises(FileExistsError, match=r"val2017\.json exists already"):
        get_format("coco").write(tmp_path, "val2017", [])
