"""Where frames end and what they are padded with begins.

B clips, (H, W) pixels of a map.

Frames begin in the upper left corner of what they are padded to. How far they reach is told in
pixels of the map at hand and never rounded: 500 pixels of the input are 62.5 of a map at stride 8.
What must be decided by whole pixels is decided by their middles.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def image_size(images: Tensor) -> tuple[int, int]:
    """Return (H, W) of images (..., H, W)."""
    return images.shape[-2], images.shape[-1]


def padded_size(sizes: Sequence[tuple[int, int]], divisor: int) -> tuple[int, int]:
    """Return the smallest size that holds all of some, both sides a multiple of a divisor."""
    height, width = (-(-max(lengths) // divisor) * divisor for lengths in zip(*sizes, strict=True))
    return height, width


def sizes_in_map(sizes: Sequence[tuple[int, int]], stride: float, device: torch.device) -> Tensor:
    """Return the sizes of frames in pixels of a map, (B, 2) float32 rows and columns.

    Args:
        sizes: of the frames of each clip.
        stride: of the map.
        device: of the result.
    """
    # A copy that is to be waited for would wait for all that the device has yet to do.
    return (torch.tensor(sizes, dtype=torch.float32) / stride).to(device, non_blocking=True)


def in_frame(frame_sizes: Tensor, size: tuple[int, int]) -> Tensor:
    """Return which pixels of a map have their middle in the frame: (..., 2) -> (..., H, W) bool.

    Args:
        frame_sizes: rows and columns of the map that the frame takes.
        size: (H, W) of the map.
    """
    rows, columns = (
        torch.arange(length, device=frame_sizes.device) + 0.5 < frame_sizes[..., axis, None]
        for axis, length in enumerate(size)
    )
    return rows[..., :, None] & columns[..., None, :]
