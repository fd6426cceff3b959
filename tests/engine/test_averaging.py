"""The mean of checkpoints, through the trainer that users run."""

import pytest
import torch
from torch import nn

from gvseg.engine.averaging import (
    AVERAGE,
    average_checkpoints,
    averaged_iterations,
    check_checkpoints,
    checkpoint_path,
    remembered_buffers,
)
from gvseg.engine.trainer import Trainer
from gvseg.modeling.task_oriented.class_memory import ClassMemory
from tests.engine.test_trainer import config, train

AVERAGED = ("SOLVER.MAX_ITER", "4", "SOLVER.CHECKPOINT_PERIOD", "1", "SOLVER.AVERAGE_FROM", "2")


@pytest.mark.usefixtures("small_benchmarks")
def test_the_mean_of_the_last_checkpoints_is_written_and_evaluated(tmp_path, monkeypatch):
    evaluated = []

    def test(cls, cfg, model):
        evaluated.append({name: tensor.clone() for name, tensor in model.state_dict().items()})

    monkeypatch.setattr(Trainer, "test", classmethod(test))
    train(config("camvid", tmp_path, "MODEL.TIMM.NORM", "BN", *AVERAGED))
    mean = torch.load(tmp_path / AVERAGE, weights_only=True)["model"]
    parts = [
        torch.load(tmp_path / f"model_{index:07d}.pth", weights_only=True)["model"]
        for index in (1, 2, 3)
    ]
    moved = [name for name in mean if not torch.equal(parts[0][name], parts[2][name])]
    assert any(name.endswith("num_batches_tracked") for name in moved)
    for name, tensor in mean.items():
        expected = parts[2][name]
        if tensor.is_floating_point():
            expected = torch.stack([part[name].double() for part in parts]).mean(0).float()
        torch.testing.assert_close(tensor, expected, rtol=1e-6, atol=0)
        assert torch.equal(evaluated[-1][name], tensor)
        assert tensor.dtype == parts[2][name].dtype


@pytest.mark.usefixtures("small_benchmarks")
def test_a_training_that_was_stopped_has_the_same_mean(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(config("camvid", whole, *AVERAGED))
    train(config("camvid", parts, *AVERAGED, "SOLVER.MAX_ITER", "3"))
    (parts / AVERAGE).unlink()
    train(config("camvid", parts, *AVERAGED), resume=True)
    expected, mean = (torch.load(each / AVERAGE)["model"] for each in (whole, parts))
    for name in expected:
        torch.testing.assert_close(mean[name], expected[name])


@pytest.mark.usefixtures("small_benchmarks")
def test_a_mean_that_cannot_be_taken_is_told_when_a_training_is_resumed(tmp_path):
    cfg = config("camvid", tmp_path, "SOLVER.MAX_ITER", "4", "SOLVER.CHECKPOINT_PERIOD", "1",
                 "SOLVER.AVERAGE_FROM", "2")  # fmt: skip
    for iteration in (2, 4):
        checkpoint_path(tmp_path, iteration).touch()
    check_checkpoints(cfg, 2)
    with pytest.raises(ValueError, match=r"model_0000002\.pth is missing, .* more than 3, or 0"):
        check_checkpoints(cfg, 3)


@pytest.mark.usefixtures("small_benchmarks")
def test_a_training_that_fails_leaves_no_mean(tmp_path, monkeypatch):
    take_step = Trainer.run_step

    def fail_at_last(trainer):
        if trainer.iter == 3:
            raise FloatingPointError
        take_step(trainer)

    monkeypatch.setattr(Trainer, "run_step", fail_at_last)
    with pytest.raises(FloatingPointError):
        train(config("camvid", tmp_path, *AVERAGED))
    assert (tmp_path / "model_0000002.pth").exists()
    assert not (tmp_path / AVERAGE).exists()


def test_what_is_remembered_is_that_of_the_last(tmp_path):
    """A class that was seen after the first checkpoint keeps the length of its memory."""
    memory = ClassMemory(num_classes=2, embed_dim=3, momentum=0.5)
    norm = nn.BatchNorm1d(3)
    model = nn.ModuleDict({"memory": memory, "norm": norm})
    for iteration, value in ((1, 0.0), (2, 4.0), (3, 5.0)):
        memory.embeds.fill_(value)
        norm.running_mean.fill_(value)
        norm.weight.data.fill_(value)
        torch.save({"model": model.state_dict()}, tmp_path / f"model_{iteration - 1:07d}.pth")
    remembered = remembered_buffers(model)
    assert remembered == {"memory.embeds", "memory.num_updates", "norm.num_batches_tracked"}
    mean = average_checkpoints(tmp_path, range(1, 4), remembered)
    assert mean["memory.embeds"].unique().tolist() == [5]
    assert mean["norm.running_mean"].unique().tolist() == [3]
    assert mean["norm.weight"].unique().tolist() == [3]


def test_a_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"model_0000099\.pth"):
        average_checkpoints(tmp_path, range(100, 301, 100))


@pytest.mark.parametrize(
    ("start", "expected"),
    [("0", []), ("300", [300, 400, 500]), ("301", [400, 500]), ("400", [400, 500])],
)
def test_checkpoints_count_from_the_iteration_asked_for(tmp_path, start, expected):
    cfg = config("camvid", tmp_path, "SOLVER.MAX_ITER", "550", "SOLVER.CHECKPOINT_PERIOD", "100",
                 "SOLVER.AVERAGE_FROM", start)  # fmt: skip
    assert list(averaged_iterations(cfg)) == expected


def test_where_to_begin_scales_with_the_number_of_processes(tmp_path):
    cfg = config("camvid", tmp_path, "SOLVER.MAX_ITER", "550", "SOLVER.CHECKPOINT_PERIOD", "100",
                 "SOLVER.AVERAGE_FROM", "300", "SOLVER.REFERENCE_WORLD_SIZE", "1")  # fmt: skip
    scaled = Trainer.auto_scale_workers(cfg, 2)
    assert list(averaged_iterations(scaled)) == [150, 200, 250]
    assert Trainer.auto_scale_workers(cfg, 1) is cfg


def test_one_checkpoint_is_no_mean(tmp_path):
    cfg = config("camvid", tmp_path, "SOLVER.MAX_ITER", "550", "SOLVER.CHECKPOINT_PERIOD", "100",
                 "SOLVER.AVERAGE_FROM", "450")  # fmt: skip
    with pytest.raises(ValueError, match="there are 1 checkpoints; a mean needs 2 or more"):
        Trainer(cfg)
