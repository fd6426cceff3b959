"""Identities carried from one clip to the next.  Q queries, C channels, K classes, N live tracks.

A linker is the only step of inference that remembers. What it remembers grows with the objects
that are alive, never with the length of the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from detectron2.config import CfgNode, configurable
from detectron2.utils.registry import Registry

from gvseg.inference.transfer import to_host
from gvseg.structures import TubePrediction

LINKERS = Registry("LINKERS")
LINKERS.__doc__ = "Linkers by `MODEL.LINKER.NAME`; each is called as `linker(cfg, is_thing=...)`."

NOT_TRACKED = -1


class Linker(Protocol):
    """Whatever decides which query of this clip is which object of the video."""

    num_identities: int  # given so far

    def link(self, prediction: TubePrediction) -> np.ndarray:
        """Return the identity of each query of one clip: (Q,) int64, -1 where it is no object."""
        ...

    def reset(self) -> None:
        """Forget everything: the next clip begins another video."""
        ...


def build_linker(cfg: CfgNode, is_thing: np.ndarray | Sequence[bool] | None = None) -> Linker:
    """Return the linker that `MODEL.LINKER` describes.

    Args:
        cfg: the whole config.
        is_thing: (K,) which classes are objects; all of them where not given.

    Raises:
        ValueError: no linker has that name.
    """
    name = cfg.MODEL.LINKER.NAME
    if name not in LINKERS:
        names = ", ".join(sorted(registered for registered, _ in LINKERS))
        raise ValueError(f"Unknown linker {name!r} in MODEL.LINKER.NAME; choose one of {names}.")
    return LINKERS.get(name)(cfg, is_thing=is_thing)


@LINKERS.register()
class QuerySimilarityLinker:
    """Give a query the identity of the live track whose embedding it resembles most.

    Tracks and queries are paired so that the sum of their cosine similarities is greatest. Without
    thresholds and momentum this is the rule of MinVIS: each frame is permuted to the previous one.
    Thresholds add what it lacks: births, deaths and identities that survive an occlusion.

    Args:
        min_similarity: cosine below which a pair is never the same object.
        min_score: queries whose best class probability is below take no part.
        birth_score: a query left over starts an identity from this probability on.
        max_age: clips that an identity survives without a match.
        momentum: weight of a track's embedding against that of the query matched to it, 0 to 1.
        is_thing: (K,) which classes are objects; queries of other classes take no part.
    """

    @configurable
    def __init__(
        self,
        *,
        min_similarity: float,
        min_score: float,
        birth_score: float,
        max_age: int,
        momentum: float,
        is_thing: np.ndarray | Sequence[bool] | None = None,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"MODEL.LINKER.MOMENTUM is {momentum}; it must lie in 0..1.")
        self.min_similarity = min_similarity
        self.min_score = min_score
        self.birth_score = birth_score
        self.max_age = max_age
        self.momentum = momentum
        self.is_thing = None if is_thing is None else np.asarray(is_thing, dtype=bool)
        self.reset()

    @classmethod
    def from_config(
        cls, cfg: CfgNode, is_thing: np.ndarray | Sequence[bool] | None = None
    ) -> dict[str, Any]:
        link = cfg.MODEL.LINKER
        return {
            "min_similarity": link.MIN_SIMILARITY,
            "min_score": link.MIN_SCORE,
            "birth_score": link.BIRTH_SCORE,
            "max_age": link.MAX_AGE,
            "momentum": link.MOMENTUM,
            "is_thing": is_thing,
        }

    def reset(self) -> None:
        self.num_identities = 0
        self._ids = np.empty(0, dtype=np.int64)  # (N,)
        self._ages = np.empty(0, dtype=np.int64)  # (N,) clips since the last match
        self._embeds = np.empty((0, 0), dtype=np.float32)  # (N, C) of length 1

    def link(self, prediction: TubePrediction) -> np.ndarray:
        assert len(prediction.class_logits) == 1, "a linker sees one clip at a time"
        class_probs, embeds = to_host(
            prediction.class_logits[0].float().softmax(-1)[:, :-1],
            prediction.query_embeds[0].float(),
        )
        embeds = _unit(embeds)
        if not len(self._ids):
            self._embeds = embeds[:0]  # their length C is known from the first clip on
        scores = class_probs.max(1)
        takes_part = scores >= self.min_score
        if self.is_thing is not None:
            takes_part &= self.is_thing[class_probs.argmax(1)]
        candidates = np.flatnonzero(takes_part)

        identities = np.full(len(scores), NOT_TRACKED, dtype=np.int64)
        tracks, matched = self._match(embeds[candidates])
        queries = candidates[matched]
        identities[queries] = self._ids[tracks]
        self._renew(tracks, embeds[queries])

        born = np.setdiff1d(candidates, queries)
        born = born[scores[born] >= self.birth_score]
        identities[born] = self._start(embeds[born])
        return identities

    def _match(self, embeds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return positions of matched tracks and, beside them, of the queries matched to them."""
        if not len(self._ids) or not len(embeds):
            return np.empty(0, dtype=np.intp), np.empty(0, dtype=np.intp)
        similarity = self._embeds @ embeds.T  # (N, queries)
        # A pair below the threshold counts nothing, so it cannot push a good pair aside.
        gain = np.maximum(similarity - self.min_similarity, 0)
        tracks, queries = linear_sum_assignment(gain, maximize=True)
        accepted = similarity[tracks, queries] >= self.min_similarity
        return tracks[accepted], queries[accepted]

    def _renew(self, tracks: np.ndarray, embeds: np.ndarray) -> None:
        """Blend what was seen into the matched tracks; let the others age and die."""
        self._ages += 1
        self._ages[tracks] = 0
        blend = self.momentum * self._embeds[tracks] + (1 - self.momentum) * embeds
        self._embeds[tracks] = _unit(blend)
        alive = self._ages <= self.max_age
        self._ids, self._ages, self._embeds = (
            self._ids[alive],
            self._ages[alive],
            self._embeds[alive],
        )

    def _start(self, embeds: np.ndarray) -> np.ndarray:
        """Add a track for each embedding and return their identities, next in the count."""
        ids = np.arange(1, len(embeds) + 1) + self.num_identities
        self.num_identities += len(embeds)
        self._ids = np.concatenate([self._ids, ids])
        self._ages = np.concatenate([self._ages, np.zeros(len(embeds), dtype=np.int64)])
        self._embeds = np.concatenate([self._embeds, embeds])
        return ids


def _unit(embeds: np.ndarray) -> np.ndarray:
    """Scale each row to length 1; a row of zeros stays, similar to nothing."""
    length = np.linalg.norm(embeds, axis=1, keepdims=True)
    return embeds / np.maximum(length, np.finfo(np.float32).tiny)
