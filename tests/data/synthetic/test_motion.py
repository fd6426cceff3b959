import numpy as np
import pytest

from gvseg.data.synthetic.motion import (
    Stage,
    after,
    camera,
    crossing_paths,
    leaving_path,
    poses,
    strolling_path,
)

SEEDS = range(30)


def stage(num_frames: int = 20) -> Stage:
    return Stage(120, 200, num_frames)


def is_outside(path: np.ndarray, radius: float) -> np.ndarray:
    """Tell in which frames nothing of a disc can be seen."""
    x, y = path.T
    return (x < -radius) | (x > 200 + radius) | (y < -radius) | (y > 120 + radius)


@pytest.mark.parametrize("num_frames", [12, 20, 60])
def test_look_alikes_meet_and_part(num_frames: int):
    for seed in SEEDS:
        paths = crossing_paths(np.random.default_rng(seed), stage(num_frames), 2, 12.0)
        distances = np.linalg.norm(paths[0] - paths[1], axis=1)
        assert distances.min() < 1.5 * 12
        assert distances.max() > 48


def test_thing_leaves_and_returns():
    returned = 0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        path = leaving_path(rng, stage(40), 12.0, starts_outside=False)
        outside = is_outside(path, 12.0)
        assert outside.any()
        last = np.flatnonzero(outside)[-1]
        returned += not outside[0] and not outside[last + 1 :].all() and last < 39
    assert returned > 20


def test_late_thing_is_out_of_sight_in_the_first_frame_and_comes():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        outside = is_outside(leaving_path(rng, stage(), 12.0, starts_outside=True), 12.0)
        assert outside[0]
        assert not outside.all()


def test_strolling_thing_stays():
    for seed in SEEDS:
        path = strolling_path(np.random.default_rng(seed), stage(60), 15.0)
        assert not is_outside(path, 0.0).any()


def test_motion_is_smooth():
    """No step is longer than a look-alike is wide, so that place tells who is who."""
    radius = 13.0
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        paths = crossing_paths(rng, stage(), 3, radius)
        paths.append(leaving_path(rng, stage(), radius, starts_outside=False))
        for path in paths:
            assert np.linalg.norm(np.diff(path, axis=0), axis=1).max() < 2 * radius


def test_shorter_video_moves_no_faster():
    speeds = [
        np.mean(
            [
                np.linalg.norm(np.diff(path, axis=0), axis=1).max()
                for seed in SEEDS
                for path in crossing_paths(np.random.default_rng(seed), stage(length), 2, 12.0)
            ]
        )
        for length in (4, 16)
    ]
    assert speeds[0] < 1.1 * speeds[1]


def test_pose_keeps_the_size_within_a_third():
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        path = strolling_path(rng, stage(), 10.0)
        matrices = poses(rng, stage(), path, 10.0)
        np.testing.assert_array_equal(matrices[:, :, 2], path)
        areas = np.linalg.det(matrices[:, :, :2])
        assert (np.sqrt(areas) > 7.9).all()
        assert (np.sqrt(areas) < 12.1).all()


def test_after_applies_the_inner_map_first():
    rng = np.random.default_rng(0)
    outer, inner, point = rng.normal(size=(4, 2, 3)), rng.normal(size=(4, 2, 3)), [0.3, -2.0, 1.0]
    joined = after(outer, inner) @ point
    for time in range(4):
        np.testing.assert_allclose(joined[time], outer[time] @ [*(inner[time] @ point), 1])


def test_camera_moves_little_and_smoothly():
    for seed in SEEDS:
        view = camera(np.random.default_rng(seed), stage(60))
        corners = np.array([[0, 0, 1], [200, 0, 1], [0, 120, 1], [200, 120, 1.0]])
        moved = np.einsum("tij,pj->tpi", view, corners) - corners[:, :2]
        assert 2 < np.abs(moved).max() < 0.15 * 200
        assert np.abs(np.diff(moved, axis=0)).max() < 4
