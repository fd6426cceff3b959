"""Tracks known by the frames that two clips share.  N tracks, M queries, F shared frames."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from gvseg.inference.saved_state import State, part, within
from gvseg.inference.track_memory import TrackMemory
from gvseg.modeling.padding import image_size, in_frame
from gvseg.structures import TubePrediction


class OverlapMemory:
    """The masks of tracks in the last F frames of a clip, which the next one begins with.

    The likeness of a track and a query is the IoU of their masks there: video stitching, as in
    ViP-DeepLab (Qiao et al., CVPR 2021, section 4.2) and Video-kMaX (section 3.1). A track that is
    not seen in these frames is like nothing, so it cannot return.

    Args:
        num_shared: F.
    """

    def __init__(self, *, num_shared: int) -> None:
        assert num_shared > 0
        self.num_shared = num_shared
        self.reset()

    def reset(self) -> None:
        self._masks: np.ndarray | None = None  # (N, F * h * w) bool, None before h, w are known

    def cues(self, prediction: TubePrediction) -> list[Tensor]:
        masks = prediction.mask_logits[0] > 0
        if prediction.frame_sizes is not None:
            masks &= in_frame(prediction.frame_sizes[0], image_size(masks))
        assert masks.shape[1] > self.num_shared, "a clip has more frames than it shares"
        head, tail = masks[:, : self.num_shared], masks[:, -self.num_shared :]
        return [head.flatten(1), tail.flatten(1)]

    def can_be_known(self, seen: list[np.ndarray]) -> np.ndarray:
        return np.ones(len(seen[0]), dtype=bool)

    def similarity(self, seen: list[np.ndarray]) -> np.ndarray:
        heads = seen[0].astype(np.float32)
        if self._masks is None:
            return np.empty((0, len(heads)), dtype=np.float32)
        masks = self._masks.astype(np.float32)
        common = masks @ heads.T
        union = masks.sum(1)[:, None] + heads.sum(1) - common
        return common / np.maximum(union, 1)

    def renew(self, tracks: np.ndarray, seen: list[np.ndarray]) -> None:
        if self._masks is None:
            return
        self._masks = np.zeros_like(self._masks)
        self._masks[tracks] = seen[1]

    def start(self, seen: list[np.ndarray]) -> None:
        known = [] if self._masks is None else [self._masks]
        self._masks = np.concatenate([*known, seen[1]])

    def keep(self, is_alive: np.ndarray) -> None:
        if self._masks is not None:
            self._masks = self._masks[is_alive]

    def state(self) -> State:
        return {} if self._masks is None else {"masks": self._masks}

    def restore(self, state: State) -> None:
        self._masks = state.get("masks")


class HierarchicalMemory:
    """Stitch first, and look for the rest in another memory: HiLA-MB (Video-kMaX, section 3.2).

    Args:
        overlap: of the frames that clips share.
        long_term: of tracks that are not there.
        min_iou: of masks in shared frames, from which on a track and a query are the same object.
    """

    def __init__(self, *, overlap: OverlapMemory, long_term: TrackMemory, min_iou: float) -> None:
        self.overlap = overlap
        self.long_term = long_term
        self.min_iou = min_iou

    def reset(self) -> None:
        self.overlap.reset()
        self.long_term.reset()

    def cues(self, prediction: TubePrediction) -> list[Tensor]:
        return [*self.overlap.cues(prediction), *self.long_term.cues(prediction)]

    def can_be_known(self, seen: list[np.ndarray]) -> np.ndarray:
        return self.long_term.can_be_known(seen[2:])

    def similarity(self, seen: list[np.ndarray]) -> np.ndarray:
        overlaps = self.overlap.similarity(seen[:2])
        tracks, queries = linear_sum_assignment(overlaps, maximize=True)
        is_stitched = overlaps[tracks, queries] >= self.min_iou
        tracks, queries = tracks[is_stitched], queries[is_stitched]
        likeness = self.long_term.similarity(seen[2:])
        # What is stitched is decided, so nothing else is like it.
        likeness[tracks] = -1
        likeness[:, queries] = -1
        likeness[tracks, queries] = 1
        return likeness

    def renew(self, tracks: np.ndarray, seen: list[np.ndarray]) -> None:
        self.overlap.renew(tracks, seen[:2])
        self.long_term.renew(tracks, seen[2:])

    def start(self, seen: list[np.ndarray]) -> None:
        self.overlap.start(seen[:2])
        self.long_term.start(seen[2:])

    def keep(self, is_alive: np.ndarray) -> None:
        self.overlap.keep(is_alive)
        self.long_term.keep(is_alive)

    def state(self) -> State:
        overlap = within("overlap", self.overlap.state())
        return overlap | within("long_term", self.long_term.state())

    def restore(self, state: State) -> None:
        self.overlap.restore(part(state, "overlap"))
        self.long_term.restore(part(state, "long_term"))
