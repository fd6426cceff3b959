from dataclasses import replace

import numpy as np
import pytest

from gvseg.data.benchmarks import kitti_step
from gvseg.evaluation import METRICS
from gvseg.evaluation.frame_pairs import FramePairs
from gvseg.evaluation.vpq import (
    CITYSCAPES_VPS,
    KITTI_STEP,
    VIPSEG,
    VIPSEG_SCRIPT,
    VideoPanopticMetric,
)
from tests.evaluation import metric_cases
from tests.evaluation.drawn_vpq import counts_of, new_metric
from tests.evaluation.panoptic_videos import (
    NAMES,
    PanopticFrame,
    PanopticVideo,
    feed,
    random_videos,
    read_cityscapes_vps,
    read_vipseg,
    renamed,
    without_crowds,
)
from tests.evaluation.plain_panoptic import plain_vpq, quality

# Official numbers.


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("vipseg"))
def test_vipseg_files_give_the_official_numbers(case: str):
    official = metric_cases.expected("vipseg", case)["vpq_vipseg_official"]
    videos = read_vipseg(metric_cases.ROOT / "vipseg" / case)
    is_thing = things_of("vipseg", case, 124)
    paper = feed(VideoPanopticMetric(range(124), is_thing, VIPSEG), *videos)
    check_windows(paper, {n: official["windows"][str(n)] for n in VIPSEG.windows})
    check_means(paper.compute(), official)
    script = feed(VideoPanopticMetric(range(124), is_thing, VIPSEG_SCRIPT), *videos)
    check_windows(script, {n: official["windows"][str(n)] for n in VIPSEG_SCRIPT.windows})
    expected = official["VPQ_all_script_1_2_4_6_8"] / 100
    assert script.compute()["VPQ"] == pytest.approx(expected, abs=1e-9, nan_ok=True)


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("cityscapes_vps"))
def test_cityscapes_files_give_the_official_numbers(case: str):
    official = metric_cases.expected("cityscapes_vps", case)["vpq_cityscapes_vps_official"]
    videos = read_cityscapes_vps(metric_cases.ROOT / "cityscapes_vps" / case)
    is_thing = things_of("cityscapes_vps", case, 19)
    metric = feed(VideoPanopticMetric(range(19), is_thing, CITYSCAPES_VPS), *videos)
    check_windows(metric, {n: official["windows"][str(n)] for n in CITYSCAPES_VPS.windows})
    check_means(metric.compute(), official)


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("kitti_step"))
def test_kitti_step_files_give_the_numbers_of_deeplab2(case: str):
    """It sums in float32, hence the tolerance of sums."""
    official = metric_cases.expected("kitti_step", case)["vpq_deeplab2_tf"]
    metric = METRICS["vpq/kitti_step"](kitti_step.KITTI_STEP)
    root = metric_cases.ROOT / "kitti_step" / case
    for sequence in sorted((root / "gt").iterdir()):
        for index, path in enumerate(sorted(sequence.iterdir())):
            truth, prediction = (
                kitti_step.read_labels({"video_id": "v", "label_files": {index: str(file)}}, index)
                for file in (path, root / "pred" / sequence.name / path.name)
            )
            metric.update({}, truth, prediction.segments)
        metric.end_video({})
    scores = metric.compute()
    for window in KITTI_STEP.windows:
        expected = official[str(window)]
        assert scores[f"VPQ{window}"] == pytest.approx(expected["pq"], abs=1e-6)
        check_classes(metric, window, expected["per_class"], tolerance=1e-4)


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("vipseg"))
def test_plain_maps_give_the_official_numbers(case: str):
    official = metric_cases.expected("vipseg", case)["vpq_vipseg_official"]
    meta, arrays = metric_cases.read_arrays("vipseg", case)
    metric = VideoPanopticMetric(range(124), things_of("vipseg", case, 124), VIPSEG)
    for v in range(meta["n_videos"]):
        sides = [arrays[f"v{v}_{name}"] for name in (
            "gt_sem", "gt_id", "pred_sem", "pred_id", "gt_crowd")]  # fmt: skip
        for classes, numbers, *prediction, is_crowd in zip(*sides, strict=True):
            pairs = FramePairs.of_maps((classes, numbers), tuple(prediction), is_crowd=is_crowd)
            metric.update_pairs(pairs)
        metric.end_video()
    check_means(metric.compute(), official)


def things_of(family: str, case: str, num_classes: int) -> np.ndarray:
    meta, _ = metric_cases.read_arrays(family, case)
    return np.isin(np.arange(num_classes), meta["things"])


def check_means(scores: dict[str, float], official: dict) -> None:
    for ours, theirs in (("VPQ", "all"), ("VPQ_things", "things"), ("VPQ_stuff", "stuff")):
        expected = official[f"VPQ_{theirs}"] / 100
        assert scores[ours] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def check_windows(metric: VideoPanopticMetric, official: dict[int, dict]) -> None:
    scores = metric.compute()
    for window, expected in official.items():
        for ours, theirs in (("", "all"), ("_things", "things"), ("_stuff", "stuff")):
            value = expected[theirs]["pq"]
            assert scores[f"VPQ{window}{ours}"] == pytest.approx(value, abs=1e-9, nan_ok=True)
        assert scores[f"SQ{window}"] == pytest.approx(expected["all"]["sq"], abs=1e-9)
        assert scores[f"RQ{window}"] == pytest.approx(expected["all"]["rq"], abs=1e-9)
        check_classes(metric, window, expected["per_class"], tolerance=1e-9)


