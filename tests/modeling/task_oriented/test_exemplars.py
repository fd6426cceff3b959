import numpy as np
import pytest
import torch

from gvseg.modeling.task_oriented.exemplars import (
    ObjectPoints,
    exemplar_points,
    read_objects,
)
from gvseg.structures import Exemplar

SIZE = (40, 80)  # of the padded frame
BOX = np.array([10, 4, 30, 14], dtype=np.float32)


def ring():
    """A square without its middle, so that points of its box are not all inside."""
    mask = np.zeros((32, 64), dtype=bool)
    mask[5:21, 10:40] = True
    mask[8:18, 14:36] = False
    return mask


def points_of(*exemplars, num_points=200, at_random=False):
    """Points in pixels, (K, P, 2), and the frames of the objects."""
    chosen = exemplar_points(
        exemplars, num_points=num_points, size=SIZE, at_random=at_random, device=torch.device("cpu")
    )
    return chosen.points * torch.tensor([SIZE[1], SIZE[0]]), chosen.frames


@pytest.mark.parametrize("at_random", [False, True])
def test_points_of_a_mask_are_middles_of_its_pixels(at_random):
    (points,), _ = points_of(Exemplar(1, 0, mask=ring()), at_random=at_random)
    column, row = points.floor().long().T
    assert ring()[row, column].all()
    torch.testing.assert_close(points - points.floor(), torch.full_like(points, 0.5))


@pytest.mark.parametrize("at_random", [False, True])
def test_points_of_a_box_are_inside(at_random):
    (points,), _ = points_of(Exemplar(1, 0, box=BOX), at_random=at_random)
    assert (points >= torch.tensor(BOX[:2])).all()
    assert (points <= torch.tensor(BOX[2:])).all()


@pytest.mark.parametrize("at_random", [False, True])
def test_a_point_is_all_of_its_own(at_random):
    point = np.array([12.5, 7.5], dtype=np.float32)
    (points,), frames = points_of(Exemplar(1, 2, point=point), at_random=at_random)
    torch.testing.assert_close(points, torch.tensor(point).expand(200, -1))
    assert frames.tolist() == [2]


def points_outside(exemplar, *, at_random=False, num_points=200):
    chosen = exemplar_points(
        [exemplar],
        num_points=num_points,
        size=SIZE,
        at_random=at_random,
        device=torch.device("cpu"),
        frame_size=ring().shape,
    )
    return chosen.outside[0] * torch.tensor([SIZE[1], SIZE[0]])


@pytest.mark.parametrize("at_random", [False, True])
def test_points_outside_are_in_the_frame_and_not_of_the_object(at_random):
    column, row = points_outside(Exemplar(1, 0, mask=ring()), at_random=at_random).long().T
    assert not ring()[row, column].any()
    column, row = points_outside(Exemplar(1, 0, box=BOX), at_random=at_random).long().T
    in_box = (column >= 10) & (column < 30) & (row >= 4) & (row < 14)
    assert not in_box.any()
    assert column.max() < ring().shape[1]
    assert column.max() > 60
    assert row.max() == 31


def test_of_what_is_outside_a_point_and_a_full_mask_tell_nothing():
    point = Exemplar(1, 0, point=np.array([3.5, 4.5], dtype=np.float32))
    assert points_outside(point).isnan().all()
    assert points_outside(Exemplar(1, 0, mask=np.ones((32, 64), dtype=bool))).isnan().all()


@pytest.mark.parametrize("exemplar", [{"box": BOX}, {"mask": np.ones((32, 64), dtype=bool)}])
def test_points_are_spread_evenly_at_inference(exemplar):
    """Each of 4 x 4 equal parts gets its share of 320 points, 20, within a tenth of all."""
    (points,), _ = points_of(Exemplar(1, 0, **exemplar), num_points=320)
    low, high = (torch.tensor(BOX[:2]), torch.tensor(BOX[2:]))
    if "mask" in exemplar:
        low, high = torch.zeros(2), torch.tensor([64.0, 32.0])
    part = ((points - low) / (high - low) * 4).floor().clamp(max=3)
    counts = (part[:, 1] * 4 + part[:, 0]).long().bincount(minlength=16)
    assert counts.min() >= 10
    assert counts.max() <= 30


