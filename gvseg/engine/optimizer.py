"""Parameter groups, optimizers, schedules and gradient clipping as configs name them."""

from __future__ import annotations

import torch
from fvcore.common.param_scheduler import PolynomialDecayParamScheduler
from torch import nn

from detectron2.config import CfgNode
from detectron2.solver import LRMultiplier, WarmupParamScheduler
from detectron2.solver import build_lr_scheduler as build_detectron2_scheduler

NORMS = (
    nn.modules.batchnorm._BatchNorm,
    nn.modules.instancenorm._InstanceNorm,
    nn.GroupNorm,
    nn.LayerNorm,
)


def build_optimizer(cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer: a slower backbone, no weight decay on norms, embeddings and scalars."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    seen: set[nn.Parameter] = set()
    for module_name, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad or parameter in seen:
                continue
            seen.add(parameter)
            # DistributedDataParallel puts "module." in front.
            in_backbone = "backbone" in module_name.split(".")
            rate = cfg.SOLVER.BASE_LR * (cfg.SOLVER.BACKBONE_MULTIPLIER if in_backbone else 1.0)
            if name == "bias":
                rate *= cfg.SOLVER.BIAS_LR_FACTOR
            groups.setdefault((rate, _weight_decay(cfg, module, name, parameter)), []).append(
                parameter
            )
    if not groups:
        raise ValueError("No parameter of the model requires a gradient.")
    options = [
        {"params": parameters, "lr": rate, "weight_decay": decay}
        for (rate, decay), parameters in groups.items()
    ]
    kind = cfg.SOLVER.OPTIMIZER
    if kind == "ADAMW":
        return torch.optim.AdamW(options, cfg.SOLVER.BASE_LR)
    if kind == "SGD":
        return torch.optim.SGD(
            options,
            cfg.SOLVER.BASE_LR,
            momentum=cfg.SOLVER.MOMENTUM,
            nesterov=cfg.SOLVER.NESTEROV,
        )
    raise ValueError(f"SOLVER.OPTIMIZER is {kind!r}; choose ADAMW or SGD.")


def _weight_decay(cfg: CfgNode, module: nn.Module, name: str, parameter: nn.Parameter) -> float:
    if parameter.ndim == 0:  # a scale or a threshold, for which 0 means nothing
        return 0.0
    if name == "bias" and cfg.SOLVER.WEIGHT_DECAY_BIAS is not None:  # also of norms
        return cfg.SOLVER.WEIGHT_DECAY_BIAS
    if isinstance(module, NORMS):
        return cfg.SOLVER.WEIGHT_DECAY_NORM
    if isinstance(module, nn.Embedding):
        return cfg.SOLVER.WEIGHT_DECAY_EMBED
    if name == "relative_position_bias_table":  # Swin's, as its authors train it
        return 0.0
    return cfg.SOLVER.WEIGHT_DECAY


def build_scheduler(
    cfg: CfgNode, optimizer: torch.optim.Optimizer
) -> torch.optim.lr_scheduler.LRScheduler:
    """Return the learning rate schedule: detectron2's, or `WarmupPolyLR`."""
    solver = cfg.SOLVER
    if solver.LR_SCHEDULER_NAME != "WarmupPolyLR":
        return build_detectron2_scheduler(cfg, optimizer)
    if solver.POLY_LR_CONSTANT_ENDING:
        raise ValueError("SOLVER.POLY_LR_CONSTANT_ENDING must be 0: other endings do not exist.")
    decay = PolynomialDecayParamScheduler(1.0, solver.POLY_LR_POWER)
    length = min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0)
    schedule = WarmupParamScheduler(decay, solver.WARMUP_FACTOR, length, solver.WARMUP_METHOD)
    return LRMultiplier(optimizer, schedule, solver.MAX_ITER)


def clip_gradients(cfg: CfgNode, model: nn.Module) -> float:
    """Clip the gradient of the whole model or of each parameter in place, as the config says.

    Returns:
        the norm of the whole gradient before clipping.
    """
    clip = cfg.SOLVER.CLIP_GRADIENTS
    parameters = [parameter for parameter in model.parameters() if parameter.grad is not None]
    whole = nn.utils.get_total_norm(
        [parameter.grad for parameter in parameters if parameter.grad is not None], clip.NORM_TYPE
    )
    norm: float = whole.item()
    if not clip.ENABLED:
        return norm
    if clip.CLIP_TYPE == "full_model":
        nn.utils.clip_grads_with_norm_(parameters, clip.CLIP_VALUE, whole)
    elif clip.CLIP_TYPE == "value":
        nn.utils.clip_grad_value_(parameters, clip.CLIP_VALUE)
    elif clip.CLIP_TYPE == "norm":
        for parameter in parameters:
            nn.utils.clip_grad_norm_(parameter, clip.CLIP_VALUE, clip.NORM_TYPE)
    else:
        raise ValueError(
            f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {clip.CLIP_TYPE!r}; "
            "choose full_model, value or norm."
        )
    return norm
