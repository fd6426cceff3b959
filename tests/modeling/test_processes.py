"""Two processes on the CPU, each with half of a batch, do what one does with all of it."""

from unittest.mock import patch

import pytest
import torch
import torch.multiprocessing as multiprocessing
from torch.nn.parallel import DistributedDataParallel

from detectron2.utils import comm

from gvseg.modeling.processes import (
    gather_rows,
    mean_over_processes,
    share_running_statistics,
)
from gvseg.modeling.task_oriented.class_memory import ClassMemory
from gvseg.modeling.task_oriented.class_queues import ClassQueues
from gvseg.modeling.task_oriented.contrastive import TaskOrientedContrast, View
from tests.modeling.task_samples import build_whole, same_random_numbers, task_sample

WORLD_SIZE = 2
NUM_CLASSES = 4
TASKS = ("vps", "vis")  # of four targets and of two


def rows_of(step):
    """Classes (5,) and embeddings (5, 8) of one step, of which the first process has two."""
    generator = torch.Generator().manual_seed(step)
    classes = torch.randint(0, NUM_CLASSES, (5,), generator=generator)
    return classes, torch.randn(5, 8, generator=generator)


def my_part(rows):
    """All rows where there is one process, else those of this one."""
    if comm.get_world_size() == 1:
        return rows
    return rows[:2] if comm.get_rank() == 0 else rows[2:]


def remember():
    """State of a memory and of queues after three steps."""
    memory = ClassMemory(num_classes=NUM_CLASSES, embed_dim=8, momentum=0.8)
    queues = ClassQueues(num_classes=NUM_CLASSES, embed_dim=8, size=3)
    for step in range(3):
        classes, embeds = (my_part(rows) for rows in rows_of(step))
        memory.update(classes, embeds)
        queues.push(classes, embeds)
    return {"memory": memory.state_dict(), "queues": queues.state_dict()}


