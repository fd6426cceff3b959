"""Objects that are pointed out: from which frame on, and what is known of them (EVS).

K objects, T frames of a window, C channels, (h, w) mask logits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gvseg.inference.saved_state import State, part
from gvseg.modeling.requests import ClipRequest
from gvseg.modeling.task_oriented.exemplars import exemplar_points
from gvseg.structures import Exemplar, ObjectFeatures, TubePrediction


@dataclass
class _Known:
    """One object that has been seen; what it looks like, and where it was last."""

    first: Tensor  # (C,) where it was pointed out
    recent: Tensor  # (C,) of the frames since
    centre: Tensor  # (2,) x and y in fractions of the padded frame


class ExemplarTracker:
    """Ask for the objects that are pointed out, window by window.

    A query of an object starts from what was read at its exemplar and from what was found since,
    and looks where it was last. Its identity is that of its query, so it stays the same while the
    object is hidden. What is kept grows with the objects, not with the video.

    Args:
        momentum: weight of what was remembered against what the latest window shows, 0 to 1.
        min_score: probability of being there below which an object is absent from a window.
        num_points: read inside each mask or box.
    """

    def __init__(self, *, momentum: float, min_score: float, num_points: int) -> None:
        for key, value in (("MOMENTUM", momentum), ("MIN_SCORE", min_score)):
            if not 0 <= value <= 1:
                raise ValueError(
                    f"MODEL.GVSEG.TEST.EXEMPLAR.{key} is {value}; it must lie in 0..1."
                )
        self.momentum = momentum
        self.min_score = min_score
        self.num_points = num_points
        self.clear()

    def clear(self) -> None:
        """Forget all objects."""
        self.exemplars: list[Exemplar] = []
        self.reset()

    def reset(self) -> None:
        """Forget what was seen; objects are still looked for when their frames come."""
        self._known: dict[int, _Known] = {}
        self._num_read = 0  # frames from the beginning of the video to the latest window's end
        self.identities = np.empty(0, dtype=np.int64)  # (K,) of the latest window's first queries

    def add(self, exemplar: Exemplar) -> None:
        """Point out an object; if it is known already it is looked for anew from this frame on."""
        self.exemplars.append(exemplar)

    def remove(self, object_id: int) -> None:
        """Stop looking for an object.

        Raises:
            ValueError: there is none of this identity.
        """
        if all(exemplar.object_id != object_id for exemplar in self.exemplars):
            known = ", ".join(map(str, sorted({e.object_id for e in self.exemplars}))) or "none"
            raise ValueError(f"There is no object {object_id} to remove; known are {known}.")
        self.exemplars = [e for e in self.exemplars if e.object_id != object_id]
        self._known.pop(object_id, None)

    def state(self) -> State:
        """Return all that is remembered, with the exemplars."""
        state = {
            "num_read": np.array(self._num_read),
            "identities": self.identities,
            "known": np.array(list(self._known), dtype=np.int64),
        }
        for object_id, entry in self._known.items():
            for name, value in vars(entry).items():
                state[f"known.{object_id}.{name}"] = value.cpu().numpy()
        for index, exemplar in enumerate(self.exemplars):
            about = np.array([exemplar.object_id, exemplar.frame_index])
            state[f"exemplar.{index}"] = about
            state[f"exemplar.{index}.{exemplar.kind}"] = getattr(exemplar, exemplar.kind)
        return state

    def restore(self, state: State, device: torch.device) -> None:
        """Remember what another tracker of the same settings returned as its state.

        Args:
            state: in place of all that is known, exemplars too.
            device: of the model.
        """
        self.clear()
        self._num_read = int(state["num_read"])
        self.identities = state["identities"]
        for object_id in state["known"].tolist():
            entry = part(state, f"known.{object_id}")
            self._known[object_id] = _Known(
                **{name: torch.from_numpy(array).to(device) for name, array in entry.items()}
            )
        while (about := state.get(name := f"exemplar.{len(self.exemplars)}")) is not None:
            object_id, frame_index = about.tolist()
            self.add(Exemplar(object_id, frame_index, **part(state, name)))

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
        new: dict[int, Exemplar] = {}
        for exemplar in self.exemplars:
            # Of a frame that the window before had too, it was read then.
            is_read = exemplar.frame_index < self._num_read and exemplar.object_id in self._known
            if exemplar.frame_index in frame_indices and not is_read:
                position = list(frame_indices).index(exemplar.frame_index)
                new[exemplar.object_id] = replace(to_network(exemplar), frame_index=position)
        self._num_read = frame_indices[-1] + 1
        for object_id in new:
            self._known.pop(object_id, None)
        self._first_frames = [-1] * len(self._known) + [e.frame_index for e in new.values()]
        self.identities = np.array([*self._known, *new], dtype=np.int64)
        known = None
        if self._known:
            features = [0.5 * (entry.first + entry.recent) for entry in self._known.values()]
            centres = [entry.centre for entry in self._known.values()]
            known = ObjectFeatures(torch.stack(features), torch.stack(centres))
        points = None
        if new:
            points = exemplar_points(
                list(new.values()),
                num_points=self.num_points,
                size=size,
                at_random=False,
                device=device,
            )
        return replace(request, known=known, points=points)

    def visible(self, position: int, scores: np.ndarray) -> np.ndarray:
        """Return which objects are looked for in a frame of the window and are there, positions.

        Args:
            position: of the frame, 0..T-1.
            scores: (K,) probabilities of being there.
        """
        has_begun = np.array(self._first_frames, dtype=np.int64) <= position
        return np.flatnonzero(has_begun & (scores >= self.min_score))

    def given(self, frame_index: int) -> dict[int, np.ndarray]:
        """Return the masks that were given for a frame of the video, by identity."""
        return {
            exemplar.object_id: exemplar.mask
            for exemplar in self.exemplars
            if exemplar.mask is not None and exemplar.frame_index == frame_index
        }

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
        if not len(self.identities):
            return
        objects, features = prediction.objects[0], prediction.features
        assert objects is not None
        assert features is not None
        seen, centres, is_seen = _look(features[0, position], mask_logits > 0)
        is_seen &= scores >= self.min_score
        for index, object_id in enumerate(self.identities.tolist()):
            read, centre = objects.features[index].float(), objects.centres[index].float()
            entry = self._known.setdefault(object_id, _Known(read, read, centre))
            # Choosing by values rather than by `if` does not wait for the device.
            blend = self.momentum * entry.recent + (1 - self.momentum) * seen[index]
            entry.recent = torch.where(is_seen[index], blend, entry.recent)
            entry.centre = torch.where(is_seen[index], centres[index], entry.centre)


def _look(features: Tensor, masks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return mean features (K, C) and centres (K, 2) of masks, and which have any pixel (K,).

    Args:
        features: (C, h', w') of a frame.
        masks: (K, h, w) bool in it.
    """
    height, width = features.shape[1:]
    weights = F.adaptive_avg_pool2d(masks[:, None].float(), (height, width))[:, 0].flatten(1)
    total = weights.sum(1)
    weights = weights / total.clamp_min(torch.finfo(total.dtype).tiny)[:, None]
    y = (torch.arange(height, device=features.device) + 0.5) / height
    x = (torch.arange(width, device=features.device) + 0.5) / width
    y, x = torch.meshgrid(y, x, indexing="ij")
    places = torch.stack([x.flatten(), y.flatten()], 1)
    return weights @ features.float().flatten(1).T, weights @ places, total > 0
