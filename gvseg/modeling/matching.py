"""Which query should become which target: bipartite matching on points.

B clips, Q queries, T frames, N targets of a clip, P points, K classes.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gvseg.modeling.losses import sample_points
from gvseg.structures import ClipTargets, TubePrediction

Match = tuple[Tensor, Tensor]  # positions of queries and of their targets, (min(Q, N),) each


class NonFiniteCostError(FloatingPointError):
    """A matching cost is NaN or infinite: the network has diverged."""


class HungarianMatcher:
    """Match queries to targets by class probability, mask cross-entropy and dice on random points.

    A tube is matched as one object: all its frames share the points, and its cost runs over T*P
    values (Mask2Former, sections 3.2 and 3.3, and its video version).

    Args:
        class_weight: of the negative class probability.
        mask_weight: of the binary cross-entropy.
        dice_weight: of the dice cost.
        num_points: P.
    """

    def __init__(
        self, *, class_weight: float, mask_weight: float, dice_weight: float, num_points: int
    ) -> None:
        self.class_weight = class_weight
        self.mask_weight = mask_weight
        self.dice_weight = dice_weight
        self.num_points = num_points

    @torch.no_grad()
    def __call__(
        self, prediction: TubePrediction, targets: list[ClipTargets], iteration: int = 0
    ) -> list[Match]:
        """Return for each clip the matched queries and targets, on the CPU.

        Targets whose queries are given, those of exemplars, keep them.

        Raises:
            NonFiniteCostError: naming the iteration, the clip and the term that is not finite.
        """
        costs, given = [], {}
        for index, target in enumerate(targets):
            if target.queries is not None:
                given[index] = (target.queries.cpu(), torch.arange(len(target.queries)))
                continue
            terms = self._terms(
                prediction.class_logits[index], prediction.mask_logits[index], target
            )
            costs.append(torch.stack(terms))
        if not costs:
            return list(given.values())
        # One transfer for the whole batch, since each one waits for the device.
        sizes = [cost.shape for cost in costs]
        packed = torch.cat([cost.flatten() for cost in costs]).cpu()
        parts = packed.split([size.numel() for size in sizes])
        terms_of_clip = (part.view(size) for part, size in zip(parts, sizes, strict=True))
        return [
            given[index] if index in given else self._assign(next(terms_of_clip), index, iteration)
            for index in range(len(targets))
        ]

    def _terms(
        self, class_logits: Tensor, mask_logits: Tensor, target: ClipTargets
    ) -> list[Tensor]:
        """Unweighted costs of class, mask and dice, each (Q, N)."""
        with torch.autocast(class_logits.device.type, enabled=False):
            class_cost = -class_logits.float().softmax(-1)[:, target.classes]
            points = torch.rand(1, self.num_points, 2, device=mask_logits.device)
            logits = sample_tubes(mask_logits.float(), points)
            labels = sample_tubes(target.masks.float(), points)
            return [class_cost, pairwise_bce(logits, labels), pairwise_dice(logits, labels)]

    def _assign(self, terms: Tensor, clip: int, iteration: int) -> Match:
        for term, name in zip(terms, ("class", "mask", "dice"), strict=True):
            if not term.isfinite().all():
                raise NonFiniteCostError(
                    f"Iteration {iteration}, clip {clip} of the batch: the {name} cost of the "
                    "matching is not finite. The network has diverged; lower SOLVER.BASE_LR, "
                    "or check the inputs and the weights that were loaded."
                )
        weights = torch.tensor([self.class_weight, self.mask_weight, self.dice_weight])
        total = (terms * weights[:, None, None]).sum(0)
        queries, matched = linear_sum_assignment(total.numpy())
        return torch.as_tensor(queries), torch.as_tensor(matched)


def sample_tubes(tubes: Tensor, points: Tensor) -> Tensor:
    """Read (N, T, H, W) at the same points (1, P, 2) in every frame: (N, T*P)."""
    num_tubes, num_frames = tubes.shape[:2]
    if num_tubes == 0:
        return tubes.new_zeros(0, num_frames * points.shape[1])
    values = sample_points(tubes.flatten(0, 1)[None], points)[0]
    return values.view(num_tubes, -1)


def pairwise_bce(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean binary cross-entropy of every pair: logits (Q, P), labels (N, P) -> (Q, N)."""
    positive = F.softplus(-logits)  # the loss where the label is 1
    negative = F.softplus(logits)
    return (positive @ labels.T + negative @ (1 - labels).T) / logits.shape[1]


def pairwise_dice(logits: Tensor, labels: Tensor) -> Tensor:
    """Dice loss of every pair: logits (Q, P), labels (N, P) -> (Q, N)."""
    probs = logits.sigmoid()
    overlap = 2 * probs @ labels.T
    area = probs.sum(1)[:, None] + labels.sum(1)[None]
    return 1 - (overlap + 1) / (area + 1)  # +1 keeps an empty pair defined
