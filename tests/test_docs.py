"""What the documentation says of benchmarks is what the code knows."""

import re
from pathlib import Path

import pytest

from gvseg.data.benchmarks import BENCHMARKS
from gvseg.evaluation.protocols import METRICS
from gvseg.evaluation.submissions import FORMATS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")


def rows() -> list[list[str]]:
    """The cells of the tables' rows, the heads among them."""
    return [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("| ")]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


ROWS = [[cell.strip() for cell in row] for row in rows() if len(row) == 8][1:]
ROW_OF_NAME = {name: row for row in ROWS for name in code(row[0])}


def test_every_benchmark_has_a_row_and_every_row_a_benchmark():
    names = [name for row in ROWS for name in code(row[0])]
    assert sorted(names) == sorted(benchmark.name for benchmark in BENCHMARKS)


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_row_tells_task_classes_splits_and_protocols(benchmark):
    _, task, classes, splits, _, scores, _, _ = ROW_OF_NAME[benchmark.name]
    assert task == benchmark.task.value
    num_things = sum(benchmark.classes.is_thing)
    has_both = benchmark.task.has_instances and benchmark.task.has_stuff
    expected = f"{len(benchmark.classes)} ({num_things} things)" if has_both else None
    assert classes == (expected or str(len(benchmark.classes)))
    assert tuple(splits.replace("*", "").split(", ")) == benchmark.splits
    protocols = [name for name in code(scores) if "/" in name]
    assert protocols == list(benchmark.metrics), "docs/benchmarks.md names what is computed"
    assert set(protocols) <= set(METRICS)


def test_every_protocol_and_format_is_explained():
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    first_cells = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    names = [name for cell in first_cells for name in code(cell)]
    assert sorted(names) == sorted([*METRICS, *FORMATS])


def test_formats_are_those_of_the_benchmarks():
    assert {benchmark.submission for benchmark in BENCHMARKS} - {None} == set(FORMATS)


def test_configs_exist():
    folders = [folder for row in ROWS for folder in code(row[6])]
    assert folders
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


def test_known_bugs_are_told_of():
    bugs = [row for row in rows() if len(row) == 4][1:]
    named = [name for row in bugs for name in code(row[0])]
    assert sorted(named) == sorted(b.name for b in BENCHMARKS if b.known_bugs)
