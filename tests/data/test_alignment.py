"""Training clips stay aligned: frames that carry their own annotations are compared with targets.

Three objects overlap, and each owns one colour channel of the frames: 255 inside its mask, 0 off
it. So whatever the mapper does to a frame, its channels tell where the objects must be, each with
its identity, and pixels that interpolation mixed can be told from the rest.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.config import CfgNode, get_cfg

from gvseg.config import add_gvseg_config
from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.class_table import ClassTable
from gvseg.data.clip_mapper import ClipMapper
from gvseg.data.sample import Sample
from gvseg.data.segments import FrameLabels
from gvseg.structures import FrameSegments
from gvseg.tasks import Task
from tests.data.vps_benchmark import position_of_color, vps_benchmark

SIZE = (60, 80)
LENGTH = 6
IDS = (4, 9, 2)  # of the objects in the red, green and blue channel
CLASSES = (1, 0, 1)
PADDING = 128  # grey, which no object paints
SHARE_OF_EDGES = 0.01  # pixels in which nearest and linear sampling may part after several steps

GEOMETRIES: dict[str, dict] = {
    "sizes": {"MIN_SIZE_TRAIN": (31, 60, 97), "RANDOM_FLIP": "flip_by_clip"},
    "upside down": {"MIN_SIZE_TRAIN": (60,), "RANDOM_FLIP": "vertical"},
    "crop": {"MIN_SIZE_TRAIN": (50, 90), "CROP.ENABLED": True, "CROP.SIZE": (0.5, 0.6)},
    "rotation": {"MIN_SIZE_TRAIN": (60, 75), "ROTATION": 25.0},
    "jitter": {"LARGE_SCALE_JITTER": True, "IMAGE_SIZE": 64, "MIN_SCALE": 0.4},
    "everything": {
        "MIN_SIZE_TRAIN": (40, 110), "MIN_SIZE_TRAIN_SAMPLING": "range", "ROTATION": 15.0,
        "RANDOM_FLIP": "horizontal", "CROP.ENABLED": True, "CROP.TYPE": "absolute_range",
        "CROP.SIZE": (30, 70),
    },
}  # fmt: skip


def mask_of(channel: int, frame_index: int) -> np.ndarray:
    """An ellipse, a box and a band that cross each other, differently in each frame."""
    rows, columns = np.indices(SIZE)
    if channel == 0:
        return ((rows - 25) / 14) ** 2 + ((columns - 20 - 7 * frame_index) / 17) ** 2 < 1
    if channel == 1:
        return (abs(rows - 15 - 5 * frame_index) < 9) & (abs(columns - 40) < 22)
    return (abs(rows - columns + 12 * frame_index - 10) < 9) & (frame_index != 2)


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Objects that are not to be seen are left out, and their order changes from frame to frame."""
    order = [(channel + frame_index) % 3 for channel in range(3)]
    shown = [channel for channel in order if mask_of(channel, frame_index).any()]
    segments = FrameSegments(
        frame_index=frame_index,
        ids=np.array([IDS[channel] for channel in shown]),
        classes=np.array([CLASSES[channel] for channel in shown]),
        scores=np.ones(len(shown), dtype=np.float32),
        masks=np.stack([mask_of(channel, frame_index) for channel in shown]),
    )
    return FrameLabels(segments, np.zeros(len(shown), dtype=bool), np.zeros(len(shown)))


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    """One video and one still image of overlapping objects."""
    names = [str(tmp_path / f"{index}.png") for index in range(LENGTH)]
    for index, name in enumerate(names):
        channels = [mask_of(channel, index) for channel in range(3)]
        Image.fromarray(np.stack(channels, axis=-1).astype(np.uint8) * 255).save(name)
    video = {
        "video_id": "crossing", "height": SIZE[0], "width": SIZE[1], "length": LENGTH,
        "file_names": names, "dataset_name": "crossing_train",
    }  # fmt: skip
    still = video | {"length": 1, "file_names": names[:1]}
    return Benchmark(
        name="crossing",
        task=Task.VIS,
        classes=ClassTable("two", "made up", (1, 2), ("a", "b"), (True, True), ((0, 0, 0),) * 2),
        splits=("train",),
        load_records=lambda root, split, report=None: [video, still],
        read_labels=read_labels,
        metrics=(),
    )


def config(inputs: dict, *, num_frames: int = 3, channels: str = "RGB") -> CfgNode:
    cfg = get_cfg()
    add_gvseg_config(cfg)
    settings = {"RANDOM_FLIP": "none", "SAMPLING_FRAME_NUM": num_frames, "FORMAT": channels}
    settings |= inputs
    cfg.merge_from_list(
        [part for key, value in settings.items() for part in (f"INPUT.{key}", value)]
    )
    return cfg


def frames_of(sample: Sample, *, channels: str = "RGB") -> np.ndarray:
    """The frames of a sample, (T, H, W, 3) with red first."""
    frames = torch.stack(sample["images"]).permute(0, 2, 3, 1).numpy()
    return frames[..., ::-1] if channels == "BGR" else frames


