from collections import deque

import pytest
import torch

from gvseg.modeling.task_oriented.class_queues import ClassQueues


def queues(size=3, num_classes=3):
    return ClassQueues(num_classes=num_classes, embed_dim=1, size=size)


def push(queue, *pairs):
    """Push (class, value) pairs, all in one step."""
    classes = torch.tensor([pair[0] for pair in pairs], dtype=torch.int64)
    queue.push(classes, torch.tensor([[float(pair[1])] for pair in pairs]).view(-1, 1))


def held(queue):
    """The values of each class that are held, in no particular order."""
    embeds, classes, is_taken = queue.contents()
    return [
        sorted(embeds[is_taken & (classes == index), 0].tolist())
        for index in range(len(queue.embeds))
    ]


def test_first_in_first_out_by_hand():
    queue = queues(size=3)
    push(queue, (1, 10), (0, 20), (1, 11))
    assert held(queue) == [[20], [10, 11], []]
    push(queue, (1, 12), (1, 13))  # 10 makes room
    assert held(queue) == [[20], [11, 12, 13], []]
    push(queue, (1, 14), (2, 30), (1, 15))  # around the end of the ring
    assert held(queue) == [[20], [13, 14, 15], [30]]


def test_of_more_than_there_are_places_the_last_stay():
    queue = queues(size=3)
    push(queue, (0, 1))
    push(queue, *[(0, value) for value in range(2, 10)], (1, 5))
    assert held(queue) == [[7, 8, 9], [5], []]


@pytest.mark.parametrize("size", [1, 4])
def test_equal_to_plain_queues_over_many_steps(size):
    torch.manual_seed(0)
    queue, plain = queues(size=size), [deque(maxlen=size) for _ in range(3)]
    for step in range(30):
        count = int(torch.randint(0, 8, ()))
        pairs = [(int(torch.randint(0, 3, ())), 10 * step + index) for index in range(count)]
        push(queue, *pairs)
        for class_index, value in pairs:
            plain[class_index].append(value)
        assert held(queue) == [sorted(of_class) for of_class in plain]


def test_fill_is_the_share_of_places_taken():
    """2 of 4 places, none, and all: half of the 12 places."""
    queue = queues(size=4)
    assert queue.fill() == 0
    push(queue, (0, 1), (0, 2), *[(2, value) for value in range(9)])
    assert queue.fill() == 0.5


def test_contents_do_not_change_with_later_pushes():
    queue = queues(size=1)
    push(queue, (0, 1))
    embeds, _, is_taken = queue.contents()
    push(queue, (0, 2), (1, 3))
    assert embeds[:, 0].tolist() == [1, 0, 0]
    assert is_taken.tolist() == [True, False, False]
    assert held(queue) == [[2], [3], []]


def test_gradients_do_not_pass():
    queue, weight = queues(), torch.ones(1, 1, requires_grad=True)
    queue.push(torch.tensor([0]), 2 * weight)
    assert not queue.contents()[0].requires_grad


def test_they_are_saved_and_restored():
    """What is pushed after a restart takes the same places."""
    queue, other = queues(size=2), queues(size=2)
    push(queue, (0, 1), (0, 2), (0, 3))
    other.load_state_dict(queue.state_dict())
    for trained in (queue, other):
        push(trained, (0, 4), (1, 5))
    assert held(other) == held(queue) == [[3, 4], [5], []]
    assert torch.equal(other.embeds, queue.embeds)


def test_queues_without_places_are_refused():
    with pytest.raises(ValueError, match=r"QUEUE_SIZE is 0; give 1 or more"):
        queues(size=0)
