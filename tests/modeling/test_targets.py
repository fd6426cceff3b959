import pytest
import torch

from gvseg.modeling.targets import assign_queries, select_targets, split_frames
from gvseg.structures import ClipTargets


def targets(ids=(4, 9, 7), num_frames=2):
    masks = torch.zeros(len(ids), num_frames, 4, 4, dtype=torch.bool)
    for index in range(len(ids)):
        masks[index, :, index] = True
    return ClipTargets(torch.arange(len(ids)) + 1, masks, torch.tensor(ids, dtype=torch.int64))


def test_each_target_gets_the_query_of_its_exemplar():
    assigned = assign_queries(targets(), torch.tensor([9, 7, 4]), num_queries=5)
    assert assigned.ids.tolist() == [4, 9, 7]
    assert assigned.queries.tolist() == [2, 0, 1]
    assert assigned.classes.tolist() == [1, 2, 3]
    assert torch.equal(assigned.masks, targets().masks)


def test_targets_without_an_exemplar_and_exemplars_without_a_target_are_left_out():
    assigned = assign_queries(targets(), torch.tensor([5, 7]), num_queries=5)
    assert assigned.ids.tolist() == [7]
    assert assigned.queries.tolist() == [1]
    assert assigned.masks[0, 0, 2].all()


def test_more_objects_than_queries_leave_the_last_out():
    assigned = assign_queries(targets(), torch.tensor([7, 4, 9]), num_queries=2)
    assert assigned.ids.tolist() == [4, 7]
    assert assigned.queries.tolist() == [1, 0]


@pytest.mark.parametrize(("ids", "object_ids"), [((4, 9), []), ((), [4, 9]), ((), [])])
def test_without_exemplars_or_targets_nothing_is_assigned(ids, object_ids):
    assigned = assign_queries(targets(ids), torch.tensor(object_ids), num_queries=5)
    assert len(assigned.ids) == len(assigned.queries) == len(assigned.masks) == 0


def test_frames_of_a_clip_keep_the_queries():
    whole = targets()
    whole.masks[1, 1] = False
    assigned = assign_queries(whole, torch.tensor([9, 7, 4]), num_queries=5)
    first, second = split_frames(assigned)
    assert first.queries.tolist() == [2, 0, 1]
    assert second.queries.tolist() == [2, 1]
    assert second.ids.tolist() == [4, 7]


def test_targets_are_selected_by_claims_or_by_positions():
    for kept in (torch.tensor([True, False, True]), torch.tensor([0, 2])):
        selected = select_targets(targets(), kept)
        assert selected.ids.tolist() == [4, 7]
        assert selected.queries is None
