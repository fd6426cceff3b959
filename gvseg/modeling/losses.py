"""Losses on points of masks, and how the points are chosen.

N masks, P points, K classes, (H, W) pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def sample_points(maps: Tensor, points: Tensor) -> Tensor:
    """Read maps at points by bilinear interpolation, zero outside.

    Args:
        maps: (N, C, H, W).
        points: (N, P, 2) as (x, y) in 0..1, where 0 and 1 are the outer edges of the image.

    Returns:
        (N, C, P).
    """
    grid = 2 * points[:, None] - 1
    return F.grid_sample(maps, grid.to(maps.dtype), align_corners=False)[:, :, 0]


def draw_uncertain_points(
    mask_logits: Tensor, num_points: int, oversample_ratio: float, importance_ratio: float
) -> Tensor:
    """Draw points where a mask is undecided, and some at random (PointRend, section 3.1).

    Args:
        mask_logits: (N, H, W).
        num_points: P.
        oversample_ratio: candidates for each point.
        importance_ratio: share of points that are the most uncertain candidates.

    Returns:
        (N, P, 2) as (x, y) in 0..1.
    """
    num_masks, device = len(mask_logits), mask_logits.device
    candidates = torch.rand(num_masks, int(num_points * oversample_ratio), 2, device=device)
    certainty = sample_points(mask_logits[:, None], candidates)[:, 0].abs()
    num_uncertain = int(importance_ratio * num_points)
    chosen = certainty.topk(num_uncertain, dim=1, largest=False, sorted=False).indices
    uncertain = candidates.gather(1, chosen[..., None].expand(-1, -1, 2))
    rest = torch.rand(num_masks, num_points - num_uncertain, 2, device=device)
    return torch.cat([uncertain, rest], 1)


def mask_bce_loss(logits: Tensor, labels: Tensor, num_masks: Tensor) -> Tensor:
    """Binary cross-entropy of (N, P) point logits: mean over points, sum over masks / num_masks."""
    loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
    return loss.mean(1).sum() / num_masks


def dice_loss(logits: Tensor, labels: Tensor, num_masks: Tensor) -> Tensor:
    """Dice loss of (N, P) point logits, summed over masks / num_masks."""
    probs = logits.sigmoid()
    overlap = 2 * (probs * labels).sum(1)
    area = probs.sum(1) + labels.sum(1)
    loss = 1 - (overlap + 1) / (area + 1)  # +1 keeps an empty pair defined
    return loss.sum() / num_masks
