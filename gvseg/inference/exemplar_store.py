"""The exemplars of a video, of which those that were used take little room."""

from __future__ import annotations

from collections.abc import Container

import numpy as np
from pycocotools import mask as coco_mask

from gvseg.inference.saved_state import State, part, within
from gvseg.structures import Exemplar


class ExemplarStore:
    """Exemplars that wait for their frames, and packed ones whose frames have come.

    The latter are needed again where another video begins with the same exemplars. A detector may
    point out objects over and over; packed, an outline of some hundred pixels takes as many bytes.
    """

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Forget all of them."""
        self.waiting: list[Exemplar] = []
        self.latest: list[Exemplar] = []  # that were taken last
        self._used: list[State] = []  # in the order in which they were
        self._last_id = 0

    def reset(self) -> None:
        """Let all of them wait for the frames of another video."""
        self.waiting = [*map(_unpacked, self._used), *self.waiting]
        self.latest, self._used = [], []
        self._last_id = max(self.object_ids, default=0)

    @property
    def object_ids(self) -> set[int]:
        """Identities of the objects that they point out."""
        return {exemplar.object_id for exemplar in self.waiting} | self.used_ids

    @property
    def used_ids(self) -> set[int]:
        """Identities of those whose frames have come."""
        return {_object_id(packed) for packed in self._used}

    @property
    def next_id(self) -> int:
        """The least identity above all that the video has had, removed ones too."""
        return self._last_id + 1

    def add(self, exemplar: Exemplar) -> None:
        """Let an exemplar wait for its frame."""
        self.waiting.append(exemplar)
        self._last_id = max(self._last_id, exemplar.object_id)

    def remove(self, object_id: int) -> None:
        """Forget all exemplars of an object.

        Raises:
            ValueError: there are none.
        """
        if object_id not in self.object_ids:
            known = ", ".join(map(str, sorted(self.object_ids))) or "none"
            raise ValueError(f"There is no object {object_id} to remove; known are {known}.")
        self.waiting = [e for e in self.waiting if e.object_id != object_id]
        self.latest = [e for e in self.latest if e.object_id != object_id]
        self._used = [packed for packed in self._used if _object_id(packed) != object_id]

    def take(self, frame_indices: Container[int]) -> list[Exemplar]:
        """Return those of some frames, which wait no longer."""
        self.latest = [e for e in self.waiting if e.frame_index in frame_indices]
        self.waiting = [e for e in self.waiting if e.frame_index not in frame_indices]
        self._used += map(_packed, self.latest)
        return self.latest

    def masks(self, frame_index: int) -> dict[int, np.ndarray]:
        """Return the masks given for one of the frames taken last, by identity."""
        last = {e.object_id: e.mask for e in self.latest if e.frame_index == frame_index}
        return {object_id: mask for object_id, mask in last.items() if mask is not None}

    def state(self) -> State:
        """Return all of them, packed."""
        state = {"last_id": np.array(self._last_id), "num_used": np.array(len(self._used))}
        for index, packed in enumerate([*self._used, *map(_packed, self.waiting)]):
            state |= within(str(index), packed)
        return state

    def restore(self, state: State) -> None:
        """Keep what another one returned as its state, in place of all."""
        self.clear()
        self._last_id, num_used = int(state["last_id"]), int(state["num_used"])
        while packed := part(state, str(len(self._used) + len(self.waiting))):
            if len(self._used) < num_used:
                self._used.append(packed)
            else:
                self.waiting.append(_unpacked(packed))


def _packed(exemplar: Exemplar) -> State:
    """Return an exemplar as arrays, a mask by the lengths of its runs."""
    about = np.array([exemplar.object_id, exemplar.frame_index])
    if exemplar.mask is None:
        return {"about": about, exemplar.kind: getattr(exemplar, exemplar.kind)}
    runs = coco_mask.encode(np.asfortranarray(exemplar.mask, dtype=np.uint8))
    counts = np.frombuffer(runs["counts"], dtype=np.uint8)
    return {"about": about, "size": np.array(runs["size"]), "runs": counts}


def _unpacked(packed: State) -> Exemplar:
    object_id, frame_index = packed["about"].tolist()
    if "runs" not in packed:
        given = {name: packed[name] for name in ("box", "point") if name in packed}
        return Exemplar(object_id, frame_index, **given)
    runs = {"size": packed["size"].tolist(), "counts": packed["runs"].tobytes()}
    return Exemplar(object_id, frame_index, mask=coco_mask.decode(runs).astype(bool))


def _object_id(packed: State) -> int:
    return int(packed["about"][0])
