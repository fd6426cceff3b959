from dataclasses import replace

import numpy as np
import pytest

from gvseg.data.benchmarks import kitti_step
from gvseg.evaluation import METRICS
from gvseg.evaluation.frame_pairs import FramePairs, class_confusion
from gvseg.evaluation.stq import SegmentationTrackingMetric, TubeSizes, present_iou
from tests.evaluation import metric_cases
from tests.evaluation.panoptic_videos import (
    IS_THING,
    NAMES,
    PanopticVideo,
    draw,
    feed,
    random_videos,
    read_vipseg,
    renamed,
    without_crowds,
)
from tests.evaluation.plain_panoptic import plain_stq

# Letters of frames drawn by hand: sky, cats and dogs.
CLASSES = {"s": 0, "a": 3, "b": 3, "c": 3, "d": 4, "e": 4}


def new_metric(**options: bool) -> SegmentationTrackingMetric:
    return SegmentationTrackingMetric(NAMES, IS_THING, **options)


def video(truth: list, prediction: list) -> PanopticVideo:
    """Return a video of frames, or of one row of letters each."""
    frames = [
        tuple(draw(frame, CLASSES) if isinstance(frame, str) else frame for frame in side)
        for side in (truth, prediction)
    ]
    return PanopticVideo(*frames)


def score(*videos: PanopticVideo, **options: bool) -> dict[str, float]:
    return feed(new_metric(**options), *videos).compute()


# Official numbers.


def check(scores: dict[str, float], official: dict) -> None:
    for ours, theirs in (("STQ", "STQ"), ("SQ", "IoU"), ("AQ", "AQ")):
        assert scores[ours] == pytest.approx(official[theirs], abs=1e-6, nan_ok=True), ours


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("vipseg"))
def test_vipseg_files_give_the_official_numbers(case: str):
    official = metric_cases.expected("vipseg", case)["stq_vipseg_official"]
    meta, _ = metric_cases.read_arrays("vipseg", case)
    is_thing = np.isin(np.arange(124), meta["things"])
    total = SegmentationTrackingMetric(range(124), is_thing, first_is_crowd=True)
    for index, one in enumerate(read_vipseg(metric_cases.ROOT / "vipseg" / case)):
        alone = feed(SegmentationTrackingMetric(range(124), is_thing, first_is_crowd=True), one)
        keys = {"STQ": "STQ_per_seq", "IoU": "IoU_per_seq", "AQ": "AQ_per_seq"}
        check(alone.compute(), {key: official[name][index] for key, name in keys.items()})
        total.merge(alone)
    check(total.compute(), official)


@pytest.mark.data
@pytest.mark.parametrize(
    ("family", "case", "num_classes", "evaluator"),
    [("vipseg", c, 124, "stq_deeplab2_numpy_on_neutral") for c in metric_cases.cases("vipseg")]
    + [("kitti_step", c, 19, "stq_deeplab2_numpy") for c in metric_cases.cases("kitti_step")],
)
def test_plain_maps_give_the_numbers_of_deeplab2(
    family: str, case: str, num_classes: int, evaluator: str
):
    meta, arrays = metric_cases.read_arrays(family, case)
    is_thing = np.isin(np.arange(num_classes), meta["things"])
    metric = SegmentationTrackingMetric(range(num_classes), is_thing)
    for v in range(meta["n_videos"]):
        truth, number, *sides = (
            arrays[f"v{v}_{name}"] for name in ("gt_sem", "gt_id", "pred_sem", "pred_id")
        )
        # Officially a thing without a number is a crowd.
        is_crowd = arrays[f"v{v}_gt_crowd"] | (np.isin(truth, meta["things"]) & (number == 0))
        for index in range(len(truth)):
            pairs = FramePairs.of_maps(
                (truth[index], number[index]),
                (sides[0][index], sides[1][index]),
                is_crowd=is_crowd[index],
            )
            metric.update_pairs(pairs)
        metric.end_video()
    check(metric.compute(), metric_cases.expected(family, case)[evaluator])


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("kitti_step"))
def test_kitti_step_files_give_the_official_numbers(case: str):
    metric = METRICS["stq/kitti_step"](kitti_step.KITTI_STEP)
    root = metric_cases.ROOT / "kitti_step" / case
    for sequence in sorted((root / "gt").iterdir()):
        for index, path in enumerate(sorted(sequence.iterdir())):
            truth, prediction = (
                kitti_step.read_labels({"video_id": "v", "label_files": {index: str(file)}}, index)
                for file in (path, root / "pred" / sequence.name / path.name)
            )
            metric.update({}, truth, prediction.segments)
        metric.end_video({})
    check(metric.compute(), metric_cases.expected("kitti_step", case)["stq_deeplab2_numpy"])


