"""Time our network beside Hugging Face's Mask2Former, frame by frame, in one process.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.bench_network

Both are Mask2Former R50 of full size on random weights; ours loads the peer's through the
converter, so both do the same work. Rounds alternate, and the minima are compared: on a shared
machine the mean measures the neighbours. Writes `results/network_cpu.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
import transformers
from rich.console import Console
from rich.table import Table

from detectron2.modeling import build_model

import gvseg.modeling  # noqa: F401  registers the meta-architecture
from gvseg.checkpoint import load_weights
from gvseg.config import load_config
from gvseg.ops import backend_summary

BASE = Path(__file__).parents[2] / "configs" / "base" / "mask2former_r50.yaml"
RESULT = Path(__file__).parent / "results" / "network_cpu.json"
STAGES = ["stage1", "stage2", "stage3", "stage4"]


def build_peer() -> torch.nn.Module:
    """Return Hugging Face's Mask2Former with a ResNet-50, on random weights."""
    backbone = transformers.ResNetConfig(
        depths=[3, 4, 6, 3], layer_type="bottleneck", out_features=STAGES
    )
    config = transformers.Mask2FormerConfig(backbone_config=backbone, num_labels=80)
    torch.manual_seed(0)
    return transformers.Mask2FormerForUniversalSegmentation(config).eval()


def build_ours(peer: torch.nn.Module, *overrides: str) -> torch.nn.Module:
    """Return our model with the weights of the peer."""
    options = ["MODEL.DEVICE", "cpu", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "80",
               "MODEL.GVSEG.POSITION_DIMS", "2", *overrides]  # fmt: skip
    model = build_model(load_config(BASE, options)).eval()
    with tempfile.TemporaryDirectory() as folder:
        peer.save_pretrained(folder)
        report = load_weights(model, folder)
    assert not report.missing, report.summary()
    return model


def measure(
    runs: dict[str, Callable[[], object]],
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Return the seconds of every round of every run, taken in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(rounds + 1):
        for name, run in runs.items():
            start = clock()
            run()
            if index:  # the first round warms up
                seconds[name].append(clock() - start)
    return seconds


def main() -> None:
    """Measure, print a table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--size", type=int, nargs=2, default=(480, 864), help="height and width")
    args = parser.parse_args()
    torch.manual_seed(1)
    frame = torch.randn(1, 3, *args.size)
    peer = build_peer()
    models = {
        "gvseg": build_ours(peer),
        "gvseg, masks resampled": build_ours(peer, "MODEL.GVSEG.ATTENTION_MASK", "resample_masks"),
    }
    runs: dict[str, Callable[[], object]] = {"Hugging Face": lambda: peer(pixel_values=frame)}
    runs |= {
        name: (lambda model=model: model.segment_clip(frame[:, None]))
        for name, model in models.items()
    }
    with torch.inference_mode():
        difference = (
            runs["gvseg"]().class_logits - runs["Hugging Face"]().class_queries_logits
        ).abs().max()  # fmt: skip
        seconds = measure(runs, args.rounds)
    report(seconds, float(difference), args.size)


def processor() -> str:
    """Return what Linux calls the processor, or what Python does elsewhere."""
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} cores" if names else platform.processor()


def report(seconds: dict[str, list[float]], difference: float, size: tuple[int, int]) -> None:
    """Print the table and write the JSON."""
    peer = min(seconds["Hugging Face"])
    title = f"Mask2Former R50, one frame of {size[0]}x{size[1]}, CPU"
    table = Table(title=title, caption=backend_summary())
    for column in ("network", "minimum s", "median s", "peer / this"):
        table.add_column(column)
    for name, values in seconds.items():
        table.add_row(
            name, f"{min(values):.2f}", f"{statistics.median(values):.2f}",
            f"{peer / min(values):.2f}",
        )  # fmt: skip
    Console().print(table)
    result = {
        "what": "one frame through the network, Mask2Former R50, random weights",
        "size": list(size),
        "threads": torch.get_num_threads(),
        "operator": backend_summary(),
        "seconds": {name: [round(v, 4) for v in values] for name, values in seconds.items()},
        "peer_over_ours": round(peer / min(seconds["gvseg"]), 3),
        "largest_difference_of_class_logits": difference,
        "date": date.today().isoformat(),
        "processor": processor(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
