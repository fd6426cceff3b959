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
    \(\bar q \leftarrow m \bar q + (1 - m) \hat q\), over all processes. It is part of the
    checkpoint.

    Args:
        num_classes: K.
        embed_dim: C.
        momentum: m.
    """

    embeds: Tensor  # (K, C)
    is_seen: Tensor  # (K,) bool

    def __init__(self, *, num_classes: int, embed_dim: int, momentum: float) -> None:
        super().__init__()
        if not 0 <= momentum < 1:
            raise ValueError(
                f"MODEL.GVSEG.CLASS_MEMORY_MOMENTUM is {momentum}; it must lie in 0..1, below 1."
            )
        self.momentum = momentum
        self.register_buffer("embeds", torch.zeros(num_classes, embed_dim))
        self.register_buffer("is_seen", torch.zeros(num_classes, dtype=torch.bool))

    def forward(self, initial: Tensor) -> Tensor:
        """Return what is remembered, and of classes never seen `initial`: (K, C)."""
        return torch.where(self.is_seen[:, None], self.embeds.to(initial.dtype), initial)

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
        # The first embedding is taken as it is.
        keep = torch.where(self.is_seen, self.momentum, 0.0)[:, None]
        is_here = count > 0
        blend = keep * self.embeds + (1 - keep) * mean
        # New tensors, as the backward pass may still need the old ones.
        self.embeds = torch.where(is_here[:, None], blend, self.embeds)
        self.is_seen = self.is_seen | is_here
