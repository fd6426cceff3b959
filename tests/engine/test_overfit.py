"""Learn twenty real images by heart: the whole machine works, from files to masks."""

import dataclasses

import pytest
import torch

from detectron2.utils.env import seed_all_rng

from gvseg.config import load_config
from gvseg.data import get_benchmark
from gvseg.data.benchmark import register, unregister
from gvseg.engine.trainer import Trainer
from tests.tiny_model import CONFIGS

NUM_IMAGES = 20
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture
def twenty_images():
    """The first images of COCO128 that have objects, as a dataset of their own."""
    coco = get_benchmark("coco128_train")

    def load_records(root, split):
        records = coco.load_records(root, split)
        return [record for record in records if record["annotations"][0]][:NUM_IMAGES]

    benchmark = dataclasses.replace(coco, name="coco20", load_records=load_records)
    register(benchmark)
    yield "coco20_train"
    unregister(benchmark)


@pytest.mark.slow
@pytest.mark.data
def test_twenty_images_are_learnt_by_heart(twenty_images, tmp_path):
    cfg = load_config(
        CONFIGS / "quick" / "overfit_coco128.yaml",
        ["DATASETS.TRAIN", f"['{twenty_images}']", "DATASETS.TEST", f"['{twenty_images}']",
         "OUTPUT_DIR", str(tmp_path), "MODEL.DEVICE", DEVICE],
    )  # fmt: skip
    seed_all_rng(cfg.SEED)
    trainer = Trainer(cfg)
    trainer.resume_or_load(False)
    trainer.train()
    (metrics,) = trainer._last_eval_results.values()
    assert metrics["AP50"] > 90
    assert metrics["AP"] > 75