# The plain formulation, on random videos.


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_the_plain_formulation(seed: int):
    videos = random_videos(3, 7, 5, 1, seed=seed)
    scores = score(*videos)
    expected = plain_stq(videos, IS_THING)
    assert {name: scores[name] for name in expected} == pytest.approx(expected)
    assert 0.05 < scores["AQ"] < scores["STQ"] < scores["SQ"] < 0.95


def test_crowds_play_a_part_in_the_random_videos():
    """So that the test above says something about them."""
    videos = random_videos(6, 6, seed=1)
    assert score(*videos)["AQ"] != score(*map(without_crowds, videos))["AQ"]
    assert score(*videos)["SQ"] == score(*map(without_crowds, videos))["SQ"]


def test_perfect_prediction_scores_one():
    videos = [
        replace(one, prediction=one.truth) for one in map(without_crowds, random_videos(7, 8))
    ]
    scores = score(*videos)
    assert (scores["STQ"], scores["SQ"], scores["AQ"]) == pytest.approx((1, 1, 1))


def test_renaming_identities_changes_nothing():
    videos = random_videos(6, 9, seed=5)
    names_changed = [renamed(one, seed) for seed, one in enumerate(videos)]
    assert score(*names_changed) == pytest.approx(score(*videos), nan_ok=True)


def test_order_of_videos_changes_nothing():
    videos = random_videos(6, 9, 2, seed=6)
    assert score(*videos[::-1]) == pytest.approx(score(*videos), nan_ok=True)


def test_merged_parts_score_as_the_whole():
    videos = random_videos(6, 9, 2, seed=7)
    whole, total = feed(new_metric(), *videos), new_metric()
    for part in (videos[:1], videos[1:]):
        total.merge(feed(new_metric(), *part))
    assert total.compute() == pytest.approx(whole.compute(), nan_ok=True)
    assert total.notes() == whole.notes()


def test_finished_video_leaves_counts_alone():
    metric = feed(new_metric(), *random_videos(6))
    assert metric._tubes == TubeSizes()
    assert metric.num_tubes > 0


# Each rule on its own, worked by hand.


def test_association_worked_by_hand():
    """Two frames, a cat of 8 pixels: `b` of 4 pixels covers 4, `c` of 5 covers 2.

    AQ (4 * 4/8 + 2 * 2/11) / 8. Three of the 12 pixels of sky go to `c`, and two of the cat's to
    sky: IoU 9/14 for sky and 6/11 for cat.
    """
    one = video(["aaaassssss"] * 2, ["bbbbssssss", "sscccccsss"])
    scores = score(one)
    assert scores["AQ"] == pytest.approx((4 * 4 / 8 + 2 * 2 / 11) / 8)
    assert scores["IoU-sky"] == pytest.approx(9 / 14)
    assert scores["IoU-cat"] == pytest.approx(6 / 11)
    assert scores["SQ"] == pytest.approx((9 / 14 + 6 / 11) / 2)
    assert scores["STQ"] == pytest.approx(np.sqrt(scores["SQ"] * scores["AQ"]))


def test_association_counts_all_tubes_alike_whatever_their_video():
    """Three cats hit in one video, one missed in another: 3/4, not the mean of videos 1/2."""
    full = video(["abcs"], ["abcs"])
    missed = video(["asss"], ["ssss"])
    assert score(full, missed)["AQ"] == pytest.approx(3 / 4)


