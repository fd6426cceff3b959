"""Benchmarks run by hand only, so at least what they import is to be there."""

import importlib
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.plot_ablation import HEADS, PAGE, read_table

MODULES = sorted(path.stem for path in Path(__file__).with_name("benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__init__"])
def test_benchmark_imports_what_there_is(name):
    assert importlib.import_module(f"tests.benchmarks.{name}").__doc__


def test_tables_are_read_with_their_spread():
    page = "| row | AP | note |\n| --- | --- | --- |\n| (a) all | 19.1 (15.7 to 20.9) | x |\n"
    page += "| (b) one | 3 | |\n\nMore.\n"
    titles, columns = read_table(page, "| row | AP |")
    assert titles == ["(a) all", "(b) one"]
    assert list(columns) == ["AP"]
    np.testing.assert_array_equal(columns["AP"], [[19.1, 15.7, 20.9], [3, 3, 3]])
    with pytest.raises(ValueError, match="no table that begins with"):
        read_table(page, "| row | HOTA |")


@pytest.mark.parametrize("head", HEADS)
def test_page_has_the_tables_that_are_drawn(head):
    _, names = HEADS[head]
    titles, columns = read_table(PAGE.read_text(encoding="utf-8"), head)
    assert len(titles) >= 5
    assert set(names) <= set(columns)
