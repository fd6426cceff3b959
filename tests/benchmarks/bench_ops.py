"""Time deformable attention beside `grid_sample` and, on a GPU, `deformops` if it is installed.

    export MALLOC_MMAP_THRESHOLD_=8589934592 MALLOC_TRIM_THRESHOLD_=17179869184
    OMP_NUM_THREADS=1 MALLOC_TOP_PAD_=268435456 python -m tests.benchmarks.bench_ops
    python -m tests.benchmarks.bench_ops --device cuda

The call is one layer of Mask2Former's pixel decoder: queries are the pixels of three levels, and 8
heads of 32 channels look at 4 points per level, a few pixels around their own place. Contestants
take turns, and the minima of the rounds are compared: on a shared machine the mean measures the
neighbours. On the CPU a round is one call, and the variables above keep page faults out of it. On a
GPU it is many calls between CUDA events, on several sets of arguments in turn, so that none is in
the cache from the call before; the GPU sleeps first, until the host has all calls in the queue.
Writes `ops_<device>.json` into a folder, by default `results` beside this file.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from gvseg import ops

RESULTS = Path(__file__).parent / "results"
FRAMES = {"cpu": (480, 864), "cuda": (736, 1280)}  # height and width, as padded
STRIDES = (8, 16, 32)
HEADS, CHANNELS, POINTS = 8, 32, 4
NOISE = 2.0  # pixels that points stray from where a new module puts them
CALLS_PER_ROUND = 48  # on a GPU
ARGUMENT_SETS = 4  # on a GPU
SLEEP_CYCLES = 100_000_000  # some 50 ms of a GPU, in which the host prepares the calls of a round

Shapes = list[tuple[int, int]]
Arguments = tuple[Tensor, Tensor, Tensor]  # value, locations and weights


@dataclass
class Contestant:
    """An operator, and what it needs to have its arguments in the form that it takes."""

    run: Callable[[Tensor, Shapes, Tensor, Tensor], Tensor]
    prepare: Callable[[Arguments], Arguments] = lambda arguments: arguments


@dataclass
class Row:
    """What was measured of one contestant in one setting."""

    setting: str
    contestant: str
    milliseconds: list[float] = field(default_factory=list)
    peak_megabytes: float | None = None  # beyond the arguments; on a GPU only


def make_arguments(shapes: Shapes, dtype: torch.dtype, device: str, seed: int) -> Arguments:
    """Value, locations and weights of one encoder layer; float32 but for the values."""
    generator = torch.Generator().manual_seed(seed)
    centres = [
        torch.stack(torch.meshgrid(_centres(width), _centres(height), indexing="xy"), dim=-1)
        for height, width in shapes
    ]
    reference = torch.cat([level.flatten(0, 1) for level in centres])
    queries = len(reference)
    samples = (1, queries, HEADS, len(shapes), POINTS)
    module = ops.MSDeformAttn(
        embed_dim=HEADS * CHANNELS, num_heads=HEADS, num_levels=len(shapes), num_points=POINTS
    )
    offsets = module.sampling_offsets.bias.detach().view(1, 1, *samples[2:], 2)
    offsets = offsets + NOISE * torch.randn((*samples, 2), generator=generator)
    extent = torch.tensor([(width, height) for height, width in shapes])[:, None]
    locations = reference[None, :, None, None, None] + offsets / extent
    scores = torch.randn((1, queries, HEADS, len(shapes) * POINTS), generator=generator)
    value = torch.randn((1, queries, HEADS, CHANNELS), generator=generator)
    weights = scores.softmax(-1).view(samples)
    return value.to(device, dtype), locations.to(device), weights.to(device)


def _centres(size: int) -> Tensor:
    return (torch.arange(size) + 0.5) / size


def deformops(shapes: Shapes, device: str) -> Contestant:
    """The peer; its tables of levels and its form of the weights are made before it is timed."""
    from deformops.registry import msda

    table = torch.tensor(shapes, device=device)
    areas = table.prod(-1)
    starts = areas.cumsum(0) - areas

    def run(value: Tensor, spatial_shapes: Shapes, locations: Tensor, weights: Tensor) -> Tensor:
        return msda(value, table, starts, locations, weights)

    def prepare(arguments: Arguments) -> Arguments:
        value, locations, weights = arguments
        return value, locations, weights.flatten(3).to(value.dtype)

    return Contestant(run, prepare)


def forward(contestant: Contestant, shapes: Shapes, arguments: Arguments) -> None:
    """One call without gradients."""
    value, locations, weights = arguments
    with torch.no_grad():
        contestant.run(value, shapes, locations, weights)


def forward_backward(contestant: Contestant, shapes: Shapes, arguments: Arguments) -> None:
    """One call and the gradients of its three tensors."""
    tensors = [tensor.detach().requires_grad_() for tensor in arguments]
    output = contestant.run(tensors[0], shapes, tensors[1], tensors[2])
    torch.autograd.grad(output, tensors, torch.ones_like(output))


def time_calls(runs: Sequence[Callable[[], None]], device: str) -> float:
    """Milliseconds of a call: one on the CPU, a mean of many by turns on a GPU."""
    if device == "cpu":
        start = time.perf_counter()
        runs[0]()
        return 1e3 * (time.perf_counter() - start)
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    torch.cuda._sleep(SLEEP_CYCLES)
    begin.record()
    for call in range(CALLS_PER_ROUND):
        runs[call % len(runs)]()
    end.record()
    if begin.query():
        Console().print(
            "Calls began before all were in the queue: the next number may be the host's."
        )
    end.synchronize()
    return begin.elapsed_time(end) / CALLS_PER_ROUND


def peak_megabytes(run: Callable[[], None]) -> float:
    """GPU memory that one call takes beyond what is allocated already."""
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def measure(device: str, rounds: int) -> list[Row]:
    """Every contestant in every setting, round by round in turns."""
    height, width = FRAMES[device]
    shapes = [(height // stride, width // stride) for stride in STRIDES]
    contestants = {
        "grid_sample": Contestant(ops.ms_deform_attn_reference),
        "gvseg": Contestant(ops.ms_deform_attn),
    }
    if device == "cuda" and importlib.util.find_spec("deformops"):
        contestants["deformops"] = deformops(shapes, device)
    rows = []
    for dtype in [torch.float32] if device == "cpu" else [torch.float32, torch.bfloat16]:
        num_sets = 1 if device == "cpu" else ARGUMENT_SETS
        sets = [make_arguments(shapes, dtype, device, seed) for seed in range(num_sets)]
        for step in (forward, forward_backward):
            setting = f"{step.__name__}, {str(dtype).removeprefix('torch.')}"
            runs = {
                name: [
                    partial(step, contestant, shapes, contestant.prepare(arguments))
                    for arguments in sets
                ]
                for name, contestant in contestants.items()
            }
            rows += measure_in_turns(setting, runs, device, rounds)
    return rows


def measure_in_turns(
    setting: str, runs: Mapping[str, Sequence[Callable[[], None]]], device: str, rounds: int
) -> list[Row]:
    """One row for each contestant; a round before the first warms up."""
    rows = {name: Row(setting, name) for name in runs}
    for index in range(rounds + 1):
        for name, calls in runs.items():
            milliseconds = time_calls(calls, device)
            if index:
                rows[name].milliseconds.append(round(milliseconds, 4))
    if device == "cuda":
        for name, calls in runs.items():
            rows[name].peak_megabytes = round(peak_megabytes(calls[0]), 1)
    return list(rows.values())


def machine(device: str) -> str:
    """What the numbers were measured on."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{names[0] if names else platform.machine()}, {len(names)} cores"


