"""The segmenter: frames in, tubes out.

B clips, T frames, N targets of a clip, (H, W) pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable
from detectron2.modeling import META_ARCH_REGISTRY, build_backbone
from detectron2.utils.events import get_event_storage, has_event_storage

from gvseg.modeling.criterion import SetCriterion
from gvseg.modeling.pixel_decoder import PixelDecoder
from gvseg.modeling.query_decoder import QueryDecoder
from gvseg.structures import ClipTargets, TubePrediction
from gvseg.tasks import Task

VOID = 255  # label of a pixel that belongs to no class


@dataclass(frozen=True)
class FrameFormat:
    """How frames are prepared for the backbone."""

    mean: list[float]  # of each channel, in 0..255
    std: list[float]
    size_divisibility: int  # height and width are padded to a multiple of this


@META_ARCH_REGISTRY.register()
class GvSeg(nn.Module):
    """Mask2Former over clips: backbone, pixel decoder and query decoder.

    In training mode a call returns losses; otherwise the `TubePrediction` of the batch, which
    `gvseg.inference` turns into masks and identities.

    Args:
        backbone: gives a feature map by name and stride.
        pixel_decoder: refines them per frame.
        query_decoder: reads all frames of a clip.
        criterion: the training loss.
        task: what `sem_seg` and `instances` of the samples mean.
        fold_frames: decode every frame alone (`TUBE: frame`): T is folded into B.
        frame_format: how frames are prepared.
        frames_per_step: frames that pass backbone and pixel decoder together at inference; these
            see one frame at a time anyway, and their activations are most of the memory.
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
        criterion: SetCriterion,
        task: Task,
        fold_frames: bool,
        frame_format: FrameFormat,
        frames_per_step: int = 1,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.pixel_decoder = pixel_decoder
        self.query_decoder = query_decoder
        self.criterion = criterion
        self.task = task
        self.fold_frames = fold_frames
        self.frames_per_step = frames_per_step
        self.size_divisibility = frame_format.size_divisibility
        for name, values in (("mean", frame_format.mean), ("std", frame_format.std)):
            channels = torch.tensor(values).view(-1, 1, 1)
            self.register_buffer(f"pixel_{name}", channels, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        tube = cfg.MODEL.GVSEG.TUBE
        if tube not in ("clip", "frame"):
            raise ValueError(f"MODEL.GVSEG.TUBE is {tube!r}; choose clip or frame.")
        task = Task.parse(cfg.MODEL.GVSEG.TASK)
        if task is Task.EVS:
            raise ValueError("MODEL.GVSEG.TASK evs is not built yet; choose vis, vss or vps.")
        per_step = cfg.MODEL.GVSEG.TEST.FRAMES_PER_STEP
        if per_step < 1:
            raise ValueError(f"MODEL.GVSEG.TEST.FRAMES_PER_STEP is {per_step}; give 1 or more.")
        _refuse_other_models(cfg)
        backbone = build_backbone(cfg)
        return {
            "backbone": backbone,
            "pixel_decoder": PixelDecoder(cfg, backbone.output_shape()),
            "query_decoder": QueryDecoder(cfg),
            "criterion": SetCriterion(cfg),
            "task": task,
            "fold_frames": tube == "frame",
            "frame_format": FrameFormat(
                mean=cfg.MODEL.PIXEL_MEAN,
                std=cfg.MODEL.PIXEL_STD,
                # A stride-32 backbone needs 32 whatever the config says.
                size_divisibility=max(
                    cfg.MODEL.MASK_FORMER.SIZE_DIVISIBILITY, backbone.size_divisibility, 1
                ),
            ),
            "frames_per_step": per_step,
        }

    @property
    def device(self) -> torch.device:
        """Where frames are expected."""
        return self.pixel_mean.device

    def forward(self, samples: list[dict]) -> dict[str, Tensor] | TubePrediction:
        """Return weighted losses in training mode, else the prediction.

        Args:
            samples: one dict for each clip, as `gvseg.data` makes them; see `ClipMapper`.
        """
        frames = self.preprocess([sample["images"] for sample in samples])
        if not self.training:
            return self.segment_clip(frames)
        size = (frames.shape[-2], frames.shape[-1])
        targets = [self.targets(sample, size) for sample in samples]
        if self.fold_frames:
            targets = [part for target in targets for part in split_frames(target)]
        prediction = self._segment(frames, with_intermediate=True)
        iteration = get_event_storage().iter if has_event_storage() else 0
        return self.criterion(prediction, targets, iteration)

    def preprocess(self, clips: list[list[Tensor]]) -> Tensor:
        """Normalise frames and pad them at the right and bottom to one size.

        Args:
            clips: B lists of T frames, (3, H, W) in 0..255 with one H, W for each clip.

        Returns:
            (B, T, 3, H', W') on the model's device.
        """
        num_frames = {len(clip) for clip in clips}
        if len(num_frames) != 1:
            raise ValueError(f"Clips of one batch have different lengths: {sorted(num_frames)}.")
        height = _round_up(max(c[0].shape[-2] for c in clips), self.size_divisibility)
        width = _round_up(max(c[0].shape[-1] for c in clips), self.size_divisibility)
        padded = []
        for clip in clips:
            frames = torch.stack(clip).to(self.device, non_blocking=True)
            frames = (frames - self.pixel_mean) / self.pixel_std
            spare = (0, width - frames.shape[-1], 0, height - frames.shape[-2])
            padded.append(F.pad(frames, spare))
        return torch.stack(padded)

    def segment_clip(self, frames: Tensor) -> TubePrediction:
        """Segment frames (B, T, 3, H, W) that `preprocess` made.

        With `TUBE: frame` the result has B*T clips of one frame.
        """
        return self._segment(frames, with_intermediate=False)

    def _segment(self, frames: Tensor, *, with_intermediate: bool) -> TubePrediction:
        if self.fold_frames:
            frames = frames.flatten(0, 1)[:, None]
        num_frames = frames.shape[1]
        frames = frames.flatten(0, 1)
        per_step = len(frames) if with_intermediate else self.frames_per_step
        steps = [self.pixel_decoder(self.backbone(part)) for part in frames.split(per_step)]
        # By level, then the mask features, each for all frames again.
        maps = [
            torch.cat(parts).unflatten(0, (-1, num_frames))
            for parts in zip(*([*levels, masks] for levels, masks in steps), strict=True)
        ]
        return self.query_decoder(maps[:-1], maps[-1], with_intermediate=with_intermediate)

    def targets(self, sample: dict, size: tuple[int, int]) -> ClipTargets:
        """Return what one clip should be segmented into, padded to `size`."""
        parts = []
        if self.task.has_instances:
            parts.append(instance_targets(sample["instances"]))
        if self.task.has_stuff:
            parts.append(stuff_targets(sample["sem_seg"]))
        masks = torch.cat([part.masks for part in parts])
        spare = (0, size[1] - masks.shape[-1], 0, size[0] - masks.shape[-2])
        return ClipTargets(
            classes=torch.cat([part.classes for part in parts]).to(self.device),
            masks=F.pad(masks, spare).to(self.device),
            ids=torch.cat([part.ids for part in parts]).to(self.device),
        )


def _refuse_other_models(cfg: CfgNode) -> None:
    """Stop at a YAML that asks for a part of Mask2Former that is not built here."""
    resnets, head, former = cfg.MODEL.RESNETS, cfg.MODEL.SEM_SEG_HEAD, cfg.MODEL.MASK_FORMER
    decoder = "MultiScaleMaskedTransformerDecoder"
    for key, value, wanted in (
        ("RESNETS.STEM_TYPE", resnets.STEM_TYPE, "basic"),
        ("RESNETS.RES4_DILATION", resnets.RES4_DILATION, 1),
        ("RESNETS.RES5_MULTI_GRID", list(resnets.RES5_MULTI_GRID), [1, 1, 1]),
        ("SEM_SEG_HEAD.NAME", head.NAME, "MaskFormerHead"),
        (
            "MASK_FORMER.TRANSFORMER_IN_FEATURE",
            former.TRANSFORMER_IN_FEATURE,
            "multi_scale_pixel_decoder",
        ),
        (
            "MASK_FORMER.TRANSFORMER_DECODER_NAME",
            former.TRANSFORMER_DECODER_NAME.removeprefix("Video") or decoder,
            decoder,
        ),
        ("MASK_FORMER.ENFORCE_INPUT_PROJ", former.ENFORCE_INPUT_PROJ, False),
        ("SEM_SEG_HEAD.PIXEL_DECODER_NAME", head.PIXEL_DECODER_NAME, "MSDeformAttnPixelDecoder"),
    ):
        if value != wanted:
            raise ValueError(f"MODEL.{key} is {value!r}; only {wanted!r} is supported.")


def instance_targets(instances: list) -> ClipTargets:
    """Stack T `Instances`, which list the same N objects, and drop objects that are never seen."""
    masks = torch.stack([frame.gt_masks.tensor for frame in instances], 1)
    seen = masks.flatten(1).any(1)
    return ClipTargets(
        instances[0].gt_classes[seen], masks[seen], instances[0].gt_ids[seen].to(torch.int64)
    )


def stuff_targets(sem_seg: list[Tensor]) -> ClipTargets:
    """Make one mask of each class in T label maps (H, W); void becomes no target."""
    labels = torch.stack(sem_seg)
    classes = labels.unique()
    classes = classes[classes != VOID]
    masks = labels[None] == classes[:, None, None, None]
    return ClipTargets(classes.to(torch.int64), masks, torch.full_like(classes, -1))


def split_frames(target: ClipTargets) -> list[ClipTargets]:
    """Cut the targets of a clip into those of its frames, without objects absent there."""
    frames = []
    for masks in target.masks.unbind(1):
        seen = masks.flatten(1).any(1)
        frames.append(ClipTargets(target.classes[seen], masks[seen][:, None], target.ids[seen]))
    return frames


def _round_up(length: int, divisor: int) -> int:
    return -(-length // divisor) * divisor