def check_classes(
    metric: VideoPanopticMetric, window: int, official: dict[str, dict], tolerance: float
) -> None:
    counts = metric.counts[window]
    present = np.flatnonzero(~np.isnan(counts.pq))
    assert set(present.tolist()) == {int(name) for name in official}
    for name, expected in official.items():
        found = counts_of(metric, window, int(name))
        assert found == pytest.approx(
            tuple(expected[key] for key in ("iou", "tp", "fp", "fn")), abs=tolerance
        )


# The plain formulation, on random videos.


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_the_plain_formulation(seed: int):
    videos = random_videos(3, 7, 5, 1, seed=seed)
    metric = feed(new_metric(1, 2, 4, 6), *videos)
    occurring = np.zeros(4)
    for window, counts in metric.counts.items():
        expected = plain_vpq(videos, window, len(NAMES))
        np.testing.assert_allclose(counts.iou, expected["iou"], atol=1e-12)
        for position, name in enumerate(("hits", "false", "missed")):
            assert getattr(counts, name).tolist() == expected[name].tolist(), (window, name)
            occurring[position] += expected[name].sum()
        mean = np.nanmean(quality(expected))
        assert metric.compute()[f"VPQ{window}"] == pytest.approx(mean)
    assert (occurring[:3] > 0).all(), "the videos should show hits, false and missed tubes"


def test_crowds_play_a_part_in_the_random_videos():
    """So that the test above says something about them."""
    videos = random_videos(6, 6, seed=1)
    with_crowds = feed(new_metric(2), *videos).compute()
    without = feed(new_metric(2), *map(without_crowds, videos)).compute()
    assert with_crowds["VPQ"] != without["VPQ"]
    assert feed(new_metric(2, has_crowd=False), *videos).compute() == without


def test_perfect_prediction_scores_one():
    videos = [
        replace(one, prediction=one.truth) for one in map(without_crowds, random_videos(7, 8))
    ]
    scores = feed(new_metric(1, 2, 4, 6), *videos).compute()
    assert all(score == 1 for score in scores.values() if not np.isnan(score))
    assert scores["VPQ_things"] == scores["VPQ_stuff"] == scores["VPQ-cat"] == 1


def test_renaming_identities_changes_nothing():
    videos = [*map(without_crowds, random_videos(6, 9, seed=5))]
    names_changed = [renamed(one, seed) for seed, one in enumerate(videos)]
    assert names_changed[0].truth[0].segments != videos[0].truth[0].segments
    scores = feed(new_metric(1, 2, 4), *videos).compute()
    assert feed(new_metric(1, 2, 4), *names_changed).compute() == pytest.approx(scores)


def test_order_of_videos_changes_nothing():
    videos = random_videos(6, 9, 2, seed=6)
    scores = feed(new_metric(1, 2, 4), *videos).compute()
    reordered = feed(new_metric(1, 2, 4), *videos[::-1]).compute()
    assert reordered == pytest.approx(scores)


def test_merged_parts_score_as_the_whole():
    videos = random_videos(6, 9, 2, seed=7)
    whole = feed(new_metric(1, 2, 4), *videos)
    total = new_metric(1, 2, 4)
    for part in (videos[:1], videos[1:]):
        total.merge(feed(new_metric(1, 2, 4), *part))
    assert total.compute() == pytest.approx(whole.compute())
    assert total.notes() == whole.notes()


def test_finished_video_leaves_counts_alone():
    metric = feed(new_metric(1, 2, 4), *random_videos(6))
    assert len(metric._frames) == 0
    feed(metric, *random_videos(6, seed=1))
    assert len(metric._frames) == 0


def test_window_of_one_frame_knows_no_identities():
    (one,) = random_videos(6, seed=8)
    frames = [
        PanopticVideo((truth,), (prediction,))
        for truth, prediction in zip(one.truth, one.prediction, strict=True)
    ]
    shuffled = [renamed(frame, seed) for seed, frame in enumerate(map(without_crowds, frames))]
    expected = feed(new_metric(1), without_crowds(one)).compute()
    assert feed(new_metric(1), *shuffled).compute() == pytest.approx(expected)


def test_window_is_its_frames_beside_each_other():
    """A window of four frames is one image that shows them side by side."""
    (one,) = random_videos(4, seed=9)
    one = without_crowds(one)

    def side_by_side(frames: tuple[PanopticFrame, ...]) -> PanopticFrame:
        areas: dict[int, int] = {}
        first = {}
        for segment in (segment for frame in frames for segment in frame.segments):
            areas[segment.number] = areas.get(segment.number, 0) + segment.area
            first.setdefault(segment.number, segment)
        numbers = np.concatenate([frame.numbers for frame in frames], axis=1)
        segments = tuple(replace(s, area=areas[s.number]) for s in first.values())
        return PanopticFrame(numbers, segments)

    image = PanopticVideo((side_by_side(one.truth),), (side_by_side(one.prediction),))
    as_window = feed(new_metric(4), one).compute()
    as_image = feed(new_metric(1), image).compute()
    assert as_image["VPQ"] == as_window["VPQ"]
