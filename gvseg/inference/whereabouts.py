"""Where objects that were pointed out are, so that nothing far away is taken for them (EVS).

K objects, (H, W) pixels of the padded frame, (h, w) of the mask logits over it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from gvseg.inference.mask_parts import parts_within
from gvseg.inference.saved_state import State, part, within
from gvseg.inference.transfer import to_host
from gvseg.modeling.padding import image_size, in_frame
from gvseg.structures import Exemplar

SURE = 20.0  # logit of pixels in a mask that was given, and the negative of it elsewhere
MIN_SIZE = 4.0  # pixels of the mask logits; a point says nothing of how large its object is


@dataclass
class _Place:
    """Where one object was when it was seen last."""

    mask: np.ndarray  # (h, w) bool
    size: float  # root of its largest area so far, in pixels: a part that is hidden comes back
    num_hidden: int = 0  # frames since

    def resized(self, shape: tuple[int, int]) -> _Place:
        """Return the same place in a map of another size, where frames have one."""
        if self.mask.shape == shape:
            return self
        mask = cv2.resize(self.mask.astype(np.uint8), shape[::-1], interpolation=cv2.INTER_NEAREST)
        scale = math.sqrt(mask.size / self.mask.size)
        return _Place(mask.astype(bool), max(self.size * scale, MIN_SIZE), self.num_hidden)


class Whereabouts:
    """Keep the parts of masks that lie near where their object was in the frame before.

    Objects of a kind look alike, and a query that knows one by its looks finds them all. But an
    object does not jump: of the connected parts of its mask those count that come within reach of
    where it was. The reach grows while it is hidden, so that it is found again elsewhere. Of our
    own, in no paper.

    Args:
        max_jump: reach from frame to frame, in sizes of the object, the root of its largest area so
            far, that of the exemplar included; 0 where an object may be anywhere.
    """

    def __init__(self, max_jump: float) -> None:
        if not 0 <= max_jump < math.inf:
            raise ValueError(
                f"MODEL.GVSEG.TEST.EXEMPLAR.MAX_JUMP is {max_jump}; give a number above 0, or 0 "
                "for objects that may be anywhere."
            )
        self.max_jump = max_jump
        self.reset()

    @property
    def is_limited(self) -> bool:
        """Whether there is anything to do."""
        return self.max_jump > 0

    def reset(self) -> None:
        """Forget all objects."""
        self._places: dict[int, _Place] = {}

    def forget(self, object_id: int) -> None:
        """Forget one object, if it is known."""
        self._places.pop(object_id, None)

    def point_out(self, object_id: int, area: np.ndarray) -> None:
        """Say where an object is, anew.

        Args:
            object_id: its identity.
            area: (h, w) bool, from `exemplar_area`.
        """
        self._places[object_id] = _Place(area, _size(area))

    def tell_apart(
        self,
        mask_logits: Tensor,
        object_ids: Sequence[int],
        *,
        is_there: np.ndarray,
        frame_size: Tensor | None = None,
    ) -> Tensor:
        """Return mask logits that are below 0 in what is not of their objects; remember the rest.

        A pixel that several objects claim is the surest one's.

        Args:
            mask_logits: of one frame after the other, (K, h, w).
            object_ids: (K,) that were pointed out.
            is_there: (K,) bool, False of objects that are hidden.
            frame_size: (2,) rows and columns of the map that the frame takes; all by default. In
                the padding beyond are no objects, nor does it join parts of one.
        """
        claimed = mask_logits > 0
        if frame_size is not None:
            claimed &= in_frame(frame_size, image_size(claimed))
        (masks,) = to_host(claimed)
        masks &= is_there[:, None, None]
        near = torch.from_numpy(self.near(object_ids, masks)).to(mask_logits.device)
        claims = mask_logits.masked_fill(~near, float("-inf"))
        positions = torch.arange(len(near), device=near.device)
        near &= claims.argmax(0) == positions[:, None, None]
        self.remember(object_ids, *to_host(near))
        return mask_logits.where(near, -mask_logits.abs())

    def near(self, object_ids: Sequence[int], masks: np.ndarray) -> np.ndarray:
        """Return the parts of masks that lie near where their objects were, (K, h, w) bool.

        Args:
            object_ids: (K,) that were pointed out.
            masks: (K, h, w) bool, in the frame after that which was remembered.
        """
        kept = np.zeros_like(masks)
        for object_id, mask, kept_part in zip(object_ids, masks, kept, strict=True):
            place = self._places[object_id] = self._places[object_id].resized(mask.shape)
            reach = self.max_jump * place.size * (place.num_hidden + 1)
            kept_part[:] = parts_within(mask, place.mask, reach)
        return kept

    def remember(self, object_ids: Sequence[int], masks: np.ndarray) -> None:
        """Take in where objects are in a frame.

        Args:
            object_ids: (K,) that were pointed out.
            masks: (K, h, w) bool, empty of those that are hidden.
        """
        for object_id, mask in zip(object_ids, masks, strict=True):
            place = self._places[object_id]
            if mask.any():
                self._places[object_id] = _Place(mask.copy(), max(place.size, _size(mask)))
            else:
                place.num_hidden += 1

    def state(self) -> State:
        """Return all that is remembered."""
        state: State = {}
        for object_id, place in self._places.items():
            about = {name: np.asarray(value) for name, value in vars(place).items()}
            state |= within(str(object_id), about)
        return state

    def restore(self, state: State) -> None:
        """Remember what another one returned as its state."""
        self.reset()
        for object_id in {name.partition(".")[0] for name in state}:
            about = part(state, object_id)
            self._places[int(object_id)] = _Place(
                about["mask"], float(about["size"]), int(about["num_hidden"])
            )


def exemplar_area(
    exemplar: Exemplar, size: tuple[int, int], map_size: tuple[int, int]
) -> np.ndarray:
    """Return where an exemplar says that its object is, (h, w) bool with a pixel at least.

    Args:
        exemplar: in pixels of the frames as the network sees them.
        size: (H, W) of the padded frames.
        map_size: (h, w).
    """
    if exemplar.mask is not None:
        return mask_area(exemplar.mask, size, map_size)
    area = np.zeros(map_size, dtype=bool)
    scale = np.array(map_size[::-1]) / size[::-1]
    if exemplar.box is not None:
        left, top = np.floor(exemplar.box[:2] * scale).astype(int)
        right, bottom = np.ceil(exemplar.box[2:] * scale).astype(int)
        area[top : max(bottom, top + 1), left : max(right, left + 1)] = True
        return area
    column, row = (exemplar.point * scale).astype(int)
    area[min(row, map_size[0] - 1), min(column, map_size[1] - 1)] = True
    return area


def mask_area(mask: np.ndarray, size: tuple[int, int], map_size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a map that a mask fills by half or more, or else touches, (h, w) bool.

    Args:
        mask: in pixels of the frames as the network sees them.
        size: (H, W) of the padded frames.
        map_size: (h, w).
    """
    spare = [(0, whole - length) for whole, length in zip(size, mask.shape, strict=True)]
    padded = np.pad(mask.astype(np.float32), spare)
    share = cv2.resize(padded, map_size[::-1], interpolation=cv2.INTER_AREA)
    area = share >= 0.5
    return area if area.any() else share > 0


