"""The training loop: detectron2's, with our data, optimizer, precision and evaluation."""

from __future__ import annotations

import logging
import math
import time
import weakref
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import CfgNode
from detectron2.engine import (
    DefaultTrainer,
    HookBase,
    SimpleTrainer,
    TrainerBase,
    create_ddp_model,
)
from detectron2.engine.hooks import EvalHook
from detectron2.utils import comm
from detectron2.utils.events import get_event_storage

from gvseg.checkpoint import load_weights
from gvseg.data.loader import build_test_loader, build_train_loader
from gvseg.engine.averaging import (
    AverageCheckpoints,
    averaged_iterations,
    check_checkpoints,
)
from gvseg.engine.evaluation import check_evaluation, evaluate
from gvseg.engine.optimizer import build_optimizer, build_scheduler, clip_gradients
from gvseg.evaluation import VideoEvaluator, build_evaluator
from gvseg.modeling.build import build_segmenter
from gvseg.precision import autocast_type

logger = logging.getLogger(__name__)


def autocast_dtype(cfg: CfgNode) -> torch.dtype | None:
    """Return the type of mixed precision that the config asks for, None for full precision."""
    if not cfg.SOLVER.AMP.ENABLED:
        return None
    return autocast_type(cfg.SOLVER.AMP.PRECISION, key="SOLVER.AMP.PRECISION")


