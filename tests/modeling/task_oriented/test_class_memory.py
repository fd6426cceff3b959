import pytest
import torch

from gvseg.modeling.task_oriented.class_memory import ClassMemory


def memory(num_classes=3, embed_dim=2, momentum=0.75):
    return ClassMemory(num_classes=num_classes, embed_dim=embed_dim, momentum=momentum)


def remembers(*updates):
    """A memory that went through updates, each a list of (class, embedding)."""
    remembered = memory()
    for update in updates:
        classes, embeds = zip(*update, strict=True)
        remembered.update(torch.tensor(classes), torch.tensor(embeds, dtype=torch.float32))
    return remembered


def test_the_first_embedding_is_taken_as_it_is():
    remembered = remembers([(1, [2.0, 4.0])])
    assert remembered.embeds.tolist() == [[0, 0], [2, 4], [0, 0]]
    assert remembered.num_updates.tolist() == [0, 1, 0]


def test_the_mean_of_a_step_is_blended_in_by_hand():
    """Class 1 has (2, 4) and finds (4, 0) and (8, 8), of mean (6, 4): 3/4 and 1/4 give (3, 4)."""
    known = [[(1, [2.0, 4.0])]] * 3
    remembered = remembers(
        *known, [(1, [4.0, 0.0]), (0, [1.0, 1.0]), (1, [8.0, 8.0]), (0, [3.0, 5.0])]
    )
    assert remembered.embeds.tolist() == [[2, 3], [3, 4], [0, 0]]


def test_the_first_steps_count_alike():
    """Momentum 3/4 is that of a mean over four steps; the fifth weighs a quarter."""
    steps = [[(0, [float(value), 0.0])] for value in (0, 4, 8, 12, 14)]
    for num_steps, expected in ((2, 2), (3, 4), (4, 6), (5, 8)):
        torch.testing.assert_close(
            remembers(*steps[:num_steps]).embeds[0], torch.tensor([expected, 0.0])
        )


def test_classes_that_a_step_did_not_find_stay():
    once = remembers([(0, [1.0, 2.0]), (2, [7.0, 7.0])])
    twice = remembers([(0, [1.0, 2.0]), (2, [7.0, 7.0])], [(2, [3.0, 3.0])])
    assert torch.equal(once.embeds[:2], twice.embeds[:2])
    assert (once.num_updates > 0).tolist() == (twice.num_updates > 0).tolist()
    assert twice.embeds[2].tolist() == [5, 5]


def test_a_step_without_classes_changes_nothing():
    remembered = remembers([(1, [2.0, 4.0])])
    before = remembered.embeds.clone()
    remembered.update(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2))
    assert torch.equal(remembered.embeds, before)


def test_classes_never_seen_start_from_what_is_given():
    initial = torch.tensor([[1.0, 1.0], [5.0, 5.0], [9.0, 9.0]], requires_grad=True)
    content = remembers([(1, [2.0, 4.0])])(initial)
    assert content.tolist() == [[1, 1], [2, 4], [9, 9]]
    content.sum().backward()
    assert initial.grad.tolist() == [[1, 1], [0, 0], [1, 1]]


def test_no_gradient_reaches_it_and_a_later_update_spoils_none():
    remembered, weight = memory(), torch.ones(1, 2, requires_grad=True)
    remembered.update(torch.tensor([0]), 2 * weight)
    assert not remembered.embeds.requires_grad
    initial = torch.zeros(3, 2, requires_grad=True)
    loss = (remembered(initial) * weight).square().sum() + remembered(initial).sum()
    remembered.update(torch.tensor([0, 1]), 8 * weight.expand(2, -1))
    loss.backward()  # of (2 w)^2 for both channels, as the memory was in the forward pass
    assert weight.grad.tolist() == [[8, 8]]
    assert initial.grad.tolist() == [[0, 0], [1, 1], [1, 1]]


def test_it_is_saved_and_restored():
    remembered, other = remembers([(1, [2.0, 4.0])]), memory()
    other.load_state_dict(remembered.state_dict())
    for trained in (remembered, other):
        trained.update(torch.tensor([1]), torch.tensor([[6.0, 4.0]]))
    assert other.embeds.tolist() == remembered.embeds.tolist() == [[0, 0], [4, 4], [0, 0]]


def test_mixed_precision_does_not_round_it():
    """1.01 and 257 need more than the 8 bits of bfloat16."""
    remembered = memory()
    with torch.autocast("cpu", torch.bfloat16):
        remembered.update(torch.tensor([0, 0]), torch.tensor([[1.01, 257.0], [1.01, 257.0]]))
    torch.testing.assert_close(remembered.embeds[0], torch.tensor([1.01, 257.0]))


@pytest.mark.parametrize("momentum", [-0.1, 1.0])
def test_a_momentum_that_never_or_wrongly_learns_is_refused(momentum):
    with pytest.raises(ValueError, match=rf"CLASS_MEMORY_MOMENTUM is {momentum}"):
        memory(momentum=momentum)