def test_identity_in_two_videos_is_two_tubes():
    halves = [video(["aass"], ["aass"]), video(["aass"], ["ssss"])]
    metric = feed(new_metric(), *halves)
    assert metric.num_tubes == 2
    assert metric.compute()["AQ"] == 0.5


def test_association_asks_for_no_class_but_a_change_of_class_ends_a_tube():
    """A cat taken for a dog all along is fully associated. One that turns into a dog halfway is two
    tubes, each half of the cat: (2 * 2/4 + 2 * 2/4) / 4.
    """
    dog = draw("aass", CLASSES | {"a": 4})
    assert score(video(["aass"] * 2, [dog] * 2))["AQ"] == 1
    assert score(video(["aass"] * 2, ["aass", dog]))["AQ"] == 0.5
    assert score(video(["aass", dog], ["aass"] * 2))["AQ"] == 0.5


def test_stuff_plays_no_part_in_association():
    assert score(video(["aass"], ["ssss"]))["AQ"] == 0
    assert score(video(["aass"], ["aadd"]))["AQ"] == 1


def test_prediction_that_leaks_into_void_is_the_worse_for_it():
    """50 of its 60 pixels are the cat, ten are void: 50/60. SQ does not see the void."""
    truth, prediction = "a" * 50 + "." * 10, "b" * 60
    scores = score(video([truth], [prediction]))
    assert scores["AQ"] == pytest.approx(50 / 60)
    assert scores["SQ"] == 1


def test_crowd_is_no_tube_and_takes_nothing_from_predicted_ones():
    """`b` has 4 pixels on the cat and 4 on a crowd `c`. SQ counts the crowd as cat: all right."""
    truth = draw("aaaaccccss", CLASSES, crowds="c")
    metric = feed(new_metric(), video([truth], ["bbbbbbbbss"]))
    assert metric.num_tubes == 1
    assert metric.compute() == pytest.approx(
        {"STQ": 1, "SQ": 1, "AQ": 1, "IoU-sky": 1, "IoU-cat": 1}
        | {f"IoU-{name}": np.nan for name in ("road", "grass", "dog")},
        nan_ok=True,
    )


def test_crowd_of_stuff_is_stuff():
    truth = draw("aass", CLASSES, crowds="s")
    assert score(video([truth], ["aaaa"]))["AQ"] == pytest.approx(2 / 4)


def test_labelled_pixels_without_a_class_add_a_zero_to_the_mean():
    """One pixel of a hundred is left out: IoU of sky 49/50, of cat 1, of no class 0."""
    truth = "s" * 50 + "a" * 50
    metric = feed(new_metric(), video([truth], ["." + truth[1:]]))
    assert metric.compute()["SQ"] == pytest.approx((49 / 50 + 1 + 0) / 3)
    assert "1 labelled pixels have no predicted class" in " ".join(metric.notes())


def test_class_that_is_only_predicted_adds_a_zero_to_the_mean():
    metric = feed(new_metric(), video(["ssss"], ["sssd"]))
    assert metric.compute()["SQ"] == pytest.approx((3 / 4 + 0) / 2)
    assert "1 classes are predicted, but not annotated" in " ".join(metric.notes())


def test_class_that_is_only_predicted_on_void_does_not_count():
    assert score(video(["ssss."], ["ssssd"]))["SQ"] == 1


def test_classes_are_counted_as_in_the_worked_example():
    both, hole = np.array([[3, 1, 0], [0, 4, 0]]), np.array([[3, 0, 1], [0, 4, 0]])
    np.testing.assert_allclose(present_iou(both), [3 / 4, 4 / 5, np.nan])
    np.testing.assert_allclose(present_iou(hole), [3 / 4, 1, 0])


def test_segments_of_one_class_count_together():
    pairs = FramePairs.of_segments(
        draw("aabbs.", CLASSES).labels(), draw("acsss.", CLASSES).prediction()
    )
    expected = np.zeros((5, 6), dtype=int)
    expected[3, 3], expected[3, 0], expected[0, 0] = 2, 2, 1
    assert class_confusion(pairs, 5).tolist() == expected.tolist()


