"""Benchmarks run by hand only, so at least what they import is to be there."""

import importlib
from pathlib import Path

import pytest

MODULES = sorted(path.stem for path in Path(__file__).with_name("benchmarks").glob("*.py"))


@pytest.mark.parametrize("name", [name for name in MODULES if name != "__init__"])
def test_benchmark_imports_what_there_is(name):
    assert importlib.import_module(f"tests.benchmarks.{name}").__doc__
