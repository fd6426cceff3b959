"""Connected parts of masks, and objects without what lies apart from them.

Q queries, T frames, K classes, (h, w) mask logits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
import torch
from scipy.ndimage import distance_transform_edt

from gvseg.inference.transfer import to_host
from gvseg.modeling.padding import image_size, in_frame
from gvseg.structures import TubePrediction


def parts_within(mask: np.ndarray, area: np.ndarray, reach: float) -> np.ndarray:
    """Return the connected parts of a mask that come within reach of an area, (h, w) bool.

    Args:
        mask: (h, w) bool; pixels that share a corner are connected.
        area: (h, w) bool.
        reach: in pixels, between the middles of the nearest two.
    """
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    is_reached = distance_transform_edt(~area) <= reach
    return mask & np.isin(labels, labels[mask & is_reached])


def without_far_parts(
    clip: TubePrediction,
    max_gap: float,
    is_thing: np.ndarray | Sequence[bool] | None = None,
    *,
    min_score: float = 0.1,
) -> TubePrediction:
    """Return one clip without what lies far from the largest part of a mask in each frame.

    Where two objects look alike, a query of one often takes in the other too, though there is
    background between them. What lies farther from the largest part than the gap allows gets the
    logits of what is outside. Parts that are cut off by something thin in front stay. Of our own,
    in no paper.

    Args:
        clip: of one clip; queries of stuff and those that are hardly objects stay as they are.
        max_gap: between parts, in sizes of the largest one, the root of its area.
        is_thing: (K,) which classes are objects; all of them where not given.
        min_score: queries whose best class probability is below are hardly objects.
    """
    probs = clip.class_logits[0].float().softmax(-1)[:, :-1]
    scores, classes = probs.max(-1)
    is_shown = clip.mask_logits[0] > 0
    if clip.frame_sizes is not None:
        is_shown &= in_frame(clip.frame_sizes[0], image_size(is_shown))
    scores_on_host, classes_on_host, masks = to_host(scores, classes, is_shown)
    is_object = scores_on_host >= min_score
    if is_thing is not None:
        is_object &= np.asarray(is_thing)[classes_on_host]
    is_far = np.zeros_like(masks)
    for query in np.flatnonzero(is_object):
        for mask, far in zip(masks[query], is_far[query], strict=True):
            far[:] = mask & ~_near_the_largest(mask, max_gap)
    taken = torch.from_numpy(is_far).to(clip.mask_logits.device)[None]
    return replace(clip, mask_logits=clip.mask_logits.where(~taken, -clip.mask_logits))


def _near_the_largest(mask: np.ndarray, max_gap: float) -> np.ndarray:
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    if count <= 2:  # the background and one part
        return mask
    areas = np.bincount(labels.ravel(), minlength=count)
    largest = 1 + int(areas[1:].argmax())
    return parts_within(mask, labels == largest, max_gap * math.sqrt(areas[largest]))
