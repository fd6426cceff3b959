"""Objects that are pointed out: from which frame on, and what is known of them (EVS).

K objects, T frames of a window, C channels, (h, w) mask logits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Container, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from gvseg.inference.exemplar_store import ExemplarStore
from gvseg.inference.saved_state import State, part, within
from gvseg.inference.whereabouts import Whereabouts, exemplar_area, put_masks_in
from gvseg.modeling.look_prior import looks_of_masks
from gvseg.modeling.padding import image_size, in_frame
from gvseg.modeling.requests import ClipRequest
from gvseg.modeling.task_oriented.exemplars import exemplar_points, read_masks
from gvseg.structures import Exemplar, ObjectFeatures, TubePrediction

logger = logging.getLogger(__name__)


@dataclass
class _Known:
    """One object that has been seen; what it looks like, and where it was last."""

    first: Tensor  # (C,) where it was pointed out
    recent: Tensor  # (C,) of the frames since
    centre: Tensor  # (2,) x and y in fractions of the padded frame
    # (2, P, D) of points inside and outside, where the model knows objects by them
    first_looks: Tensor | None = None
    recent_looks: Tensor | None = None


@dataclass(frozen=True)
class _Asked:
    """One query of the latest window, and where it stands for its object."""

    object_id: int
    begin: int  # position of the first frame
    end: int  # after the last


class ExemplarTracker:
    """Ask for the objects that are pointed out, window by window.

    A query of an object starts from what was read at its exemplar and from what was found since,
    and looks where it was last. Its identity is that of its query, so it stays the same while the
    object is hidden. Where it is pointed out anew, its query starts from that exemplar instead, in
    the whole window: it knows better than what the object was last seen like. What is kept grows
    with the objects, not with the video.

    Args:
        first_weight: of what was read at the exemplar in what a query starts from, 0 to 1; the rest
            is what was found since. The one cannot drift, the other follows a change of looks. Of
            points that objects are known by both count alike, unless one has no weight at all.
        momentum: weight of what was remembered against what the latest window shows, 0 to 1.
        min_score: probability of being there below which an object is absent from a window.
        num_points: read inside each mask or box.
        max_jump: how far an object may be from where it was, see `Whereabouts`.
    """

    def __init__(
        self,
        *,
        first_weight: float,
        momentum: float,
        min_score: float,
        num_points: int,
        max_jump: float = 0.0,
    ) -> None:
        for key, value in (
            ("FIRST_WEIGHT", first_weight),
            ("MOMENTUM", momentum),
            ("MIN_SCORE", min_score),
        ):
            if not 0 <= value <= 1:
                raise ValueError(
                    f"MODEL.GVSEG.TEST.EXEMPLAR.{key} is {value}; it must lie in 0..1."
                )
        self.first_weight = first_weight
        self.momentum = momentum
        self.min_score = min_score
        self.num_points = num_points
        self.whereabouts = Whereabouts(max_jump)
        self.exemplars = ExemplarStore()
        self.reset()

    def clear(self) -> None:
        """Forget all objects."""
        self.exemplars.clear()
        self.reset()

    def reset(self) -> None:
        """Begin another video; objects are looked for when their frames come."""
        self._known: dict[int, _Known] = {}
        self.exemplars.reset()
        self._num_read = 0  # frames from the beginning of the video to the latest window's end
        self._asked: list[_Asked] = []
        self._shown: list[Exemplar] = []  # of the latest window, in pixels and frames of it
        self._size = (0, 0)  # its height and width, padded
        self.whereabouts.reset()

    @property
    def identities(self) -> np.ndarray:
        """Those that the first queries of the latest window stand for, (K,) int64.

        Where a window has several exemplars of an object, as many stand for it in turn.
        """
        return np.array([asked.object_id for asked in self._asked], dtype=np.int64)

    def add(self, exemplar: Exemplar) -> None:
        """Point out an object; if it is known already it is looked for anew from this window on.

        Of several exemplars for one object and frame the last counts.

        Raises:
            ValueError: the frame is segmented already.
        """
        if exemplar.frame_index < self._num_read:
            raise ValueError(
                f"Object {exemplar.object_id} is pointed out in frame {exemplar.frame_index}, "
                f"which is segmented already; frames from {self._num_read} on are still to come."
            )
        self.exemplars.add(exemplar)

    def remove(self, object_id: int) -> None:
        """Stop looking for an object.

        Raises:
            ValueError: there is none of this identity.
        """
        self.exemplars.remove(object_id)
        self._known.pop(object_id, None)
        self.whereabouts.forget(object_id)

    def warn_of_waiting(self) -> None:
        """At the end of a video, log which exemplars are in frames that it did not have."""
        waiting = self.exemplars.waiting
        if waiting and self._num_read:
            missed = [f"object {e.object_id} in frame {e.frame_index}" for e in waiting]
            logger.warning(
                "Objects were pointed out in frames that the video did not have: %s. Its last "
                "frame was %d.",
                ", ".join(missed), self._num_read - 1,
            )  # fmt: skip

    def warn_of_lost(self, found: set[int]) -> None:
        """At the end of a video, log which objects were looked for and never found.

        Args:
            found: identities of those that were.
        """
        if lost := sorted(self.exemplars.used_ids - found):
            logger.warning(
                "Pointed out but found in no frame: %s. MODEL.GVSEG.TEST.EXEMPLAR.MIN_SCORE is %g; "
                "below it less likely ones are shown.",
                ", ".join(f"object {object_id}" for object_id in lost), self.min_score,
            )  # fmt: skip

    def state(self) -> State:
        """Return all that is remembered, with the exemplars."""
        state = {
            "num_read": np.array(self._num_read),
            "known": np.array(list(self._known), dtype=np.int64),
        }
        for object_id, entry in self._known.items():
            for name, value in vars(entry).items():
                if value is not None:
                    state[f"known.{object_id}.{name}"] = value.cpu().numpy()
        state |= within("exemplars", self.exemplars.state())
        return state | within("whereabouts", self.whereabouts.state())

    def restore(self, state: State, device: torch.device) -> None:
        """Remember what another tracker of the same settings returned as its state.

        Args:
            state: in place of all that is known, exemplars too.
            device: of the model.
        """
        self.clear()
        self._num_read = int(state["num_read"])
        for object_id in state["known"].tolist():
            entry = part(state, f"known.{object_id}")
            self._known[object_id] = _Known(
                **{name: torch.from_numpy(array).to(device) for name, array in entry.items()}
            )
        self.whereabouts.restore(part(state, "whereabouts"))
        self.exemplars.restore(part(state, "exemplars"))

    def ask(
        self,
        request: ClipRequest,
        frame_indices: Sequence[int],
        to_network: Callable[[Exemplar], Exemplar],
        size: tuple[int, int],
        device: torch.device,
    ) -> ClipRequest:
        """Return the request for a window, with the objects that are to be found in it.

        Args:
            request: without objects.
            frame_indices: (T,) of the window in the video.
            to_network: takes an exemplar to pixels of the frames as the network sees them.
            size: (H, W) of the padded frames.
            device: of the model.
        """
        new = self._pointed_out(frame_indices)
        shown = [
            replace(to_network(exemplar), frame_index=position)
            for (_, position), exemplar in new.items()
        ]
        self._num_read = frame_indices[-1] + 1
        again = {object_id for object_id, _ in new}
        kept = [object_id for object_id in self._known if object_id not in again]
        self._asked = [_Asked(object_id, 0, len(frame_indices)) for object_id in kept]
        self._asked += _in_turn(new, self._known, len(frame_indices))
        known = self._features(kept)
        self._known = {object_id: self._known[object_id] for object_id in kept}
        self._shown, self._size = shown, size
        points = None
        if shown:
            points = exemplar_points(
                shown,
                num_points=self.num_points,
                size=size,
                at_random=False,
                device=device,
                frame_size=request.size,
            )
        return replace(request, known=known, points=points)

    def _pointed_out(self, frame_indices: Sequence[int]) -> dict[tuple[int, int], Exemplar]:
        """Return the exemplars of a window by object and position; of several the last counts."""
        position_of = {index: position for position, index in enumerate(frame_indices)}
        return {
            (exemplar.object_id, position_of[exemplar.frame_index]): exemplar
            for exemplar in self.exemplars.take(frame_indices)
        }

    def visible(self, position: int, scores: np.ndarray) -> np.ndarray:
        """Return which queries stand for an object in a frame that shows it, positions.

        Args:
            position: of the frame in the window, 0..T-1.
            scores: (K,) probabilities of being there.
        """
        stands = self._standing(position)
        return stands[scores[stands] >= self.min_score]

    def _standing(self, position: int) -> np.ndarray:
        """Return which queries stand for an object in a frame of the window, positions."""
        stands = [query.begin <= position < query.end for query in self._asked]
        return np.flatnonzero(np.array(stands, dtype=bool))

    @torch.inference_mode()
    def apart(
        self, mask_logits: Tensor, scores: np.ndarray, position: int, frame_size: Tensor | None
    ) -> Tensor:
        """Return mask logits (K, h, w) that are below 0 in what is not of the objects.

        To be called for one new frame after the other. Where objects are not limited by where they
        were, nothing changes; else no two of them have a pixel in common.

        Args:
            mask_logits: of the first queries in one frame, (K, h, w).
            scores: (K,) probabilities of being there.
            position: of the frame in the window, 0..T-1.
            frame_size: (2,) rows and columns of the logits that it takes; all by default.
        """
        wanted = list(self.exemplars.object_ids)
        standing = self._standing(position)
        standing = standing[np.isin(self.identities[standing], wanted)]  # some may be removed
        shown = [exemplar for exemplar in self._shown if exemplar.frame_index == position]
        of_query = np.where(np.isin(np.arange(len(scores)), standing), self.identities, 0)
        mask_logits, is_given = put_masks_in(mask_logits, of_query, shown, self._size)
        if not self.whereabouts.is_limited or not len(standing):
            return mask_logits
        for exemplar in shown:
            area = exemplar_area(exemplar, self._size, image_size(mask_logits))
            self.whereabouts.point_out(exemplar.object_id, area)
        apart = self.whereabouts.tell_apart(
            mask_logits[standing],
            self.identities[standing],
            is_there=(scores[standing] >= self.min_score) | is_given[standing],
            frame_size=frame_size,
        )
        return mask_logits.index_copy(0, torch.from_numpy(standing).to(apart.device), apart)

    def given(self, frame_index: int) -> dict[int, np.ndarray]:
        """Return the masks that were given for a frame of the latest window, by identity."""
        return self.exemplars.masks(frame_index)

    @torch.inference_mode()
    def take_in(
        self, prediction: TubePrediction, mask_logits: Tensor, scores: Tensor, position: int
    ) -> None:
        """Remember what the latest window shows of the objects.

        Args:
            prediction: for the window, with what it read of them.
            mask_logits: of the first queries in the last frame of the video's, (K, h, w).
            scores: (K,) probabilities of being there.
            position: of that frame in the window.
        """
        if not self._asked:
            return
        wanted = self.exemplars.object_ids
        objects, features = prediction.objects[0], prediction.features
        assert objects is not None
        assert features is not None
        masks, frame_size = mask_logits > 0, None
        if prediction.frame_sizes is not None:
            frame_size = prediction.frame_sizes[0]
            masks &= in_frame(frame_size, image_size(masks))
        seen, centres, is_seen = read_masks(features[0, position], masks)
        is_seen &= scores >= self.min_score
        looks = None
        if prediction.looks is not None:
            of_frame = prediction.looks[0, position]
            if frame_size is not None:
                frame_size = frame_size * (of_frame.shape[-1] / masks.shape[-1])
            looks = looks_of_masks(of_frame, masks, self.num_points, frame_size)
        for index, query in enumerate(self._asked):
            if query.end <= position or query.object_id not in wanted:
                continue
            read, centre = objects.features[index].float(), objects.centres[index].float()
            shown = None if objects.looks is None else objects.looks[index, :, : self.num_points]
            new = _Known(read, read, centre, shown, shown)
            entry = self._known.setdefault(query.object_id, new)
            # Choosing by values rather than by `if` does not wait for the device.
            blend = self.momentum * entry.recent + (1 - self.momentum) * seen[index]
            entry.recent = torch.where(is_seen[index], blend, entry.recent)
            entry.centre = torch.where(is_seen[index], centres[index], entry.centre)
            if looks is not None and entry.recent_looks is not None:
                entry.recent_looks = torch.where(is_seen[index], looks[index], entry.recent_looks)

    def _features(self, object_ids: Sequence[int]) -> ObjectFeatures | None:
        """Return what queries of known objects start from."""
        if not object_ids:
            return None
        entries = [self._known[object_id] for object_id in object_ids]
        first = torch.stack([entry.first for entry in entries])
        recent = torch.stack([entry.recent for entry in entries])
        features = self.first_weight * first + (1 - self.first_weight) * recent
        centres = torch.stack([entry.centre for entry in entries])
        return ObjectFeatures(features, centres, self._looks(entries))

    def _looks(self, entries: Sequence[_Known]) -> Tensor | None:
        """Return the points that objects are known by, (K, 2, P, D), None where they are not."""
        parts = []
        if self.first_weight > 0:
            parts.append([entry.first_looks for entry in entries])
        if self.first_weight < 1:
            parts.append([entry.recent_looks for entry in entries])
        known = [[looks for looks in part if looks is not None] for part in parts]
        if not known[0]:
            return None
        assert all(len(part) == len(entries) for part in known), "all objects have looks, or none"
        return torch.cat([torch.stack(part) for part in known], 2)


def _in_turn(
    new: Collection[tuple[int, int]], known: Container[int], num_frames: int
) -> list[_Asked]:
    """Return the queries of exemplars, each of which stands for its object until the next does.

    The first stands for an object that was known in the frames before too: it has seen it last.

    Args:
        new: the objects and the positions in the window at which they are pointed out.
        known: objects of earlier windows.
        num_frames: T.
    """
    queries = []
    for object_id, position in new:
        positions = [other for same_id, other in new if same_id == object_id]
        is_first = position == min(positions)
        begin = 0 if is_first and object_id in known else position
        end = min((other for other in positions if other > position), default=num_frames)
        queries.append(_Asked(object_id, begin, end))
    return queries
