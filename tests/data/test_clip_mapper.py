from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.config import CfgNode, get_cfg

from gvseg.config import add_gvseg_config
from gvseg.data.augmentation import (
    LargeScaleJitter,
    RandomBlend,
    RandomCrop,
    RandomFlip,
    RandomPhotometry,
    RandomRotation,
    RandomShortestEdge,
)
from gvseg.data.benchmark import get_benchmark
from gvseg.data.clip_mapper import ClipMapper, build_augmentations, build_sampling
from gvseg.data.loader import load_records
from tests.data.small_benchmarks import CAMVID_SIZE


def small_cfg(**inputs) -> CfgNode:
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.MIN_SIZE_TRAIN = (36,)
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.merge_from_list([part for key, value in inputs.items() for part in (f"INPUT.{key}", value)])
    return cfg


def draw(dataset_name: str, position: int, *, seed: int = 0, **inputs) -> dict | None:
    mapper = ClipMapper(small_cfg(**inputs), get_benchmark(dataset_name))
    return mapper(load_records(dataset_name)[position], np.random.default_rng(seed))


@pytest.mark.usefixtures("small_benchmarks")
class TestTraining:
    def test_semantic_sample_holds_frames_and_labels_as_they_are_on_disk(self):
        sample = draw("camvid_val", 0, SAMPLING_FRAME_NUM=3)
        assert "instances" not in sample
        assert sample["frame_indices"] == sorted(set(sample["frame_indices"]))
        record = load_records("camvid_val")[0]
        for index, image, sem_seg, name in zip(
            *(sample[key] for key in ("frame_indices", "images", "sem_seg", "file_names")),
            strict=True,
        ):
            assert name == record["file_names"][index]
            frame = np.array(Image.open(name)).transpose(2, 0, 1)
            np.testing.assert_array_equal(image.numpy(), frame)
            ids = np.array(Image.open(record["label_files"][index]))
            np.testing.assert_array_equal(sem_seg.numpy(), np.where(ids == 11, 255, ids))

    def test_instance_sample_has_no_crowd(self):
        sample = draw("coco128_train", 1, MIN_SIZE_TRAIN=(40,))
        assert "sem_seg" not in sample
        assert sample["instances"][0].gt_classes.tolist() == [0, 79]
        assert sample["instances"][0].gt_masks.tensor.sum((1, 2)).tolist() == [600, 384]

    def test_still_image_gives_a_clip_that_moves_with_its_masks(self):
        sample = draw("coco128_train", 1, SAMPLING_FRAME_NUM=3)
        assert sample["frame_indices"] == [0, 0, 0]
        images = torch.stack(sample["images"]).float()
        assert (images[0] - images[1]).abs().mean() > 10
        assert (images[1] - images[2]).abs().mean() > 10
        masks = torch.stack([instances.gt_masks.tensor for instances in sample["instances"]])
        assert masks.shape[:2] == (3, 2)
        assert (masks[0] != masks[1]).any()
        assert (masks[1] != masks[2]).any()

    def test_still_image_alone_does_not_move(self):
        first, second = (draw("coco128_train", 1, seed=seed) for seed in (0, 1))
        np.testing.assert_array_equal(first["images"][0], second["images"][0])

    def test_blue_comes_first_where_the_config_says_so(self):
        rgb, bgr = (draw("coco128_train", 0, FORMAT=order)["images"][0] for order in ("RGB", "BGR"))
        np.testing.assert_array_equal(rgb.flip(0), bgr)

    def test_same_generator_state_gives_the_same_sample(self):
        strong = {"SAMPLING_FRAME_NUM": 2, "LARGE_SCALE_JITTER": True, "IMAGE_SIZE": 64}
        first, second, other = (
            draw("coco128_train", 0, seed=seed, COLOR_AUG_SSD=True, **strong) for seed in (5, 5, 6)
        )
        assert torch.equal(torch.stack(first["images"]), torch.stack(second["images"]))
        assert not torch.equal(torch.stack(first["images"]), torch.stack(other["images"]))

    def test_sample_without_any_object_is_given_up(self):
        assert draw("coco128_train", 2) is None

    def test_augmentation_is_drawn_anew_until_an_object_is_left(self):
        windows = dict(
            {"CROP.ENABLED": True, "CROP.TYPE": "absolute", "CROP.SIZE": (6, 6)},
            MIN_SIZE_TRAIN=(60,),
        )
        for seed in range(10):
            sample = draw("coco128_train", 0, seed=seed, **windows)
            assert sample["images"][0].shape == (3, 6, 6)
            assert len(sample["instances"][0]) >= 1

    def test_pasted_objects_come_with_identities_of_their_own(self):
        records = load_records("coco128_train")
        mapper = ClipMapper(small_cfg(SAMPLING_FRAME_NUM=2), get_benchmark("coco128_train"))
        rng = np.random.default_rng(0)
        ids = [
            mapper(records[1], rng, donor=records[0])["instances"][0].gt_ids.tolist()
            for _ in range(20)
        ]
        assert all(len(set(clip_ids)) == len(clip_ids) for clip_ids in ids)
        assert max(len(clip_ids) for clip_ids in ids) == 4

    def test_key_frame_is_in_the_clip(self):
        mapper = ClipMapper(small_cfg(SAMPLING_FRAME_NUM=2), get_benchmark("camvid_val"))
        (record,) = load_records("camvid_val")
        rng = np.random.default_rng(0)
        for key_frame in range(record["length"]):
            assert key_frame in mapper(record, rng, key_frame=key_frame)["frame_indices"]

    def test_missing_frame_is_named(self):
        (record,) = load_records("camvid_val")
        Path(record["file_names"][0]).unlink()
        mapper = ClipMapper(small_cfg(), get_benchmark("camvid_val"))
        with pytest.raises(FileNotFoundError, match=r"0016E5_07959\.png does not exist"):
            mapper(record, np.random.default_rng(0), key_frame=0)

    def test_frame_of_another_size_than_its_video_is_named(self):
        (record,) = load_records("camvid_val")
        Image.new("RGB", (10, 10)).save(record["file_names"][4])
        mapper = ClipMapper(small_cfg(), get_benchmark("camvid_val"))
        with pytest.raises(
            ValueError, match=r"07967\.png has 10x10 pixels.*0016E5_07959 has 36x48"
        ):
            mapper(record, np.random.default_rng(0), key_frame=4)

    def test_annotation_of_another_size_than_its_frame_is_named(self):
        (record,) = load_records("camvid_val")
        Image.new("L", (10, 10)).save(record["label_files"][4])
        mapper = ClipMapper(small_cfg(), get_benchmark("camvid_val"))
        with pytest.raises(ValueError, match=r"07967\.png has 36x48 pixels.*annotation has 10x10"):
            mapper(record, np.random.default_rng(0), key_frame=4)


