"""Queries that show the same object.

Q queries, T frames, K classes, (h, w) mask logits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from gvseg.inference.transfer import to_host
from gvseg.modeling.padding import image_size, in_frame
from gvseg.structures import TubePrediction

LEAST_SCORE = 0.01  # queries that are less likely objects have next to nothing to pool


def tube_overlaps(clip: TubePrediction, queries: np.ndarray) -> np.ndarray:
    """Return the IoU of the tubes of M queries with one another within the frame, (M, M) float32.

    Args:
        clip: of one clip.
        queries: (M,) positions.
    """
    logits = clip.mask_logits[0]
    is_shown = logits[torch.as_tensor(queries, device=logits.device)] > 0
    if clip.frame_sizes is not None:
        is_shown &= in_frame(clip.frame_sizes[0], image_size(is_shown))
    masks = is_shown.flatten(1).float()
    common = masks @ masks.T
    areas = masks.sum(1)
    union = areas[:, None] + areas - common
    (overlaps,) = to_host(common / union.clamp_min(1))
    return overlaps


def group_repeats(overlaps: np.ndarray, scores: np.ndarray, max_overlap: float) -> np.ndarray:
    """Return for each of M queries the position of the one that it repeats, (M,); often its own.

    From the best on, a query leads a group of its own unless its tube has a greater IoU than the
    limit with that of a better one that leads; then it is in the group of the best of these.

    Args:
        overlaps: (M, M) IoU of tubes.
        scores: (M,) of two that are equal, the earlier counts as better.
        max_overlap: the limit.
    """
    leaders: list[int] = []
    leader_of = np.arange(len(scores))
    for position in np.argsort(-scores, kind="stable"):
        repeats = overlaps[position, leaders] > max_overlap
        if repeats.any():
            leader_of[position] = leaders[int(repeats.argmax())]
        else:
            leaders.append(int(position))
    return leader_of


def pool_repeats(
    clip: TubePrediction, max_overlap: float, is_thing: np.ndarray | Sequence[bool] | None = None
) -> TubePrediction:
    """Return one clip in which the best query of each object has the probability of all.

    One query alone is matched to an object in training, so where several show the same one, that
    each is the match are events of which no two happen together, and the probability that there is
    an object is the sum of theirs. Neighbouring cells often all show an object and share its
    probability out, so that none of them seems to show any. The others of a group then show no
    object. Of our own, in no paper.

    Args:
        clip: of one clip; queries of stuff stay as they are.
        max_overlap: IoU of the tubes of two queries above which they show the same object.
        is_thing: (K,) which classes are objects; all of them where not given.
    """
    (on_host,) = to_host(clip.class_logits[0].float().softmax(-1))
    num_classes = on_host.shape[1] - 1
    things = np.arange(num_classes) if is_thing is None else np.flatnonzero(np.asarray(is_thing))
    scores = on_host[:, things].sum(1)
    is_object = np.isin(on_host[:, :-1].argmax(1), things) & (scores >= LEAST_SCORE)
    queries = np.flatnonzero(is_object)
    overlaps = tube_overlaps(clip, queries)
    leaders = queries[group_repeats(overlaps, scores[queries], max_overlap)]
    pooled = on_host.copy()
    for leader in np.unique(leaders):
        members = queries[leaders == leader]
        if len(members) == 1:
            continue
        pooled[members] = np.eye(num_classes + 1)[num_classes]
        total = on_host[np.ix_(members, things)].sum(0)
        rest = np.delete(on_host[leader], things)  # stuff and no object keep their ratio
        likely = min(total.sum(), 1)
        pooled[leader] = 0
        pooled[leader, things] = total * (likely / total.sum())
        is_rest = np.isin(np.arange(num_classes + 1), things, invert=True)
        pooled[leader, is_rest] = rest * ((1 - likely) / max(rest.sum(), 1e-12))
    logits = torch.from_numpy(pooled).clamp_min(1e-9).log()
    return replace(clip, class_logits=logits.to(clip.class_logits)[None])
