"""Fixtures that several folders of tests share."""

from pathlib import Path

import pytest

from tests.data.small_benchmarks import write_camvid, write_coco128


@pytest.fixture
def small_benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write small made-up benchmarks in their own layouts and make them the ones in use."""
    write_camvid(tmp_path)
    write_coco128(tmp_path)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a change that means to move numbers write new ones, to be read in the diff."""
    parser.addoption("--update-golden", action="store_true", help="rewrite tests/golden")
