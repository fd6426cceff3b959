"""What the processes of a distributed training tell each other within a step."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import cast

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detectron2.utils import comm

PATIENCE = timedelta(days=1)


def mean_over_processes(
    count: float | Tensor, device: torch.device, *, least: float = 1.0
) -> Tensor:
    """Return a count per process, at least `least`, so that a batch without any divides well."""
    mean = torch.as_tensor(count, dtype=torch.float32, device=device)
    if comm.get_world_size() > 1:
        mean = mean.clone()
        torch.distributed.all_reduce(mean)
        mean = mean / comm.get_world_size()
    return mean.clamp(min=least)


def gather_rows(rows: Tensor) -> Tensor:
    """Return the rows (N, ...) of all processes, in their order; each may have another N.

    No gradient passes through it.
    """
    world_size = comm.get_world_size()
    if world_size == 1:
        return rows.detach()
    count = torch.tensor([len(rows)], device=rows.device)
    counts = [torch.empty_like(count) for _ in range(world_size)]
    torch.distributed.all_gather(counts, count)
    lengths = torch.cat(counts).tolist()
    # All of one length, as gathering asks for.
    spare = max(lengths) - len(rows)
    padded = F.pad(rows.detach(), (0, 0) * (rows.dim() - 1) + (0, spare)).contiguous()
    parts = [torch.empty_like(padded) for _ in range(world_size)]
    torch.distributed.all_gather(parts, padded)
    return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])


@cache
def _patient_group(world: torch.distributed.ProcessGroup) -> torch.distributed.ProcessGroup:
    """Return all processes of a world as a group that waits for long."""
    del world  # after another one was made, its group is another
    group = torch.distributed.new_group(backend="gloo", timeout=PATIENCE)
    return cast(torch.distributed.ProcessGroup, group)  # every process is in it


def wait_for_all() -> None:
    """Wait until all processes are here, for a day: shares of a test set may take hours more.

    The groups that losses and results go through give up after half an hour or less. The first call
    comes while processes are still together.
    """
    if comm.get_world_size() > 1:
        world = torch.distributed.group.WORLD
        assert world is not None
        torch.distributed.barrier(_patient_group(world))


def share_running_statistics(model: nn.Module) -> None:
    """Give all processes the running statistics of the main one, whose model is saved.

    Each process has batch norms count its own images, so that they differ after a training step.
    """
    if comm.get_world_size() == 1:
        return
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.track_running_stats:
            for statistic in module.buffers(recurse=False):
                torch.distributed.broadcast(statistic, src=0)
