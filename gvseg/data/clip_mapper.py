"""From a record to a sample: choose frames, read them, augment them as one clip, build targets."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from detectron2.config import CfgNode, configurable

from gvseg.data.augmentation import (
    ClipAugmentation,
    LargeScaleJitter,
    PseudoMotion,
    RandomBlend,
    RandomCrop,
    RandomFlip,
    RandomPhotometry,
    RandomRotation,
    RandomShortestEdge,
    augment,
)
from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.clip import Clip
from gvseg.data.clip_sampling import (
    FrameSampling,
    sample_all,
    sample_around,
    sample_consecutive,
    sample_still,
    shuffle,
)
from gvseg.data.copy_paste import paste
from gvseg.data.frames import read_frame
from gvseg.data.sample import Sample, build_sample, has_targets
from gvseg.data.segments import check_size


class ClipMapper:
    """Read clips of one benchmark.

    A record of one frame is a still image and gives a pseudo clip. A training clip in which no
    object is left (or no labelled pixel) is augmented anew up to `num_attempts` times; then there
    is no sample, and the loader goes on to another record.

    Built from a config for testing, it gives all frames in order at the size for testing, without
    labels: metrics read those at their original size.

    Args:
        benchmark: whose records are read.
        num_frames: T, frames of a clip.
        sampling: which frames make a clip.
        pseudo_motion: what makes the copies of a still image differ.
        augmentations: what happens to every clip, in this order.
        has_labels: read labels and ask for clips in which there is something to segment.
        is_bgr: give blue first.
        num_attempts: draws of the augmentations before a clip is given up.
    """

    @configurable
    def __init__(
        self,
        *,
        benchmark: Benchmark,
        num_frames: int,
        sampling: FrameSampling,
        pseudo_motion: PseudoMotion,
        augmentations: Sequence[ClipAugmentation],
        has_labels: bool = True,
        is_bgr: bool = False,
        num_attempts: int = 10,
    ) -> None:
        self.benchmark = benchmark
        self.num_frames = num_frames
        self.sampling = sampling
        self.pseudo_motion = pseudo_motion
        self.augmentations = augmentations
        self.has_labels = has_labels
        self.is_bgr = is_bgr
        self.num_attempts = num_attempts

    @classmethod
    def from_config(
        cls, cfg: CfgNode, benchmark: Benchmark, is_train: bool = True
    ) -> dict[str, Any]:
        pseudo = cfg.INPUT.PSEUDO_CLIP
        return {
            "benchmark": benchmark,
            "num_frames": cfg.INPUT.SAMPLING_FRAME_NUM if is_train else 1,
            "sampling": build_sampling(cfg) if is_train else sample_all,
            "pseudo_motion": PseudoMotion(
                max_degrees=pseudo.ROTATION, max_zoom=pseudo.ZOOM, max_shift=pseudo.SHIFT
            ),
            "augmentations": (
                build_augmentations(cfg)
                if is_train
                else [
                    RandomShortestEdge(
                        lengths=[cfg.INPUT.MIN_SIZE_TEST], max_size=cfg.INPUT.MAX_SIZE_TEST
                    )
                ]
            ),
            "has_labels": is_train,
            "is_bgr": cfg.INPUT.FORMAT == "BGR",
        }

    def __call__(
        self,
        record: Record,
        rng: np.random.Generator,
        *,
        key_frame: int | None = None,
        donor: Record | None = None,
    ) -> Sample | None:
        """Return a sample, or None where every attempt left nothing to segment.

        Args:
            record: the video.
            rng: the source of all randomness.
            key_frame: a frame that the clip must contain; drawn where None.
            donor: another video, of which objects are copied into this one.

        Raises:
            OSError: a frame or its annotation is missing or cannot be read.
            ValueError: a frame has another size than its annotation or its neighbours.
        """
        frame_indices = self._draw_frames(rng, record, key_frame)
        raw = self._read(record, frame_indices)
        raw_donor = None
        if donor is not None:
            raw_donor = self._read(donor, self._draw_frames(rng, donor, None))
        for _ in range(self.num_attempts):
            clip = augment(rng, raw, self._augmentations_for(record))
            if donor is not None and raw_donor is not None:
                pasted = augment(rng, raw_donor, self._augmentations_for(donor))
                clip = paste(rng, clip, pasted, np.array(self.benchmark.classes.is_thing))
            if self.is_bgr:
                clip = Clip([frame[..., ::-1] for frame in clip.frames], clip.labels)
            sample = build_sample(clip, frame_indices, record, self.benchmark)
            if not self.has_labels or has_targets(sample):
                return sample
        return None

    def _draw_frames(
        self, rng: np.random.Generator, record: Record, key_frame: int | None
    ) -> list[int]:
        if record["length"] == 1:
            return sample_still(self.num_frames)
        return self.sampling(rng, record["length"], self.num_frames, key_frame=key_frame)

    def _read(self, record: Record, frame_indices: list[int]) -> Clip:
        return read_clip(record, frame_indices, self.benchmark if self.has_labels else None)

    def _augmentations_for(self, record: Record) -> Sequence[ClipAugmentation]:
        if record["length"] == 1 and self.num_frames > 1:
            return [self.pseudo_motion, *self.augmentations]
        return self.augmentations


def read_clip(record: Record, frame_indices: list[int], benchmark: Benchmark | None) -> Clip:
    """Read frames of a video, each file once, with their labels where a benchmark is given.

    Raises:
        OSError: a frame or its annotation is missing or cannot be read.
        ValueError: a frame has another size than its annotation or its neighbours.
    """
    frames, labels = {}, {}
    video_size = (record["height"], record["width"])
    for index in sorted(set(frame_indices)):
        path = record["file_names"][index]
        frames[index] = read_frame(path)
        size = frames[index].shape[:2]
        if size != video_size:
            raise ValueError(
                f"Frame {path} has {size[0]}x{size[1]} pixels, but video {record['video_id']} has "
                f"{video_size[0]}x{video_size[1]} (height x width)."
            )
        if benchmark is not None:
            labels[index] = benchmark.read_labels(record, index)
            check_size(labels[index], size, path)
    return Clip(
        [frames[index] for index in frame_indices],
        [labels[index] for index in frame_indices] if benchmark is not None else [],
    )


def build_sampling(cfg: CfgNode) -> FrameSampling:
    """Return the frame sampling that `INPUT.SAMPLING_FRAME_MODE` names."""
    mode = cfg.INPUT.SAMPLING_FRAME_MODE
    sampling: FrameSampling
    if mode == "around":
        sampling = partial(sample_around, max_distance=cfg.INPUT.SAMPLING_FRAME_RANGE)
    elif mode == "consecutive":
        sampling = partial(sample_consecutive, stride=cfg.INPUT.SAMPLING_FRAME_STRIDE)
    else:
        raise ValueError(f"INPUT.SAMPLING_FRAME_MODE is {mode!r}; choose around or consecutive.")
    return partial(shuffle, sampling) if cfg.INPUT.SAMPLING_FRAME_SHUFFLE else sampling


def build_augmentations(cfg: CfgNode) -> list[ClipAugmentation]:
    """Return what `INPUT` asks for: colour, rotation, then size and crop, flip."""
    inputs = cfg.INPUT
    # Colour first, so that pixels added by later steps keep the value that the model subtracts.
    steps = _color_steps(cfg)
    if inputs.ROTATION > 0 or "rotation" in inputs.AUGMENTATIONS:
        steps.append(RandomRotation(max_degrees=inputs.ROTATION or _M2F_ROTATION))
    steps.extend(_size_steps(cfg))
    if inputs.RANDOM_FLIP not in _FLIPS:
        raise ValueError(f"INPUT.RANDOM_FLIP is {inputs.RANDOM_FLIP!r}; choose one of {_FLIPS}.")
    if inputs.RANDOM_FLIP != "none":
        direction = "vertical" if inputs.RANDOM_FLIP == "vertical" else "horizontal"
        steps.append(RandomFlip(direction=direction))
    return steps


_FLIPS = ("none", "horizontal", "vertical", "flip_by_clip")

# What the names in INPUT.AUGMENTATIONS mean in Mask2Former for video, which draws them anew for
# each frame; a clip is drawn once here.
_M2F_ROTATION = 15.0  # degrees
_M2F_COLOR = 0.1  # weights of 0.9 to 1.1
_M2F_PARTNERS = {"brightness": "black", "contrast": "mean", "saturation": "grey"}


def _color_steps(cfg: CfgNode) -> list[ClipAugmentation]:
    names = cfg.INPUT.AUGMENTATIONS
    unknown = set(names) - {*_M2F_PARTNERS, "rotation"}
    if unknown:
        raise ValueError(
            f"INPUT.AUGMENTATIONS has {', '.join(sorted(unknown))}; choose of "
            f"{', '.join(_M2F_PARTNERS)} and rotation."
        )
    if cfg.INPUT.COLOR_AUG_SSD:
        return [RandomPhotometry()]
    return [
        RandomBlend(partner=partner, max_change=_M2F_COLOR)
        for name, partner in _M2F_PARTNERS.items()
        if name in names
    ]


def _size_steps(cfg: CfgNode) -> list[ClipAugmentation]:
    inputs = cfg.INPUT
    if inputs.LARGE_SCALE_JITTER or inputs.DATASET_MAPPER_NAME.endswith("_lsj"):
        return [
            LargeScaleJitter(
                min_scale=inputs.MIN_SCALE,
                max_scale=inputs.MAX_SCALE,
                image_size=inputs.IMAGE_SIZE,
            )
        ]
    steps: list[ClipAugmentation] = [
        RandomShortestEdge(
            lengths=inputs.MIN_SIZE_TRAIN,
            max_size=inputs.MAX_SIZE_TRAIN,
            sample_range=inputs.MIN_SIZE_TRAIN_SAMPLING.startswith("range"),
        )
    ]
    if inputs.CROP.ENABLED:
        steps.append(
            RandomCrop(
                kind=inputs.CROP.TYPE,
                size=tuple(inputs.CROP.SIZE),
                max_class_share=inputs.CROP.SINGLE_CATEGORY_MAX_AREA,
            )
        )
    return steps
