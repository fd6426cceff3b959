"""Time our post-processing beside Hugging Face's, and what linking adds to a network.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.bench_postprocess

Panoptic segments of one frame of 720p from the same logits of 100 queries, and the linkers on the
same prediction beside the network that makes such predictions. Rounds alternate, and the minima are
compared. Writes `results/postprocess_cpu.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import torch
import transformers
from rich.console import Console
from rich.table import Table
from transformers.models.mask2former.modeling_mask2former import (
    Mask2FormerForUniversalSegmentationOutput,
)

from gvseg.inference.linking import build_linker
from gvseg.inference.postprocess import FrameGeometry, FrameLogits, panoptic_segments
from gvseg.structures import TubePrediction
from tests.benchmarks.bench_network import build_ours, build_peer, measure, processor
from tests.inference.hand_made_tracks import linker_config

RESULT = Path(__file__).parent / "results" / "postprocess_cpu.json"
SIZE = (720, 1280)
PADDED = (736, 1280)
STRIDE = 4
NUM_QUERIES = 100
NUM_CLASSES = 124  # of VIPSeg, of which the first half count as things here
CHANNELS = 256
PEER, OURS, NETWORK = "Hugging Face", "gvseg", "network"
LINKERS = ("QuerySimilarityLinker", "ShapePositionLinker", "LocationAwareLinker",
           "QuasiDenseLinker")  # fmt: skip


def make_prediction(num_kept: int) -> TubePrediction:
    """Return logits of a frame: smooth blobs, of which `num_kept` are surely something."""
    generator = torch.Generator().manual_seed(0)
    height, width = PADDED[0] // STRIDE, PADDED[1] // STRIDE
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.rand(NUM_QUERIES, 3, 1, 1, generator=generator)
    distance = ((y - places[:, 0] * height) ** 2 + (x - places[:, 1] * width) ** 2).sqrt()
    mask_logits = (10 + 50 * places[:, 2] - distance) / 4
    class_logits = torch.randn(NUM_QUERIES, NUM_CLASSES + 1, generator=generator)
    class_logits[num_kept:, -1] += 20
    kept = torch.arange(num_kept)
    class_logits[kept, kept * 7 % NUM_CLASSES] += 20
    embeds = torch.randn(1, NUM_QUERIES, CHANNELS, generator=generator)
    return TubePrediction(class_logits[None], mask_logits[None, :, None], embeds)


def build_processor() -> Callable[[TubePrediction], object]:
    """Return Hugging Face's panoptic post-processing, stuff fused as ours is."""
    peer = transformers.Mask2FormerImageProcessor()
    stuff = set(range(NUM_CLASSES // 2, NUM_CLASSES))

    def process(prediction: TubePrediction) -> object:
        outputs = Mask2FormerForUniversalSegmentationOutput(
            class_queries_logits=prediction.class_logits,
            masks_queries_logits=prediction.mask_logits[:, :, 0],
        )
        return peer.post_process_panoptic_segmentation(
            outputs, threshold=0.8, label_ids_to_fuse=stuff, target_sizes=[SIZE]
        )

    return process


def ours(prediction: TubePrediction) -> object:
    """Return our panoptic segments of the frame."""
    logits = FrameLogits(
        frame_index=0,
        class_logits=prediction.class_logits[0],
        mask_logits=prediction.mask_logits[0, :, 0],
        identities=np.arange(1, NUM_QUERIES + 1),
        geometry=FrameGeometry(original=SIZE, resized=SIZE, padded=PADDED),
    )
    return panoptic_segments(
        logits,
        is_thing=np.arange(NUM_CLASSES) < NUM_CLASSES // 2,
        object_mask_threshold=0.8,
        overlap_threshold=0.8,
    )


def link_with(name: str, prediction: TubePrediction) -> Callable[[], object]:
    """Return one step of a linker that knows the objects of the prediction already."""
    cfg = linker_config(name)
    cfg.MODEL.MASK_FORMER.HIDDEN_DIM = CHANNELS
    linker = build_linker(cfg, is_thing=np.arange(NUM_CLASSES) < NUM_CLASSES // 2)
    linker.link(prediction)
    return lambda: linker.link(prediction)


def main() -> None:
    """Measure, print a table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--network-rounds", type=int, default=3)
    parser.add_argument("--kept", type=int, default=20, help="queries that are something")
    args = parser.parse_args()
    prediction = make_prediction(args.kept)
    process = build_processor()
    with torch.inference_mode():
        runs = {PEER: lambda: process(prediction), OURS: lambda: ours(prediction)}
        runs |= {name: link_with(name, prediction) for name in LINKERS}
        seconds = measure(runs, args.rounds)
        network = build_ours(build_peer())
        frame = torch.randn(1, 1, 3, *PADDED)
        seconds |= measure({NETWORK: lambda: network.segment_clip(frame)}, args.network_rounds)
    report(seconds, args.kept)


def report(seconds: dict[str, list[float]], num_kept: int) -> None:
    """Print the table and write the JSON."""
    fastest = {name: min(values) for name, values in seconds.items()}
    share = {name: fastest[name] / fastest[NETWORK] for name in [OURS, *LINKERS]}
    table = Table(title=f"One frame of {SIZE[0]}p, {num_kept} of {NUM_QUERIES} queries kept, CPU")
    for column in ("what", "minimum ms", "median ms", "share of network"):
        table.add_column(column)
    for name, values in seconds.items():
        part = f"{100 * share[name]:.2f} %" if name in share else ""
        median = statistics.median(values)
        table.add_row(name, f"{1000 * min(values):.1f}", f"{1000 * median:.1f}", part)
    ratio = fastest[PEER] / fastest[OURS]
    Console().print(table)
    Console().print(f"{PEER} / {OURS}: {ratio:.2f}")
    result = {
        "what": "panoptic post-processing and linking of one frame, beside the network, R50",
        "size": list(SIZE),
        "queries": NUM_QUERIES,
        "queries_kept": num_kept,
        "threads": torch.get_num_threads(),
        "seconds": {name: [round(v, 5) for v in values] for name, values in seconds.items()},
        "peer_over_ours": round(ratio, 3),
        "share_of_network": {name: round(value, 5) for name, value in share.items()},
        "date": date.today().isoformat(),
        "processor": processor(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