class Embedder(torch.nn.Module):
    """A layer under the contrastive losses, for gradients to arrive at."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(8, 8)
        self.contrast = TaskOrientedContrast(
            tau=0.2, distant="negative", temperature=2.0, weight=2.0, cosine_weight=3.0,
            queues=ClassQueues(num_classes=NUM_CLASSES, embed_dim=8, size=5), has_things=True,
        )  # fmt: skip

    def forward(self, videos, classes, rows):
        peers = [torch.ones(NUM_CLASSES, dtype=torch.bool)] * len(classes)
        views = [
            [View(self.layer(part.embeds), part.ids, part.descriptors, part.is_anchor)
             for part in video]
            for video in videos
        ]  # fmt: skip
        losses, _ = self.contrast(views, classes, self.layer(rows), peers)
        return sum(losses.values())


def video_of(index):
    """Two views of as many objects as its number says, none in the first video."""
    generator = torch.Generator().manual_seed(index)
    return [
        View(torch.randn(index, 8, generator=generator), torch.arange(index),
             1 + 0.1 * torch.rand(index, 1, 4, generator=generator), is_anchor)
        for is_anchor in (True, False)
    ]  # fmt: skip


def gradients(model, *batches):
    """Gradients after steps on batches, without steps of an optimizer in between."""
    if comm.get_world_size() > 1:
        # As the trainer wraps models; a parameter that a step left out would stop it.
        model = DistributedDataParallel(model, broadcast_buffers=False)
    for batch in batches:
        loss = model(*batch)
        total = sum(loss.values()) if isinstance(loss, dict) else loss
        total.backward()
    return {name.removeprefix("module."): p.grad for name, p in model.named_parameters()}


def contrast_gradients():
    batches = []
    for step in range(2):
        videos = my_part([video_of(index) for index in (0, 3, 2, 4, 1)])
        batches.append((videos, *(my_part(rows) for rows in rows_of(step))))
    return gradients(Embedder(), *batches)


def model_gradients():
    """Of the whole method; random numbers are the same for each clip."""
    model = build_whole("mixed").train()
    samples = [task_sample(task, seed=index) for index, task in enumerate(TASKS)]
    if comm.get_world_size() > 1:
        samples = samples[comm.get_rank() :][:1]
    with patch("torch.rand", same_random_numbers):
        found = gradients(model, (samples,), (samples,))
    return {"gradients": found, "state": model.state_dict()}


def train_on_different_tasks():
    """Losses where one process has objects to follow, and the other neither these nor things."""
    whole = build_whole("mixed", "MODEL.GVSEG.LOOK_MASKS", "True")
    model = DistributedDataParallel(whole.train(), broadcast_buffers=False)
    task = ("evs", "vss")[comm.get_rank()]
    for _ in range(2):
        losses = model([task_sample(task)])
        sum(losses.values()).backward()
    return {name: loss.item() for name, loss in losses.items()}


def norm_after_sharing():
    """State of batch norms, of which each process has seen images of its own."""
    norms = torch.nn.Sequential(torch.nn.BatchNorm2d(3), torch.nn.BatchNorm2d(3, affine=False))
    norms(torch.full((2, 3, 4, 4), 1.0 + comm.get_rank()))
    share_running_statistics(norms)
    return norms.state_dict()


def work(rank, folder):
    """What each process does; pytest runs in none of them."""
    torch.set_num_threads(1)
    if rank == 0:
        together = {"contrast": contrast_gradients(), "model": model_gradients(), **remember()}
        torch.save(together, folder / "one.pth")
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=WORLD_SIZE
    )
    comm.create_local_process_group(WORLD_SIZE)
    result = {
        "mean": [mean_over_processes(count, torch.device("cpu")) for count in (3 + 4 * rank, 0)],
        "uneven": gather_rows(torch.arange(6).view(3, 2)[: 1 + 2 * rank] + 10 * rank),
        "half_empty": gather_rows(torch.full((2 * rank,), 7)),
        "empty": gather_rows(torch.zeros(0, 3)),
        "contrast": contrast_gradients(),
        "model": model_gradients(),
        "norms": norm_after_sharing(),
        "losses": train_on_different_tasks(),
        **remember(),
    }
    torch.save(result, folder / f"rank{rank}.pth")
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """What one process found alone, and what each of two did."""
    folder = tmp_path_factory.mktemp("processes")
    multiprocessing.spawn(work, (folder,), nprocs=WORLD_SIZE)
    return {
        name: torch.load(folder / f"{name}.pth", weights_only=False)
        for name in ("one", "rank0", "rank1")
    }


def test_counts_are_means_and_at_least_one(results):
    for rank in ("rank0", "rank1"):
        assert results[rank]["mean"] == [5, 1]  # of 3 and 7, and of none


def test_running_statistics_are_those_of_the_main_process(results):
    for rank in ("rank0", "rank1"):
        assert results[rank]["norms"]["0.running_mean"].tolist() == pytest.approx([0.1] * 3)
        for name, value in results["rank0"]["norms"].items():
            assert torch.equal(results[rank]["norms"][name], value)


def test_rows_are_gathered_in_the_order_of_processes(results):
    for rank in ("rank0", "rank1"):
        assert results[rank]["uneven"].tolist() == [[0, 1], [10, 11], [12, 13], [14, 15]]
        assert results[rank]["half_empty"].tolist() == [7, 7]
        assert results[rank]["empty"].shape == (0, 3)


@pytest.mark.parametrize("part", ["memory", "queues"])
def test_memory_and_queues_are_those_of_the_joint_batch(results, part):
    assert torch.equal(results["rank0"][part]["embeds"], results["rank1"][part]["embeds"])
    for name, value in results["one"][part].items():
        torch.testing.assert_close(results["rank0"][part][name], value)


def test_contrastive_gradients_are_those_of_the_joint_batch(results):
    for name, gradient in results["one"]["contrast"].items():
        assert gradient.any()
        for rank in ("rank0", "rank1"):
            torch.testing.assert_close(results[rank]["contrast"][name], gradient)


def test_gradients_of_the_whole_method_are_those_of_the_joint_batch(results):
    for name, gradient in results["one"]["model"]["gradients"].items():
        for rank in ("rank0", "rank1"):
            torch.testing.assert_close(
                results[rank]["model"]["gradients"][name], gradient, atol=1e-4, rtol=1e-3
            )
    for name in ("query_decoder.queries.memory.embeds", "learning.contrast.queues.embeds"):
        expected = results["one"]["model"]["state"][name]
        assert expected.any()
        for rank in ("rank0", "rank1"):
            torch.testing.assert_close(
                results[rank]["model"]["state"][name], expected, atol=1e-4, rtol=1e-4
            )


def test_processes_with_batches_of_different_tasks_train_together(results):
    first, second = results["rank0"]["losses"], results["rank1"]["losses"]
    assert first.keys() == second.keys()
    assert first["loss_mask_extra"] > 0
    assert second["loss_mask_extra"] == 0
    assert second["loss_contrast_class"] > 0
