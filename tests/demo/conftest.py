import importlib.util
from pathlib import Path

import cv2
import pytest

from tests.inference.painted_video import crossing_video

DEMO = Path(__file__).resolve().parents[2] / "demo" / "demo.py"


@pytest.fixture(scope="module")
def demo():
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def clip(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for index, image in enumerate(crossing_video(12)):
        cv2.imwrite(str(folder / f"{index}.png"), image[..., ::-1])
    return folder
