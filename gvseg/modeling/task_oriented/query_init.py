"""Where queries come from before the first decoder layer.

B clips, T frames, N queries, C channels, S cells along each side of a frame, K classes, (h, w)
pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gvseg.modeling.attention import FeedForward
from gvseg.modeling.losses import sample_points
from gvseg.modeling.padding import image_size, sizes_in_map
from gvseg.modeling.position_encoding import SinePositionEncoding
from gvseg.modeling.task_oriented.class_memory import ClassMemory
from gvseg.structures import ObjectFeatures


class Queries(NamedTuple):
    """What the first decoder layer starts from."""

    content: Tensor  # (B, N, C), what queries hold
    place: Tensor  # (B, N, C), where they look, as a position encoding
    # (B, N, 2) x and y in fractions of the padded frame, NaN where they have no place.
    centres: Tensor


@dataclass(frozen=True)
class QueryRequest:
    """What the queries of one clip are to stand for, first to last; the rest are grid cells."""

    classes: Sequence[int] = ()  # rows of the class memory
    objects: ObjectFeatures | None = None  # that exemplars point out
    fills_with_cells: bool = True  # the rest are cells, or else learnt queries


class LearnedQueries(nn.Module):
    """The same N queries for every clip, as in Mask2Former."""

    def __init__(self, *, num_queries: int, embed_dim: int) -> None:
        super().__init__()
        self.num_queries = num_queries
        self.content = nn.Embedding(num_queries, embed_dim)
        self.place = nn.Embedding(num_queries, embed_dim)

    def forward(
        self,
        features: Tensor,
        requests: Sequence[QueryRequest] = (),
        frame_sizes: Tensor | None = None,
    ) -> Queries:
        """Return the queries of B clips.

        Args:
            features: (B, T, C, h, w), of which only B matters here.
            requests: make no difference here.
            frame_sizes: make no difference here.
        """
        batch = len(features)
        content = self.content.weight
        return Queries(
            content.expand(batch, -1, -1),
            self.place.weight.expand(batch, -1, -1),
            content.new_full((batch, len(content), 2), float("nan")),
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

    def forward(
        self,
        features: Tensor,
        requests: Sequence[QueryRequest] = (),
        frame_sizes: Tensor | None = None,
    ) -> Queries:
        """Return the queries of B clips.

        Args:
            features: (B, T, C, h, w).
            requests: make no difference here.
            frame_sizes: rows and columns of features that frames take, (B, 2) float32; by default
                all. There are cells of the frame alone, not of its padding.
        """
        batch, side = len(features), self.grid_size
        whole = sizes_in_map([image_size(features)], 1, features.device).expand(batch, -1)
        sizes = whole if frame_sizes is None else frame_sizes
        positions = self._positions(features).expand(batch, -1, -1, -1)
        chosen = self._choose(batch, features.device)
        content = _take(cell_means(features.mean(1), sizes, side), chosen).to(features.dtype)
        # Pixels are the keys that a place is compared with, so a cell's is the mean of its pixels'.
        place = _take(cell_means(positions, sizes, side), chosen).to(features.dtype)
        centres = torch.stack([chosen % side, chosen // side], -1).add(0.5) / side
        centres = centres * (sizes / whole).flip(1)[:, None]  # to fractions of the padded frame
        return Queries(self.norm(self.feed_forward(content + place)), place, centres)

    def _positions(self, features: Tensor) -> Tensor:
        """Position encodings of the pixels of features (..., h, w): (C, h, w)."""
        size = (1, features.shape[-2], features.shape[-1])
        return self.position_encoding(size, features.device)[0].permute(2, 0, 1)

    def _choose(self, batch: int, device: torch.device) -> Tensor:
        """Cells of each clip, (B, N) int64."""
        num_cells = self.grid_size**2
        if self.training:
            order = torch.rand(batch, num_cells, device=device).argsort(1)
            return order[:, : self.num_queries]
        spread = torch.linspace(0, num_cells - 1, self.num_queries, device=device)
        return spread.round().long().expand(batch, -1)


def cell_means(maps: Tensor, frame_sizes: Tensor, side: int) -> Tensor:
    """Return the means of maps over S x S equal cells of each frame: (B, C, S, S) float32.

    A pixel that two cells share, or a cell and the padding, counts by the area of each.

    Args:
        maps: (B, C, h, w), padded frames.
        frame_sizes: rows and columns that the frames take, (B, 2) float32.
        side: S.
    """
    with torch.autocast(maps.device.type, enabled=False):  # half of it cannot tell places apart
        by_row = _shares(frame_sizes[:, 0], side, maps.shape[2])
        by_column = _shares(frame_sizes[:, 1], side, maps.shape[3])
        return by_row[:, None] @ maps.float() @ by_column[:, None].transpose(2, 3)


def _take(cells: Tensor, chosen: Tensor) -> Tensor:
    """Values (B, N, C) of the chosen ones (B, N) of cells (B, C, S, S)."""
    cells = cells.flatten(2).transpose(1, 2)
    return cells.gather(1, chosen[..., None].expand(-1, -1, cells.shape[2]))


def _shares(extents: Tensor, side: int, length: int) -> Tensor:
    """Shares of the pixels of an axis in each of S cells of an extent (B,): (B, S, length)."""
    edges = torch.arange(side + 1, device=extents.device) / side * extents[:, None]
    starts, ends = edges[:, :-1, None], edges[:, 1:, None]
    pixels = torch.arange(length, device=extents.device)
    overlap = torch.minimum(ends, pixels + 1) - torch.maximum(starts, pixels)
    return overlap.clamp_min(0) / (ends - starts)


class TaskOrientedQueries(GridQueries):
    """Queries that start from what their task asks for (section 3.1).

    Objects that exemplars point out start from features inside them (EVS, Eq. 7), semantic classes
    from the memory of their class (VSS and the stuff of VPS, Eq. 9), all others from cells of the
    clip (VIS, the things of VPS, Eq. 8). Beside the objects of EVS, cells stand for what is to be
    told apart from them; beside the classes of VSS are learnt queries.

    Args:
        num_queries: N.
        embed_dim: C.
        grid_size: S.
        memory: of the classes.
        has_learned: whether there are learnt queries beside classes. Without, the number of
            queries at inference need not be that of training.
    """

    def __init__(
        self,
        *,
        num_queries: int,
        embed_dim: int,
        grid_size: int,
        memory: ClassMemory,
        has_learned: bool = True,
    ) -> None:
        super().__init__(num_queries=num_queries, embed_dim=embed_dim, grid_size=grid_size)
        self.memory = memory
        # What a class starts from until it was seen, where its query looks, and what is left over.
        num_learned = max(num_queries * has_learned, len(memory.embeds))
        self.content = nn.Embedding(num_learned, embed_dim)
        self.place = nn.Embedding(num_learned, embed_dim)

    def forward(
        self,
        features: Tensor,
        requests: Sequence[QueryRequest] = (),
        frame_sizes: Tensor | None = None,
    ) -> Queries:
        """Return the queries of B clips.

        Args:
            features: (B, T, C, h, w).
            requests: one for each clip, or none, which asks for cells alone.
            frame_sizes: as of `GridQueries`.

        Raises:
            ValueError: more is asked for than there are queries.
        """
        cells = super().forward(features, frame_sizes=frame_sizes)
        if not requests:
            return cells
        rows = [
            self._of_clip(request, features[index], Queries(*(part[index] for part in cells)))
            for index, request in enumerate(requests)
        ]
        content, place, centres = (torch.stack(parts) for parts in zip(*rows, strict=True))
        # Of these, some tasks leave out some; DistributedDataParallel wants all in every step.
        idle = 0 * sum(parameter.sum() for parameter in self.parameters())
        return Queries(content + idle, place, centres)

    def _of_clip(self, request: QueryRequest, features: Tensor, cells: Queries) -> Queries:
        """Return the queries (N, ...) of one clip from its features (T, C, h, w) and its cells."""
        parts = []
        if request.classes:
            parts.append(self._of_classes(request.classes))
        if request.objects is not None:
            parts.append(self._of_objects(request.objects, features))
        num_asked = sum(len(part.content) for part in parts)
        num_left = self.num_queries - num_asked
        if num_left < 0:
            raise ValueError(
                f"{num_asked} classes and objects are asked for, but "
                f"MODEL.MASK_FORMER.NUM_OBJECT_QUERIES is {self.num_queries}; raise it."
            )
        if request.fills_with_cells:
            # Cells are in random order in training; at inference those kept are spread evenly too.
            kept = torch.linspace(0, self.num_queries - 1, num_left, device=features.device)
            kept = kept.round().long()
            parts.append(Queries(*(part[kept] for part in cells)))
        else:
            rest = sorted(set(range(len(self.content.weight))).difference(request.classes))
            parts.append(self._learned(rest[len(rest) - num_left :]))
        content, place, centres = (
            torch.cat([part.to(cells.content.dtype) for part in of_parts])
            for of_parts in zip(*parts, strict=True)
        )
        return Queries(content, place, centres)

    def _of_classes(self, classes: Sequence[int]) -> Queries:
        num_classes = len(self.memory.embeds)
        content = self.memory(self.content.weight[:num_classes])[list(classes)]
        return self._learned(classes)._replace(content=content)

    def _of_objects(self, objects: ObjectFeatures, features: Tensor) -> Queries:
        positions = self._positions(features)
        place = sample_points(positions[None], objects.centres[None].to(positions.dtype))[0].T
        content = self.norm(self.feed_forward(objects.features + place.to(objects.features.dtype)))
        return Queries(content, place, objects.centres)

    def _learned(self, rows: Sequence[int]) -> Queries:
        index = torch.as_tensor(rows, dtype=torch.int64, device=self.content.weight.device)
        content = self.content.weight[index]
        nowhere = content.new_full((len(content), 2), float("nan"))
        return Queries(content, self.place.weight[index], nowhere)
