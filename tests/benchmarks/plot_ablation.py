"""Draw the tables of `docs/ablation.md`: means of all seeds, and bars from least to greatest.

python -m tests.benchmarks.plot_ablation --output docs/results/ablation.png
"""

import argparse
import re
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.benchmarks.ablation import PAGE

NARROWEST = 6.0  # what an axis spans at least, so that noise does not look like an effect
SPREAD = ("least", "greatest")
CELL = re.compile(r"(?P<mean>[\d.]+)(?: \((?P<least>[\d.]+) to (?P<greatest>[\d.]+)\))?$")
HEADS = {
    "| row | seeds | AP |": ("made-up videos", ["AP", "HOTA", "AssA"]),
    "| row on pseudo clips | AP |": ("clips of COCO128", ["AP", "HOTA", "AssA"]),
    "| row | VPQ |": ("made-up videos", ["VPQ", "STQ", "AQ"]),
    "| row | VPQ1 |": ("clips of CamVid", ["VPQ4", "STQ", "AQ"]),
}


def read_table(page: str, head: str) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return titles of the rows of a table, and by column mean, least and greatest, (N, 3).

    Raises:
        ValueError: the page has no such table.
    """
    lines = page.splitlines()
    starts = [position for position, line in enumerate(lines) if line.startswith(head)]
    if not starts:
        raise ValueError(f"The page has no table that begins with {head!r}.")
    end = lines.index("", starts[0])
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in lines[starts[0] : end]
    ]
    columns: dict[str, np.ndarray] = {}
    for position, name in enumerate(cells[0]):
        found = [CELL.match(row[position]) for row in cells[2:]]
        if all(found):
            columns[name] = np.array(
                [
                    [float(cell["mean"]), *(float(cell[key] or cell["mean"]) for key in SPREAD)]
                    for cell in found
                    if cell
                ]
            )
    return [row[0] for row in cells[2:]], columns


def draw_rows(axes: Axes, titles: list[str], values: np.ndarray, name: str) -> None:
    """Draw one column, the first row on top."""
    places = np.arange(len(titles))[::-1]
    mean, least, greatest = values.T
    axes.errorbar(mean, places, xerr=[mean - least, greatest - mean], fmt="o", capsize=3)
    axes.set_yticks(places, titles, fontsize=8)
    axes.set_ylim(-0.6, len(titles) - 0.4)
    middle = (least.min() + greatest.max()) / 2
    reach = max(1.2 * (greatest.max() - least.min()), NARROWEST) / 2
    axes.set_xlim(middle - reach, middle + reach)
    axes.set_title(name, fontsize=9)
    axes.grid(alpha=0.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="a .png, .svg or .pdf")
    options = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    figure = Figure(figsize=(10, 9), layout="constrained")
    grid = figure.subplots(len(HEADS), 3, squeeze=False, sharey="row")
    for row, (head, (place, names)) in zip(grid, HEADS.items(), strict=True):
        titles, columns = read_table(page, head)
        for axes, name in zip(row, names, strict=True):
            draw_rows(axes, titles, columns[name], f"{name}, {place}")
    figure.savefig(options.output, dpi=100)


if __name__ == "__main__":
    main()
