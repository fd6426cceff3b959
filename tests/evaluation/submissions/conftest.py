from pathlib import Path

import pytest

from tests.evaluation.submissions.made_up import Sets


@pytest.fixture(scope="module")
def sets(tmp_path_factory) -> Sets:
    return Sets(tmp_path_factory.mktemp("sets"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "submission"
