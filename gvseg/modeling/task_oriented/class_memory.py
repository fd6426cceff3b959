r"""What queries of a class come out as, remembered over the training (GvSeg, section 3.1, Eq. 9).

K classes, M matched queries, C channels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gvseg.modeling.processes import gather_rows


class ClassMemory(nn.Module):
    r"""One embedding for each class, from which its query of the next clip starts.

    Each training step blends in the mean of the step's embeddings of the class,
    \(\bar q \leftarrow m \bar q + (1 - m) \hat q\), over all processes. Until there were
    1 / (1 - m) steps it is their mean, or else what an untrained network gave would last longest.
    It is part of the checkpoint.

    Args:
        num_classes: K.
        embed_dim: C.
        momentum: m.
    """

    embeds: Tensor  # (K, C)
    num_updates: Tensor  # (K,) int64

    def __init__(self, *, num_classes: int, embed_dim: int, momentum: float) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(
                f"MODEL.GVSEG.CLASS_MEMORY_MOMENTUM is {momentum}; it must lie in 0..1, below 1."
            )
        self.momentum = momentum
        self.register_buffer("embeds", torch.zeros(num_classes, embed_dim))
        self.register_buffer("num_updates", torch.zeros(num_classes, dtype=torch.int64))

    def forward(self, initial: Tensor) -> Tensor:
        """Return what is remembered, and of classes never seen `initial`: (K, C)."""
        is_seen = self.num_updates[:, None] > 0
        return torch.where(is_seen, self.embeds.to(initial.dtype), initial)

    @torch.no_grad()
    def update(self, classes: Tensor, embeds: Tensor) -> None:
        """Take in what one training step found; every process must call this.

        Args:
            classes: (M,) int64 of this process's queries.
            embeds: (M, C) of them.
        """
        classes, embeds = gather_rows(classes), gather_rows(embeds.float())
        one_hot = torch.zeros(len(self.embeds), len(classes), device=embeds.device)
        one_hot.scatter_(0, classes[None], 1.0)
        count = one_hot.sum(1)
        with torch.autocast(embeds.device.type, enabled=False):
            mean = one_hot @ embeds / count.clamp_min(1)[:, None]
        keep = (self.num_updates / (self.num_updates + 1)).clamp(max=self.momentum)[:, None]
        is_here = count > 0
        blend = keep * self.embeds + (1 - keep) * mean
        # New tensors, as the backward pass may still need the old ones.
        self.embeds = torch.where(is_here[:, None], blend, self.embeds)
        self.num_updates = self.num_updates + is_here
