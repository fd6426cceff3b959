"""The segmenter: frames in, tubes out.

B clips, T frames, N targets of a clip, (H, W) pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone

from gvseg.modeling.label_sets import LabelSets
from gvseg.modeling.look_prior import LookPrior
from gvseg.modeling.padding import image_size, padded_size, sizes_in_map
from gvseg.modeling.pixel_decoder import PixelDecoder
from gvseg.modeling.query_decoder import QueryDecoder
from gvseg.modeling.requests import ClipRequest
from gvseg.modeling.supported import refuse_other_models
from gvseg.modeling.targets import assign_queries, clip_targets, split_frames
from gvseg.modeling.task_oriented.cues import Guide, PredictedGuide, ShapePositionCues
from gvseg.modeling.task_oriented.exemplars import exemplar_points
from gvseg.modeling.task_oriented.learning import Segmented, TaskOrientedLearning
from gvseg.modeling.task_oriented.query_init import QueryRequest
from gvseg.structures import ClipTargets, ObjectFeatures, TubePrediction
from gvseg.tasks import Task, model_task


@dataclass(frozen=True)
class FrameFormat:
    """How frames are prepared for the backbone."""

    mean: list[float]  # of each channel, in 0..255
    std: list[float]
    size_divisibility: int  # height and width are padded to a multiple of this


@dataclass(frozen=True)
class ClipOptions:
    """How clips are taken."""

    frame_format: FrameFormat
    task: Task | None  # of all clips; None where each sample tells its own
    fold_frames: bool  # decode every frame alone (`TUBE: frame`): T is folded into B
    num_exemplar_points: int = 32  # read inside each mask or box that points an object out
    # Frames that pass backbone and pixel decoder together at inference; these see one frame at a
    # time anyway, and their activations are most of the memory.
    frames_per_step: int = 1


@META_ARCH_REGISTRY.register()
class GvSeg(nn.Module):
    """Mask2Former over clips: backbone, pixel decoder and query decoder.

    In training mode a call returns losses; otherwise the `TubePrediction` of the batch, which
    `gvseg.inference` turns into masks and identities.

    Args:
        backbone: gives a feature map by name and stride.
        pixel_decoder: refines them per frame.
        query_decoder: reads all frames of a clip.
        learning: what a training step learns from.
        cues: tell queries of shape and position, where wanted.
        look_prior: knows objects of exemplars by what they look like, where wanted.
        label_sets: the classes of the datasets.
        options: how clips are taken.
    """

    pixel_mean: Tensor  # (3, 1, 1)
    pixel_std: Tensor

    @configurable
    def __init__(
        self,
        *,
        backbone: nn.Module,
        pixel_decoder: PixelDecoder,
        query_decoder: QueryDecoder,
        learning: TaskOrientedLearning,
        cues: ShapePositionCues | None,
        look_prior: LookPrior | None,
        label_sets: LabelSets,
        options: ClipOptions,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pixel_decoder = pixel_decoder
        self.query_decoder = query_decoder
        self.learning = learning
        self.cues = cues
        self.look_prior = look_prior
        self.label_sets = label_sets
        self.task = options.task
        self.fold_frames = options.fold_frames
        self.num_exemplar_points = options.num_exemplar_points
        self.frames_per_step = options.frames_per_step
        frame_format = options.frame_format
        self.size_divisibility = frame_format.size_divisibility
        for name, values in (("mean", frame_format.mean), ("std", frame_format.std)):
            channels = torch.tensor(values).view(-1, 1, 1)
            self.register_buffer(f"pixel_{name}", channels, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        tube = cfg.MODEL.GVSEG.TUBE
        if tube not in ("clip", "frame"):
            raise ValueError(f"MODEL.GVSEG.TUBE is {tube!r}; choose clip or frame.")
        task = model_task(cfg.MODEL.GVSEG.TASK)
        query_init = cfg.MODEL.GVSEG.QUERY_INIT
        if task in (None, Task.EVS) and query_init != "task":
            raise ValueError(
                f"MODEL.GVSEG.TASK {cfg.MODEL.GVSEG.TASK} needs MODEL.GVSEG.QUERY_INIT task, not "
                f"{query_init}."
            )
        per_step = cfg.MODEL.GVSEG.TEST.FRAMES_PER_STEP
        if per_step < 1:
            raise ValueError(f"MODEL.GVSEG.TEST.FRAMES_PER_STEP is {per_step}; give 1 or more.")
        refuse_other_models(cfg)
        backbone = build_backbone(cfg)
        has_cues = cfg.MODEL.GVSEG.CUE != "none"
        return {
            "backbone": backbone,
            "pixel_decoder": PixelDecoder(cfg, backbone.output_shape()),
            "query_decoder": QueryDecoder(cfg),
            "learning": TaskOrientedLearning(cfg),
            "cues": ShapePositionCues(cfg) if has_cues else None,
            "look_prior": LookPrior.build(cfg, backbone.output_shape()),
            "label_sets": LabelSets.from_config(cfg),
            "options": ClipOptions(
                frame_format=FrameFormat(
                    mean=cfg.MODEL.PIXEL_MEAN,
                    std=cfg.MODEL.PIXEL_STD,
                    # A stride-32 backbone needs 32 whatever the config says.
                    size_divisibility=max(
                        cfg.MODEL.MASK_FORMER.SIZE_DIVISIBILITY, backbone.size_divisibility, 1
                    ),
                ),
                task=task,
                fold_frames=tube == "frame",
                num_exemplar_points=cfg.MODEL.GVSEG.EXEMPLAR_POINTS,
                frames_per_step=per_step,
            ),
        }

    @property
    def device(self) -> torch.device:
        """Where frames are expected."""
        return self.pixel_mean.device

    def forward(self, samples: list[dict]) -> dict[str, Tensor] | TubePrediction:
        """Return weighted losses in training mode, else the prediction.

        Args:
            samples: one dict for each clip, as `gvseg.data` makes them; see `gvseg.data.sample`.
        """
        frames = self.preprocess([sample["images"] for sample in samples])
        size = image_size(frames)
        requests = [self.request(sample, size) for sample in samples]
        if not self.training:
            return self.segment_clip(frames, requests)
        clips = self._segment_to_learn(samples, frames, requests)
        memory = getattr(self.query_decoder.queries, "memory", None)
        return self.learning(clips, self._segment_extra(samples, clips, size), memory)

    def _segment_to_learn(
        self, samples: list[dict], frames: Tensor, requests: list[ClipRequest]
    ) -> Segmented:
        """Segment clips by all layers, queries being told what they are matched to."""
        size = image_size(frames)
        owner = list(range(len(samples)))
        targets = [
            self._targets(sample, sample, request, size)
            for sample, request in zip(samples, requests, strict=True)
        ]
        if self.fold_frames:
            num_frames = frames.shape[1]
            targets = [part for target in targets for part in split_frames(target)]
            owner = [index for index in owner for _ in range(num_frames)]
        sets, tasks = (
            [getattr(requests[i], name) for i in owner] for name in ("label_set", "task")
        )
        guide = None
        if self.cues is not None:
            is_cued = self.label_sets.cued_classes(sets, tasks, self.cues.segments)
            guide = self.learning.guide(self.cues, is_cued, targets)
        prediction = self.segment(frames, requests, with_intermediate=True, guide=guide)
        return Segmented(prediction, targets, owner, sets, tasks)

    def _segment_extra(
        self, samples: list[dict], clips: Segmented, size: tuple[int, int]
    ) -> Segmented | None:
        """Segment the extra frames of samples one by one, as at inference."""
        frames, targets, owner, requests = [], [], [], []
        for index, sample in enumerate(samples):
            extra = sample.get("extra", {"images": []})
            request = self.request({**sample, "exemplars": []}, size)
            if not (extra["images"] and self.learning.uses_extra(request.task)):
                continue
            request = replace(request, known=clips.prediction.objects[index])
            target = self._targets(sample, extra, request, size)
            for image, of_frame in zip(extra["images"], split_frames(target), strict=True):
                frames.append([image])
                targets.append(of_frame)
                owner.append(index)
                requests.append(replace(request, size=image_size(image)))
        if not frames:
            return None
        prediction = self.segment(self.preprocess(frames, size), requests, with_intermediate=False)
        sets = [request.label_set for request in requests]
        tasks = [request.task for request in requests]
        return Segmented(prediction, targets, owner, sets, tasks)

    def _targets(
        self, sample: dict, labels: dict, request: ClipRequest, size: tuple[int, int]
    ) -> ClipTargets:
        """Return the targets of labels that belong to the video of a sample."""
        target = clip_targets(labels, request.task, size, self.device)
        if request.task is not Task.EVS:
            return target
        object_ids = torch.tensor([exemplar.object_id for exemplar in sample["exemplars"]])
        return assign_queries(target, object_ids, self.query_decoder.num_queries)

    def preprocess(self, clips: list[list[Tensor]], min_size: tuple[int, int] = (0, 0)) -> Tensor:
        """Normalise frames and pad them at the right and bottom to one size.

        Args:
            clips: B lists of T frames, (3, H, W) in 0..255 with one H, W for each clip.
            min_size: (H, W) that they are padded to at least.

        Returns:
            (B, T, 3, H', W') on the model's device.
        """
        num_frames = {len(clip) for clip in clips}
        if len(num_frames) != 1:
            raise ValueError(f"Clips of one batch have different lengths: {sorted(num_frames)}.")
        sizes = [min_size, *(image_size(clip[0]) for clip in clips)]
        height, width = padded_size(sizes, self.size_divisibility)
        padded = []
        for clip in clips:
            frames = torch.stack(clip).to(self.device, non_blocking=True)
            frames = (frames - self.pixel_mean) / self.pixel_std
            spare = (0, width - frames.shape[-1], 0, height - frames.shape[-2])
            padded.append(F.pad(frames, spare))
        return torch.stack(padded)

    def request(self, sample: dict, size: tuple[int, int]) -> ClipRequest:
        """Return what a sample asks for, of frames padded to (H, W) `size`.

        Raises:
            ValueError: the model has no classes for its dataset.
        """
        task = self.task or Task.parse(sample["task"])
        frame_size = image_size(sample["images"][0])
        points = None
        if task is Task.EVS:
            points = exemplar_points(
                sample["exemplars"],
                num_points=self.num_exemplar_points,
                size=size,
                at_random=self.training,
                device=self.device,
                frame_size=None if self.look_prior is None else frame_size,
            )
        label_set = self.label_sets.index(sample.get("dataset_name", ""))
        return ClipRequest(task, label_set, points=points, size=frame_size)

    def segment_clip(self, frames: Tensor, requests: Sequence[ClipRequest] = ()) -> TubePrediction:
        """Segment frames (B, T, 3, H, W) that `preprocess` made.

        With `TUBE: frame` the result has B*T clips of one frame.

        Args:
            frames: of the clips.
            requests: what is asked of each, by default the model's task.

        Raises:
            ValueError: a model for several tasks or label sets is not told which.
        """
        return self.segment(frames, requests, with_intermediate=False)

    def segment(
        self,
        frames: Tensor,
        requests: Sequence[ClipRequest] = (),
        *,
        with_intermediate: bool,
        guide: Guide | None = None,
    ) -> TubePrediction:
        """Segment as `segment_clip` does, optionally with the predictions of earlier layers.

        Args:
            frames: (B, T, 3, H, W).
            requests: what is asked of each clip.
            with_intermediate: as of the decoder, for a loss on each layer.
            guide: of the decoder; by default the queries' own masks, where the model has cues.
        """
        requests = requests or [self._default_request()] * len(frames)
        has_objects = any(request.task is Task.EVS for request in requests)
        levels, mask_features, looks = self._features(frames, with_looks=has_objects)
        features = levels[-1]
        objects = [
            request.read(features[index], None if looks is None else looks[index])
            for index, request in enumerate(requests)
        ]
        # Which request each clip of the decoder answers.
        owner = list(range(len(requests)))
        likeness = None
        if self.fold_frames:
            owner = [index for index in owner for _ in range(frames.shape[1])]
            *levels, mask_features = (
                part.flatten(0, 1)[:, None] for part in (*levels, mask_features)
            )
        if self.look_prior is not None:
            if looks is not None:
                of_clips = looks.flatten(0, 1)[:, None] if self.fold_frames else looks
                likeness = self.look_prior(of_clips, [objects[index] for index in owner])
            # Other tasks leave it out; DistributedDataParallel wants all of it in every step.
            mask_features = mask_features + 0 * sum(
                parameter.sum() for parameter in self.look_prior.parameters()
            )
        sets = [requests[index].label_set for index in owner]
        tasks = [requests[index].task for index in owner]
        padded, stride = image_size(frames), frames.shape[-1] / mask_features.shape[-1]
        sizes = [requests[index].size or padded for index in owner]
        if guide is None and self.cues is not None:
            is_cued = self.label_sets.cued_classes(sets, tasks, self.cues.segments)
            guide = PredictedGuide(self.cues, is_cued)
        prediction = self.query_decoder(
            levels,
            mask_features,
            with_intermediate=with_intermediate,
            requests=[self._query_request(requests[index], objects[index]) for index in owner],
            columns=self.label_sets.head_columns(sets),
            guide=guide,
            frame_sizes=sizes_in_map(sizes, stride, frames.device),
            likeness=likeness,
        )
        prediction.objects = objects
        prediction.features = features
        prediction.looks = looks
        return prediction

    def _features(
        self, frames: Tensor, *, with_looks: bool
    ) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """Return feature levels (B, T, C, h, w), coarse to fine, mask features, and looks."""
        look_prior = self.look_prior if with_looks else None
        size = frames.shape[:2]
        frames = frames.flatten(0, 1)
        if frames.device.type == "cpu":
            # Convolutions, above all those of single channels, are faster on it.
            frames = frames.contiguous(memory_format=torch.channels_last)
        # Gradients keep the activations of all frames anyway, and batch norms want them together.
        at_once = self.training or torch.is_grad_enabled()
        per_step = len(frames) if at_once else self.frames_per_step
        steps = []
        for part in frames.split(per_step):
            maps = self.backbone(part)
            levels, mask_features = self.pixel_decoder(maps)
            of_backbone = [] if look_prior is None else [maps[look_prior.feature]]
            steps.append([mask_features, *of_backbone, *levels])
        # Each for all frames again.
        mask_features, *rest = (
            torch.cat(parts).unflatten(0, size) for parts in zip(*steps, strict=True)
        )
        if look_prior is None:
            return self.query_decoder.project(rest), mask_features, None
        levels = self.query_decoder.project(rest[1:])
        return levels, mask_features, look_prior.features([levels[-1], rest[0]])

    def _query_request(self, request: ClipRequest, objects: ObjectFeatures | None) -> QueryRequest:
        """Return what the queries of a clip start from, as its task asks."""
        return QueryRequest(
            classes=self.label_sets.semantic_rows(request.label_set, request.task),
            objects=objects,
            fills_with_cells=request.task.has_instances,
        )

    def _default_request(self) -> ClipRequest:
        if self.task is None or len(self.label_sets.is_thing) > 1:
            raise ValueError("The model has several tasks or label sets; say in requests which.")
        return ClipRequest(self.task, 0)
