"""Sine position encodings over an image or a clip.

T frames, (H, W) pixels, C channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

TEMPERATURE = 10000.0  # longest wavelength, as in "Attention is all you need", section 3.5
EPSILON = 1e-6  # keeps the normalisation of the official weights


class SinePositionEncoding(nn.Module):
    """Encode pixel positions, normalised to one turn over the extent, by sines and cosines.

    In two dimensions half of the channels encode y and half x. In three, an encoding of time over
    all channels is added to that (Mask2Former for video instance segmentation, section 2).

    Args:
        channels: of the encoding; a multiple of 4.
        dims: 2 to ignore time, 3 to encode it.
    """

    def __init__(self, *, channels: int, dims: int) -> None:
        super().__init__()
        if channels % 4:
            raise ValueError(
                f"The position encoding needs a multiple of 4 channels, not {channels}."
            )
        if dims not in (2, 3):
            raise ValueError(f"MODEL.GVSEG.POSITION_DIMS is {dims}; it must be 2 or 3.")
        self.channels = channels
        self.dims = dims
        self._cache: dict[tuple, Tensor] = {}

    def forward(self, size: tuple[int, int, int], device: torch.device) -> Tensor:
        """Return the encoding of (T, H, W) pixels as (T, H, W, C) float32."""
        key = (size, device)
        if key not in self._cache:
            if len(self._cache) >= 16:  # sizes of a multi-scale training would pile up
                self._cache.clear()
            # A cached inference tensor could not take part in a later training step.
            with torch.inference_mode(False), torch.autocast(device.type, enabled=False):
                self._cache[key] = self._encode(size, device)
        return self._cache[key]

    def _encode(self, size: tuple[int, int, int], device: torch.device) -> Tensor:
        num_frames, height, width = size
        half = self.channels // 2
        rows = _encode_axis(height, half, device)[None, :, None].expand(num_frames, -1, width, -1)
        columns = _encode_axis(width, half, device)[None, None].expand(num_frames, height, -1, -1)
        encoding = torch.cat([rows, columns], -1)
        if self.dims == 3:
            encoding = encoding + _encode_axis(num_frames, self.channels, device)[:, None, None]
        return encoding


def _encode_axis(length: int, channels: int, device: torch.device) -> Tensor:
    """Encode positions 1..length of one axis: (length, channels), sine and cosine in turn."""
    position = torch.arange(1, length + 1, dtype=torch.float32, device=device)
    turn = position / (length + EPSILON) * (2 * math.pi)
    pair = torch.arange(channels, device=device) // 2
    angle = turn[:, None] / TEMPERATURE ** (2 * pair / channels)
    return torch.stack([angle[:, 0::2].sin(), angle[:, 1::2].cos()], -1).flatten(1)
