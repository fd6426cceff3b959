"""One model from the last checkpoints of a training: the mean of their weights.

Where little data is learnt at a constant rate, single checkpoints scatter about a point that is
better than each of them (Izmailov et al., Averaging Weights Leads to Wider Optima, 2018).
"""

from __future__ import annotations

import logging
from collections.abc import Container
from pathlib import Path

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.engine import HookBase
from detectron2.utils import comm

from gvseg.checkpoint import load_weights, read_checkpoint
from gvseg.data.whole_files import whole_file

logger = logging.getLogger(__name__)

AVERAGE = "model_average.pth"


def averaged_iterations(cfg: CfgNode) -> range:
    """Return after which iterations checkpoints are written that are averaged; none if off.

    Raises:
        ValueError: `SOLVER.AVERAGE_FROM` leaves fewer than two.
    """
    solver = cfg.SOLVER
    if solver.AVERAGE_FROM <= 0:
        return range(0)
    period = solver.CHECKPOINT_PERIOD
    first = -(-solver.AVERAGE_FROM // period) * period
    iterations = range(first, solver.MAX_ITER + 1, period)
    if len(iterations) < 2:
        raise ValueError(
            f"From SOLVER.AVERAGE_FROM {solver.AVERAGE_FROM} to SOLVER.MAX_ITER {solver.MAX_ITER} "
            f"every {period} (SOLVER.CHECKPOINT_PERIOD) there are {len(iterations)} checkpoints; "
            "a mean needs 2 or more."
        )
    return iterations


def checkpoint_path(folder: Path, iteration: int) -> Path:
    """Return the checkpoint that is written when so many iterations are done."""
    return folder / f"model_{iteration - 1:07d}.pth"


def check_checkpoints(cfg: CfgNode, num_done: int) -> None:
    """Refuse to go on with a training whose mean could not be taken at the end.

    Raises:
        ValueError: a checkpoint of an iteration that is done is needed and missing.
    """
    for iteration in averaged_iterations(cfg):
        path = checkpoint_path(Path(cfg.OUTPUT_DIR), iteration)
        if iteration <= num_done and not path.is_file():
            raise ValueError(
                f"{path} is missing, which the mean at the end needs. Put it back, leave "
                "SOLVER.CHECKPOINT_PERIOD and AVERAGE_FROM as they were, or set "
                f"SOLVER.AVERAGE_FROM to more than {num_done}, or 0 for no mean."
            )


def average_checkpoints(
    folder: Path, iterations: range, remembered: Container[str] = ()
) -> dict[str, Tensor]:
    """Return the mean of the weights after some iterations, summed in double precision.

    What is no floating-point number, such as a count of batches, is that of the last.

    Args:
        folder: the OUTPUT_DIR of the training.
        iterations: done when a checkpoint was written.
        remembered: names of what is no weight, from `remembered_buffers`; that of the last too.

    Raises:
        FileNotFoundError: a checkpoint is missing.
    """
    total: dict[str, Tensor] = {}
    for iteration in iterations:
        weights = read_checkpoint(checkpoint_path(folder, iteration))
        for name, tensor in weights.items():
            is_mean = tensor.is_floating_point() and name not in remembered
            total[name] = total.get(name, 0) + tensor.double() if is_mean else tensor
    return {
        name: (tensor / len(iterations)).float() if tensor.dtype == torch.float64 else tensor
        for name, tensor in total.items()
    }


def remembered_buffers(model: nn.Module) -> set[str]:
    """Return the names of what a model remembers of its training beside its weights.

    That is the memory of classes, whose mean would be too short where a class was seen late, and
    the queues of contrastive learning; not the running statistics of norms.
    """
    names = (name for name, _ in model.named_buffers())
    return {name for name in names if not name.rpartition(".")[2].startswith("running_")}


class AverageCheckpoints(HookBase):
    """At the end of a training, write the mean of checkpoints, and go on with it to evaluation.

    Args:
        model: of the training, without what distributes it.
        folder: the OUTPUT_DIR.
        iterations: of the checkpoints.
    """

    def __init__(self, model: nn.Module, folder: Path, iterations: range) -> None:
        self.model = model
        self.folder = folder
        self.iterations = iterations

    def after_train(self) -> None:
        """Average, unless the training was broken off."""
        if self.trainer.iter < self.trainer.max_iter:
            return
        path = self.folder / AVERAGE
        if comm.is_main_process():
            with whole_file(path) as unfinished:
                remembered = remembered_buffers(self.model)
                average = average_checkpoints(self.folder, self.iterations, remembered)
                torch.save({"model": average}, unfinished)
            logger.info(
                "%s: the mean of %d checkpoints, from iteration %d on",
                path, len(self.iterations), self.iterations[0],
            )  # fmt: skip
        comm.synchronize()
        load_weights(self.model, str(path), allow_missing=False)