def commit() -> str:
    """The last commit that changed the operators, marked where files differ from it."""
    root = Path(__file__).parents[2]
    if not (root / ".git").exists():
        return "unknown"

    def git(*arguments: str) -> str:
        command = ["git", *arguments, "--", "gvseg/ops"]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=root).stdout

    changed = "-changed" if git("status", "--porcelain") else ""
    return git("log", "-1", "--format=%h").strip() + changed


def ratio(rows: list[Row], row: Row) -> float:
    """How many times as long as this contestant `grid_sample` takes, by minima."""
    peer = next(r for r in rows if r.setting == row.setting and r.contestant == "grid_sample")
    return min(peer.milliseconds) / min(row.milliseconds)


def report(rows: list[Row], device: str, folder: Path) -> None:
    """Print the table and write the JSON."""
    frame = "{}x{}".format(*FRAMES[device])
    table = Table(
        title=f"ms_deform_attn, {frame}, {machine(device)}", caption=ops.backend_summary()
    )
    columns = ("setting", "contestant", "minimum ms", "median ms", "grid_sample / this", "peak MB")
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(
            row.setting,
            row.contestant,
            f"{min(row.milliseconds):.3f}",
            f"{statistics.median(row.milliseconds):.3f}",
            f"{ratio(rows, row):.2f}",
            "" if row.peak_megabytes is None else f"{row.peak_megabytes:.1f}",
        )
    Console(width=120).print(table)
    result = {
        "what": "ms_deform_attn of one encoder layer, 8 heads x 32 channels, 4 points, strides "
        "8, 16, 32; queries are the pixels",
        "frame": list(FRAMES[device]),
        "machine": machine(device),
        "threads": torch.get_num_threads(),
        "kernels": ops.backend_summary(),
        "date": date.today().isoformat(),
        "commit": commit(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "rows": [
            {**asdict(row), "grid_sample_over_this": round(ratio(rows, row), 2)} for row in rows
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"ops_{device}.json").write_text(json.dumps(result, indent=1) + "\n")


def main() -> None:
    """Measure, print a table, write the result."""
    parser = argparse.ArgumentParser(description="Time deformable attention beside its peers.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device", choices=list(FRAMES), default="cpu")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the JSON")
    args = parser.parse_args()
    if not ops.is_compiled(args.device):
        parser.error(f"the kernels for {args.device} were not built: {ops.backend_summary()}")
    torch.set_num_threads(1)
    report(measure(args.device, args.rounds), args.device, args.output)


if __name__ == "__main__":
    main()