def test_first_listed_thing_is_lost_by_the_script_of_vipseg():
    """Cats `a` and `b`, of which `b` is predicted: AQ 1/2. The script lists `a` as number 0, which
    it takes for a crowd: AQ 1. Where stuff is listed first, nothing is lost.
    """
    things_first = {"a": 3, "b": 3, "s": 0}
    stuff_first = {"s": 0, "a": 3, "b": 3}
    for classes, expected in ((things_first, 1.0), (stuff_first, 0.5)):
        frame = draw("aabbss", classes)
        one = video([frame] * 2, ["ssbbss"] * 2)
        assert score(one)["AQ"] == 0.5
        assert score(one, first_is_crowd=True)["AQ"] == expected


def test_script_of_vipseg_loses_one_thing_of_each_video():
    frame = draw("aabbss", {"a": 3, "b": 3, "s": 0})
    one = video(["......", frame, frame], ["ssbbss"] * 3)
    metric = feed(new_metric(first_is_crowd=True), one, one)
    assert metric.num_tubes == 2
    # `a` is lost in all frames, though first listed in the first alone.
    later = draw("aabbss", {"b": 3, "a": 3, "s": 0})
    assert (
        feed(new_metric(first_is_crowd=True), video([frame, later], ["ss...."] * 2)).num_tubes == 1
    )


def test_script_of_vipseg_takes_crowds_for_tubes():
    frame = draw("ssaab", CLASSES, crowds="b")
    assert feed(new_metric(), video([frame], ["ssaaa"])).num_tubes == 1
    assert feed(new_metric(first_is_crowd=True), video([frame], ["ssaaa"])).num_tubes == 2


# What nothing defines, and what is wrong.


@pytest.mark.parametrize("prediction", ["ssss", "ssaa"], ids=["right", "with a cat"])
def test_truth_without_objects_scores_zero_by_definition(prediction: str):
    metric = feed(new_metric(), video(["ssss"], [prediction]))
    scores = metric.compute()
    assert (scores["AQ"], scores["STQ"]) == (0, 0)
    assert "AQ, and with it STQ, is 0 by definition" in " ".join(metric.notes())


def test_truth_of_void_alone_is_undefined_with_a_reason():
    metric = feed(new_metric(), video(["...."], ["ssaa"]))
    scores = metric.compute()
    assert np.isnan([scores["STQ"], scores["SQ"], scores["IoU-sky"]]).all()
    assert metric.notes() == [
        "SQ, and with it STQ, is undefined: no pixel of the truth is labelled."
    ]


def test_video_of_void_alone_changes_nothing():
    one, void = video(["aass"], ["aaas"]), video(["...."], ["ssaa"])
    assert score(one, void) == pytest.approx(score(one), nan_ok=True)


def test_prediction_of_nothing_scores_zero():
    scores = score(video(["ssaa"], ["...."]))
    assert (scores["STQ"], scores["SQ"], scores["AQ"]) == (0, 0, 0)


def test_set_without_videos_is_undefined():
    assert np.isnan(new_metric().compute()["STQ"])


def test_complete_set_has_no_notes():
    frame = draw("srgad", {"s": 0, "r": 1, "g": 2, "a": 3, "d": 4})
    metric = feed(new_metric(), video([frame] * 2, [frame] * 2))
    assert metric.compute()["STQ"] == 1
    assert metric.notes() == []


def test_wrong_input_is_named():
    truth = draw("aabb", CLASSES).labels()
    record = {"video_id": "walk", "file_names": ["walk/0.jpg"]}
    with pytest.raises(ValueError, match=r"video walk, frame walk/0\.jpg has 1x3 .* has 1x4"):
        new_metric().update(record, truth, draw("aab", CLASSES).prediction())
    with pytest.raises(ValueError, match=r"frame walk/0\.jpg has segments of the classes \[9\]"):
        new_metric().update(record, truth, draw("aaaa", {"a": 9}).prediction())
