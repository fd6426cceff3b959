"""Draw the learning curves of trainings: the loss and, where they were evaluated, their metrics."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import median_filter

logger = logging.getLogger(__name__)

HEADLINES = ("AP", "J&F", "mIoU", "VPQ", "STQ", "HOTA")
SMOOTHED = 15  # points of the loss whose median is drawn
INCHES = (4.2, 2.6)  # of one chart

Points = list[tuple[int, float]]  # iteration and value


@dataclass
class Curves:
    """What one training logged."""

    loss: Points = field(default_factory=list)
    metrics: dict[str, Points] = field(default_factory=dict)


def add_parser(verbs: argparse._SubParsersAction) -> None:
    """Add the verb `plot-training`."""
    parser = verbs.add_parser("plot-training", help=__doc__, description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="OUTPUT_DIR",
                        help="of trainings, each of which gets a row of charts")  # fmt: skip
    parser.add_argument("--output", type=Path, required=True, help="a .png, .svg or .pdf")
    parser.add_argument("--metrics", nargs="+", default=HEADLINES, metavar="METRIC",
                        help="as evaluation prints them, default: %(default)s")  # fmt: skip
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Read `metrics.json` of every folder and draw.

    Raises:
        OSError: a folder has none, or the picture cannot be written.
        ValueError: a file is damaged or of no training.
    """
    trainings = {str(folder): read_curves(folder, args.metrics) for folder in args.folders}
    draw(trainings).savefig(args.output, dpi=110)
    logger.info("%s", args.output)


def read_curves(folder: Path, metrics: Sequence[str]) -> Curves:
    """Read what a training logged; what it logged again, as it was stopped and resumed, once.

    Of another training that wrote to the same folder before, nothing is left.
    """
    path = folder / "metrics.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; {folder} is not the output of a training.")
    loss: dict[int, float] = {}
    found: dict[str, dict[int, float]] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            logged = json.loads(line)
            # Losses, and what is evaluated on the way, go by the iterations done before, the
            # evaluation after the last by all of them. Losses of later iterations may come first.
            is_at_end = "total_loss" not in logged and max(loss, default=0) <= logged["iteration"]
            iteration = logged["iteration"] + (not is_at_end)
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}, line {number}, is damaged ({error!r}); remove the line."
            ) from error
        if "total_loss" in logged:
            for points in (loss, *found.values()):
                for later in [logged_at for logged_at in points if logged_at > iteration]:
                    del points[later]
            loss[iteration] = logged["total_loss"]
        for key, value in logged.items():
            if key.rsplit("/", 1)[-1] in metrics:
                found.setdefault(key, {})[iteration] = value
    if not loss:
        raise ValueError(f"{path} has no losses; {folder} is not the output of a training.")
    return Curves(sorted(loss.items()), {key: sorted(found[key].items()) for key in sorted(found)})


def draw(trainings: dict[str, Curves]) -> Figure:
    """Return a figure with a row for each training."""
    figure = Figure(figsize=(2 * INCHES[0], len(trainings) * INCHES[1]), layout="constrained")
    rows = figure.subplots(len(trainings), 2, squeeze=False)
    for (name, curves), (left, right) in zip(trainings.items(), rows, strict=True):
        _draw_loss(left, curves.loss)
        left.set_ylabel(name)
        for key, points in curves.metrics.items():
            right.plot(*zip(*points, strict=True), marker=".", label=key)
        if curves.metrics:
            right.set_title("metrics")
            right.legend(fontsize="x-small")
        else:
            right.set_axis_off()
        for chart in (left, right):
            chart.set_xlim(0, None)
            chart.grid(alpha=0.3)
    for chart in rows[-1]:
        chart.set_xlabel("iteration")
    return figure


def _draw_loss(chart: Axes, points: Points) -> None:
    iterations, losses = np.array(points).T
    chart.plot(iterations, losses, color="0.8", linewidth=0.8)
    chart.plot(iterations, median_filter(losses, SMOOTHED, mode="nearest"), color="tab:blue")
    chart.set_title("loss")
    # The first losses of a new model would leave no room for the rest.
    chart.set_ylim(0, 1.5 * np.quantile(losses, 0.9))
