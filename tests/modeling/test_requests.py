import torch

from gvseg.modeling.requests import ClipRequest
from gvseg.modeling.task_oriented.exemplars import ObjectPoints
from gvseg.structures import ObjectFeatures
from gvseg.tasks import Task

FEATURES = torch.full((2, 3, 4, 4), 5.0)
POINTS = ObjectPoints(torch.tensor([1]), torch.full((1, 6, 2), 0.25))
KNOWN = ObjectFeatures(torch.ones(2, 3), torch.tensor([[0.1, 0.2], [0.3, 0.4]]))


def test_objects_of_earlier_clips_come_first_as_they_were_read_there():
    objects = ClipRequest(Task.EVS, known=KNOWN, points=POINTS).read(FEATURES)
    assert objects.features.tolist() == [[1] * 3, [1] * 3, [5] * 3]
    torch.testing.assert_close(
        objects.centres, torch.tensor([[0.1, 0.2], [0.3, 0.4], [0.25, 0.25]])
    )


def test_either_may_be_missing():
    assert ClipRequest(Task.EVS, known=KNOWN).read(FEATURES).features.tolist() == [[1] * 3] * 2
    assert ClipRequest(Task.EVS, points=POINTS).read(FEATURES).features.tolist() == [[5] * 3]
    assert ClipRequest(Task.VIS).read(FEATURES) is None


def test_objects_may_be_known_by_more_points_than_new_ones():
    known = ObjectFeatures(KNOWN.features, KNOWN.centres, torch.ones(2, 2, 9, 4))
    points = ObjectPoints(POINTS.frames, POINTS.points, torch.full((1, 6, 2), 0.75))
    request = ClipRequest(Task.EVS, known=known, points=points)
    looks = request.read(FEATURES, torch.full((2, 4, 4, 4), 7.0)).looks
    assert looks.shape == (3, 2, 9, 4)
    assert (looks[:2] == 1).all()
    assert (looks[2, :, :6] == 7).all()
    assert looks[2, :, 6:].isnan().all()
