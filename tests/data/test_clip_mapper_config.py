"""What `INPUT` makes of augmentations and sampling."""

import numpy as np
import pytest

from gvseg.data.augmentation import (
    LargeScaleJitter,
    RandomBlend,
    RandomCrop,
    RandomFlip,
    RandomPhotometry,
    RandomRotation,
    RandomShortestEdge,
    Sometimes,
)
from gvseg.data.benchmark import get_benchmark
from gvseg.data.clip_mapper import ClipMapper, build_augmentations, build_sampler
from tests.data.test_clip_mapper import small_cfg


@pytest.mark.parametrize(
    ("inputs", "kinds"),
    [
        ({}, [RandomShortestEdge]),
        ({"RANDOM_FLIP": "flip_by_clip"}, [RandomShortestEdge, RandomFlip]),
        ({"CROP.ENABLED": True}, [RandomShortestEdge, RandomCrop]),
        ({"CROP.ENABLED": True, "CROP.PROBABILITY": 0.5}, [RandomShortestEdge, Sometimes]),
        (
            {"CROP.ENABLED": True, "CROP.MIN_SIZE_BEFORE": [40, 50]},
            [Sometimes, RandomShortestEdge],
        ),
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


def test_size_before_a_crop_has_a_bound_of_its_own():
    cfg = small_cfg(**{"CROP.ENABLED": True, "CROP.MIN_SIZE_BEFORE": [40], "MAX_SIZE_TRAIN": 50})
    (crop, resize) = build_augmentations(cfg)
    assert (crop.steps[0].max_size, resize.max_size) == (1333, 50)
    cfg.INPUT.CROP.MAX_SIZE_BEFORE = 45
    assert build_augmentations(cfg)[0].steps[0].max_size == 45


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
        (
            {"CROP.ENABLED": True, "CROP.PROBABILITY": 0.0},
            "CROP.PROBABILITY is 0.0; give a share above 0",
        ),
        ({"RANDOM_FLIP": "diagonal"}, "RANDOM_FLIP is 'diagonal'"),
        ({"SAMPLING_FRAME_MODE": "random"}, "SAMPLING_FRAME_MODE is 'random'"),
        ({"SAMPLING_FRAME_NUM": 0}, "SAMPLING_FRAME_NUM is 0; give 1 or more"),
        ({"SAMPLING_FRAME_STRIDE": 0}, "SAMPLING_FRAME_STRIDE is 0; give 1 or more"),
        ({"SAMPLING_EXTRA_FRAME_NUM": -1}, "SAMPLING_EXTRA_FRAME_NUM is -1; give 0 or more"),
        ({"EXEMPLAR_KINDS": ["scribble"]}, "mask, box, point, not scribble"),
        ({"EXEMPLAR_BOX_JITTER": 0.5}, "EXEMPLAR_BOX_JITTER is 0.5"),
        ({"EXEMPLAR_GROUP_PROB": 1.5}, "EXEMPLAR_GROUP_PROB is 1.5; give a share"),
    ],
)
def test_config_value_that_makes_no_sense_is_named(inputs: dict, message: str):
    cfg = small_cfg(**inputs)
    with pytest.raises(ValueError, match=message):
        ClipMapper(cfg, get_benchmark("camvid_val"))


def test_config_chooses_the_sampling():
    rng = np.random.default_rng(0)

    def frames(length: int, key_frame: int | None = None, **inputs) -> list[int]:
        return build_sampler(small_cfg(**inputs)).draw(rng, length, key_frame=key_frame)[0]

    apart = {"SAMPLING_FRAME_MODE": "consecutive", "SAMPLING_FRAME_STRIDE": 4}
    assert np.diff(frames(30, SAMPLING_FRAME_NUM=3, **apart)).tolist() == [4, 4]
    assert frames(30, 9, SAMPLING_FRAME_NUM=3, SAMPLING_FRAME_RANGE=1) == [8, 9, 10]
    shuffled = {"SAMPLING_FRAME_NUM": 2, "SAMPLING_FRAME_RANGE": 1, "SAMPLING_FRAME_SHUFFLE": True}
    assert {tuple(frames(3, 0, **shuffled)) for _ in range(20)} == {(0, 1), (1, 0)}
