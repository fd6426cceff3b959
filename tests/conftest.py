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
