"""Identities carried from one clip to the next.  Q queries, K classes, N live tracks.

A linker is the only step of inference that remembers. What it remembers grows with the objects
that are alive, never with the length of the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy.optimize import linear_sum_assignment

from detectron2.config import CfgNode
from detectron2.utils.registry import Registry

from gvseg.inference.quasi_dense import QuasiDenseMemory
from gvseg.inference.repeats import group_repeats, tube_overlaps
from gvseg.inference.saved_state import State, part, within
from gvseg.inference.stitching import HierarchicalMemory, OverlapMemory
from gvseg.inference.track_memory import (
    AppearanceMemory,
    LocationAwareMemory,
    ShapePositionMemory,
    TrackMemory,
)
from gvseg.inference.transfer import to_host
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor
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

    def state(self) -> State:
        """Return all that is remembered."""
        ...

    def restore(self, state: State) -> None:
        """Remember what another linker of the same settings returned as its state."""
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


class TrackLinker:
    """Give a query the identity of the live track that it resembles most.

    Tracks and queries are paired so that the sum of their likenesses is greatest. What likeness is,
    the memory says. With an `AppearanceMemory` and without thresholds and momentum this is the rule
    of MinVIS: each frame is permuted to the previous one. Thresholds add what that lacks: births,
    deaths and identities that survive an occlusion.

    Args:
        memory: of the tracks, owned by this linker.
        min_similarity: likeness below which a pair is never the same object.
        min_score: queries whose best class probability is below take no part.
        birth_score: a query left over starts an identity from this probability on.
        max_age: clips that an identity survives without a match.
        max_overlap: a query takes no part where its mask has a greater IoU with that of a query of
            higher score; 1 lets all of them.
        is_thing: (K,) which classes are objects; queries of other classes take no part.
    """

    def __init__(
        self,
        *,
        memory: TrackMemory,
        min_similarity: float,
        min_score: float,
        birth_score: float,
        max_age: int,
        max_overlap: float = 1.0,
        is_thing: np.ndarray | Sequence[bool] | None = None,
    ) -> None:
        self.memory = memory
        self.min_similarity = min_similarity
        self.min_score = min_score
        self.birth_score = birth_score
        self.max_age = max_age
        self.max_overlap = max_overlap
        self.is_thing = None if is_thing is None else np.asarray(is_thing, dtype=bool)
        self.reset()

    def reset(self) -> None:
        self.num_identities = 0
        self._ids = np.empty(0, dtype=np.int64)  # (N,)
        self._ages = np.empty(0, dtype=np.int64)  # (N,) clips since the last match
        self.memory.reset()

    def state(self) -> State:
        tracks = {"ids": self._ids, "ages": self._ages, "count": np.array(self.num_identities)}
        return tracks | within("memory", self.memory.state())

    def restore(self, state: State) -> None:
        self._ids, self._ages = state["ids"], state["ages"]
        self.num_identities = int(state["count"])
        self.memory.restore(part(state, "memory"))

    def link(self, prediction: TubePrediction) -> np.ndarray:
        assert len(prediction.class_logits) == 1, "a linker sees one clip at a time"
        class_probs, *cues = to_host(
            prediction.class_logits[0].float().softmax(-1)[:, :-1], *self.memory.cues(prediction)
        )
        scores = class_probs.max(1)
        takes_part = (scores >= self.min_score) & self.memory.can_be_known(cues)
        if self.is_thing is not None:
            takes_part &= self.is_thing[class_probs.argmax(1)]
        candidates = np.flatnonzero(takes_part)
        if self.max_overlap < 1:
            overlaps = tube_overlaps(prediction, candidates)
            leaders = group_repeats(overlaps, scores[candidates], self.max_overlap)
            candidates = candidates[np.unique(leaders)]

        identities = np.full(len(scores), NOT_TRACKED, dtype=np.int64)
        tracks, matched = self._match([cue[candidates] for cue in cues])
        queries = candidates[matched]
        identities[queries] = self._ids[tracks]
        self._renew(tracks, [cue[queries] for cue in cues])

        born = np.setdiff1d(candidates, queries)
        born = born[scores[born] >= self.birth_score]
        identities[born] = self._start([cue[born] for cue in cues])
        return identities

    def _match(self, seen: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return positions of matched tracks and, beside them, of the queries matched to them."""
        similarity = self.memory.similarity(seen)  # (N, M)
        # A pair below the threshold counts nothing, so it cannot push a good pair aside.
        gain = np.maximum(similarity - self.min_similarity, 0)
        tracks, queries = linear_sum_assignment(gain, maximize=True)
        accepted = similarity[tracks, queries] >= self.min_similarity
        return tracks[accepted], queries[accepted]

    def _renew(self, tracks: np.ndarray, seen: list[np.ndarray]) -> None:
        """Tell the memory what was seen of matched tracks; let the others age and die."""
        self.memory.renew(tracks, seen)
        self._ages += 1
        self._ages[tracks] = 0
        is_alive = self._ages <= self.max_age
        self._ids, self._ages = self._ids[is_alive], self._ages[is_alive]
        self.memory.keep(is_alive)

    def _start(self, seen: list[np.ndarray]) -> np.ndarray:
        """Add a track for each row of cues and return their identities, next in the count."""
        num_born = len(seen[0])
        ids = np.arange(1, num_born + 1) + self.num_identities
        self.num_identities += num_born
        self._ids = np.concatenate([self._ids, ids])
        self._ages = np.concatenate([self._ages, np.zeros(num_born, dtype=np.int64)])
        self.memory.start(seen)
        return ids


