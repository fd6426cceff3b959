"""One model, benchmarks of two tasks and class tables: each is scored by its own classes."""

import math

import pytest
import torch

from detectron2.modeling import build_model

from gvseg.engine.evaluation import evaluate
from tests.tiny_model import tiny_config

BOTH = [
    "MODEL.GVSEG.TASK", "mixed",
    "MODEL.GVSEG.LABEL_SETS", "('camvid_val', 'coco128_train')",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "91",
    "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "12",
    "MODEL.GVSEG.QUERY_INIT", "task",
    "MODEL.GVSEG.QUERY_GRID", "4",
    "DATASETS.TEST", "('camvid_val', 'coco128_train')",
    "INPUT.MIN_SIZE_TEST", "0",
]  # fmt: skip


@pytest.mark.usefixtures("small_benchmarks")
def test_benchmarks_of_different_classes_are_scored_with_one_model(tmp_path):
    cfg = tiny_config(*BOTH, "OUTPUT_DIR", str(tmp_path / "out"))
    torch.manual_seed(0)
    results = evaluate(cfg, build_model(cfg))
    assert set(results) == {"camvid_val", "coco128_train"}
    for of_dataset in results.values():
        scores = [score for metrics in of_dataset.values() for score in metrics.values()]
        assert any(math.isfinite(score) for score in scores)
        assert all(0 <= score <= 100 for score in scores if math.isfinite(score))
