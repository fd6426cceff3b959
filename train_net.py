#!/usr/bin/env python
"""Train or evaluate a config.

python train_net.py --config-file configs/camvid/gvseg_effnet_lite0.yaml --num-gpus 1
python train_net.py --config-file ... --eval-only MODEL.WEIGHTS model_final.pth
"""

from __future__ import annotations

import argparse
import builtins
import logging
import re
import sys
import warnings

import torch
from fvcore.common.checkpoint import Checkpointer
from torch.multiprocessing import ProcessRaisedException

with warnings.catch_warnings():
    # detectron2 scripts functions while it is imported, which recent versions of torch warn of.
    warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
    from detectron2.config import CfgNode
    from detectron2.engine import default_argument_parser, default_setup, launch
    from detectron2.utils import comm
    from detectron2.utils.logger import setup_logger

    from gvseg.checkpoint import checkpoint_file, load_weights
    from gvseg.config import load_config
    from gvseg.engine.evaluation import check_evaluation, evaluate
    from gvseg.engine.trainer import Trainer

logger = logging.getLogger("gvseg.train_net")

# What a user can mend, told in one line; ModuleNotFoundError is weights in a package not installed.
MISTAKES = (OSError, ValueError, FloatingPointError, ModuleNotFoundError)


def setup(args: argparse.Namespace) -> CfgNode:
    """Read the config, prepare OUTPUT_DIR and the logs."""
    cfg = load_config(args.config_file, args.opts)
    if not args.eval_only:
        check_batch(cfg)
    on_cpu = cfg.MODEL.DEVICE.startswith("cuda") and not args.num_gpus
    if on_cpu:
        cfg.defrost()
        cfg.MODEL.DEVICE = "cpu"
        cfg.freeze()
    default_setup(cfg, args)
    setup_logger(cfg.OUTPUT_DIR, distributed_rank=comm.get_rank(), name="gvseg")
    if on_cpu:
        logger.warning("Running on the CPU: --num-gpus is 0.")
    return cfg


def check_batch(cfg: CfgNode) -> None:
    """Refuse a batch of which no process, or not each, would get the same share."""
    # Where the config names the processes it was made for, the batch is scaled to those here.
    processes = cfg.SOLVER.REFERENCE_WORLD_SIZE or comm.get_world_size()
    if cfg.SOLVER.IMS_PER_BATCH < 1 or cfg.SOLVER.IMS_PER_BATCH % processes:
        raise ValueError(
            f"SOLVER.IMS_PER_BATCH is {cfg.SOLVER.IMS_PER_BATCH}; give a multiple of the "
            f"number of processes, {processes}."
        )


def last_checkpoint(cfg: CfgNode) -> str:
    """Return the last checkpoint of the training in OUTPUT_DIR, or its weights where it has none.

    As in detectron2 that is what `--resume` means, also for an evaluation.
    """
    checkpointer = Checkpointer(torch.nn.Module(), cfg.OUTPUT_DIR)
    weights = cfg.MODEL.WEIGHTS
    if checkpointer.has_checkpoint():
        weights = checkpointer.get_checkpoint_file()
    logger.info("--resume: evaluating %s", weights)
    return weights


def main(args: argparse.Namespace) -> dict:
    """Run one process of a training or an evaluation."""
    cfg = setup(args)
    if args.eval_only:
        weights = last_checkpoint(cfg) if args.resume else cfg.MODEL.WEIGHTS
        if not weights:
            raise ValueError("--eval-only needs weights: append MODEL.WEIGHTS <file>.")
        checkpoint_file(weights)  # mistakes are told before the model is built
        check_evaluation(cfg)
        model = Trainer.build_model(cfg)
        load_weights(model, weights, allow_missing=False)
        return evaluate(cfg, model)
    trainer = Trainer(cfg)
    trainer.resume_or_load(args.resume)
    return trainer.train()


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Return detectron2's options; --num-gpus 0 means the CPU, and is the default without a GPU."""
    parser = default_argument_parser(__doc__)
    parser.set_defaults(num_gpus=min(torch.cuda.device_count(), 1))
    args = parser.parse_args(argv)
    if not args.config_file:
        parser.error("--config-file is needed; see configs/")
    return args


def mistake_of_child(error: ProcessRaisedException) -> str | None:
    """Return what a mistake told by a spawned process says, None where it is a fault instead."""
    lines = list(re.finditer(r"^([A-Za-z_]\w*)(?:: |$)", str(error), re.MULTILINE))
    if not lines:
        return None
    kind = getattr(builtins, lines[-1][1], None)
    if not isinstance(kind, type) or not issubclass(kind, MISTAKES):
        return None
    return str(error)[lines[-1].end() :].strip()


def run(args: argparse.Namespace) -> None:
    """Run all processes; a mistake of the user ends the program with one line."""
    try:
        if args.num_gpus > torch.cuda.device_count():
            raise ValueError(
                f"--num-gpus is {args.num_gpus}, but there are {torch.cuda.device_count()} GPUs "
                "that PyTorch can use here; 0 runs on the CPU."
            )
        launch(
            main,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
    except MISTAKES as error:
        sys.exit(f"train_net.py: {error}")
    except ProcessRaisedException as error:
        mistake = mistake_of_child(error)
        if mistake is None:
            raise
        sys.exit(f"train_net.py: {mistake}")


if __name__ == "__main__":
    run(parse_args())
