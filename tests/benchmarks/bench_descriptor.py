"""Time the shape-position descriptor beside its network, and show what it sees of small objects.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.bench_descriptor

100 masks of smooth blobs at a quarter of 720p, and one frame of 720p through GvSeg R50 as it is
configured for VIPSeg, with random weights. Counted is processor time: on a shared machine the
neighbours lengthen a long run more than a short one. Before that, how long the descriptors of
discs are by the stride of their masks: the shape of a small one falls apart at a large stride.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from detectron2.modeling import build_model

import gvseg.data  # registers the classes of VIPSeg
import gvseg.modeling  # noqa: F401  registers the meta-architecture
from gvseg.config import load_config
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor
from tests.benchmarks.bench_network import measure, processor

CONFIG = Path(__file__).parents[2] / "configs" / "vipseg" / "gvseg_r50.yaml"
SIZE = (720, 1280)
STRIDE = 4  # of the masks
NUM_MASKS = 100
STRIDES = (4, 8, 16, 32)
RADII = (15, 25, 40, 80)  # pixels of the frame
MAX_RADIUS = max(RADII)
DESCRIPTOR, NETWORK = f"descriptor of {NUM_MASKS} masks", "network, one frame"


def make_blobs(num_masks: int) -> Tensor:
    """Return masks (N, H/4, W/4) bool: ellipses with dents, 20 to 240 pixels of the frame across.

    Their places and shapes are always the same.
    """
    generator = torch.Generator().manual_seed(0)
    height, width = SIZE[0] // STRIDE, SIZE[1] // STRIDE
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.rand(num_masks, 5, 1, 1, generator=generator)
    offset_y, offset_x = y - places[:, 0] * height, x - places[:, 1] * width
    radius = (10 + 110 * places[:, 2]) / STRIDE
    angle = torch.atan2(offset_y, offset_x)
    dents = 1 + 0.3 * (3 * angle + 6 * places[:, 3]).sin()
    return torch.hypot(offset_y * (1 + places[:, 4]), offset_x) < radius * dents


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    report_lengths()
    cfg = load_config(CONFIG, ["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", ""])
    torch.manual_seed(0)
    model, descriptor = build_model(cfg).eval(), ShapePositionDescriptor(cfg)
    masks, images = make_blobs(NUM_MASKS), [[torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8)]]
    runs = {
        DESCRIPTOR: lambda: descriptor(masks),
        NETWORK: lambda: model.segment_clip(model.preprocess(images)),
    }
    with torch.inference_mode():
        seconds = measure(runs, args.rounds, time.process_time)
    report(seconds)


def report_lengths() -> None:
    """Print the median length of the descriptor of discs, at 40 places of a frame."""
    descriptor = ShapePositionDescriptor(embed_dim=256)
    y, x = torch.meshgrid(torch.arange(SIZE[0]), torch.arange(SIZE[1]), indexing="ij")
    share = torch.rand(40, 2, 1, 1, generator=torch.Generator().manual_seed(0))
    # Far enough from the border that the largest is whole.
    places = MAX_RADIUS + share * (torch.tensor(SIZE).view(2, 1, 1) - 2 * MAX_RADIUS)
    distance = torch.hypot(y - places[:, 0], x - places[:, 1])
    table = Table("radius", *(f"stride {stride}" for stride in STRIDES))
    for radius in RADII:
        row = [str(radius)]
        for stride in STRIDES:
            offset = stride // 2
            masks = distance[:, offset::stride, offset::stride] < radius
            lengths = descriptor(masks, torch.tensor(SIZE) / stride).norm(dim=1)
            row.append(f"{lengths.median():.2f}, {100 * (lengths == 0).float().mean():.0f} % empty")
        table.add_row(*row)
    Console().print(table)


def report(seconds: dict[str, list[float]]) -> None:
    """Print the table, and the share of the descriptor."""
    title = f"{torch.get_num_threads()} thread of {processor()}, torch {torch.__version__}"
    table = Table(title=title)
    for column in ("what", "minimum ms", "median ms"):
        table.add_column(column)
    for name, values in seconds.items():
        median = statistics.median(values)
        table.add_row(name, f"{1000 * min(values):.1f}", f"{1000 * median:.1f}")
    share = min(seconds[DESCRIPTOR]) / min(seconds[NETWORK])
    Console().print(table)
    Console().print(f"{DESCRIPTOR}: {100 * share:.2f} % of the network")


if __name__ == "__main__":
    main()
