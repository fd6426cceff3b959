"""Embeddings of the latest objects of each class, first in, first out (GvSeg, section 3.1).

K classes, M matched queries, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gvseg.modeling.processes import gather_rows


class ClassQueues(nn.Module):
    """A ring of embeddings for each class, filled from the whole training set.

    It is part of the checkpoint, and the same in all processes.

    Args:
        num_classes: K.
        embed_dim: C.
        size: places of each class, N_Q in the paper.
    """

    embeds: Tensor  # (K, size, C)
    num_pushed: Tensor  # (K,) int64, since the training began

    def __init__(self, *, num_classes: int, embed_dim: int, size: int) -> None:
        super().__init__()
        if size < 1:
            raise ValueError(f"MODEL.GVSEG.CONTRASTIVE.QUEUE_SIZE is {size}; give 1 or more.")
        self.size = size
        self.register_buffer("embeds", torch.zeros(num_classes, size, embed_dim))
        self.register_buffer("num_pushed", torch.zeros(num_classes, dtype=torch.int64))

    def contents(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return a copy of every place (K*size, C), its class (K*size,) and whether it is taken."""
        classes = torch.arange(len(self.embeds), device=self.embeds.device)
        places = torch.arange(self.size, device=self.embeds.device)
        is_taken = places[None] < self.num_pushed[:, None]
        embeds = self.embeds.flatten(0, 1).clone()  # a later push must not change it
        return embeds, classes.repeat_interleave(self.size), is_taken.flatten()

    def fill(self) -> Tensor:
        """Return the share of places that are taken, a scalar."""
        return self.num_pushed.clamp(max=self.size).float().mean() / self.size

    @torch.no_grad()
    def push(self, classes: Tensor, embeds: Tensor) -> None:
        """Add the embeddings of a training step; every process must call this.

        Args:
            classes: (M,) int64 of this process's queries.
            embeds: (M, C) of them.
        """
        classes, embeds = gather_rows(classes), gather_rows(embeds.float())
        one_hot = classes[:, None] == torch.arange(len(self.embeds), device=classes.device)
        rank = one_hot.cumsum(0).gather(1, classes[:, None])[:, 0] - 1  # among its class
        count = one_hot.sum(0)
        # More than there are places: only the last ones stay.
        stays = rank >= count[classes] - self.size
        place = (self.num_pushed[classes] + rank) % self.size
        self.embeds[classes[stays], place[stays]] = embeds[stays]
        self.num_pushed += count
