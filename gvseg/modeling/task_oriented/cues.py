"""Tell queries of the shape and place of their objects while they are decoded.

B clips, Q queries, T frames, N targets, C channels, K classes, (h, w) pixels at the finest level
that the decoder reads.  GvSeg, section 3.1, "Shape- and Position-Aware Query Matching".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable

from gvseg.modeling.matching import Match
from gvseg.modeling.padding import sizes_in_map
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor
from gvseg.structures import ClipTargets, TubePrediction

SEGMENTS = ("things", "stuff", "all")
SOURCES = ("none", "matched_gt", "predicted", "mixed")

# What a decoder layer asks before its self-attention: (B, Q, C) of what it starts from, its masks
# (B, Q, T, h, w) and how many rows and columns of these the frames take (B, 2).
Guide = Callable[[TubePrediction, Tensor, Tensor | None], Tensor]


class ShapePositionCues(nn.Module):
    r"""The descriptors H that queries get before self-attention, \(q \leftarrow q + H\) (Eq. 5).

    The paper's text gives a query the descriptor of the true object that the previous prediction is
    matched to; its figure, and any inference, that of the mask which the query itself predicted.
    In training both are drawn, so that what helps at inference has been seen; and where the text is
    followed, queries without a match have a cue of their own mask all the same, for else to have
    one would tell which queries are matched. A tube's cue is the mean over the frames in which its
    mask is not empty. Only things have one, as shapes say nothing of what stuff is; the others are
    for ablations.

    Args:
        descriptor: gives H.
        source: `matched_gt`, as in the text: of matched queries alone; `predicted`; or `mixed`, in
            which each clip draws in each layer whether matched queries have that of the truth.
        predicted_prob: of drawing the predicted mask where sources are mixed.
        segments: `things`, `stuff` or `all`: whose queries have cues.
    """

    @configurable
    def __init__(
        self,
        *,
        descriptor: ShapePositionDescriptor,
        source: str,
        predicted_prob: float,
        segments: str = "things",
    ) -> None:
        super().__init__()
        if source not in SOURCES[1:]:
            raise ValueError(f"MODEL.GVSEG.CUE is {source!r}; choose one of {', '.join(SOURCES)}.")
        if not 0 <= predicted_prob <= 1:
            raise ValueError(
                f"MODEL.GVSEG.PREDICTED_CUE_PROB is {predicted_prob}; it must lie in 0..1."
            )
        if segments not in SEGMENTS:
            raise ValueError(
                f"MODEL.GVSEG.CUE_SEGMENTS is {segments!r}; choose one of {', '.join(SEGMENTS)}."
            )
        self.segments = segments
        self.descriptor = descriptor
        self.only_matched = source == "matched_gt"
        self.predicted_prob = {"matched_gt": 0.0, "predicted": 1.0, "mixed": predicted_prob}[source]

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        return {
            "descriptor": ShapePositionDescriptor(cfg),
            "source": cfg.MODEL.GVSEG.CUE,
            "predicted_prob": cfg.MODEL.GVSEG.PREDICTED_CUE_PROB,
            "segments": cfg.MODEL.GVSEG.CUE_SEGMENTS,
        }

    def of_predictions(
        self,
        class_logits: Tensor,
        mask_logits: Tensor,
        is_cued: Tensor,
        frame_sizes: Tensor | None = None,
    ) -> Tensor:
        """Return the cue of each query from its own mask, zeros unless its class has cues.

        Args:
            class_logits: (B, Q, K+1).
            mask_logits: (B, Q, T, h, w).
            is_cued: (B, K+1) bool of each clip's classes, False for "no object".
            frame_sizes: rows and columns of masks that frames take, (B, 2); by default all.
        """
        shows_cued = is_cued.gather(1, class_logits.argmax(-1))
        masks = (mask_logits > 0) & shows_cued[..., None, None, None]
        if frame_sizes is not None:
            frame_sizes = frame_sizes[:, None, None]
        return tube_descriptors(self.descriptor, masks, frame_sizes)

    def of_targets(
        self, descriptors: Sequence[Tensor], matches: Sequence[Match], num_queries: int
    ) -> tuple[Tensor, Tensor]:
        """Return the cue of each query from the object that it is matched to, and which are.

        Args:
            descriptors: (N, C) of the targets of each clip, zeros for stuff.
            matches: of each clip.
            num_queries: Q.

        Returns:
            (B, Q, C), zeros for queries without a match, and (B, Q) bool.
        """
        cues, are_matched = [], []
        for of_clip, (queries, matched) in zip(descriptors, matches, strict=True):
            cue = of_clip.new_zeros(num_queries, of_clip.shape[1])
            queries, matched = queries.to(cue.device), matched.to(cue.device)
            cues.append(cue.index_copy(0, queries, of_clip[matched]))
            is_matched = torch.zeros(num_queries, dtype=torch.bool, device=cue.device)
            are_matched.append(is_matched.index_fill(0, queries, True))
        return torch.stack(cues), torch.stack(are_matched)

    def draw_predicted(self, batch: int) -> Tensor:
        """Draw which clips of a batch get cues from what they predicted, (B,) bool on the host."""
        return torch.rand(batch) < self.predicted_prob


class PredictedGuide:
    """Guide queries by their own masks, as at inference.

    Args:
        cues: where cues come from.
        is_cued: (B, K+1) bool, which classes have cues.
    """

    def __init__(self, cues: ShapePositionCues, is_cued: Tensor) -> None:
        self.cues = cues
        self.is_cued = is_cued

    def __call__(
        self, prediction: TubePrediction, mask_logits: Tensor, frame_sizes: Tensor | None = None
    ) -> Tensor:
        return self.cues.of_predictions(
            prediction.class_logits, mask_logits, self.is_cued, frame_sizes
        )


class TeachingGuide:
    """Guide queries by true objects or by their own masks, as drawn for each clip and layer.

    Args:
        cues: where cues come from.
        is_cued: (B, K+1) bool, which classes have cues.
        targets: of each clip.
        match: finds the matches of a prediction, and leaves them in it for the loss.
    """

    def __init__(
        self,
        cues: ShapePositionCues,
        is_cued: Tensor,
        targets: Sequence[ClipTargets],
        match: Callable[[TubePrediction], list[Match]],
    ) -> None:
        self.cues = cues
        self.is_cued = is_cued
        self.targets = targets
        self.match = match
        self.descriptors: list[Tensor] = []  # of the targets, once the size of masks is known

    def __call__(
        self, prediction: TubePrediction, mask_logits: Tensor, frame_sizes: Tensor | None = None
    ) -> Tensor:
        batch, num_queries = prediction.class_logits.shape[:2]
        if not self.descriptors:
            self.descriptors = self._describe(mask_logits.shape[-1])
        true, is_matched = self.cues.of_targets(
            self.descriptors, self.match(prediction), num_queries
        )
        if self.cues.only_matched:
            return true
        predicted = self.cues.of_predictions(
            prediction.class_logits, mask_logits, self.is_cued, frame_sizes
        )
        is_drawn = self.cues.draw_predicted(batch).to(true.device)
        takes_true = is_matched & ~is_drawn[:, None]
        return torch.where(takes_true[..., None], true, predicted)

    def _describe(self, width: int) -> list[Tensor]:
        """Return the descriptors (N, C) of the targets of each clip, of masks as wide as this.

        Predicted masks are described at that size too: the same shape is to give the same cue.
        """
        strides = [target.masks.shape[-1] // width for target in self.targets]
        return [
            tube_descriptors(
                self.cues.descriptor,
                true_masks(target, stride, self.cues.segments),
                true_frame_size(target, stride),
            )
            for target, stride in zip(self.targets, strides, strict=True)
        ]


def true_masks(target: ClipTargets, stride: int, segments: str = "all") -> Tensor:
    """Return masks at a stride, empty but for `segments`: (N, T, H/stride, W/stride) bool."""
    offset = stride // 2
    masks = target.masks[..., offset::stride, offset::stride]
    if segments == "all":
        return masks
    return masks & ((target.ids >= 0) == (segments == "things"))[:, None, None, None]


def true_frame_size(target: ClipTargets, stride: int) -> Tensor:
    """Return how many rows and columns of masks at a stride the frame takes, (2,) float32."""
    return sizes_in_map([target.frame_size], stride, target.masks.device)[0]


def tube_descriptors(
    descriptor: ShapePositionDescriptor, masks: Tensor, frame_sizes: Tensor | None = None
) -> Tensor:
    """Return one descriptor for each tube of masks (..., T, h, w): (..., C).

    Args:
        descriptor: of one mask.
        masks: bool.
        frame_sizes: rows and columns of masks that frames take, (..., 1, 2) or fewer dimensions.
    """
    return mean_over_frames(descriptor(masks, frame_sizes))


def mean_over_frames(descriptors: Tensor) -> Tensor:
    """Return the mean (..., C) of (..., T, C) over the frames that are not all zero."""
    count = descriptors.any(-1).sum(-1)
    return descriptors.sum(-2) / count.clamp_min(1)[..., None]
