from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest

from gvseg.evaluation.hota import ALPHAS, HotaMetric, TrackFrame, hota_counts
from tests.evaluation.track_videos import (
    NAMES,
    TrackVideo,
    drawn,
    feed,
    perfect,
    random_videos,
    renamed,
)

PARTS = ("HOTA", "DetA", "AssA", "LocA", "DetRe", "DetPr", "AssRe", "AssPr")


def new_metric() -> HotaMetric:
    return HotaMetric(NAMES, (True, True))


def score(*videos: TrackVideo) -> dict[str, float]:
    return feed(new_metric(), *videos).compute()


def random_frames(seed: int, num_frames: int = 12) -> list[TrackFrame]:
    """Return frames of a few tracks whose overlaps are drawn at random."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(num_frames):
        truth = np.sort(rng.permutation(4)[: rng.integers(0, 5)])
        prediction = np.sort(rng.permutation(5)[: rng.integers(0, 6)])
        iou = rng.random((len(truth), len(prediction)))
        iou[rng.random(iou.shape) < 0.3] = 0
        iou[(truth[:, None] == prediction) & (rng.random(iou.shape) < 0.7)] = 0.9
        frames.append(TrackFrame(truth, prediction, iou))
    return frames


# TrackEval, where it is installed.


@pytest.mark.parametrize("seed", range(6))
def test_scores_are_those_of_trackeval(seed: int):
    trackeval = pytest.importorskip("trackeval", reason="a check against TrackEval")
    frames = random_frames(seed)
    data = {
        "num_tracker_dets": sum(len(frame.prediction) for frame in frames),
        "num_gt_dets": sum(len(frame.truth) for frame in frames),
        "num_gt_ids": 4,
        "num_tracker_ids": 5,
        "gt_ids": [frame.truth for frame in frames],
        "tracker_ids": [frame.prediction for frame in frames],
        "similarity_scores": [frame.iou for frame in frames],
    }
    official = trackeval.metrics.HOTA().eval_sequence(data)
    scores = hota_counts(frames).scores()
    for name in (*PARTS, "OWTA"):
        np.testing.assert_allclose(scores[name], official[name], atol=1e-9, err_msg=name)


# The definition, by trying all ways to match where tracks make no difference.


def test_detections_of_single_frames_are_matched_as_well_as_can_be():
    """One frame, so all tracks have one mask: the affinity of a pair is a function of its IoU."""
    rng = np.random.default_rng(0)
    iou = rng.random((4, 4))
    frame = TrackFrame(np.arange(4), np.arange(4), iou)
    share = iou / (iou.sum(axis=0) + iou.sum(axis=1, keepdims=True) - iou)
    affinity = share / (2 - share)
    best = max(permutations(range(4)), key=lambda p: sum((affinity * iou)[range(4), p]))
    hits = (iou[range(4), best][:, None] >= ALPHAS).sum(axis=0)
    np.testing.assert_array_equal(hota_counts([frame]).hits, hits)


# Properties.


def test_perfect_prediction_scores_one():
    scores = score(*map(perfect, random_videos(5, 6, 7)))
    assert list(scores.values()) == pytest.approx([1.0] * len(scores))


def test_renaming_identities_changes_nothing():
    videos = random_videos(6, 9, seed=2)
    expected = score(*videos)
    assert 0.05 < expected["HOTA"] < 0.95
    assert score(*map(renamed, videos)) == pytest.approx(expected, nan_ok=True)


def test_order_and_shares_of_videos_change_nothing():
    videos = random_videos(5, 6, 7, seed=4)
    total = new_metric()
    for number in (2, 0, 1):
        total.merge(feed(new_metric(), videos[number], first=number))
    assert total.compute() == pytest.approx(score(*videos), nan_ok=True)


def test_finished_video_leaves_counts_alone():
    metric = feed(new_metric(), *random_videos(9))
    assert metric._video is None
    assert {len(vars(counts)["hits"]) for counts in metric.counts.values()} == {len(ALPHAS)}


# Each rule on its own, worked by hand.


def test_object_that_two_tracks_share_worked_by_hand():
    """The worked example of `hota_counts`: found always, half the time as either: sqrt(1 * 1/2)."""
    scores = score(drawn(["aa.."] * 4, ["AA.."] * 2 + ["BB.."] * 2))
    assert scores["DetA"] == scores["LocA"] == 1
    assert scores["AssA"] == scores["AssRe"] == pytest.approx(1 / 2)
    assert scores["AssPr"] == 1
    assert scores["HOTA"] == pytest.approx(np.sqrt(1 / 2))


def test_misses_and_false_alarms_worked_by_hand():
    """`a` is found in one frame of two, `B` is false in one: DetA 1 / (1 + 1 + 1). The one hit is
    of tracks of two masks and of one: AssA 1 / (2 + 1 - 1).
    """
    scores = score(drawn(["aa..", "aa.."], ["AA..", "..BB"]))
    assert scores["DetA"] == pytest.approx(1 / 3)
    assert scores["DetRe"] == scores["DetPr"] == pytest.approx(1 / 2)
    assert scores["AssA"] == pytest.approx(1 / 2)
    assert scores["HOTA"] == pytest.approx(np.sqrt(1 / 6))


def test_threshold_is_met_by_an_equal_overlap():
    """IoU 1/2: a hit at the ten thresholds up to 0.5, with LocA 1/2 there and 1 at the others."""
    scores = score(drawn(["aaaa"], ["AA.."]))
    assert [scores[f"HOTA@{alpha:.2f}"] for alpha in ALPHAS] == [1.0] * 10 + [0.0] * 9
    assert scores["HOTA"] == pytest.approx(10 / 19)
    assert scores["LocA"] == pytest.approx((10 / 2 + 9) / 19)


def test_final_score_is_the_plain_mean_of_the_classes_in_the_truth():
    """Three cats found, one dog missed: (1 + 0) / 2, though 3 of 4 objects are found."""
    scores = score(drawn(["aabbccdd"], ["AABBCC.."]))
    assert scores["HOTA"] == pytest.approx(1 / 2)
    assert (scores["HOTA-cat"], scores["HOTA-dog"]) == (1, 0)


def test_class_of_a_track_is_its_best_one():
    """Dog in the first frame with 0.2, cat in the others with 0.9: a cat."""
    one = drawn(["aa.."] * 3, ["AA.."] * 3, {"A": 0.9})
    (first, *others) = one.prediction
    first = replace(first, classes=np.array([1]), scores=np.array([0.2]))
    assert score(replace(one, prediction=(first, *others)))["HOTA-cat"] == 1


def test_crowd_is_no_object_and_forgives_what_lies_in_it():
    """`B` lies in the crowd, `C` half in it: 1 hit, 1 false alarm."""
    one = drawn(["aa..bbbb...."], ["AA..BB......"], crowds="b")
    assert score(one)["DetA"] == 1
    half = drawn(["aa..bbbb...."], ["AA....CCCC.."], crowds="b")
    assert score(half)["DetA"] == pytest.approx(1 / 2)


def test_truth_without_objects_is_undefined_with_a_reason():
    metric = feed(new_metric(), drawn([".."], ["AA"]))
    assert np.isnan(metric.compute()["HOTA"])
    assert metric.notes() == ["All scores are undefined: the truth has no object."]
    metric = feed(new_metric(), drawn(["aa"], [".."]))
    assert metric.compute()["HOTA"] == 0
    assert metric.notes() == ["HOTA of 1 of 2 classes (dog) is undefined and left out of means: "
                              "the truth has no such object."]  # fmt: skip
