"""Where queries come from before the first decoder layer.

B clips, T frames, N queries, C channels, S cells along each side of a frame, (h, w) pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gvseg.modeling.attention import FeedForward
from gvseg.modeling.position_encoding import SinePositionEncoding


class Queries(NamedTuple):
    """What the first decoder layer starts from."""

    content: Tensor  # (B, N, C), what queries hold
    place: Tensor  # (B, N, C), where they look, as a position encoding
    centres: Tensor | None = None  # (B, N, 2) x and y in fractions of the frame, where known


class LearnedQueries(nn.Module):
    """The same N queries for every clip, as in Mask2Former."""

    def __init__(self, *, num_queries: int, embed_dim: int) -> None:
        super().__init__()
        self.content = nn.Embedding(num_queries, embed_dim)
        self.place = nn.Embedding(num_queries, embed_dim)

    def forward(self, features: Tensor) -> Queries:
        """Return the queries of B clips.

        Args:
            features: (B, T, C, h, w), of which only B matters here.
        """
        batch = len(features)
        return Queries(
            self.content.weight.expand(batch, -1, -1),
            self.place.weight.expand(batch, -1, -1),
        )


class GridQueries(nn.Module):
    """Queries read from the clip itself, one from each of N cells of its frames (Eq. 8).

    A query holds what its cell shows and where, through a feed-forward, and looks there. Cells
    are drawn at random in training, so that any of them can serve; at inference they are spread
    evenly, and the same clip always gives the same queries. A cell is the mean over the T frames,
    for a query stands for a tube. The finest level is read, since objects smaller than a pixel of
    res5 would leave no trace there.

    Args:
        num_queries: N, at most S*S.
        embed_dim: C.
        grid_size: S.
    """

    def __init__(self, *, num_queries: int, embed_dim: int, grid_size: int) -> None:
        super().__init__()
        if num_queries > grid_size**2:
            raise ValueError(
                f"MODEL.MASK_FORMER.NUM_OBJECT_QUERIES is {num_queries}, more than the "
                f"{grid_size**2} cells of MODEL.GVSEG.QUERY_GRID {grid_size}."
            )
        self.num_queries = num_queries
        self.grid_size = grid_size
        self.feed_forward = FeedForward(embed_dim=embed_dim, hidden_dim=embed_dim)
        self.norm = nn.LayerNorm(embed_dim)
        self.position_encoding = SinePositionEncoding(channels=embed_dim, dims=2)

    def forward(self, features: Tensor) -> Queries:
        """Return the queries of B clips.

        Args:
            features: (B, T, C, h, w).
        """
        side = self.grid_size
        cells = F.adaptive_avg_pool2d(features.mean(1), side).flatten(2).transpose(1, 2)
        # Pixels are the keys that a place is compared with, so a cell's is the mean of its pixels'.
        pixels = self.position_encoding((1, *features.shape[-2:]), features.device)
        places = F.adaptive_avg_pool2d(pixels[0].permute(2, 0, 1), side).flatten(1).T
        chosen = self._choose(len(features), features.device)
        content = cells.gather(1, chosen[..., None].expand(-1, -1, cells.shape[2]))
        place = places[chosen].to(content.dtype)
        centres = torch.stack([chosen % side, chosen // side], -1).add(0.5) / side
        return Queries(self.norm(self.feed_forward(content + place)), place, centres)

    def _choose(self, batch: int, device: torch.device) -> Tensor:
        """Cells of each clip, (B, N) int64."""
        num_cells = self.grid_size**2
        if self.training:
            order = torch.rand(batch, num_cells, device=device).argsort(1)
            return order[:, : self.num_queries]
        spread = torch.linspace(0, num_cells - 1, self.num_queries, device=device)
        return spread.round().long().expand(batch, -1)
