from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.config import CfgNode, get_cfg

from gvseg.config import add_gvseg_config
from gvseg.data.augmentation import (
    PAD_VALUE,
)
from gvseg.data.benchmark import Benchmark, get_benchmark
from gvseg.data.clip_mapper import ClipMapper
from gvseg.data.exemplars import exemplar_from_mask, tight_box
from gvseg.data.loader import load_records
from gvseg.tasks import Task
from tests.data.small_benchmarks import CAMVID_SIZE
from tests.data.vps_benchmark import read_labels, vps_benchmark


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

    def test_border_of_a_moved_image_is_what_the_model_subtracts_whatever_the_colour(self):
        moving = {"SAMPLING_FRAME_NUM": 3, "COLOR_AUG_SSD": True, "PSEUDO_CLIP.SHIFT": 0.4}
        for seed in range(4):
            images = torch.stack(draw("coco128_train", 1, seed=seed, **moving)["images"])
            assert (images == PAD_VALUE).all(1).float().mean() > 0.1

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


class TestSparseLabels:
    """A video of ten frames of which frames 1, 4 and 8 have labels."""

    labelled = (1, 4, 8)

    @pytest.fixture
    def record(self, small_benchmarks: Path) -> dict:
        (record,) = load_records("camvid_val")
        for index in set(range(10)) - set(self.labelled):
            Path(record["label_files"][index]).unlink()
        return record | {"annotated_frames": list(self.labelled)}

    def test_clips_are_drawn_among_frames_with_labels_and_no_other_is_read(self, record: dict):
        mapper = ClipMapper(small_cfg(SAMPLING_FRAME_NUM=2), get_benchmark("camvid_val"))
        rng = np.random.default_rng(0)
        drawn = {tuple(mapper(record, rng)["frame_indices"]) for _ in range(40)}
        assert drawn == {(1, 4), (1, 8), (4, 8)}

    @pytest.mark.parametrize(
        ("inputs", "expected"),
        [
            ({"SAMPLING_FRAME_RANGE": 1}, {(1, 4), (4, 8)}),
            ({"SAMPLING_FRAME_MODE": "consecutive"}, {(1, 4), (4, 8)}),
            ({"SAMPLING_FRAME_MODE": "consecutive", "SAMPLING_FRAME_STRIDE": 2}, {(1, 8)}),
        ],
    )
    def test_ranges_and_strides_count_annotated_steps(
        self, record: dict, inputs: dict, expected: set[tuple[int, int]]
    ):
        cfg = small_cfg(SAMPLING_FRAME_NUM=2, **inputs)
        mapper, rng = ClipMapper(cfg, get_benchmark("camvid_val")), np.random.default_rng(0)
        assert {tuple(mapper(record, rng)["frame_indices"]) for _ in range(40)} == expected

    def test_key_frame_is_an_index_of_the_video(self, record: dict):
        mapper = ClipMapper(small_cfg(SAMPLING_FRAME_NUM=2), get_benchmark("camvid_val"))
        for key_frame in self.labelled:
            sample = mapper(record, np.random.default_rng(0), key_frame=key_frame)
            assert key_frame in sample["frame_indices"]

    def test_one_annotated_frame_gives_a_clip_that_moves(self, record: dict):
        mapper = ClipMapper(small_cfg(SAMPLING_FRAME_NUM=2), get_benchmark("camvid_val"))
        sample = mapper(record | {"annotated_frames": [4]}, np.random.default_rng(0))
        assert sample["frame_indices"] == [4, 4]
        assert not torch.equal(*sample["images"])

    def test_all_frames_are_tested_on(self, record: dict):
        mapper = ClipMapper(small_cfg(), get_benchmark("camvid_val"), is_train=False)
        assert len(mapper(record, np.random.default_rng(0))["images"]) == 10


