"""Print how often each linker errs on tracks made by hand, as `docs/linkers.md` shows.

A second table is of the weight of descriptors in `ShapePositionLinker`, and a line of their length.

python -m tests.benchmarks.bench_linkers
"""

import sys

import numpy as np

from gvseg.inference.linking import Linker, build_linker
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor
from tests.inference.hand_made_tracks import (
    SCENARIOS,
    Entry,
    link,
    linker_config,
    make_linker,
    num_switches,
    predict,
)

# Heading, name, WINDOW and OVERLAP.
COLUMNS = (
    ("QuerySimilarity", "QuerySimilarityLinker", 1, 0),
    ("ShapePosition", "ShapePositionLinker", 1, 0),
    ("LocationAware", "LocationAwareLinker", 1, 0),
    ("QuasiDense", "QuasiDenseLinker", 1, 0),
    ("QuerySimilarity, clips of 3", "QuerySimilarityLinker", 3, 0),
    ("VideoStitching, 3 sharing 1", "VideoStitchingLinker", 3, 1),
    ("LocationAware, 3 sharing 1", "LocationAwareLinker", 3, 1),
)
WEIGHTS = (1.0, 4.0, 10.0)
NOISES = (0.01, 0.03, 0.06)


def table() -> str:
    """Return the table in Markdown."""
    lines = [["scenario", *(heading for heading, *_ in COLUMNS)], ["---"] * (len(COLUMNS) + 1)]
    for scenario, entry in SCENARIOS.items():
        counts = [
            num_switches(link(make_linker(name, overlap=overlap), entry, window, overlap))
            for _, name, window, overlap in COLUMNS
        ]
        lines.append([scenario, *map(str, counts)])
    return _markdown(lines)


def table_of_weights() -> str:
    """Return the table of `MODEL.LINKER.DESCRIPTOR_WEIGHT` in Markdown."""
    lines = [["scenario", *(f"weight {weight:g}" for weight in WEIGHTS)]]
    lines.append(["---"] * len(lines[0]))
    for scenario in ("look-alikes", "look-alikes that cross"):
        for noise in NOISES:
            entry = Entry(SCENARIOS[scenario].make, noise)
            counts = [num_switches(link(weighted_linker(w), entry, 1, 0)) for w in WEIGHTS]
            lines.append([f"{scenario}, noise {noise:g}", *map(str, counts)])
    return _markdown(lines)


def weighted_linker(weight: float) -> Linker:
    """Return a `ShapePositionLinker` whose descriptors have a weight."""
    cfg = linker_config("ShapePositionLinker")
    cfg.MODEL.LINKER.DESCRIPTOR_WEIGHT = weight
    return build_linker(cfg)


def descriptor_length(channels: int) -> float:
    """Return the mean length of H in the frames of `look-alikes`."""
    cfg = linker_config("ShapePositionLinker")
    cfg.MODEL.MASK_FORMER.HIDDEN_DIM = channels
    frames = SCENARIOS["look-alikes"].make()
    prediction, _ = predict(frames, np.random.default_rng(0), len(frames), 0.0)
    lengths = ShapePositionDescriptor(cfg)(prediction.mask_logits > 0).norm(dim=-1)
    return lengths[lengths > 0].mean().item()


def _markdown(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(f"{table()}\n\n{table_of_weights()}\n\n")
    for channels in (64, 256):
        sys.stdout.write(f"{channels} channels: descriptors are {descriptor_length(channels):.1f}")
        sys.stdout.write(f" long, embeddings {channels**0.5:.0f}\n")
