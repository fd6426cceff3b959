"""What tests of corrupt benchmarks do alike."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from gvseg.data.benchmark import Benchmark
from gvseg.data.problems import AnnotationError, Problem


def problems_of(benchmark: Benchmark, root: Path, split: str) -> list[Problem]:
    """Return what a collecting report is told, having found that a loader raises the first."""
    found: list[Problem] = []
    benchmark.load_records(root, split, report=found.append)
    assert found, "something is wrong"
    with pytest.raises(AnnotationError) as caught:
        benchmark.load_records(root, split)
    assert caught.value.problem == found[0]
    return found


def edit_json(path: Path, edit: Callable[[dict], object]) -> None:
    """Change a JSON file in place."""
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def truncate(path: Path) -> None:
    """Keep the first half of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
