"""Train for a few steps on small made-up benchmarks, through the trainer that users run."""

import json
from pathlib import Path

import pytest
import torch

from detectron2.utils.env import seed_all_rng
from detectron2.utils.events import EventStorage

from gvseg.engine.trainer import Trainer, TrainingStep, autocast_dtype
from tests.tiny_model import CONFIGS, build_tiny, tiny_config

GOLDEN = Path(__file__).parents[1] / "golden" / "losses.json"
SETS = {name: CONFIGS / name / "gvseg_effnet_lite0.yaml" for name in ("coco128", "camvid")}


def config(name, output, *overrides):
    return tiny_config(
        "OUTPUT_DIR", str(output), "SEED", "7", "DATALOADER.NUM_WORKERS", "0",
        "SOLVER.IMS_PER_BATCH", "2", "SOLVER.MAX_ITER", "2", "SOLVER.STEPS", "[]",
        "SOLVER.WARMUP_ITERS", "1", "INPUT.IMAGE_SIZE", "64", "INPUT.MIN_SIZE_TRAIN", "[32, 48]",
        "INPUT.MIN_SIZE_TEST", "48", *overrides, config_file=SETS[name],
    )  # fmt: skip


def train(cfg, resume=False):
    seed_all_rng(cfg.SEED)
    trainer = Trainer(cfg)
    trainer.resume_or_load(resume)
    trainer.train()
    return trainer


def logged_losses(output):
    lines = (output / "metrics.json").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("name", SETS)
@pytest.mark.usefixtures("small_benchmarks")
def test_two_steps_train_checkpoint_and_evaluate(name, tmp_path):
    trainer = train(config(name, tmp_path / "out", "TEST.EVAL_PERIOD", "2"))
    assert (tmp_path / "out" / "model_final.pth").is_file()
    (results,) = trainer._last_eval_results.values()
    assert results
    assert all(0 <= value <= 100 or value != value for value in results.values())


@pytest.mark.parametrize("name", SETS)
@pytest.mark.usefixtures("small_benchmarks")
def test_losses_of_five_steps_are_those_committed(name, tmp_path, request):
    """A refactoring that claims no numeric effect leaves these as they are."""
    cfg = config(name, tmp_path / "out", "SOLVER.MAX_ITER", "5")
    seed_all_rng(cfg.SEED)
    trainer = Trainer(cfg)
    losses = []
    with EventStorage() as storage:
        for trainer.iter in range(5):
            trainer.run_step()
            losses.append(storage.latest()["total_loss"][0])
            storage.step()
            trainer.scheduler.step()
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.is_file() else {}
    if request.config.getoption("--update-golden"):
        golden[name] = [round(loss, 4) for loss in losses]
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    # Other processors round otherwise, and five steps amplify that.
    assert losses == pytest.approx(golden[name], rel=2e-3)


@pytest.mark.usefixtures("small_benchmarks")
def test_loss_falls_on_a_fixed_seed(tmp_path):
    """Thirty steps on four objects; the mean of the last five is well below that of the first."""
    cfg = config("coco128", tmp_path / "out", "SOLVER.MAX_ITER", "30", "SOLVER.BASE_LR", "0.002")
    seed_all_rng(cfg.SEED)
    trainer = Trainer(cfg)
    losses = []
    with EventStorage() as storage:
        for trainer.iter in range(30):
            trainer.run_step()
            losses.append(storage.latest()["total_loss"][0])
            storage.step()
            trainer.scheduler.step()
    assert sum(losses[-5:]) < 0.8 * sum(losses[:5])


@pytest.mark.usefixtures("small_benchmarks")
def test_resumed_training_equals_one_without_break(tmp_path):
    whole = train(config("camvid", tmp_path / "whole", "SOLVER.MAX_ITER", "4"))
    first = config("camvid", tmp_path / "parts", "SOLVER.MAX_ITER", "2")
    train(first)
    second = config("camvid", tmp_path / "parts", "SOLVER.MAX_ITER", "4")
    resumed = Trainer(second)
    resumed.resume_or_load(True)
    assert resumed.start_iter == 2
    state = torch.load(tmp_path / "parts" / "model_final.pth", weights_only=True)
    optimizer = resumed.optimizer.state_dict()["state"]
    saved = state["trainer"]["_trainer"]["optimizer"]["state"]
    assert torch.equal(optimizer[0]["exp_avg"], saved[0]["exp_avg"])
    assert resumed.scheduler.last_epoch == 2
    assert whole.scheduler.last_epoch == 4


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


class Ramp(torch.nn.Module):
    """One weight whose loss is itself, or not finite in iteration 1."""

    def __init__(self, bad):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.tensor(1.0))
        self.bad = bad
        self.calls = 0

    def forward(self, batch):
        self.calls += 1
        bad = self.bad if self.calls > 1 else 1.0
        return {"loss_fine": self.weight, "loss_odd": self.weight * bad}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_loss_that_is_not_finite_stops_before_the_step(bad):
    model = Ramp(bad)
    step = TrainingStep(
        model,
        iter([[]] * 3),
        torch.optim.SGD(model.parameters(), 0.1),
        clip=lambda module: None,
        dtype=None,
    )
    with EventStorage():
        step.iter = 0
        step.run_step()
        before = model.weight.item()
        step.iter = 1
        with pytest.raises(FloatingPointError, match=r"Iteration 1: the losses \['loss_odd'\]"):
            step.run_step()
    assert model.weight.item() == before


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
@pytest.mark.usefixtures("small_benchmarks")
def test_mixed_precision_trains_through_the_trainer(precision, tmp_path):
    overrides = ["SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.PRECISION", precision]
    trainer = train(config("coco128", tmp_path / "out", *overrides))
    assert trainer._trainer.scaler.is_enabled() is (precision == "float16")
    assert all(p.dtype == torch.float32 and p.isfinite().all() for p in trainer.model.parameters())


def test_unknown_precision_is_named():
    cfg = tiny_config("SOLVER.AMP.ENABLED", "True", "SOLVER.AMP.PRECISION", "int8")
    with pytest.raises(ValueError, match="'int8'"):
        autocast_dtype(cfg)


def test_tiny_models_are_alike():
    """The golden losses rest on this."""
    first, second = build_tiny().state_dict(), build_tiny().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
