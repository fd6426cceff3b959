"""What a training starts from: weights of its own, of others, or none."""

import pytest
import torch

from gvseg.engine.trainer import Trainer
from tests.engine.test_trainer import config, train


@pytest.mark.usefixtures("small_benchmarks")
def test_weights_of_another_class_head_start_a_training(tmp_path):
    train(config("coco128", tmp_path / "coco"))
    weights = str(tmp_path / "coco" / "model_final.pth")
    cfg = config("camvid", tmp_path / "out", "MODEL.WEIGHTS", weights)
    with pytest.raises(ValueError, match="CLASS_HEAD_RESET"):
        Trainer(cfg).resume_or_load(False)
    cfg = config(
        "camvid", tmp_path / "out", "MODEL.WEIGHTS", weights,
        "MODEL.GVSEG.CLASS_HEAD_RESET", "True",
        "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "7",
    )  # fmt: skip
    trainer = Trainer(cfg)
    trainer.resume_or_load(False)
    there = torch.load(weights, weights_only=True)["model"]["pixel_decoder.level_embed"]
    assert torch.equal(trainer.model.pixel_decoder.level_embed.detach(), there)


@pytest.mark.usefixtures("small_benchmarks")
def test_what_cannot_be_resumed_is_told(tmp_path, caplog):
    train(config("camvid", tmp_path), resume=True)
    assert f"{tmp_path} holds no checkpoint to resume from" in caplog.text
    assert "MODEL.WEIGHTS is empty" in caplog.text
    wider = config("camvid", tmp_path, "MODEL.MASK_FORMER.DIM_FEEDFORWARD", "48")
    with pytest.raises(
        ValueError, match=r"(?s)model_final\.pth.*write its name into .*last_checkpoint"
    ):
        Trainer(wider).resume_or_load(True)
    last = tmp_path / "model_final.pth"
    last.write_bytes(last.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"model_final\.pth is no readable.*copy it again"):
        Trainer(config("camvid", tmp_path)).resume_or_load(True)


@pytest.mark.usefixtures("small_benchmarks")
def test_frozen_norms_do_not_begin_from_nothing(tmp_path):
    resnet = (
        "MODEL.BACKBONE.NAME", "build_resnet_backbone",
        "MODEL.RESNETS.OUT_FEATURES", "['res2', 'res3', 'res4', 'res5']",
        "MODEL.SEM_SEG_HEAD.IN_FEATURES", "['res2', 'res3', 'res4', 'res5']",
    )  # fmt: skip
    cfg = config("camvid", tmp_path, *resnet, "MODEL.RESNETS.NORM", "FrozenBN")
    with pytest.raises(ValueError, match=r"WEIGHTS is empty.*NORM to BN"):
        Trainer(cfg).resume_or_load(False)
    Trainer(config("camvid", tmp_path, *resnet, "MODEL.RESNETS.NORM", "BN")).resume_or_load(False)