def put_masks_in(
    mask_logits: Tensor,
    object_ids: np.ndarray,
    exemplars: Sequence[Exemplar],
    size: tuple[int, int],
) -> tuple[Tensor, np.ndarray]:
    """Return mask logits in which the masks of exemplars stand, and which objects have one, (K,).

    What was given is known better than what is predicted, of the others in its pixels too.

    Args:
        mask_logits: of one frame, (K, h, w).
        object_ids: (K,) that the logits are of.
        exemplars: of the frame, in pixels of it as the network sees it.
        size: (H, W) of the padded frame.
    """
    is_given = np.zeros(len(object_ids), dtype=bool)
    for exemplar in exemplars:
        if exemplar.mask is None:
            continue
        area = mask_area(exemplar.mask, size, image_size(mask_logits))
        inside = torch.from_numpy(area).to(mask_logits.device)
        is_its = object_ids == exemplar.object_id
        rows = torch.from_numpy(is_its).to(inside.device)[:, None, None]
        given = torch.where(inside, SURE, -SURE).to(mask_logits)
        mask_logits = given.where(rows, mask_logits.where(~inside, -mask_logits.abs()))
        is_given |= is_its
    return mask_logits, is_given


def _size(mask: np.ndarray) -> float:
    return max(math.sqrt(mask.sum()), MIN_SIZE)