def test_test_sample_is_the_whole_video_at_test_size_without_labels(small_benchmarks: Path):
    cfg = small_cfg(MIN_SIZE_TEST=72, MAX_SIZE_TEST=90)
    mapper = ClipMapper(cfg, get_benchmark("camvid_val"), is_train=False)
    (record,) = load_records("camvid_val")
    sample = mapper(record, np.random.default_rng(0))
    assert sample["frame_indices"] == list(range(10))
    assert {tuple(image.shape) for image in sample["images"]} == {(3, 68, 90)}
    assert (sample["height"], sample["width"]) == CAMVID_SIZE
    assert "sem_seg" not in sample


@pytest.mark.parametrize(
    ("inputs", "kinds"),
    [
        ({}, [RandomShortestEdge]),
        ({"RANDOM_FLIP": "flip_by_clip"}, [RandomShortestEdge, RandomFlip]),
        ({"CROP.ENABLED": True}, [RandomShortestEdge, RandomCrop]),
        ({"LARGE_SCALE_JITTER": True, "CROP.ENABLED": True}, [LargeScaleJitter]),
        ({"DATASET_MAPPER_NAME": "coco_instance_lsj"}, [LargeScaleJitter]),
        (
            {"COLOR_AUG_SSD": True, "ROTATION": 5.0},
            [RandomPhotometry, RandomRotation, RandomShortestEdge],
        ),
        (
            {"AUGMENTATIONS": ["brightness", "rotation"]},
            [RandomBlend, RandomRotation, RandomShortestEdge],
        ),
    ],
)
def test_config_chooses_the_augmentations(inputs: dict, kinds: list[type]):
    assert [type(step) for step in build_augmentations(small_cfg(**inputs))] == kinds


@pytest.mark.parametrize(
    ("name", "partner"), [("brightness", "black"), ("contrast", "mean"), ("saturation", "grey")]
)
def test_colour_names_of_mask2former_change_only_what_they_name(name: str, partner: str):
    (colour, _) = build_augmentations(small_cfg(AUGMENTATIONS=[name]))
    assert (colour.partner, colour.max_change) == (partner, 0.1)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"AUGMENTATIONS": ["sharpness"]}, "INPUT.AUGMENTATIONS has sharpness"),
        ({"RANDOM_FLIP": "diagonal"}, "RANDOM_FLIP is 'diagonal'"),
        ({"SAMPLING_FRAME_MODE": "random"}, "SAMPLING_FRAME_MODE is 'random'"),
    ],
)
def test_config_value_that_makes_no_sense_is_named(inputs: dict, message: str):
    cfg = small_cfg(**inputs)
    with pytest.raises(ValueError, match=message):
        ClipMapper(cfg, get_benchmark("camvid_val"))


def test_config_chooses_the_sampling():
    rng = np.random.default_rng(0)
    sampling = build_sampling(small_cfg(SAMPLING_FRAME_MODE="consecutive", SAMPLING_FRAME_STRIDE=4))
    assert np.diff(sampling(rng, 30, 3)).tolist() == [4, 4]
    near = build_sampling(small_cfg(SAMPLING_FRAME_RANGE=1))
    assert near(rng, 30, 3, key_frame=9) == [8, 9, 10]
    shuffled = build_sampling(small_cfg(SAMPLING_FRAME_RANGE=1, SAMPLING_FRAME_SHUFFLE=True))
    assert {tuple(shuffled(rng, 3, 2, key_frame=0)) for _ in range(20)} == {(0, 1), (1, 0)}
