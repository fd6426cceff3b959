import importlib.util
from pathlib import Path

import cv2
import pytest
from safetensors.torch import save_file

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY

from tests.inference.painted_video import LEGEND, ColorSegmenter, crossing_video

DATASET = "painted_for_the_demo"
DEMO = Path(__file__).resolve().parents[2] / "demo" / "demo.py"


@META_ARCH_REGISTRY.register()
class PaintedSegmenter(ColorSegmenter):
    """A `ColorSegmenter` that a config can name; its colours come from a checkpoint."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.query_decoder.weight.zero_()


@pytest.fixture
def model(tmp_path):
    """Options that choose the painted segmenter."""
    MetadataCatalog.get(DATASET).set(
        thing_classes=list(LEGEND.names), thing_colors=list(LEGEND.colors)
    )
    config = tmp_path / "painted.yaml"
    config.write_text(
        "VERSION: 2\n"
        "MODEL:\n  META_ARCHITECTURE: PaintedSegmenter\n  SEM_SEG_HEAD: {NUM_CLASSES: 5}\n"
        "  LINKER: {NAME: QuerySimilarityLinker}\n"
        "INPUT:\n  FORMAT: RGB\n  MIN_SIZE_TEST: 0\n"
        f"DATASETS:\n  TEST: [{DATASET}]\n"
    )
    weights = tmp_path / "painted.safetensors"
    save_file(ColorSegmenter().state_dict(), weights)
    yield ["--config-file", str(config), "--weights", str(weights), "--device", "cpu"]
    MetadataCatalog.remove(DATASET)


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
