"""Results moved from the device to the host in one copy."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def to_host(*tensors: Tensor) -> list[np.ndarray]:
    """Return the tensors as arrays, carried over in a single copy.

    Each copy waits for the device, so many small ones cost more than their bytes. Tensors on the
    CPU are not copied at all.
    """
    if all(tensor.device.type == "cpu" for tensor in tensors):
        return [tensor.numpy(force=True) for tensor in tensors]
    return unpack(pack(tensors).numpy(force=True), tensors)


def pack(tensors: Sequence[Tensor]) -> Tensor:
    """Lay the bytes of all tensors end to end, widest items first so that each part is aligned."""
    parts = [tensors[i].contiguous().reshape(-1).view(torch.uint8) for i in _order(tensors)]
    return torch.cat(parts)


def unpack(packed: np.ndarray, like: Sequence[Tensor]) -> list[np.ndarray]:
    """Return views of what `pack` laid out, in the order, types and shapes of `like`."""
    order = _order(like)
    lengths = [like[i].numel() * like[i].element_size() for i in order]
    starts = itertools.accumulate(lengths, initial=0)
    arrays: dict[int, np.ndarray] = {}
    for i, start, length in zip(order, starts, lengths, strict=False):
        dtype = torch.empty(0, dtype=like[i].dtype).numpy().dtype
        arrays[i] = packed[start : start + length].view(dtype).reshape(like[i].shape)
    return [arrays[i] for i in range(len(like))]


def _order(tensors: Sequence[Tensor]) -> list[int]:
    return sorted(range(len(tensors)), key=lambda i: -tensors[i].element_size())
