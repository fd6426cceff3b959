"""Train and score rows of `docs/ablation.md` over several seeds, one after the other.

python -m tests.benchmarks.ablation --start-config-file configs/quick/ablation_start.yaml \\
    --config-file configs/quick/ablation_vis.yaml --rows a --seeds 1 2 3 [--opts KEY VALUE ...]

As the paper's rows start from a trained Mask2Former, these start from one that is trained first:
with learnt queries, or with those of its task where the row has these, so that no row has to learn
its queries in less time than another. A run that was stopped goes on, and one that is done is not
repeated, so that the command may be given again. The table at the end is of all that is done.
"""

import argparse
import json
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from gvseg.evaluation.protocols import METRICS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "ablation.md"
AP, HOTA = "ap/youtube_vis", "hota/trackeval"
SHOWN = [f"{AP}/AP", f"{AP}/AR100", f"{HOTA}/HOTA", f"{HOTA}/DetA", f"{HOTA}/AssA"]
ROW = re.compile(r"\| \((?P<group>[a-e])\) (?P<title>[^|]+?) \| (?:`(?P<keys>[^`]*)`|none)")


@dataclass(frozen=True)
class Row:
    """One line of the page's table."""

    name: str  # such as a1
    title: str
    overrides: list[str]


def read_rows(group: str) -> list[Row]:
    """Return the rows of one part of the paper's Table 4, in their order."""
    found = [match for match in ROW.finditer(PAGE.read_text()) if match["group"] == group]
    return [
        Row(f"{group}{number}", match["title"], (match["keys"] or "").split())
        for number, match in enumerate(found, 1)
    ]


def read_metrics(folder: Path) -> dict[str, float]:
    """Return the last scores of a training, none where it is not done."""
    path = folder / "metrics.json"
    if not (folder / "model_final.pth").exists() or not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    scored = [line for line in lines if any(key.rpartition("/")[0] in METRICS for key in line)]
    return scored[-1] if scored else {}


def train_row(row: Row, seed: int, options: argparse.Namespace) -> None:
    """Train a row from its start, which is trained before where need be."""
    overrides = [*row.overrides, "SEED", str(seed)]
    if options.start_config_file is not None:
        starts_learnt = "MODEL.GVSEG.QUERY_INIT learned" in " ".join(row.overrides)
        start = read_rows("a")[0 if starts_learnt else 2]
        folder = options.output / f"start_{start.name}"
        train(options.start_config_file, folder, [*options.opts, *start.overrides])
        overrides += ["MODEL.WEIGHTS", str(folder / "model_final.pth")]
    folder = options.output / f"{row.name}_seed{seed}"
    train(options.config_file, folder, [*options.opts, *overrides])


def train(config_file: Path, folder: Path, overrides: list[str]) -> None:
    """Run one training to its end, from where it was stopped."""
    if read_metrics(folder):
        return
    command = [sys.executable, "-W", "ignore", str(ROOT / "train_net.py"), "--resume"]
    command += ["--num-gpus", "0", "--config-file", str(config_file), *overrides]
    command += ["OUTPUT_DIR", str(folder)]
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "output.txt").open("w") as output:
        subprocess.run(command, check=True, stdout=output, stderr=subprocess.STDOUT)


def table(rows: list[Row], options: argparse.Namespace) -> str:
    """Return mean and, from the least to the greatest, the scores of all seeds in Markdown."""
    lines = [["row", "seeds", *options.metrics], ["---"] * (2 + len(options.metrics))]
    for row in rows:
        folders = sorted(options.output.glob(f"{row.name}_seed*"))
        scores = [found for folder in folders if (found := read_metrics(folder))]
        cells = []
        for metric in options.metrics:
            values = [value for found in scores for key, value in found.items() if key == metric]
            cells.append(
                f"{statistics.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"
                if values
                else ""
            )
        lines.append([f"({row.name[0]}) {row.title}", str(len(scores)), *cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--config-file", type=Path, required=True, help="of the rows")
    add("--start-config-file", type=Path, help="of what they start from (default: the config says)")
    add("--rows", nargs="+", default=["a"], help="parts of the table, or single rows such as a1")
    add("--seeds", nargs="*", type=int, default=[1, 2], help="none: print the table alone")
    add("--metrics", nargs="+", default=SHOWN)
    add("--output", type=Path, default=Path("output/ablation"))
    add("--opts", nargs="*", default=[], metavar="KEY VALUE", help="for all rows")
    options = parser.parse_args()
    rows = [row for name in options.rows for row in read_rows(name[0]) if row.name.startswith(name)]
    for seed in options.seeds:
        for row in rows:
            train_row(row, seed, options)
    sys.stdout.write(table(rows, options) + "\n")


if __name__ == "__main__":
    main()
