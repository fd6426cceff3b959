"""The training loss: classes and masks of matched queries after every decoder layer.

B clips, Q queries, T frames, N matched pairs of the batch, P points, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from detectron2.config import CfgNode, configurable

from gvseg.modeling.losses import (
    dice_loss,
    draw_uncertain_points,
    mask_bce_loss,
    sample_points,
)
from gvseg.modeling.matching import HungarianMatcher, Match
from gvseg.modeling.processes import mean_over_processes
from gvseg.structures import ClipTargets, TubePrediction


@dataclass(frozen=True)
class _Norms:
    """What losses are divided by, so that several processes have those of their joint batch."""

    num_masks: Tensor
    class_weight: Tensor  # of all queries


class SetCriterion(nn.Module):
    """Match each prediction to the targets and weigh its class, mask and dice losses.

    Args:
        matcher: finds the pairs.
        weights: of the losses `ce`, `mask` and `dice`.
        no_object_weight: of queries without target in the class loss.
        points: options of `draw_uncertain_points`.
        deep_supervision: whether intermediate predictions are judged too.
    """

    @configurable
    def __init__(
        self,
        *,
        matcher: HungarianMatcher,
        weights: dict[str, float],
        no_object_weight: float,
        points: dict,
        deep_supervision: bool,
    ) -> None:
        super().__init__()
        self.matcher = matcher
        self.weights = weights
        self.points = points
        self.deep_supervision = deep_supervision
        self.no_object_weight = no_object_weight

    @classmethod
    def from_config(cls, cfg: CfgNode) -> dict:
        former = cfg.MODEL.MASK_FORMER
        return {
            "matcher": HungarianMatcher(
                class_weight=former.CLASS_WEIGHT,
                mask_weight=former.MASK_WEIGHT,
                dice_weight=former.DICE_WEIGHT,
                num_points=former.TRAIN_NUM_POINTS,
            ),
            "weights": {
                "ce": former.CLASS_WEIGHT,
                "mask": former.MASK_WEIGHT,
                "dice": former.DICE_WEIGHT,
            },
            "no_object_weight": former.NO_OBJECT_WEIGHT,
            "points": {
                "num_points": former.TRAIN_NUM_POINTS,
                "oversample_ratio": former.OVERSAMPLE_RATIO,
                "importance_ratio": former.IMPORTANCE_SAMPLE_RATIO,
            },
            "deep_supervision": former.DEEP_SUPERVISION,
        }

    def forward(
        self, prediction: TubePrediction, targets: list[ClipTargets], iteration: int = 0
    ) -> dict[str, Tensor]:
        """Return weighted losses: `loss_ce`, `loss_mask`, `loss_dice`, and `..._<i>` per layer."""
        num_queries = prediction.class_logits.shape[1]
        norms = self._count(targets, num_queries, prediction.class_logits.device)
        losses = self._judge(prediction, targets, norms, iteration)
        if self.deep_supervision:
            for index, earlier in enumerate(prediction.intermediate):
                judged = self._judge(earlier, targets, norms, iteration)
                losses.update({f"{name}_{index}": loss for name, loss in judged.items()})
        return losses

    def count_nothing(self, device: torch.device) -> None:
        """Take part in the counting of other processes, of which some call `forward`."""
        self._count([], 0, device)

    def _count(self, targets: list[ClipTargets], num_queries: int, device: torch.device) -> _Norms:
        """Return what losses are divided by, means over processes."""
        num_targets = [len(target.classes) for target in targets]
        num_matched = sum(min(count, num_queries) for count in num_targets)
        num_unmatched = len(targets) * num_queries - num_matched
        weight = num_matched + self.no_object_weight * num_unmatched
        return _Norms(
            num_masks=mean_over_processes(sum(num_targets), device),
            class_weight=mean_over_processes(weight, device, least=self.no_object_weight),
        )

    def match(
        self, prediction: TubePrediction, targets: list[ClipTargets], iteration: int = 0
    ) -> list[Match]:
        """Return the matches of a prediction, found once and then kept with it."""
        if prediction.matches is None:
            prediction.matches = self.matcher(prediction, targets, iteration)
        return prediction.matches

    def _judge(
        self,
        prediction: TubePrediction,
        targets: list[ClipTargets],
        norms: _Norms,
        iteration: int,
    ) -> dict[str, Tensor]:
        matches = self.match(prediction, targets, iteration)
        with torch.autocast(prediction.class_logits.device.type, enabled=False):
            mask, dice = self._mask_losses(
                prediction.mask_logits, targets, matches, norms.num_masks
            )
            return {
                "loss_ce": self.weights["ce"]
                * self._class_loss(prediction.class_logits.float(), targets, matches)
                / norms.class_weight,
                "loss_mask": self.weights["mask"] * mask,
                "loss_dice": self.weights["dice"] * dice,
            }

    def _class_loss(
        self, class_logits: Tensor, targets: list[ClipTargets], matches: list[Match]
    ) -> Tensor:
        """Sum the cross-entropy of all queries, of which unmatched ones should say "no object"."""
        no_object = class_logits.shape[2] - 1
        classes = torch.full(class_logits.shape[:2], no_object, device=class_logits.device)
        for index, (queries, matched) in enumerate(matches):
            classes[index, queries.to(classes.device)] = targets[index].classes[matched]
        weights = class_logits.new_ones(no_object + 1)
        weights[-1] = self.no_object_weight
        return F.cross_entropy(class_logits.transpose(1, 2), classes, weights, reduction="sum")

    def _mask_losses(
        self,
        mask_logits: Tensor,
        targets: list[ClipTargets],
        matches: list[Match],
        num_masks: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Cross-entropy and dice at points drawn anew for each frame of each matched tube."""
        logits = torch.cat(
            [mask_logits[index, queries] for index, (queries, _) in enumerate(matches)]
        )
        labels = torch.cat([targets[index].masks[matched] for index, (_, matched) in
                            enumerate(matches)])  # fmt: skip
        if len(logits) == 0:
            zero = mask_logits[:, :0].float().sum()  # keeps every parameter in the graph
            return zero, zero
        logits = logits.flatten(0, 1).float()
        labels = labels.flatten(0, 1)
        with torch.no_grad():
            points = draw_uncertain_points(logits, **self.points)
            point_labels = sample_points(labels[:, None].float(), points)[:, 0]
        point_logits = sample_points(logits[:, None], points)[:, 0]
        return (
            mask_bce_loss(point_logits, point_labels, num_masks),
            dice_loss(point_logits, point_labels, num_masks),
        )
