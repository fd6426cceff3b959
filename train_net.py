#!/usr/bin/env python
"""Train or evaluate a config.

python train_net.py --config-file configs/camvid/gvseg_effnet_lite0.yaml --num-gpus 1
python train_net.py --config-file ... --eval-only MODEL.WEIGHTS model_final.pth
"""

from __future__ import annotations

import argparse
import logging
import sys

import torch

from detectron2.config import CfgNode
from detectron2.engine import default_argument_parser, default_setup, launch
from detectron2.utils import comm
from detectron2.utils.logger import setup_logger

from gvseg.checkpoint import load_weights
from gvseg.config import load_config
from gvseg.engine.evaluation import evaluate
from gvseg.engine.trainer import Trainer

logger = logging.getLogger("gvseg.train_net")


def setup(args: argparse.Namespace) -> CfgNode:
    """Read the config, prepare OUTPUT_DIR and the logs."""
    cfg = load_config(args.config_file, args.opts)
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


def main(args: argparse.Namespace) -> dict:
    """Run one process of a training or an evaluation."""
    cfg = setup(args)
    if args.eval_only:
        if not cfg.MODEL.WEIGHTS:
            raise ValueError("--eval-only needs weights: append MODEL.WEIGHTS <file>.")
        model = Trainer.build_model(cfg)
        load_weights(model, cfg.MODEL.WEIGHTS, allow_missing=False)
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


if __name__ == "__main__":
    args = parse_args()
    try:
        launch(
            main,
            args.num_gpus,
            num_machines=args.num_machines,
            machine_rank=args.machine_rank,
            dist_url=args.dist_url,
            args=(args,),
        )
    except (OSError, ValueError, FloatingPointError) as error:
        sys.exit(f"train_net.py: {error}")