class TrainingStep(SimpleTrainer):
    """One optimisation step on any device, in full or mixed precision, with clipped gradients.

    Args:
        model: gives a dict of losses for a batch.
        data_loader: gives batches without end.
        optimizer: steps on the clipped gradients.
        clip: clips the gradients of the model in place and returns the norm that they had.
        dtype: of autocast; None for full precision.
        seed: every step draws its random numbers anew from this and its number, so that a training
            that was broken off goes on with those that it would have had; negative leaves it.
    """

    def __init__(
        self,
        model: nn.Module,
        data_loader: Iterable,
        optimizer: torch.optim.Optimizer,
        *,
        clip: Callable[[nn.Module], float],
        dtype: torch.dtype | None,
        seed: int = -1,
    ) -> None:
        super().__init__(model, data_loader, optimizer)
        self.seed = seed
        self.clip = clip
        self.dtype = dtype
        self.device = next(model.parameters()).device.type
        # bfloat16 has the range of float32, so only float16 needs its loss scaled.
        self.scaler = torch.amp.GradScaler(self.device, enabled=dtype == torch.float16)

    def run_step(self) -> None:
        """Fetch a batch, go forward and backward, clip, step."""
        start = time.perf_counter()
        batch = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        if self.seed >= 0:
            numbers = np.random.SeedSequence((self.seed, self.iter, comm.get_rank()))
            torch.manual_seed(int(numbers.generate_state(1, np.uint64)[0] >> np.uint64(1)))
        with torch.autocast(self.device, self.dtype, enabled=self.dtype is not None):
            losses = self.model(batch)
        total = sum(losses.values())
        if not torch.isfinite(total):
            bad = [name for name, loss in losses.items() if not torch.isfinite(loss)]
            raise FloatingPointError(
                f"Iteration {self.iter}: the losses {bad} are not finite. Lower SOLVER.BASE_LR or "
                "check the data; the last checkpoint is untouched."
            )
        self.optimizer.zero_grad()
        self.scaler.scale(total).backward()
        self.scaler.unscale_(self.optimizer)
        norm = self.clip(self.model)
        get_event_storage().put_scalar("gradient_norm", norm)
        # In float16 that happens now and then: the scaler leaves the step out and lowers its scale.
        if not self.scaler.is_enabled() and not math.isfinite(norm):
            raise FloatingPointError(
                f"Iteration {self.iter}: the gradient is not finite, though the losses are. "
                "Lower SOLVER.BASE_LR or check the data; the last checkpoint is untouched."
            )
        self._write_metrics(losses, data_time)
        self.scaler.step(self.optimizer)
        self.scaler.update()

    def state_dict(self) -> dict:
        """Return what a resumed training needs."""
        return {**super().state_dict(), "scaler": self.scaler.state_dict()}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take up the state of an earlier training."""
        super().load_state_dict(state_dict)
        if state_dict["scaler"]:  # else the earlier steps had another precision, and no scale
            self.scaler.load_state_dict(state_dict["scaler"])


class Trainer(DefaultTrainer):
    """Build everything from a config, train, checkpoint, evaluate.

    As in detectron2, a subclass replaces a part by overriding its `build_*`.
    """

    def __init__(self, cfg: CfgNode) -> None:
        TrainerBase.__init__(self)
        averaged_iterations(cfg)  # mistakes are told before the model is built
        self.check_evaluation(cfg)
        cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        # detectron2 would name a GPU for every process; on CPUs there is none to name.
        devices = [comm.get_local_rank()] if cfg.MODEL.DEVICE.startswith("cuda") else None
        model = create_ddp_model(
            model,
            broadcast_buffers=False,
            device_ids=devices,
        )
        self._trainer = TrainingStep(
            model,
            self.build_train_loader(cfg),
            optimizer,
            clip=lambda module: clip_gradients(cfg, module),
            dtype=autocast_dtype(cfg),
            seed=cfg.SEED,
        )
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = DetectionCheckpointer(
            model, cfg.OUTPUT_DIR, trainer=weakref.proxy(self)
        )
        self.start_iter = 0
        self.max_iter = cfg.SOLVER.MAX_ITER
        self.cfg = cfg
        self.register_hooks(self.build_hooks())

    def build_hooks(self) -> list[HookBase]:
        """Return detectron2's hooks, with the mean of checkpoints before it is evaluated."""
        hooks = super().build_hooks()
        iterations = averaged_iterations(self.cfg)
        if iterations:
            average = AverageCheckpoints(unwrap(self.model), Path(self.cfg.OUTPUT_DIR), iterations)
            position = next(i for i, hook in enumerate(hooks) if isinstance(hook, EvalHook))
            hooks.insert(position, average)
        return hooks

    @staticmethod
    def auto_scale_workers(cfg: CfgNode, num_workers: int) -> CfgNode:
        """Scale as detectron2 does where `SOLVER.REFERENCE_WORLD_SIZE` asks for it; our key too."""
        scaled = DefaultTrainer.auto_scale_workers(cfg, num_workers)
        if scaled is cfg:
            return cfg
        period = scaled.SOLVER.CHECKPOINT_PERIOD
        average_from = cfg.SOLVER.AVERAGE_FROM * period / cfg.SOLVER.CHECKPOINT_PERIOD
        scaled.defrost()
        scaled.SOLVER.AVERAGE_FROM = round(average_from)
        scaled.freeze()
        return scaled

    @classmethod
    def check_evaluation(cls, cfg: CfgNode) -> None:
        """Raise the errors that would end the evaluation after the training.

        Raises:
            ValueError: see `gvseg.engine.evaluation.check_evaluation`.
            OSError: a test set is not on disk.
        """
        try:
            check_evaluation(cfg)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{error} Or leave the set out of DATASETS.TEST, on which a training is evaluated "
                "at its end."
            ) from None

    @classmethod
    def build_model(cls, cfg: CfgNode) -> nn.Module:
        """Build the meta-architecture, and say how large it is rather than print all of it."""
        model = build_segmenter(cfg)
        count = sum(parameter.numel() for parameter in model.parameters())
        logger.info("%s with %.2f M parameters", type(model).__name__, count / 1e6)
        return model

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """Return what steps on the gradients."""
        return build_optimizer(cfg, model)

    @classmethod
    def build_lr_scheduler(
        cls, cfg: CfgNode, optimizer: torch.optim.Optimizer
    ) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the schedule of learning rates."""
        return build_scheduler(cfg, optimizer)

    @classmethod
    def build_train_loader(cls, cfg: CfgNode, start_iter: int = 0) -> DataLoader:
        """Return endless batches, those from `start_iter` on where a training is resumed."""
        return build_train_loader(cfg, start_iter)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader:
        """Return the records of this process's share of a test set."""
        return build_test_loader(cfg, dataset_name)

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> VideoEvaluator:
        """Return what scores a test set."""
        return build_evaluator(cfg, dataset_name)

    def resume_or_load(self, resume: bool = True) -> None:
        """Continue from the last checkpoint in OUTPUT_DIR, or load MODEL.WEIGHTS of any origin.

        Raises:
            OSError: a file that is missing or may not be read.
            ValueError: it is damaged, or of a model of other sizes; or an earlier one is missing
                that the mean at the end needs; or there are no weights for a backbone that learns
                from some alone.
        """
        is_resumed = resume and self.checkpointer.has_checkpoint()
        if is_resumed:
            _check_checkpoint(unwrap(self.model), Path(self.checkpointer.get_checkpoint_file()))
            self.checkpointer.resume_or_load("", resume=True)
            self.start_iter = self.iter + 1
            check_checkpoints(self.cfg, self.start_iter)
            # Nothing has been read yet, so there are no workers to stop.
            self._trainer.reset_data_loader(
                lambda: self.build_train_loader(self.cfg, self.start_iter)
            )
        elif self.cfg.MODEL.WEIGHTS:
            load_weights(
                unwrap(self.model),
                self.cfg.MODEL.WEIGHTS,
                reset_class_head=self.cfg.MODEL.GVSEG.CLASS_HEAD_RESET,
            )
        else:
            _check_start(self.cfg)
            logger.warning(
                "MODEL.WEIGHTS is empty: all but what the backbone brings is learnt from scratch."
            )
        if resume and not is_resumed:
            logger.warning(
                "%s holds no checkpoint to resume from: this begins anew.", self.cfg.OUTPUT_DIR
            )

    @classmethod
    def test(cls, cfg: CfgNode, model: nn.Module) -> dict:
        """Evaluate on every set of DATASETS.TEST."""
        return evaluate(
            cfg,
            unwrap(model),
            build_loader=cls.build_test_loader,
            build_scorer=cls.build_evaluator,
        )


def _check_start(cfg: CfgNode) -> None:
    """Refuse to learn a ResNet from nothing behind norms that are frozen to what others learnt."""
    if "resnet" in cfg.MODEL.BACKBONE.NAME and cfg.MODEL.RESNETS.NORM == "FrozenBN":
        raise ValueError(
            "MODEL.WEIGHTS is empty, and batch norms that are frozen (MODEL.RESNETS.NORM FrozenBN) "
            "cannot be learnt from nothing. Name weights, such as those of Mask2Former on COCO "
            "(docs/benchmarks.md has the files), or set MODEL.RESNETS.NORM to BN."
        )


def _check_checkpoint(model: nn.Module, path: Path) -> None:
    """Load weights by our own rules, which refuse what detectron2 skips with a warning."""
    try:
        load_weights(model, str(path), allow_missing=False)
    except ValueError as error:
        raise ValueError(
            f"{error} To go on from an earlier checkpoint, write its name into "
            f"{path.with_name('last_checkpoint')}."
        ) from None


def unwrap(model: nn.Module) -> nn.Module:
    """Return the model inside DistributedDataParallel, or the model itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model
