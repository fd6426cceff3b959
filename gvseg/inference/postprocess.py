"""Segments of one frame at its original size from class and mask logits: pure functions.

Q queries, K classes, N of the queries kept, (h, w) mask logits, (H, W) original frame.

Queries are chosen by class probability on the host before any mask is enlarged. Masks are
enlarged in bands of rows, so that no float tensor of all queries at full size ever exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gvseg.inference.linking import NOT_TRACKED
from gvseg.inference.transfer import to_host
from gvseg.structures import FrameSegments

BAND_ELEMENTS = 4_000_000  # floats of all queries in one band, 16 MB


@dataclass(frozen=True)
class FrameGeometry:
    """The sizes a frame goes through, (height, width) in pixels."""

    original: tuple[int, int]
    resized: tuple[int, int]  # as the network is to see it
    padded: tuple[int, int]  # as the network sees it; mask logits cover this

    def __post_init__(self) -> None:
        assert all(r <= p for r, p in zip(self.resized, self.padded, strict=True))


@dataclass(frozen=True)
class FrameLogits:
    """What the network and the linker say about one frame."""

    frame_index: int
    class_logits: Tensor  # (Q, K+1), last column is "no object"
    mask_logits: Tensor  # (Q, h, w)
    identities: np.ndarray  # (Q,) int64, -1 where a query is no tracked object
    geometry: FrameGeometry


def instance_segments(
    logits: FrameLogits,
    *,
    max_instances: int,
    score_threshold: float,
    one_class_per_query: bool,
) -> FrameSegments:
    """Return overlapping instances, best first.

    As in Mask2Former, the score is the class probability times the mean mask probability over the
    mask's pixels. Queries without identity and empty masks are left out.

    Args:
        logits: of the frame.
        max_instances: the best pairs of query and class by class probability are kept.
        score_threshold: instances whose score is below are dropped.
        one_class_per_query: keep each query once, with its best class, rather than every pair.
    """
    class_probs = _class_probs(logits)
    tracked = np.flatnonzero(logits.identities != NOT_TRACKED)
    queries, classes = _best_pairs(class_probs[tracked], max_instances, one_class_per_query)
    queries = tracked[queries]
    unlikely = np.setdiff1d(tracked, queries)
    # The mean mask probability is at most 1, so these cannot reach the threshold.
    hopeful = class_probs[queries, classes] >= score_threshold
    queries, classes = queries[hopeful], classes[hopeful]

    # A query that stands in several pairs has its mask enlarged once.
    unique, position = np.unique(queries, return_inverse=True)
    masks, quality = _masks_with_quality(_select(logits, unique), logits.geometry)
    scores = class_probs[queries, classes] * quality[position]
    kept = np.flatnonzero((scores >= score_threshold) & (quality[position] > 0))
    kept = kept[np.argsort(-scores[kept], kind="stable")]
    return FrameSegments(
        frame_index=logits.frame_index,
        ids=logits.identities[queries[kept]],
        classes=classes[kept],
        scores=scores[kept].astype(np.float32),
        masks=masks[position[kept]],
        unlikely=logits.identities[unlikely],
    )


def semantic_segments(logits: FrameLogits) -> FrameSegments:
    """Return one segment for each class that is the most probable one somewhere.

    A class's evidence at a pixel is the sum over queries of class probability times mask
    probability; "no object" takes no part. The score of a segment is the mean over its pixels of
    its share in the evidence of all classes.
    """
    class_probs = logits.class_logits.float().softmax(-1)[:, :-1]
    num_classes = class_probs.shape[1]
    height, width = logits.geometry.original
    winner = torch.empty((height, width), dtype=torch.int16, device=class_probs.device)
    confidence = class_probs.new_zeros(num_classes, dtype=torch.float64)
    num_pixels = torch.zeros(num_classes, dtype=torch.int64, device=class_probs.device)
    # The evidence of all classes is as large as the masks of all queries.
    rows_at_once = _rows_at_once(max(class_probs.shape), width)
    for rows, band in _bands(logits.mask_logits, logits.geometry, rows_at_once):
        evidence = torch.einsum("qk,qrw->krw", class_probs, band.sigmoid_())
        best, label = evidence.amax(0), _first_greatest(evidence)
        share = best / evidence.sum(0).clamp_min(torch.finfo(best.dtype).tiny)
        winner[rows] = label.to(torch.int16)
        label = label.flatten()
        confidence.index_add_(0, label, share.flatten().double())
        num_pixels += _count(label, num_classes)
    total_share, area, label_map = to_host(confidence, num_pixels, winner)
    classes = np.flatnonzero(area)
    return FrameSegments(
        frame_index=logits.frame_index,
        ids=stuff_identity(classes),
        classes=classes,
        scores=(total_share[classes] / area[classes]).astype(np.float32),
        index_map=_positions(classes, num_classes)[label_map],
    )


def panoptic_segments(
    logits: FrameLogits,
    *,
    is_thing: np.ndarray,
    object_mask_threshold: float,
    overlap_threshold: float,
) -> FrameSegments:
    """Return segments that share out the frame, things apart and stuff merged by class.

    The rule of Mask2Former: each pixel goes to the query with the highest class probability times
    mask probability, and stays void where that query's own mask is below 0.5. A query that wins
    less than `overlap_threshold` of the area of its own mask loses all of it.

    Args:
        logits: of the frame. A thing without identity is left out.
        is_thing: (K,) bool, classes whose segments are told apart.
        object_mask_threshold: queries whose class probability is not above take no part.
        overlap_threshold: area that a query has to win, as a share of its own mask's.
    """
    class_probs = _class_probs(logits, with_no_object=True)
    no_object = class_probs.shape[1] - 1
    classes, scores = class_probs.argmax(1), class_probs.max(1)
    as_thing = np.append(is_thing, False)[classes]
    takes_part = (classes != no_object) & (scores > object_mask_threshold)
    queries = np.flatnonzero(takes_part & (~as_thing | (logits.identities != NOT_TRACKED)))
    shares = _share_out(logits, queries, scores[queries])

    kept = (shares.segment_area > 0) & (shares.won_area >= overlap_threshold * shares.own_area)
    lookup = np.full(len(queries) + 1, -1, dtype=np.int16)  # the last entry serves void, -1
    segments: dict[tuple[int, int], list[int]] = {}
    for i in np.flatnonzero(kept):
        query = queries[i]
        identity = logits.identities[query] if as_thing[query] else stuff_identity(classes[query])
        segments.setdefault((int(classes[query]), int(identity)), []).append(int(i))
    for position, parts in enumerate(segments.values()):
        lookup[parts] = position
    return FrameSegments(
        frame_index=logits.frame_index,
        ids=np.array([identity for _, identity in segments], dtype=np.int64),
        classes=np.array([class_index for class_index, _ in segments], dtype=np.int64),
        scores=np.array(
            [
                np.average(scores[queries[parts]], weights=shares.segment_area[parts])
                for parts in segments.values()
            ],
            dtype=np.float32,
        ),
        index_map=lookup[shares.winner],
    )


def exemplar_segments(
    logits: FrameLogits,
    *,
    visible: np.ndarray,
    scores: np.ndarray,
    given: Mapping[int, np.ndarray],
) -> FrameSegments:
    """Return the objects that exemplars point out, which share out the frame.

    Each pixel goes to the object with the highest score times mask probability, and to none where
    that object's own mask is below 0.5. A mask that was given for the frame stands as it is.

    Args:
        logits: of the frame, with one query for each object.
        visible: positions of the queries that take part, (N,).
        scores: (Q,) probabilities of being there.
        given: masks (H, W) bool by identity.
    """
    predicted = visible[~np.isin(logits.identities[visible], list(given))]
    winner = _share_out(logits, predicted, scores[predicted]).winner
    for position, mask in enumerate(given.values(), start=len(predicted)):
        winner[mask] = position
    ids = np.append(logits.identities[predicted], np.fromiter(given, dtype=np.int64))
    sureness = np.append(scores[predicted], np.ones(len(given))).astype(np.float32)
    area = np.bincount(winner[winner >= 0], minlength=len(ids))
    kept = np.flatnonzero(area > 0)
    return FrameSegments(
        frame_index=logits.frame_index,
        ids=ids[kept],
        classes=np.zeros(len(kept), dtype=np.int64),
        scores=sureness[kept],
        index_map=_positions(kept, len(ids) + 1)[winner],
    )


def stuff_identity(classes: np.ndarray) -> np.ndarray:
    """Return what stands for the identity of stuff, as annotations have it: class index + 1."""
    return classes + 1


@dataclass(frozen=True)
class _Shares:
    """How a frame is shared out among N queries; areas are (N,) pixels."""

    winner: np.ndarray  # (H, W) int16, position of the query whose segment this pixel is, or -1
    own_area: np.ndarray  # where the query's mask probability is at least 0.5
    won_area: np.ndarray  # where no other query has a higher score
    segment_area: np.ndarray  # where both hold


def _share_out(logits: FrameLogits, queries: np.ndarray, scores: np.ndarray) -> _Shares:
    """Give each pixel to the query with the highest score times mask probability."""
    num_queries = len(queries)
    height, width = logits.geometry.original
    if num_queries == 0:
        nothing = np.zeros(0, dtype=np.int64)
        void = np.full((height, width), -1, dtype=np.int16)
        return _Shares(void, nothing, nothing, nothing)
    masks = _select(logits, queries)
    weights = torch.as_tensor(scores, dtype=torch.float32, device=masks.device)[:, None, None]
    winner = torch.empty((height, width), dtype=torch.int16, device=masks.device)
    areas = torch.zeros((3, num_queries), dtype=torch.int64, device=masks.device)
    for rows, band in _bands(masks, logits.geometry, _rows_at_once(num_queries, width)):
        own = band >= 0  # probability of at least 0.5
        won = _first_greatest(band.sigmoid_().mul_(weights))
        is_segment = own.gather(0, won[None])[0]
        segment = torch.where(is_segment, won, -1)
        winner[rows] = segment.to(torch.int16)
        areas[0] += own.flatten(1).sum(1, dtype=torch.int32)  # thrice as fast as int64 on a CPU
        areas[1] += _count(won.flatten(), num_queries)
        # To count void too is faster than to pick out the rest.
        areas[2] += _count(segment.flatten() + 1, num_queries + 1)[1:]
    host_winner, host_areas = to_host(winner, areas)
    return _Shares(host_winner, *host_areas)


def _count(numbers: Tensor, length: int) -> Tensor:
    """Return how often each of 0..length-1 occurs among numbers (N,) int64, (length,) int64."""
    if not numbers.is_cuda:
        return torch.bincount(numbers, minlength=length)
    # There `bincount` waits for the greatest of them.
    return numbers.new_zeros(length).scatter_add_(0, numbers, torch.ones_like(numbers))


def _first_greatest(values: Tensor) -> Tensor:
    """Return the first position of the greatest of values: (N, rows, W) -> (rows, W) int64.

    What `argmax` does too, but on a CPU that takes many times as long as `amax`.
    """
    num_values = len(values)
    ranks = torch.arange(num_values, 0, -1, dtype=torch.int16, device=values.device)
    is_greatest = values == values.amax(0)
    rank = is_greatest.to(torch.int16).mul_(ranks[:, None, None]).amax(0)
    return num_values - rank.clamp_min(1).long()  # NaN equals nothing, so there the rank is 0


def _masks_with_quality(
    mask_logits: Tensor, geometry: FrameGeometry
) -> tuple[np.ndarray, np.ndarray]:
    """Return masks (N, H, W) bool and their mean probability inside (N,), 0 where empty."""
    num_queries = len(mask_logits)
    height, width = geometry.original
    masks = torch.empty((num_queries, height, width), dtype=torch.bool, device=mask_logits.device)
    if num_queries == 0:
        return masks.numpy(force=True), np.zeros(0, dtype=np.float32)
    prob_sum = torch.zeros(num_queries, dtype=torch.float64, device=mask_logits.device)
    area = torch.zeros(num_queries, dtype=torch.int64, device=mask_logits.device)
    for rows, band in _bands(mask_logits, geometry, _rows_at_once(num_queries, width)):
        inside = band > 0
        masks[:, rows] = inside
        area += inside.flatten(1).sum(1)
        prob_sum += band.sigmoid_().mul_(inside).flatten(1).sum(1)
    quality = (prob_sum / area.clamp_min(1)).float()
    host_masks, host_quality = to_host(masks, quality)
    return host_masks, host_quality


def _bands(
    mask_logits: Tensor, geometry: FrameGeometry, rows_at_once: int
) -> Iterator[tuple[slice, Tensor]]:
    """Yield bands of mask logits enlarged to the original frame: rows and (N, rows, W) float32.

    The numbers are those of enlarging to the padded size, cropping and resizing to the original,
    bilinearly each time.
    """
    height, width = geometry.original
    for start in range(0, height, rows_at_once):
        stop = min(start + rows_at_once, height)
        above, below, weight = _row_sources(start, stop, geometry)
        first, last = int(above[0]), int(below[-1]) + 1
        band = _resized_rows(mask_logits, geometry, first, last)
        if geometry.original[0] != geometry.resized[0]:
            upper, lower = ((rows - first).to(band.device) for rows in (above, below))
            band = torch.lerp(band[:, upper], band[:, lower], weight.to(band.device))
        if geometry.original[1] != geometry.resized[1]:
            size = (stop - start, width)
            band = F.interpolate(band[None], size, mode="bilinear", align_corners=False)[0]
        yield slice(start, stop), band


def _row_sources(start: int, stop: int, geometry: FrameGeometry) -> tuple[Tensor, Tensor, Tensor]:
    """Say between which rows of the resized frame the rows start..stop of the original lie.

    Returns:
        the row above and the row below, (rows,) int64, and the weight of the latter (rows, 1).
    """
    num_rows = geometry.resized[0]
    scale = num_rows / geometry.original[0]
    centre = (torch.arange(start, stop, dtype=torch.float64) + 0.5) * scale - 0.5
    centre = centre.clamp(0, num_rows - 1)
    above = centre.floor().long()
    below = centre.ceil().long()
    weight = (centre - above).float()[:, None]
    return above, below, weight


def _resized_rows(mask_logits: Tensor, geometry: FrameGeometry, first: int, last: int) -> Tensor:
    """Return rows first..last of the logits enlarged to the padded size: (N, rows, w resized)."""
    stride = geometry.padded[0] // mask_logits.shape[1]
    # One more row and column each side than the crop needs, so that its border interpolates.
    top = max(first // stride - 1, 0)
    bottom = min(-(-last // stride) + 1, mask_logits.shape[1])
    right = min(-(-geometry.resized[1] // stride) + 1, mask_logits.shape[2])
    part = mask_logits[None, :, top:bottom, :right].float()
    size = ((bottom - top) * stride, right * stride)
    enlarged = F.interpolate(part, size, mode="bilinear", align_corners=False)[0]
    return enlarged[:, first - top * stride : last - top * stride, : geometry.resized[1]]


def _rows_at_once(num_planes: int, width: int) -> int:
    return max(BAND_ELEMENTS // max(num_planes * width, 1), 1)


def _class_probs(logits: FrameLogits, *, with_no_object: bool = False) -> np.ndarray:
    """Return class probabilities on the host: (Q, K), or (Q, K+1)."""
    probs = logits.class_logits.float().softmax(-1)
    return to_host(probs if with_no_object else probs[:, :-1])[0]


def _best_pairs(
    class_probs: np.ndarray, max_pairs: int, one_class_per_query: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Return query and class of the most probable pairs, best first."""
    if one_class_per_query:
        classes = class_probs.argmax(1)
        order = np.argsort(-class_probs.max(1), kind="stable")[:max_pairs]
        return order, classes[order]
    order = np.argsort(-class_probs, axis=None, kind="stable")[:max_pairs]
    queries, classes = np.unravel_index(order, class_probs.shape)
    return queries, classes


def _select(logits: FrameLogits, queries: np.ndarray) -> Tensor:
    index = torch.as_tensor(queries, dtype=torch.int64, device=logits.mask_logits.device)
    return logits.mask_logits[index]


def _positions(classes: np.ndarray, num_classes: int) -> np.ndarray:
    """Return a table from class to position in `classes`, -1 elsewhere: (K,) int16."""
    table = np.full(num_classes, -1, dtype=np.int16)
    table[classes] = np.arange(len(classes), dtype=np.int16)
    return table