@pytest.mark.parametrize("exemplar", [{"box": BOX}, {"mask": ring()}])
def test_points_are_fixed_at_inference_and_drawn_in_training(exemplar):
    exemplar = Exemplar(1, 0, **exemplar)
    assert torch.equal(points_of(exemplar)[0], points_of(exemplar)[0])
    drawn = [points_of(exemplar, at_random=True)[0] for _ in range(2)]
    assert not torch.equal(*drawn)


def test_fewer_pixels_than_points_are_read_several_times():
    mask = np.zeros((32, 64), dtype=bool)
    mask[3, 7:9] = True
    (points,), _ = points_of(Exemplar(1, 0, mask=mask), num_points=6)
    assert sorted(points.tolist()) == [[7.5, 3.5]] * 3 + [[8.5, 3.5]] * 3


def objects_at(*places, frames):
    """One point for each object, as fractions of the frame."""
    return ObjectPoints(torch.tensor(frames), torch.tensor(places)[:, None])


def test_features_are_read_bilinearly_by_hand():
    """2 x 2 pixels 0, 1 / 2, 3: middles lie at 1/4 and 3/4, between them values blend."""
    features = torch.tensor([[0.0, 1.0], [2.0, 3.0]]).view(1, 1, 2, 2)
    read = read_objects(
        features, objects_at([0.25, 0.25], [0.75, 0.25], [0.5, 0.75], [0.5, 0.5], frames=[0] * 4)
    )
    torch.testing.assert_close(read.features, torch.tensor([[0.0], [1.0], [2.5], [1.5]]))
    torch.testing.assert_close(read.centres[2], torch.tensor([0.5, 0.75]))


def test_each_object_is_read_in_its_frame_as_the_mean_of_its_points():
    """Frame t holds t + 10 in channel 0 and the column in channel 1."""
    features = torch.zeros(3, 2, 4, 8)
    features[:, 0] = torch.arange(3)[:, None, None] + 10
    features[:, 1] = torch.arange(8)
    column = torch.tensor([[0.5, 2.5], [4.5, 6.5]])  # middles of columns 0 and 2, and 4 and 6
    points = torch.stack([column / 8, torch.full_like(column, 0.5)], -1)
    read = read_objects(features, ObjectPoints(torch.tensor([2, 0]), points))
    torch.testing.assert_close(read.features, torch.tensor([[12.0, 1.0], [10.0, 5.0]]))
    torch.testing.assert_close(read.centres, torch.tensor([[1.5 / 8, 0.5], [5.5 / 8, 0.5]]))


def test_half_precision_reads_the_right_pixel():
    """In 640 columns, neighbours differ by less than bfloat16 tells apart in 0..1."""
    features = torch.arange(640).remainder(2).float().expand(1, 1, 2, 640).bfloat16()
    odd = [[(column + 0.5) / 640, 0.5] for column in (501, 577, 639)]
    read = read_objects(features, objects_at(*odd, frames=[0] * 3))
    torch.testing.assert_close(read.features, torch.ones(3, 1), atol=1e-3, rtol=0)


def test_no_objects_read_nothing():
    read = read_objects(torch.randn(2, 3, 4, 4), ObjectPoints(*_none()))
    assert read.features.shape == (0, 3)
    assert read.centres.shape == (0, 2)


def _none():
    chosen = exemplar_points(
        [], num_points=5, size=SIZE, at_random=False, device=torch.device("cpu")
    )
    return chosen.frames, chosen.points


def test_gradient_reaches_the_features_under_the_points():
    features = torch.zeros(2, 1, 4, 4, requires_grad=True)
    read_objects(features, objects_at([0.375, 0.625], frames=[1])).features.sum().backward()
    assert features.grad.nonzero().tolist() == [[1, 0, 2, 1]]


def test_looks_are_read_at_single_points_and_missing_outside_of_a_point():
    looks = torch.arange(2 * 16.0).view(2, 1, 4, 4)
    inside = torch.tensor([[[0.125, 0.125], [0.375, 0.125]], [[0.625, 0.875], [0.625, 0.875]]])
    outside = torch.full((2, 2, 2), float("nan"))
    outside[0] = torch.tensor([[0.875, 0.875], [0.875, 0.625]])
    objects = ObjectPoints(torch.tensor([1, 0]), inside, outside)
    read = read_objects(torch.zeros(2, 3, 4, 4), objects, looks).looks
    assert read.shape == (2, 2, 2, 1)
    assert read[0].flatten().tolist() == [16, 17, 31, 27]
    assert read[1, 0].flatten().tolist() == [14, 14]
    assert read[1, 1].isnan().all()