@LINKERS.register()
def QuerySimilarityLinker(
    cfg: CfgNode, is_thing: np.ndarray | Sequence[bool] | None = None
) -> TrackLinker:
    """Link by the cosine of query embeddings alone."""
    link = cfg.MODEL.LINKER
    return _track_linker(link, AppearanceMemory(momentum=link.MOMENTUM), is_thing)


@LINKERS.register()
def LocationAwareLinker(
    cfg: CfgNode, is_thing: np.ndarray | Sequence[bool] | None = None
) -> TrackLinker:
    """Link by embeddings and boxes: HiLA-MB, which first stitches clips that share frames.

    The paper's values are MIN_SIMILARITY 0.7, MOMENTUM 0.2, MAX_AGE 10 and LOCATION_TEMPERATURE 1,
    with WINDOW 2 and OVERLAP 1, or WINDOW 1.
    """
    link = cfg.MODEL.LINKER
    num_shared = cfg.MODEL.GVSEG.TEST.OVERLAP
    memory: TrackMemory = LocationAwareMemory(
        appearance=AppearanceMemory(momentum=link.MOMENTUM),
        temperature=link.LOCATION_TEMPERATURE,
        num_shared=num_shared,
    )
    if num_shared > 0:
        overlap = OverlapMemory(num_shared=num_shared)
        memory = HierarchicalMemory(overlap=overlap, long_term=memory, min_iou=link.MIN_IOU)
    return _track_linker(cfg.MODEL.LINKER, memory, is_thing)


@LINKERS.register()
def VideoStitchingLinker(
    cfg: CfgNode, is_thing: np.ndarray | Sequence[bool] | None = None
) -> TrackLinker:
    """Link by the overlap of masks in the frames that clips share, and remember nothing else.

    Raises:
        ValueError: clips share no frame.
    """
    num_shared = cfg.MODEL.GVSEG.TEST.OVERLAP
    if num_shared < 1:
        raise ValueError(
            f"VideoStitchingLinker needs clips that share frames, but MODEL.GVSEG.TEST.OVERLAP is "
            f"{num_shared}; set it to 1 or more and MODEL.GVSEG.TEST.WINDOW above it."
        )
    link = cfg.MODEL.LINKER.clone()
    link.defrost()
    link.MIN_SIMILARITY, link.MAX_AGE = link.MIN_IOU, 0
    return _track_linker(link, OverlapMemory(num_shared=num_shared), is_thing)


@LINKERS.register()
def QuasiDenseLinker(
    cfg: CfgNode, is_thing: np.ndarray | Sequence[bool] | None = None
) -> TrackLinker:
    """Link by the contrast of embeddings within a class (Quasi-Dense).

    Video K-Net's values for VIPSeg are MIN_SIMILARITY 0.5, MIN_SCORE 0.3, BIRTH_SCORE 0.35, MAX_AGE
    5 and MOMENTUM 0.2.
    """
    link = cfg.MODEL.LINKER
    return _track_linker(link, QuasiDenseMemory(momentum=link.MOMENTUM), is_thing)


@LINKERS.register()
def ShapePositionLinker(
    cfg: CfgNode, is_thing: np.ndarray | Sequence[bool] | None = None
) -> TrackLinker:
    """Link by embeddings to which the shape and position of masks are added (GvSeg, Eq. 6).

    The paper permutes all queries of a clip to those of the one before: MIN_SIMILARITY -1,
    MIN_SCORE 0, BIRTH_SCORE 0 and MOMENTUM 0.

    Raises:
        ValueError: the descriptor is to be projected by weights, which a linker does not have.
    """
    if cfg.MODEL.GVSEG.DESCRIPTOR.PROJECT != "interpolate":
        raise ValueError(
            "ShapePositionLinker adds descriptors to queries as they are; set "
            "MODEL.GVSEG.DESCRIPTOR.PROJECT interpolate, or choose another MODEL.LINKER.NAME."
        )
    memory = ShapePositionMemory(
        appearance=AppearanceMemory(momentum=cfg.MODEL.LINKER.MOMENTUM),
        descriptor=ShapePositionDescriptor(cfg),
        weight=cfg.MODEL.LINKER.DESCRIPTOR_WEIGHT,
        num_shared=cfg.MODEL.GVSEG.TEST.OVERLAP,
    )
    return _track_linker(cfg.MODEL.LINKER, memory, is_thing)


def _track_linker(
    link: CfgNode, memory: TrackMemory, is_thing: np.ndarray | Sequence[bool] | None
) -> TrackLinker:
    return TrackLinker(
        memory=memory,
        min_similarity=link.MIN_SIMILARITY,
        min_score=link.MIN_SCORE,
        birth_score=link.BIRTH_SCORE,
        max_age=link.MAX_AGE,
        max_overlap=link.MAX_OVERLAP,
        is_thing=is_thing,
    )
