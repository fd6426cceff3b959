"""Tracks known by the contrast of their looks with those of all others.  N tracks, M queries."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gvseg.inference.saved_state import State
from gvseg.structures import TubePrediction


class QuasiDenseMemory:
    r"""A running embedding and the latest class of each track, compared by the bi-softmax.

    The likeness of track n and query m is half the probability that n, of all tracks, is m's, plus
    half the probability that m, of all queries, is n's; both are softmaxes of dot products. Those
    of different classes are never the same (Pang et al., Quasi-Dense Similarity Learning for
    Multiple Object Tracking, CVPR 2021, Eq. 6). So it asks who is the likeliest, never how alike
    two are: a lone newcomer that meets a lone track is that track. Embeddings keep their length,
    which is the sharpness of the softmax; they should come from contrastive learning of dot
    products.

    The source picks pairs greedily and lets weak unmatched detections of the frame before take part
    in the contrast. Here pairs are assigned as for every linker, and tracks alone take part.

    Args:
        momentum: weight of the remembered embedding against what is seen, 0 to 1; the source has
            0.2.
    """

    def __init__(self, *, momentum: float) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"MODEL.LINKER.MOMENTUM is {momentum}; it must lie in 0..1.")
        self.momentum = momentum
        self.reset()

    def reset(self) -> None:
        self._embeds: np.ndarray | None = None  # (N, C), None before C is known
        self._classes = np.empty(0, dtype=np.int64)  # (N,)

    def cues(self, prediction: TubePrediction) -> list[Tensor]:
        classes = prediction.class_logits[0, :, :-1].argmax(-1)
        return [prediction.query_embeds[0].float(), classes]

    def can_be_known(self, seen: list[np.ndarray]) -> np.ndarray:
        return np.ones(len(seen[0]), dtype=bool)

    def similarity(self, seen: list[np.ndarray]) -> np.ndarray:
        embeds, classes = seen
        if self._embeds is None:
            return np.empty((0, len(embeds)), dtype=np.float32)
        products = torch.from_numpy(self._embeds @ embeds.T)
        contrast = 0.5 * (products.softmax(0) + products.softmax(1)).numpy()
        return np.where(self._classes[:, None] == classes, contrast, -np.inf)

    def renew(self, tracks: np.ndarray, seen: list[np.ndarray]) -> None:
        if self._embeds is None:
            return
        embeds, classes = seen
        kept = self.momentum * self._embeds[tracks]
        self._embeds[tracks] = kept + (1 - self.momentum) * embeds
        self._classes[tracks] = classes

    def start(self, seen: list[np.ndarray]) -> None:
        embeds, classes = seen
        known = [] if self._embeds is None else [self._embeds]
        self._embeds = np.concatenate([*known, embeds])
        self._classes = np.concatenate([self._classes, classes])

    def keep(self, is_alive: np.ndarray) -> None:
        if self._embeds is not None:
            self._embeds = self._embeds[is_alive]
        self._classes = self._classes[is_alive]

    def state(self) -> State:
        known = {} if self._embeds is None else {"embeds": self._embeds}
        return {"classes": self._classes, **known}

    def restore(self, state: State) -> None:
        self._embeds, self._classes = state.get("embeds"), state["classes"]
