"""The shape of every contract between data, model, inference and metrics.

B clips in a batch, T frames in a clip, Q queries, C channels, K classes, N segments, (H, W) pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor


@dataclass
class ClipTargets:
    """What one clip of the batch should be segmented into.

    N is the number of objects (and of stuff classes, where the task has stuff) seen in the clip.
    """

    classes: Tensor  # (N,) int64, contiguous class index
    masks: Tensor  # (N, T, H, W) bool at the padded input size; empty where the object is absent
    ids: Tensor  # (N,) int64, identity in the video; -1 for stuff
    queries: Tensor | None = None  # (N,) int64, the query of each, where exemplars say (EVS)
    size: tuple[int, int] | None = None  # (H, W) of the frame before padding; None: none is padded

    @property
    def frame_size(self) -> tuple[int, int]:
        """Height and width in pixels of the frame, which masks begin with."""
        return self.size or (self.masks.shape[-2], self.masks.shape[-1])


@dataclass
class TubePrediction:
    """What every segmenter returns for a batch of clips."""

    class_logits: Tensor  # (B, Q, K+1), last column is "no object"
    mask_logits: Tensor  # (B, Q, T, H/4, W/4)
    # (B, Q, C), what contrast compares and clips are linked by; of earlier layers the queries,
    # normalised
    query_embeds: Tensor
    # Rows and columns of mask_logits that the frame takes, (B, 2) float32, which may be fractions;
    # the rest is padding. None where there is none.
    frame_sizes: Tensor | None = None
    intermediate: list[TubePrediction] = field(default_factory=list)  # of earlier decoder layers
    # In training, once found: positions of matched queries and of their targets for each clip.
    matches: list[tuple[Tensor, Tensor]] | None = None
    features: Tensor | None = None  # (B, T, C, h, w) that queries were read from
    looks: Tensor | None = None  # (B, T, D, h, w) of all pixels, where objects are known by them
    # (B, Q, C), queries after the last layer, normalised. None where query_embeds are these.
    contents: Tensor | None = None
    # What was read of the objects that exemplars point out; their queries come first in each clip.
    objects: Sequence[ObjectFeatures | None] = ()

    def clip(self, index: int) -> TubePrediction:
        """Return the prediction for one clip of the batch, still with a batch dimension of 1."""
        one = slice(index, index + 1)
        return TubePrediction(
            self.class_logits[one],
            self.mask_logits[one],
            self.query_embeds[one],
            None if self.frame_sizes is None else self.frame_sizes[one],
            contents=None if self.contents is None else self.contents[one],
        )


@dataclass(frozen=True)
class ObjectFeatures:
    """What was read of K objects, from which their queries start."""

    features: Tensor  # (K, C)
    centres: Tensor  # (K, 2) x and y in fractions of the padded frame
    # (K, 2, P, D) of points inside and outside, NaN where a point is missing; see `LookPrior`
    looks: Tensor | None = None


@dataclass
class FrameSegments:
    """Segments of one frame, predicted or annotated, at the size of the original frame.

    Instances may overlap, so each has its own mask. Panoptic and semantic segments cannot, so one
    map of positions in this list serves all of them. Exactly one of the two is given.
    """

    frame_index: int
    ids: np.ndarray  # (N,) int64, identity in the video, counted from 1; class + 1 for stuff
    classes: np.ndarray  # (N,) int64, contiguous class index
    scores: np.ndarray  # (N,) float32 in 0..1
    masks: np.ndarray | None = None  # (N, H, W) bool
    index_map: np.ndarray | None = None  # (H, W) int16, position in this list, -1 for void
    # (M,) int64, identities that are followed in this frame and too unlikely to be among those that
    # it lists; of others that it does not list nothing is known.
    unlikely: np.ndarray | None = None

    def __post_init__(self) -> None:
        assert (self.masks is None) != (self.index_map is None), "give masks or index_map"

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        if self.masks is not None:
            return self.masks.shape[1], self.masks.shape[2]
        assert self.index_map is not None
        return self.index_map.shape[0], self.index_map.shape[1]

    def mask(self, position: int) -> np.ndarray:
        """Return the mask of one segment, (H, W) bool."""
        if self.masks is not None:
            return self.masks[position]
        assert self.index_map is not None
        return self.index_map == position


@dataclass
class Exemplar:
    """One object pointed out in one frame, to be segmented throughout the video.

    Exactly one of mask, box and point is given, in pixels of the frame that it was drawn in.
    """

    object_id: int  # identity in the video, counted from 1
    frame_index: int  # of the video
    mask: np.ndarray | None = None  # (H, W) bool
    box: np.ndarray | None = None  # (4,) float32: left, top, right, bottom edge
    point: np.ndarray | None = None  # (2,) float32: x, y

    def __post_init__(self) -> None:
        given = [value for value in (self.mask, self.box, self.point) if value is not None]
        assert len(given) == 1, "give one of mask, box and point"

    @property
    def kind(self) -> str:
        """`mask`, `box` or `point`."""
        if self.mask is not None:
            return "mask"
        return "box" if self.box is not None else "point"
