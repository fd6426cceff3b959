"""Two processes on the CPU train and evaluate as one would."""

import json
import math
import time
from datetime import timedelta

import pytest
import torch
import torch.multiprocessing as multiprocessing

from detectron2.utils import comm
from detectron2.utils.env import seed_all_rng

from gvseg.engine.trainer import Trainer, unwrap
from gvseg.modeling.processes import mean_over_processes, wait_for_all
from tests.engine.test_trainer import config

WORLD_SIZE = 2


def work(rank, folder):
    """What each process does; pytest runs in none of them."""
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD_SIZE
    )
    comm.create_local_process_group(WORLD_SIZE)
    torch.set_num_threads(1)
    mean = mean_over_processes(3 + 4 * rank, torch.device("cpu"))
    cfg = config("coco128", folder / "out")
    seed_all_rng(cfg.SEED + rank)  # DistributedDataParallel must make the weights agree
    trainer = Trainer(cfg)
    trainer.train()
    metrics = Trainer.test(cfg, trainer.model)
    weights = sum(p.double().abs().sum().item() for p in trainer.model.parameters())
    (folder / f"rank{rank}.json").write_text(
        json.dumps({"mean": mean.item(), "weights": weights, "metrics": metrics})
    )
    if rank == 0:
        torch.save(unwrap(trainer.model).state_dict(), folder / "weights.pth")
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("small_benchmarks")
def test_two_processes_are_one_training(tmp_path):
    multiprocessing.spawn(work, (tmp_path,), nprocs=WORLD_SIZE)
    first, second = (
        json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in range(WORLD_SIZE)
    )
    assert first["mean"] == second["mean"] == 5  # of 3 and 7 targets
    assert first["weights"] == second["weights"]
    assert second["metrics"] == {}

    weights = str(tmp_path / "weights.pth")
    cfg = config("coco128", tmp_path / "alone", "MODEL.WEIGHTS", weights)
    alone = Trainer(cfg)
    alone.resume_or_load(False)
    metrics = Trainer.test(cfg, alone.model)
    for kind, scores in metrics.items():
        for name, score in scores.items():
            together = first["metrics"][kind][name]
            both_undefined = math.isnan(score) and math.isnan(together)
            assert both_undefined or together == pytest.approx(score)


def wait(rank, folder):
    """Come three seconds late to a world that waits for one."""
    torch.distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/rendezvous",
        rank=rank,
        world_size=WORLD_SIZE,
        timeout=timedelta(seconds=1),
    )
    wait_for_all()
    time.sleep(3 * rank)
    wait_for_all()
    (folder / f"{rank}").touch()
    torch.distributed.destroy_process_group()


def test_processes_wait_for_each_other_longer_than_the_world_does(tmp_path):
    multiprocessing.spawn(wait, (tmp_path,), nprocs=WORLD_SIZE)
    assert (tmp_path / "0").exists()
    assert (tmp_path / "1").exists()
