"""What a linker remembers of an object, and how like it a query of the next clip is.

Q queries, T frames, C channels, N live tracks, M queries that may be objects, (h, w) mask logits.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from gvseg.inference.saved_state import State, part, within
from gvseg.modeling.padding import image_size, in_frame
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor
from gvseg.structures import TubePrediction


class TrackMemory(Protocol):
    """Rows of N tracks, in the order in which they started."""

    def cues(self, prediction: TubePrediction) -> list[Tensor]:
        """Return what is to be known of each query of one clip, tensors (Q, ...)."""
        ...

    def can_be_known(self, seen: list[np.ndarray]) -> np.ndarray:
        """Return which queries show enough to be known again, (M,) bool, from cues (M, ...)."""
        ...

    def similarity(self, seen: list[np.ndarray]) -> np.ndarray:
        """Return the likeness of tracks and queries, (N, M), at most 1, from cues (M, ...)."""
        ...

    def renew(self, tracks: np.ndarray, seen: list[np.ndarray]) -> None:
        """Take in the cues of the queries matched to some tracks; the others were not seen."""
        ...

    def start(self, seen: list[np.ndarray]) -> None:
        """Append a track for each row of cues."""
        ...

    def keep(self, is_alive: np.ndarray) -> None:
        """Forget the tracks (N,) that are no longer alive."""
        ...

    def reset(self) -> None:
        """Forget everything."""
        ...

    def state(self) -> State:
        """Return all that is remembered."""
        ...

    def restore(self, state: State) -> None:
        """Remember what another memory of the same settings returned as its state."""
        ...


class AppearanceMemory:
    """A mean embedding of each track, compared by the cosine.

    Args:
        momentum: weight of the remembered embedding against what is seen, 0 to 1.
    """

    def __init__(self, *, momentum: float) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"MODEL.LINKER.MOMENTUM is {momentum}; it must lie in 0..1.")
        self.momentum = momentum
        self.reset()

    def reset(self) -> None:
        self._embeds = np.empty((0, 0), dtype=np.float32)  # (N, C) of length 1

    def cues(self, prediction: TubePrediction) -> list[Tensor]:
        return [prediction.query_embeds[0].float()]

    def can_be_known(self, seen: list[np.ndarray]) -> np.ndarray:
        return np.ones(len(seen[0]), dtype=bool)

    def similarity(self, seen: list[np.ndarray]) -> np.ndarray:
        self._learn_length(seen[0])
        return self._embeds @ _unit(seen[0]).T

    def renew(self, tracks: np.ndarray, seen: list[np.ndarray]) -> None:
        embeds = _unit(seen[0])
        blend = self.momentum * self._embeds[tracks] + (1 - self.momentum) * embeds
        self._embeds[tracks] = _unit(blend)

    def start(self, seen: list[np.ndarray]) -> None:
        self._learn_length(seen[0])
        self._embeds = np.concatenate([self._embeds, _unit(seen[0])])

    def keep(self, is_alive: np.ndarray) -> None:
        self._embeds = self._embeds[is_alive]

    def state(self) -> State:
        return {"embeds": self._embeds}

    def restore(self, state: State) -> None:
        self._embeds = state["embeds"]

    def _learn_length(self, embeds: np.ndarray) -> None:
        """Take C from what is seen first."""
        if not len(self._embeds):
            self._embeds = np.empty((0, embeds.shape[1]), dtype=np.float32)


class LocationAwareMemory:
    r"""Appearance and place: the memory of HiLA-MB (Video-kMaX, section 3.2, Eqs. 3 to 5).

    The likeness of a track and a query is \(\exp(-\|b - b'\|^2 / T) \cos(q, q')\), where b is the
    box of the mask in fractions of the frame. While a track is not seen its box goes on at the
    speed it had. A query without a mask in any frame has no place, so it takes no part.

    Args:
        appearance: the embeddings q.
        temperature: T. The smaller, the more the place counts; the paper's 1 makes it a mild cue.
        num_shared: frames that a clip has in common with the one before; the last of them is the
            nearest to it.
    """

    def __init__(
        self, *, appearance: AppearanceMemory, temperature: float, num_shared: int = 0
    ) -> None:
        if temperature <= 0:
            raise ValueError(
                f"MODEL.LINKER.LOCATION_TEMPERATURE is {temperature}; it must be above 0."
            )
        self.appearance = appearance
        self.temperature = temperature
        self.nearest = max(num_shared - 1, 0)
        self.reset()

    def reset(self) -> None:
        self.appearance.reset()
        self._boxes = np.empty((0, 4), dtype=np.float32)  # (N, 4) left, top, right, bottom
        self._speeds = np.empty((0, 4), dtype=np.float32)  # (N, 4) change of the box in a clip

    def cues(self, prediction: TubePrediction) -> list[Tensor]:
        masks = prediction.mask_logits[0][:, self.nearest :] > 0
        frame_size = None
        if prediction.frame_sizes is not None:
            frame_size = prediction.frame_sizes[0]
            masks &= in_frame(frame_size, image_size(masks))
        return [*self.appearance.cues(prediction), mask_boxes(masks, frame_size)]

    def can_be_known(self, seen: list[np.ndarray]) -> np.ndarray:
        return ~np.isnan(seen[1][..., 0]).all(1)

    def similarity(self, seen: list[np.ndarray]) -> np.ndarray:
        cosine = self.appearance.similarity(seen[:1])
        first, _ = _ends(seen[1])
        distance = np.square(self._boxes[:, None] - first[None]).sum(-1)
        return cosine * np.exp(-distance / self.temperature)

    def renew(self, tracks: np.ndarray, seen: list[np.ndarray]) -> None:
        self.appearance.renew(tracks, seen[:1])
        expected = self._boxes + self._speeds
        _, last = _ends(seen[1])
        self._speeds[tracks] = last - self._boxes[tracks]
        self._boxes = expected
        self._boxes[tracks] = last

    def start(self, seen: list[np.ndarray]) -> None:
        self.appearance.start(seen[:1])
        _, last = _ends(seen[1])
        self._boxes = np.concatenate([self._boxes, last])
        self._speeds = np.concatenate([self._speeds, np.zeros_like(last)])

    def keep(self, is_alive: np.ndarray) -> None:
        self.appearance.keep(is_alive)
        self._boxes, self._speeds = self._boxes[is_alive], self._speeds[is_alive]

    def state(self) -> State:
        places = {"boxes": self._boxes, "speeds": self._speeds}
        return places | within("appearance", self.appearance.state())

    def restore(self, state: State) -> None:
        self._boxes, self._speeds = state["boxes"], state["speeds"]
        self.appearance.restore(part(state, "appearance"))


class ShapePositionMemory:
    r"""Appearance, shape and position: SPA query matching (GvSeg, section 3.1, Eq. 6).

    The likeness of a track and a query is \(\cos(q + wH, q' + wH')\), where H is the descriptor of
    the mask. Between clips it is that of the nearest frames: the last of the earlier clip and the
    first of the later one.

    Args:
        appearance: remembers the sums.
        descriptor: gives H.
        weight: w, 1 in the paper. The larger it is, and the shorter the embeddings, the more shape
            and position count against looks.
        num_shared: frames that a clip has in common with the one before; the last of them is the
            nearest to it.
    """

    def __init__(
        self,
        *,
        appearance: AppearanceMemory,
        descriptor: ShapePositionDescriptor,
        weight: float = 1.0,
        num_shared: int = 0,
    ) -> None:
        if weight < 0:
            raise ValueError(f"MODEL.LINKER.DESCRIPTOR_WEIGHT is {weight}; give 0 or more.")
        self.appearance = appearance
        self.descriptor = descriptor
        self.weight = weight
        self.nearest = max(num_shared - 1, 0)

    def reset(self) -> None:
        self.appearance.reset()

    def cues(self, prediction: TubePrediction) -> list[Tensor]:
        embeds = prediction.query_embeds[0].float()
        ends = prediction.mask_logits[0][:, [self.nearest, -1]] > 0
        # Of the same size whether or not it is padded, a frame gives the same descriptors.
        sizes = None if prediction.frame_sizes is None else prediction.frame_sizes[0]
        first, last = self.descriptor(ends, sizes).unbind(1)
        return [embeds + self.weight * first, embeds + self.weight * last]

    def can_be_known(self, seen: list[np.ndarray]) -> np.ndarray:
        return self.appearance.can_be_known(seen[:1])

    def similarity(self, seen: list[np.ndarray]) -> np.ndarray:
        return self.appearance.similarity(seen[:1])

    def renew(self, tracks: np.ndarray, seen: list[np.ndarray]) -> None:
        self.appearance.renew(tracks, seen[1:])

    def start(self, seen: list[np.ndarray]) -> None:
        self.appearance.start(seen[1:])

    def keep(self, is_alive: np.ndarray) -> None:
        self.appearance.keep(is_alive)

    def state(self) -> State:
        return self.appearance.state()

    def restore(self, state: State) -> None:
        self.appearance.restore(state)


def mask_boxes(masks: Tensor, frame_size: Tensor | None = None) -> Tensor:
    """Return the boxes of masks in fractions of the frame, NaN where empty.

    They are (Q, T, 4) float32: left, top, right and bottom edge.

    Args:
        masks: (Q, T, h, w) bool, with nothing beyond the frame.
        frame_size: rows and columns that it takes, (2,) float32; by default all.
    """
    height, width = image_size(masks) if frame_size is None else frame_size.unbind()
    left, right = (edge / width for edge in _extent(masks.any(2)))
    top, bottom = (edge / height for edge in _extent(masks.any(3)))
    boxes = torch.stack([left, top, right, bottom], -1)
    return boxes.masked_fill(~masks.flatten(2).any(2)[..., None], float("nan"))


def _extent(covered: Tensor) -> tuple[Tensor, Tensor]:
    """First and last edge of what is covered of an axis (Q, T, length), in pixels."""
    first = covered.byte().argmax(-1)
    last = covered.shape[-1] - covered.flip(-1).byte().argmax(-1)
    return first, last


def _ends(boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of boxes (M, T, 4), those of the first and the last frame in which each is there, (M, 4)."""
    is_there = ~np.isnan(boxes[..., 0])
    rows = np.arange(len(boxes))
    first = boxes[rows, is_there.argmax(1)]
    last = boxes[rows, boxes.shape[1] - 1 - is_there[:, ::-1].argmax(1)]
    return first, last


def _unit(embeds: np.ndarray) -> np.ndarray:
    """Scale each row to length 1; a row of zeros stays, similar to nothing."""
    length = np.linalg.norm(embeds, axis=1, keepdims=True)
    return embeds / np.maximum(length, np.finfo(np.float32).tiny)