class TestExtraFrames:
    @pytest.fixture
    def benchmark(self, tmp_path: Path) -> Benchmark:
        return vps_benchmark(tmp_path)

    def sample(self, benchmark: Benchmark, seed: int, **inputs) -> dict:
        cfg = small_cfg(
            MIN_SIZE_TRAIN=(48,), SAMPLING_FRAME_MODE="consecutive", SAMPLING_FRAME_NUM=3,
            SAMPLING_EXTRA_FRAME_NUM=2, **inputs,
        )  # fmt: skip
        (record,) = benchmark.load_records(Path(), "train")
        record = dict(record, dataset_name="small_vps_train")
        return ClipMapper(cfg, benchmark)(record, np.random.default_rng(seed))

    def test_clip_is_as_long_as_asked_and_extra_frames_are_others_of_the_video(
        self, benchmark: Benchmark
    ):
        for seed in range(10):
            sample = self.sample(benchmark, seed)
            extra = sample["extra"]
            for part, num_frames in ((sample, 3), (extra, 2)):
                for key in ("images", "instances", "sem_seg", "frame_indices", "file_names"):
                    assert len(part[key]) == num_frames
            assert np.diff(sample["frame_indices"]).tolist() == [1, 1]
            assert not set(sample["frame_indices"]) & set(extra["frame_indices"])

    def test_one_object_has_one_identity_in_both(self, benchmark: Benchmark):
        shared = 0
        for seed in range(10):
            sample = self.sample(benchmark, seed)
            for part in (sample, sample["extra"]):
                for frame_index, instances in zip(
                    part["frame_indices"], part["instances"], strict=True
                ):
                    index_map = read_labels({}, frame_index).segments.index_map
                    for object_id, position in ((41, 2), (7, 3)):
                        found = instances.gt_masks.tensor[instances.gt_ids == object_id].any(0)
                        np.testing.assert_array_equal(found.numpy(), index_map == position)
            shared += {7, 41} <= set(sample["extra"]["instances"][0].gt_ids.tolist())
        assert shared > 0

    def test_extra_frames_are_augmented_as_the_clip_is(self, benchmark: Benchmark):
        windows = {"CROP.ENABLED": True, "CROP.TYPE": "absolute", "CROP.SIZE": (20, 62)}
        sample = self.sample(benchmark, 3, **windows)
        assert {tuple(image.shape) for image in sample["images"] + sample["extra"]["images"]} == {
            (3, 20, 62)
        }
        # Frames are painted by segment, and the last columns of each are void, which is black.
        black = [(image == 0).all(0) for image in sample["images"] + sample["extra"]["images"]]
        assert black[0].any()
        assert all(torch.equal(black[0], other) for other in black[1:])

    def test_none_is_there_unless_asked_for(self, small_benchmarks: Path):
        assert "extra" not in draw("camvid_val", 0, SAMPLING_FRAME_NUM=3)


class TestExemplars:
    @pytest.fixture
    def benchmark(self, tmp_path: Path) -> Benchmark:
        panoptic = vps_benchmark(tmp_path)
        first = exemplar_from_mask(
            read_labels({}, 0).segments.mask(2), kind="box", object_id=41, frame_index=0
        )
        return replace(panoptic, task=Task.EVS, read_exemplars=lambda record: [first])

    def record(self, benchmark: Benchmark) -> dict:
        (record,) = benchmark.load_records(Path(), "train")
        return dict(record, dataset_name="small_vps_train")

    def test_each_object_of_a_training_clip_has_one_where_it_is_seen(self, benchmark: Benchmark):
        cfg = small_cfg(SAMPLING_FRAME_NUM=3, SAMPLING_FRAME_SHUFFLE=True, RANDOM_FLIP="horizontal")
        mapper, kinds = ClipMapper(cfg, benchmark), set()
        for seed in range(12):
            sample = mapper(self.record(benchmark), np.random.default_rng(seed))
            ids = sample["instances"][0].gt_ids.tolist()
            assert [exemplar.object_id for exemplar in sample["exemplars"]] == ids
            for position, exemplar in enumerate(sample["exemplars"]):
                mask = sample["instances"][exemplar.frame_index].gt_masks.tensor[position].numpy()
                kinds.add(exemplar.kind)
                if exemplar.kind == "point":
                    column, row = exemplar.point.astype(int)
                    assert mask[row, column]
                else:
                    expected = {"mask": mask, "box": tight_box(mask)}[exemplar.kind]
                    np.testing.assert_array_equal(getattr(exemplar, exemplar.kind), expected)
        assert kinds == {"mask", "box", "point"}

    def test_config_chooses_the_kinds(self, benchmark: Benchmark):
        mapper = ClipMapper(small_cfg(EXEMPLAR_KINDS=["point"]), benchmark)
        sample = mapper(self.record(benchmark), np.random.default_rng(0))
        assert {exemplar.kind for exemplar in sample["exemplars"]} == {"point"}

    def test_config_has_objects_that_touch_taken_for_one(self, benchmark: Benchmark):
        numbers = []
        for probability in (0.0, 1.0):
            cfg = small_cfg(EXEMPLAR_GROUP_PROB=probability, SAMPLING_EXTRA_FRAME_NUM=1)
            mapper = ClipMapper(cfg, benchmark)
            sample = mapper(self.record(benchmark), np.random.default_rng(0))
            ids = [exemplar.object_id for exemplar in sample["exemplars"]]
            assert set(sample["extra"]["instances"][0].gt_ids.tolist()) <= set(ids)
            numbers.append(len(ids))
        assert numbers[1] < numbers[0]

    def test_benchmark_gives_those_to_test_with_at_the_size_of_the_images(
        self, benchmark: Benchmark
    ):
        mapper = ClipMapper(small_cfg(MIN_SIZE_TEST=96), benchmark, is_train=False)
        sample = mapper(self.record(benchmark), np.random.default_rng(0))
        (exemplar,) = sample["exemplars"]
        assert sample["images"][0].shape == (3, 96, 128)
        assert exemplar.box.tolist() == [0, 20, 24, 60]
        assert "instances" not in sample

    def test_benchmark_without_exemplars_is_named(self, benchmark: Benchmark):
        mapper = ClipMapper(small_cfg(), replace(benchmark, read_exemplars=None), is_train=False)
        with pytest.raises(ValueError, match="small_vps is for evs, but has no exemplars"):
            mapper(self.record(benchmark), np.random.default_rng(0))
