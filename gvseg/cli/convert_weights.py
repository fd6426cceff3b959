"""Convert a checkpoint of any known origin to one `.safetensors` file with our names."""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from gvseg.checkpoint import MappingReport, load_tensors, read_as_ours
from gvseg.checkpoint.eight_bits import from_eight_bits, in_eight_bits
from gvseg.config import load_config
from gvseg.modeling.build import build_segmenter

logger = logging.getLogger(__name__)


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `convert-weights`."""
    parser = verbs.add_parser("convert-weights", help=__doc__, description=__doc__)
    parser.add_argument("source", help=".pkl, .pth, .bin, .safetensors or a folder")
    parser.add_argument("destination", type=Path, help="the .safetensors file to write")
    parser.add_argument(
        "--config-file", type=Path, help="check the result against the model of this config"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--half", action="store_true", help="store float32 tensors as float16")
    size.add_argument("--int8", action="store_true", help="store weights in eight bits, with a "
                      "scale for each row: half of --half, for this project alone")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="overwrite the destination")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read, rename, check, and write.

    Raises:
        OSError: the source is missing, or the destination exists or cannot be written.
        ValueError: the source is of no known origin, or does not fit the config.
    """
    destination = args.destination
    if destination.suffix != ".safetensors":
        raise ValueError(f"{destination} must end in .safetensors.")
    if destination.is_dir():
        raise IsADirectoryError(f"{destination} is a folder; name a file.")
    if destination.exists() and not args.force:
        raise FileExistsError(f"{destination} exists; add --force to overwrite it.")
    tensors, origin = read_as_ours(args.source)
    tensors = {name: _stored(tensor, args.half) for name, tensor in tensors.items()}
    stored = in_eight_bits(tensors) if args.int8 else tensors
    if args.config_file is not None:
        # No ImageNet weights are wanted below those that are checked.
        overrides = ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", args.source]
        model = build_segmenter(load_config(args.config_file, overrides))
        load_tensors(model, from_eight_bits(stored), MappingReport(args.source, origin))
    _write(stored, destination)
    logger.info(
        "%s (%s) -> %s: %d tensors, %.1f MB",
        args.source, origin, destination, len(tensors), destination.stat().st_size / 1e6,
    )  # fmt: skip


def _stored(tensor: Tensor, half: bool) -> Tensor:
    # A clone has memory of its own, without which the format refuses tensors.
    tensor = tensor.clone(memory_format=torch.contiguous_format)
    return tensor.half() if half and tensor.dtype == torch.float32 else tensor


def _write(tensors: dict[str, Tensor], destination: Path) -> None:
    """Write beside the destination and rename, so that no half-written file takes its place."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    part = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    try:
        part.touch()
        mode = part.stat().st_mode
        save_file(tensors, part)
        part.chmod(mode)  # that of any new file, where the library's is for its owner alone
        part.replace(destination)
    except (OSError, SafetensorError) as error:
        raise OSError(f"{destination} cannot be written: {error}.") from None
    finally:
        part.unlink(missing_ok=True)
