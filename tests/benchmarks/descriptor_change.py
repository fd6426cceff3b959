"""How much the shape-position descriptor of an object changes over time, which tau is to judge.

    python -m tests.benchmarks.descriptor_change davis2016_dev_val --outside object --radius object

Masks are described at the size at which training describes them.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

import gvseg.data.benchmarks  # noqa: F401  registers the datasets
from gvseg.config import load_config
from gvseg.data.benchmark import annotated_frames, get_benchmark
from gvseg.data.loader import load_records
from gvseg.modeling.task_oriented.learning import DESCRIBED_SIDE
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor, descriptor_change

TAUS = (0.2, 0.5, 0.8)


def changes(
    dataset_name: str, gaps: list[int], descriptor: ShapePositionDescriptor
) -> dict[int, list[float]]:
    """Return the change of each object between frames so far apart, by their distance."""
    benchmark = get_benchmark(dataset_name)
    found: dict[int, list[float]] = {gap: [] for gap in gaps}
    for record in load_records(dataset_name):
        histograms: dict[int, dict[int, torch.Tensor]] = defaultdict(dict)
        for frame_index in annotated_frames(record):
            segments = benchmark.read_labels(record, frame_index).segments
            for position, object_id in enumerate(segments.ids.tolist()):
                if not benchmark.classes.is_thing[segments.classes[position]]:
                    continue
                stride = max(min(segments.size) // DESCRIBED_SIDE, 1)
                mask = segments.mask(position)[stride // 2 :: stride, stride // 2 :: stride]
                if mask.any():
                    histogram = descriptor.histograms(torch.from_numpy(mask.copy())[None])
                    histograms[object_id][frame_index] = histogram.flatten()
        for frames in histograms.values():
            for gap in gaps:
                found[gap] += [
                    float(descriptor_change(before, frames[index + gap]))
                    for index, before in frames.items()
                    if index + gap in frames
                ]
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset")
    parser.add_argument("--config-file", type=Path, help="whose PROJECTS register the dataset")
    parser.add_argument("--gaps", type=int, nargs="+", default=[1, 3, 10, 20], metavar="FRAMES")
    for option in ("--outside", "--radius"):
        parser.add_argument(option, choices=("image", "object"), default="image")
    args = parser.parse_args()
    if args.config_file is not None:
        load_config(args.config_file)
    descriptor = ShapePositionDescriptor(embed_dim=256, outside=args.outside, radius=args.radius)
    table = Table("frames between", "pairs", "median", *(f"below {tau}" for tau in TAUS))
    for gap, values in changes(args.dataset, args.gaps, descriptor).items():
        shares = [f"{100 * np.mean(np.array(values) < tau):.1f} %" for tau in TAUS]
        table.add_row(str(gap), str(len(values)), f"{np.median(values):.2f}", *shares)
    Console().print(table)


if __name__ == "__main__":
    main()
