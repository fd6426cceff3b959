import numpy as np

from gvseg.data.synthetic.background import Background, Region, paint_background
from gvseg.data.synthetic.motion import Stage, camera

STAGE = Stage(60, 90, 5)
STILL = np.array([[1.0, 0, 0], [0, 1, 0]])


def world(seed: int, *regions: Region) -> Background:
    return paint_background(np.random.default_rng(seed), STAGE, regions, 0.0)


def test_unmoved_camera_sees_the_middle_of_the_world():
    background = world(0, Region(0, 0), Region(2, 1))
    frame, index_map = background.view(STILL, (60, 90))
    inner = (slice(background.margin, -background.margin),) * 2
    np.testing.assert_array_equal(frame, background.picture[inner])
    np.testing.assert_array_equal(index_map, background.index_map[inner])


def test_bands_lie_in_their_order_with_an_island_on_them():
    background = world(1, Region(0, 0), Region(1, 1), Region(2, 2), Region(3, -1, is_island=True))
    rows = [np.nonzero(background.index_map == position)[0].mean() for position in (0, 1, 2)]
    assert rows == sorted(rows)
    assert (background.index_map == -1).any()


def test_regions_of_one_class_are_one_segment():
    background = world(1, Region(0, 0), Region(0, 0))
    assert (background.index_map == 0).all()


def test_camera_never_sees_past_the_edge_of_the_world():
    for seed in range(20):
        background = world(seed, Region(0, 0))
        background.index_map[[0, -1]] = background.index_map[:, [0, -1]] = 7
        for view in camera(np.random.default_rng(seed), Stage(60, 90, 60)):
            assert (background.view(view, (60, 90))[1] == 0).all()


def test_labels_end_where_the_texture_does():
    """The second region changes the picture of the first where it is, and nowhere else."""
    alone, covered = world(3, Region(0, 0)), world(3, Region(0, 0), Region(8, 1))
    is_changed = (alone.picture != covered.picture).any(axis=-1)
    is_second = covered.index_map == 1
    assert 0.2 < is_second.mean() < 0.8
    assert (is_changed | ~is_second).mean() > 0.99
    # Half of the mixed pixels of the edge are of the first.
    assert (is_changed & ~is_second).sum() <= 2 * is_second.shape[1]
