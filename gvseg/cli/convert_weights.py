"""Convert a checkpoint of any known origin to one `.safetensors` file with our names."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from detectron2.modeling import build_model

import gvseg.modeling  # noqa: F401  registers what configs name
from gvseg.checkpoint import load_weights, read_as_ours
from gvseg.config import load_config

logger = logging.getLogger(__name__)


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `convert-weights`."""
    parser = verbs.add_parser("convert-weights", help=__doc__, description=__doc__)
    parser.add_argument("source", type=Path, help=".pkl, .pth, .bin, .safetensors or a folder")
    parser.add_argument("destination", type=Path, help="the .safetensors file to write")
    parser.add_argument(
        "--config-file", type=Path, help="check the result against the model of this config"
    )
    parser.add_argument("--half", action="store_true", help="store float32 tensors as float16")
    parser.add_argument("--force", action="store_true", help="overwrite the destination")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, rename, write, and check what was written.

    Raises:
        OSError: the source is missing, or the destination exists or cannot be written.
        ValueError: the source is of no known origin, or does not fit the config.
    """
    if args.destination.suffix != ".safetensors":
        raise ValueError(f"{args.destination} must end in .safetensors.")
    if args.destination.exists() and not args.force:
        raise FileExistsError(f"{args.destination} exists; add --force to overwrite it.")
    tensors, origin = read_as_ours(args.source)
    args.destination.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: _stored(tensor, args.half) for name, tensor in tensors.items()}, args.destination
    )
    megabytes = args.destination.stat().st_size / 1e6
    logger.info(
        "%s (%s) -> %s: %d tensors, %.1f MB",
        args.source, origin, args.destination, len(tensors), megabytes,
    )  # fmt: skip
    if args.config_file is not None:
        # No ImageNet weights are wanted below those that are checked.
        cfg = load_config(
            args.config_file, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", str(args.destination)]
        )
        load_weights(build_model(cfg), args.destination)


def _stored(tensor: Tensor, half: bool) -> Tensor:
    tensor = tensor.contiguous()
    return tensor.half() if half and tensor.dtype == torch.float32 else tensor