def compare_with_channels(sample: Sample, frames: np.ndarray) -> int:
    """Compare every mask with its channel; return how many pixels of objects agreed."""
    num_agreed = 0
    is_padding = (frames == PADDING).all(axis=-1)
    for position, instances in enumerate(sample["instances"]):
        channels = [IDS.index(id_) for id_ in instances.gt_ids.tolist()]
        assert instances.gt_classes.tolist() == [CLASSES[channel] for channel in channels]
        masks = instances.gt_masks.tensor.numpy()
        for channel in set(range(3)) - set(channels):
            assert (frames[position, ..., channel] != 255).all(), "an object seen has a mask"
        assert not masks[:, is_padding[position]].any()
        for channel, mask in zip(channels, masks, strict=True):
            level = frames[position, ..., channel]
            is_pure = (level == 0) | (level == 255)
            differs = (mask != (level == 255)) & is_pure & ~is_padding[position]
            assert differs.mean() <= SHARE_OF_EDGES
            num_agreed += int((mask & (level == 255)).sum())
    return num_agreed


@pytest.mark.parametrize("channels", ["RGB", "BGR"])
@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("position", [0, 1], ids=["video", "still"])
def test_overlapping_masks_follow_their_objects(
    benchmark: Benchmark, name: str, channels: str, position: int
):
    mapper = ClipMapper(config(GEOMETRIES[name], channels=channels), benchmark)
    record = benchmark.load_records(Path(), "train")[position]
    num_agreed = 0
    for seed in range(5):
        sample = mapper(record, np.random.default_rng(seed))
        num_agreed += compare_with_channels(sample, frames_of(sample, channels=channels))
    assert num_agreed > 5 * 1000, "objects were there to be compared"


def test_comparison_sees_a_mask_that_is_off_by_two_pixels(benchmark: Benchmark):
    sample = ClipMapper(config(GEOMETRIES["sizes"]), benchmark)(
        benchmark.load_records(Path(), "train")[0], np.random.default_rng(0)
    )
    frames = frames_of(sample)
    compare_with_channels(sample, frames)
    with pytest.raises(AssertionError):
        compare_with_channels(sample, np.roll(frames, 2, axis=2))


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize("position", [0, 1], ids=["video", "still"])
def test_exemplars_point_at_their_object_in_the_frame_they_name(
    benchmark: Benchmark, name: str, position: int
):
    benchmark = replace(benchmark, task=Task.EVS)
    mapper = ClipMapper(config(GEOMETRIES[name]), benchmark)
    record = benchmark.load_records(Path(), "train")[position]
    seen = set()
    for seed in range(8):
        sample = mapper(record, np.random.default_rng(seed))
        frames = frames_of(sample)
        compare_with_channels(sample, frames)
        assert [exemplar.object_id for exemplar in sample["exemplars"]] == sample["instances"][
            0
        ].gt_ids.tolist()
        for index, exemplar in enumerate(sample["exemplars"]):
            instances = sample["instances"][exemplar.frame_index]
            mask = instances.gt_masks.tensor[index].numpy()
            level = frames[exemplar.frame_index, ..., IDS.index(exemplar.object_id)]
            seen.add(exemplar.kind)
            if exemplar.mask is not None:
                np.testing.assert_array_equal(exemplar.mask, mask)
            elif exemplar.box is not None:
                left, top, right, bottom = exemplar.box.astype(int).tolist()
                assert mask[top:bottom, left:right].sum() == mask.sum()
                inside = level[top:bottom, left:right]
                assert (inside == 255).sum() == (level == 255).sum()
            else:
                x, y = exemplar.point.astype(int).tolist()
                assert mask[y, x]
                assert level[y, x] > 0, "on the object, if on its mixed edge"
    assert seen == {"mask", "box", "point"}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_panoptic_targets_follow_what_is_painted(tmp_path: Path, name: str):
    """Things by identity, stuff by class; crowd and void are neither."""
    benchmark = vps_benchmark(tmp_path)
    (record,) = benchmark.load_records(tmp_path, "train")
    record["dataset_name"] = "small_vps_train"
    mapper = ClipMapper(config(GEOMETRIES[name]), benchmark)
    # By position in the painted labels: sky, grass, a dog, a cat, a crowd of dogs, void.
    stuff_class = np.array([0, 2, 255, 255, 255, 255])
    for seed in range(5):
        sample = mapper(record, np.random.default_rng(seed))
        for frame, instances, sem_seg in zip(
            frames_of(sample), sample["instances"], sample["sem_seg"], strict=True
        ):
            positions, is_pure = position_of_color(frame)
            masks = dict(
                zip(instances.gt_ids.tolist(), instances.gt_masks.tensor.numpy(), strict=True)
            )
            nothing = np.zeros(positions.shape, dtype=bool)
            for object_id, position in ((41, 2), (7, 3)):
                differs = (masks.get(object_id, nothing) != (positions == position)) & is_pure
                assert differs.mean() <= SHARE_OF_EDGES
            differs = (sem_seg.numpy() != stuff_class[positions]) & is_pure
            assert differs.mean() <= SHARE_OF_EDGES
            is_padding = (frame == PADDING).all(axis=-1)
            assert is_pure[~is_padding].mean() > 0.3
