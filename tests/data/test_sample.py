from pathlib import Path

import numpy as np
import pytest
import torch

from gvseg.data.clip import Clip
from gvseg.data.sample import build_images, build_targets, describe, has_targets
from gvseg.tasks import Task
from tests.data.vps_benchmark import SIZE, paint, read_labels, vps_benchmark

FRAMES = [0, 4, 7]


@pytest.fixture
def sample(tmp_path: Path) -> dict:
    benchmark = vps_benchmark(tmp_path)
    (record,) = benchmark.load_records(tmp_path, "train")
    labels = [read_labels(record, index) for index in FRAMES]
    clip = Clip([paint(frame_labels.segments) for frame_labels in labels], labels)
    record = dict(record, dataset_name="small_vps_train")
    return (
        describe(record, benchmark)
        | build_images(clip, FRAMES, record)
        | build_targets(labels, benchmark)
    )


def test_every_object_is_in_every_frame_in_one_order(sample: dict):
    for instances in sample["instances"]:
        assert instances.gt_ids.tolist() == [7, 41]
        assert instances.gt_classes.tolist() == [1, 3]
        assert instances.image_size == SIZE
        assert instances.gt_masks.tensor.shape == (2, *SIZE)
        assert instances.gt_masks.tensor.dtype == torch.bool


def test_object_is_empty_where_it_is_absent(sample: dict):
    areas = [instances.gt_masks.tensor.flatten(1).sum(1) for instances in sample["instances"]]
    assert areas[0][0] == 0, "the cat has not come yet"
    assert areas[1][0] > 0
    assert all(area[1] > 0 for area in areas)


def test_masks_are_those_of_the_labels(sample: dict):
    for index, instances in zip(FRAMES, sample["instances"], strict=True):
        segments = read_labels({}, index).segments
        np.testing.assert_array_equal(instances.gt_masks.tensor[1].numpy(), segments.mask(2))
        np.testing.assert_array_equal(instances.gt_masks.tensor[0].numpy(), segments.mask(3))


def test_semantic_map_holds_stuff_and_leaves_things_crowds_and_void_out(sample: dict):
    for index, sem_seg in zip(FRAMES, sample["sem_seg"], strict=True):
        index_map = read_labels({}, index).segments.index_map
        assert sem_seg.dtype == torch.int64
        expected = np.select([index_map == 0, index_map == 1], [0, 2], 255)
        np.testing.assert_array_equal(sem_seg.numpy(), expected)


def test_images_and_names_belong_to_the_frames(sample: dict):
    assert sample["frame_indices"] == FRAMES
    assert [Path(name).stem for name in sample["file_names"]] == ["0", "4", "7"]
    for index, image in zip(FRAMES, sample["images"], strict=True):
        assert image.dtype == torch.uint8
        expected = paint(read_labels({}, index).segments)
        np.testing.assert_array_equal(image.permute(1, 2, 0).numpy(), expected)
    assert (sample["height"], sample["width"]) == SIZE
    assert Task.parse(sample["task"]) is Task.VPS
    assert (sample["video_id"], sample["dataset_name"]) == ("walk", "small_vps_train")


def test_sample_without_object_or_labelled_pixel_has_no_targets(sample: dict):
    assert has_targets(sample)
    for index in range(len(FRAMES)):
        sample["sem_seg"][index] = torch.full(SIZE, 255)
    assert has_targets(sample), "the objects are left"
    sample["instances"] = [instances[:0] for instances in sample["instances"]]
    assert not has_targets(sample)
