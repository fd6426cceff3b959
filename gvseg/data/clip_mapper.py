"""From a record to a sample: choose frames, read them, augment them as one clip, build targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from detectron2.config import CfgNode, configurable
from detectron2.structures import Instances

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
    Sometimes,
    augment,
)
from gvseg.data.benchmark import Benchmark, Record, annotated_frames, read_exemplars
from gvseg.data.clip import Clip
from gvseg.data.clip_sampling import (
    ClipSampler,
    FrameSampling,
    sample_all,
    sample_around,
    sample_consecutive,
    shuffle,
)
from gvseg.data.copy_paste import paste
from gvseg.data.exemplars import KINDS, check_kinds, draw_exemplars, resize_exemplar
from gvseg.data.frames import read_frame
from gvseg.data.object_groups import group_objects
from gvseg.data.sample import Sample, build_images, build_targets, describe, has_targets
from gvseg.data.segments import check_size
from gvseg.structures import Exemplar
from gvseg.tasks import Task


@dataclass(frozen=True)
class ExemplarDraw:
    """How the objects of training clips are pointed out, for EVS."""

    kinds: Sequence[str] = KINDS
    box_jitter: float = 0.0
    max_objects: int | None = None
    group_prob: float = 0.0  # that an object which touches others is taken for one with one of them

    def __call__(self, rng: np.random.Generator, instances: Sequence[Instances]) -> list[Exemplar]:
        """Draw as `draw_exemplars` does."""
        return draw_exemplars(
            rng,
            instances,
            self.kinds,
            box_jitter=self.box_jitter,
            max_objects=self.max_objects,
        )


class ClipMapper:
    """Read clips of one benchmark.

    A record of one frame is a still image and gives a pseudo clip, as does a video of which one
    frame is annotated. A training clip in which no object is left (or no labelled pixel) is
    augmented anew up to ten times; then there is no sample, and the loader goes on to
    another record.

    Built from a config for testing, it gives all frames in order at the size for testing, without
    labels: metrics read those at their original size.

    Args:
        benchmark: whose records are read.
        sampler: chooses frames, among those with labels where labels are read.
        pseudo_motion: what makes the copies of a still image differ.
        augmentations: what happens to every clip, in this order.
        paste_beside: how often an object of the donor comes beside one of its class.
        draw_exemplars: points out the objects of a training clip, for EVS.
        has_labels: read labels and ask for clips in which there is something to segment.
        is_bgr: give blue first.
    """

    _num_attempts = 10  # draws of the augmentations before a clip is given up

    @configurable
    def __init__(
        self,
        *,
        benchmark: Benchmark,
        sampler: ClipSampler,
        pseudo_motion: PseudoMotion,
        augmentations: Sequence[ClipAugmentation],
        paste_beside: float = 0.0,
        draw_exemplars: ExemplarDraw = ExemplarDraw(),
        has_labels: bool = True,
        is_bgr: bool = False,
    ) -> None:
        self.benchmark = benchmark
        self.sampler = sampler
        self.pseudo_motion = pseudo_motion
        self.augmentations = augmentations
        self.paste_beside = paste_beside
        self.draw_exemplars = draw_exemplars
        self.has_labels = has_labels
        self.is_bgr = is_bgr

    @classmethod
    def from_config(
        cls, cfg: CfgNode, benchmark: Benchmark, is_train: bool = True
    ) -> dict[str, Any]:
        pseudo = cfg.INPUT.PSEUDO_CLIP
        return {
            "benchmark": benchmark,
            "sampler": build_sampler(cfg) if is_train else ClipSampler(sample_all, num_frames=1),
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
            "paste_beside": cfg.INPUT.COPY_PASTE_BESIDE,
            "draw_exemplars": build_exemplar_draw(cfg),
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
        frames, extra = self._draw_frames(rng, record, key_frame)
        raw = self._read(record, [*frames, *extra])
        raw_donor = None
        if donor is not None:
            donor_frames, donor_extra = self._draw_frames(rng, donor, None)
            raw_donor = self._read(donor, [*donor_frames, *donor_extra])
        is_thing = np.array(self.benchmark.classes.is_thing)
        for _ in range(self._num_attempts):
            clip = augment(rng, raw, self._augmentations_for(record))
            if donor is not None and raw_donor is not None:
                pasted = augment(rng, raw_donor, self._augmentations_for(donor))
                clip = paste(rng, clip, pasted, is_thing, self.paste_beside)
            if self.benchmark.task is Task.EVS and self.draw_exemplars.group_prob > 0:
                clip = group_objects(rng, clip, self.draw_exemplars.group_prob, is_thing)
            sample = self._sample(rng, clip.cut(0, len(frames)), frames, record)
            if sample is None:
                continue
            if extra:
                rest = clip.cut(len(frames), len(clip))
                sample["extra"] = self._images(rest, extra, record) | self._targets(rest)
            return sample
        return None

    def _draw_frames(
        self, rng: np.random.Generator, record: Record, key_frame: int | None
    ) -> tuple[list[int], list[int]]:
        """Draw positions among the frames of use, and return the indices of these."""
        indices = annotated_frames(record) if self.has_labels else range(record["length"])
        key_position = None if key_frame is None else indices.index(key_frame)
        frames, extra = self.sampler.draw(rng, len(indices), key_frame=key_position)
        return [indices[position] for position in frames], [indices[position] for position in extra]

    def _read(self, record: Record, frame_indices: list[int]) -> Clip:
        return read_clip(record, frame_indices, self.benchmark if self.has_labels else None)

    def _augmentations_for(self, record: Record) -> Sequence[ClipAugmentation]:
        num_frames = self.sampler.num_frames + self.sampler.num_extra
        if self.has_labels and len(annotated_frames(record)) == 1 and num_frames > 1:
            colour = [step for step in self.augmentations if isinstance(step, COLOUR_STEPS)]
            rest = [step for step in self.augmentations if not isinstance(step, COLOUR_STEPS)]
            return [*colour, self.pseudo_motion, *rest]
        return self.augmentations

    def _sample(
        self, rng: np.random.Generator, clip: Clip, frame_indices: list[int], record: Record
    ) -> Sample | None:
        """Return the sample of an augmented clip, or None where nothing is left to segment."""
        targets = self._targets(clip)
        if self.has_labels and not has_targets(targets):
            return None
        sample = describe(record, self.benchmark) | self._images(clip, frame_indices, record)
        if self.benchmark.task is Task.EVS:
            sample["exemplars"] = (
                self.draw_exemplars(rng, targets["instances"])
                if self.has_labels
                else self._read_exemplars(record, clip.size)
            )
        return sample | targets

    def _images(self, clip: Clip, frame_indices: list[int], record: Record) -> Sample:
        return build_images(clip, frame_indices, record, is_bgr=self.is_bgr)

    def _targets(self, clip: Clip) -> Sample:
        return build_targets(clip.labels, self.benchmark) if clip.labels else {}

    def _read_exemplars(self, record: Record, size: tuple[int, int]) -> list[Exemplar]:
        frame_size = (record["height"], record["width"])
        return [
            resize_exemplar(exemplar, frame_size, size)
            for exemplar in read_exemplars(self.benchmark, record)
        ]


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


def build_sampler(cfg: CfgNode) -> ClipSampler:
    """Return what draws training clips as `INPUT.SAMPLING_*` say."""
    inputs = cfg.INPUT
    choose: FrameSampling
    if inputs.SAMPLING_FRAME_MODE == "around":
        choose = partial(sample_around, max_distance=inputs.SAMPLING_FRAME_RANGE)
    elif inputs.SAMPLING_FRAME_MODE == "consecutive":
        choose = partial(sample_consecutive, stride=inputs.SAMPLING_FRAME_STRIDE)
    else:
        raise ValueError(
            f"INPUT.SAMPLING_FRAME_MODE is {inputs.SAMPLING_FRAME_MODE!r}; choose around or "
            "consecutive."
        )
    for key, lowest in (
        ("SAMPLING_FRAME_NUM", 1),
        ("SAMPLING_FRAME_STRIDE", 1),
        ("SAMPLING_FRAME_RANGE", 0),
        ("SAMPLING_EXTRA_FRAME_NUM", 0),
    ):
        if inputs[key] < lowest:
            raise ValueError(f"INPUT.{key} is {inputs[key]}; give {lowest} or more.")
    if inputs.SAMPLING_FRAME_SHUFFLE:
        choose = partial(shuffle, choose)
    mode = inputs.SAMPLING_EXTRA_FRAME_MODE
    if mode not in ("video", "near"):
        raise ValueError(f"INPUT.SAMPLING_EXTRA_FRAME_MODE is {mode!r}; choose video or near.")
    return ClipSampler(
        choose,
        inputs.SAMPLING_FRAME_NUM,
        inputs.SAMPLING_EXTRA_FRAME_NUM,
        max_distance=inputs.SAMPLING_FRAME_RANGE if mode == "near" else None,
    )


def build_exemplar_draw(cfg: CfgNode) -> ExemplarDraw:
    """Return what draws exemplars as `INPUT.EXEMPLAR_*` say, for no more objects than queries."""
    kinds, jitter = cfg.INPUT.EXEMPLAR_KINDS, cfg.INPUT.EXEMPLAR_BOX_JITTER
    check_kinds(kinds)
    if not 0 <= (share := cfg.INPUT.EXEMPLAR_GROUP_PROB) <= 1:
        raise ValueError(f"INPUT.EXEMPLAR_GROUP_PROB is {share}; give a share, 0 to 1.")
    if not 0 <= jitter < 0.5:
        raise ValueError(f"INPUT.EXEMPLAR_BOX_JITTER is {jitter}; give a share below one half.")
    # Each needs a query. Crowded images, with pasted objects too, have more than small models have.
    most = cfg.MODEL.MASK_FORMER.NUM_OBJECT_QUERIES
    return ExemplarDraw(kinds, jitter, most, share)


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


COLOUR_STEPS = (RandomBlend, RandomPhotometry)
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
    resize = RandomShortestEdge(
        lengths=inputs.MIN_SIZE_TRAIN,
        max_size=inputs.MAX_SIZE_TRAIN,
        sample_range=inputs.MIN_SIZE_TRAIN_SAMPLING.startswith("range"),
    )
    if not inputs.CROP.ENABLED:
        return [resize]
    crop = RandomCrop(
        kind=inputs.CROP.TYPE,
        size=tuple(inputs.CROP.SIZE),
        max_class_share=inputs.CROP.SINGLE_CATEGORY_MAX_AREA,
        min_kept_share=inputs.CROP.MIN_KEPT_SHARE,
    )
    probability = inputs.CROP.PROBABILITY
    if not 0 < probability <= 1:
        raise ValueError(f"INPUT.CROP.PROBABILITY is {probability}; give a share above 0, up to 1.")
    if inputs.CROP.MIN_SIZE_BEFORE:
        before = RandomShortestEdge(
            lengths=inputs.CROP.MIN_SIZE_BEFORE, max_size=inputs.CROP.MAX_SIZE_BEFORE
        )
        return [Sometimes([before, crop], probability=probability), resize]
    return [resize, crop if probability == 1 else Sometimes([crop], probability=probability)]
