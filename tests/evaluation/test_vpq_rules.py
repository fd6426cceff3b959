"""Each rule of VPQ on its own, worked by hand."""

from dataclasses import replace

import numpy as np
import pytest

from gvseg.data.benchmarks import kitti_step
from gvseg.evaluation import METRICS
from gvseg.evaluation.frame_pairs import FramePairs
from gvseg.evaluation.vpq import (
    TubePairs,
    class_mean,
    join_frames,
    match_tubes,
)
from gvseg.structures import FrameSegments
from tests.evaluation.drawn_vpq import CLASSES, counts_of, new_metric, video
from tests.evaluation.panoptic_videos import (
    draw,
    feed,
)


def test_windows_of_two_frames_worked_by_hand():
    """Three frames, a cat `a` on sky; the prediction `b` of it loses its identity in the last.

    Frame by frame: IoU of cat 1, 1/2 (a miss, as that is not above), 1; sky 1, 4/5, 1.
    Windows of two: `a` and `b` share 2 + 1 pixels of 4 + 3 - 3: 3/4, a hit. Then `a` has 1 pixel in
    common with `b` and 2 with `c`; of 4 + 1 - 1 and 4 + 2 - 2 pixels, 1/4 and 1/2, so that `a` is
    missed and both are false. Sky: 8/9 and 8/9.
    """
    one = video(["aassss", "aassss", "aassss"], ["bbssss", "bsssss", "ccssss"])
    metric = feed(new_metric(1, 2), one)
    assert counts_of(metric, 1, 3) == (2, 2, 1, 1)
    assert counts_of(metric, 1, 0) == pytest.approx((1 + 4 / 5 + 1, 3, 0, 0))
    assert counts_of(metric, 2, 3) == (3 / 4, 1, 2, 1)
    assert counts_of(metric, 2, 0) == pytest.approx((16 / 9, 2, 0, 0))
    scores = metric.compute()
    cat, sky = (2 / 3, 3 / 4 / (1 + 3 / 2)), (2.8 / 3, 8 / 9)
    assert scores["VPQ1"] == pytest.approx((cat[0] + sky[0]) / 2)
    assert scores["VPQ2"] == pytest.approx((cat[1] + sky[1]) / 2)
    assert scores["VPQ"] == pytest.approx((scores["VPQ1"] + scores["VPQ2"]) / 2)
    assert scores["VPQ_things"] == scores["VPQ-cat"] == pytest.approx(sum(cat) / 2)
    assert scores["VPQ_stuff"] == pytest.approx(sum(sky) / 2)
    assert scores["SQ2"] == pytest.approx((3 / 4 + 8 / 9) / 2)
    assert scores["RQ2"] == pytest.approx((1 / (1 + 3 / 2) + 1) / 2)


def test_void_is_taken_from_the_union():
    """The worked example of `match_tubes`: IoU 7 / (8 + 10 - 7 - 1), and 4 of 6 pixels are void."""
    tubes = TubePairs(
        true_classes=np.array([3]),
        true_areas=np.array([10.0]),
        is_crowd=np.array([False]),
        predicted_classes=np.array([3, 3]),
        counts=np.array([[7, 2, 1], [1, 4, 0]]),
    )
    counts = match_tubes(tubes, 5)
    assert [values[3] for values in (counts.iou, counts.hits, counts.false, counts.missed)] == [
        *(0.7, 1, 0, 0)
    ]


@pytest.mark.parametrize(
    ("truth", "prediction", "num_false"),
    [("ssssssss..", "ss....bbbb", 1), ("ssssssss..", "ss.....bbb", 0)],
    ids=["half of it void", "more than half"],
)
def test_false_tube_is_forgiven_where_more_than_half_of_it_is_void(
    truth: str, prediction: str, num_false: int
):
    """`b` has two void pixels, of four (just half) or of three."""
    metric = feed(new_metric(1), video([truth], [prediction]))
    assert counts_of(metric, 1, 3) == (0, 0, num_false, 0)


def test_intersection_over_union_of_one_half_is_no_hit():
    metric = feed(new_metric(1), video(["aass"], ["bsss"]))
    assert counts_of(metric, 1, 3) == (0, 0, 1, 1)


def test_crowd_is_never_hit_missed_or_reason_for_a_false_tube():
    """`a` is a crowd of four: `b` covers it all, `c` has 1 of its 2 pixels there, just half."""
    truth = draw("ssssaaaa", CLASSES, crowds="a")
    metric = feed(new_metric(1), video([truth], ["sssbbbbb"]))
    assert counts_of(metric, 1, 3) == (0, 0, 0, 0)
    metric = feed(new_metric(1), video([truth], ["ssscc..."]))
    assert counts_of(metric, 1, 3) == (0, 0, 1, 0)


def test_void_and_crowd_count_together():
    """`b` has 4 pixels: one void, two of a crowd, one of sky: 3/4 is above one half."""
    truth = draw("sss.aass", CLASSES, crowds="a")
    assert counts_of(feed(new_metric(1), video([truth], ["ssbbbb.."])), 1, 3) == (0, 0, 0, 0)


def test_only_the_last_listed_crowd_of_a_class_forgives():
    """Two crowds of cats. `c` lies in the first listed: false; listed last: forgiven."""
    first_listed, last_listed = ({"s": 0, **order} for order in (
        {"a": 3, "b": 3}, {"b": 3, "a": 3}))  # fmt: skip
    for classes, num_false in ((first_listed, 1), (last_listed, 0)):
        truth = draw("aaaabbss", classes, crowds="ab")
        metric = feed(new_metric(1), video([truth], ["ccc...ss"]))
        assert counts_of(metric, 1, 3) == (0, 0, num_false, 0)


def test_last_listed_crowd_is_that_of_the_window():
    """Crowd `b` appears in the second frame: the last for windows 0-1 and 1-2, where `c` is on `a`.

    In windows of one frame `a` is the last listed crowd of frame 0, but `b` that of 1 and 2.
    """
    classes = {"s": 0, "a": 3, "b": 3}
    frames = [draw(row, classes, crowds="ab") for row in ("aaassss", "aaabbss", "aaabbss")]
    metric = feed(new_metric(1, 2), video(frames, ["cccssss", "ccc..ss", "ccc..ss"]))
    assert counts_of(metric, 1, 3) == (0, 0, 2, 0)
    assert counts_of(metric, 2, 3) == (0, 0, 2, 0)


def test_crowd_of_another_class_does_not_forgive():
    truth = draw("ssddd", CLASSES, crowds="d")
    assert counts_of(feed(new_metric(1), video([truth], ["ssbbb"])), 1, 3) == (0, 0, 1, 0)


def test_tube_has_the_class_of_its_first_frame_in_the_window():
    """`a` is a cat in frames 0 and 1, the prediction of it is a cat, then a dog.

    Windows of two: 0-1 starts as a cat, a hit of IoU 1; 1-2 has a cat predicted as a dog. If a
    class splits tubes, the cat of 0-1 has 2 of 4 pixels: no hit, one missed, one cat and one dog
    false.
    """
    dog = draw("aass", CLASSES | {"a": 4})
    one = video(["aass"] * 3, ["aass", dog, dog])
    metric = feed(new_metric(2), one)
    assert counts_of(metric, 2, 3) == (1, 1, 0, 1)
    assert counts_of(metric, 2, 4) == (0, 0, 1, 0)
    metric = feed(new_metric(2, class_splits_tubes=True), one)
    assert counts_of(metric, 2, 3) == (0, 0, 1, 2)
    assert counts_of(metric, 2, 4) == (0, 0, 2, 0)


def test_tube_is_a_crowd_if_its_first_frame_in_the_window_says_so():
    crowd, cat = draw("aass", CLASSES, crowds="a"), draw("aass", CLASSES)
    metric = feed(new_metric(1, 2), video([crowd, cat], ["ssss", "ssss"]))
    assert counts_of(metric, 1, 3) == (0, 0, 0, 1)
    assert counts_of(metric, 2, 3) == (0, 0, 0, 0)


def test_class_that_is_only_predicted_counts_with_zero():
    """Sky has 2/3; the dog that is not there has 0: VPQ 1/3, and cats have no part in it."""
    scores = feed(new_metric(1), video(["sss"], ["ssd"])).compute()
    assert scores["VPQ"] == pytest.approx(1 / 3)
    assert scores["VPQ-dog"] == 0
    assert np.isnan(scores["VPQ-cat"])


def test_mean_over_windows_is_of_class_means():
    """A dog in one frame alone, of the video without a second frame: classes differ by window.

    VPQ1: sky 1, dog 0: 1/2. VPQ2: sky 1 alone. Their mean is 3/4; the mean of the classes' own
    means over windows, 1 and 0, would be 1/2.
    """
    metric = feed(new_metric(1, 2), video(["ssd"], ["ss."]), video(["sss"] * 2, ["sss"] * 2))
    scores = metric.compute()
    assert (scores["VPQ1"], scores["VPQ2"], scores["VPQ"]) == (0.5, 1, 0.75)
    assert (scores["VPQ-sky"], scores["VPQ-dog"]) == (1, 0)


def test_counts_are_pooled_over_videos():
    """One cat hit with IoU 1 in the first, three missed in the second: 1 / (1 + 3/2), not 1/2."""
    videos = [video(["as"], ["as"]), video(["as"] * 3, ["ss"] * 3)]
    assert feed(new_metric(1), *videos).compute()["VPQ-cat"] == pytest.approx(1 / 2.5)


def test_video_shorter_than_the_window_does_not_count():
    short, long = video(["ssaa"], ["ssss"]), video(["ssss"] * 2, ["ssss"] * 2)
    metric = feed(new_metric(1, 2), short, long)
    scores = metric.compute()
    assert scores["VPQ2"] == 1
    assert np.isnan(scores["VPQ2_things"])
    assert metric.num_windows == {1: 3, 2: 1}
    assert "1 of 2 videos have fewer than 2 annotated frames" in " ".join(metric.notes())


def test_windows_do_not_reach_from_one_video_into_the_next():
    metric = feed(new_metric(2), *[video(["ss"], ["ss"])] * 3)
    assert metric.num_windows == {2: 0}


def test_stated_area_decides_the_union():
    """Cat `a` of 4 pixels is said to have 6: 4 / (6 + 4 - 4), and sky 4/4."""
    truth = draw("aaaassss", CLASSES, areas={"a": 6})
    metric = feed(new_metric(1), video([truth], ["aaaassss"]))
    assert counts_of(metric, 1, 3) == pytest.approx((4 / 6, 1, 0, 0))
    assert "1 true segments have another area" in " ".join(metric.notes())


def test_stated_area_that_is_too_small_is_an_error():
    truth = draw("aaaassss", CLASSES, areas={"a": 2})
    with pytest.raises(ValueError, match=r"1 frames up to video video0, frame 0: .* IoU above 1"):
        feed(new_metric(1), video([truth], ["aaaassss"]))


def test_segments_of_stuff_with_several_numbers_are_several_tubes():
    """Nothing merges two segments of sky: `s` has 4/8 of the true one, a miss and two false."""
    prediction = draw("sssstttt", {"s": 0, "t": 0})
    metric = feed(new_metric(1), video(["ssssssss"], [prediction]))
    assert counts_of(metric, 1, 0) == (0, 0, 2, 1)


def test_thing_and_stuff_of_one_identity_are_two_tubes():
    """A linker counts from 1 and sky, known by its class 0, has 1 too: not one tube of both."""
    truth, prediction = draw("ssaa", CLASSES), draw("ssaa", CLASSES).prediction()
    prediction = replace(prediction, ids=np.array([1, 1]))
    metric = new_metric(1)
    metric.update({}, truth.labels(), prediction)
    assert counts_of(metric, 1, 0) == counts_of(metric, 1, 3) == (1, 1, 0, 0)


def test_thing_keeps_its_identity_when_its_class_changes_whatever_its_number():
    """A linker's object 4, a cat (class 3) that turns into a dog: its first class, cat, holds."""
    metric = new_metric(2)
    for index, class_index in enumerate((3, 4)):
        truth = draw("aa", CLASSES)
        prediction = FrameSegments(
            frame_index=index,
            ids=np.array([4]),
            classes=np.array([class_index]),
            scores=np.ones(1, dtype=np.float32),
            index_map=np.zeros((1, 2), dtype=np.int16),
        )
        metric.update({}, truth.labels(index), prediction)
    assert counts_of(metric, 2, 3) == (1, 1, 0, 0)


def test_tubes_of_the_worked_example():
    """The example of `join_frames`."""
    truth = [np.array([[1, 1, 1, 1]]), np.array([[1, 1, 0, 0]])]
    prediction = [np.array([[8, 8, 0, 0]]), np.array([[8, 8, 8, 0]])]
    frames = [
        FramePairs(
            true_ids=np.array([1]),
            true_classes=np.array([0]),
            true_areas=np.array([float((true == 1).sum())]),
            is_crowd=np.array([False]),
            predicted_ids=np.array([8]),
            predicted_classes=np.array([class_index]),
            counts=np.array(
                [[np.sum((true == t) & (predicted == p)) for p in (8, 0)] for t in (1, 0)]
            ),
        )
        for class_index, (true, predicted) in enumerate(zip(truth, prediction, strict=True))
    ]
    tubes = join_frames(frames)
    assert tubes.true_areas.tolist() == [6]
    assert tubes.counts[:, :-1].sum() == 5
    assert tubes.counts[0, 0] == 4
    assert tubes.predicted_classes.tolist() == [0]


def test_tubes_stand_in_the_order_in_which_they_appear():
    classes = {"b": 3, "a": 3, "c": 3}
    frames = [
        FramePairs.of_segments(draw(row, classes).labels(), draw("d", {"d": 4}).prediction())
        for row in ("c", "a", "b")
    ]
    expected = [ord(letter) + 1000 for letter in "cab"]
    tubes = join_frames([replace(f, true_classes=f.true_ids) for f in frames])
    assert tubes.true_classes.tolist() == expected


# What nothing defines, and what is wrong.


def test_kind_that_does_not_occur_is_undefined_with_a_reason():
    """The official script divides by zero."""
    metric = feed(new_metric(1, 2), video(["ssss"] * 2, ["ssss"] * 2))
    scores = metric.compute()
    assert (scores["VPQ"], scores["VPQ_stuff"]) == (1, 1)
    assert np.isnan([scores["VPQ_things"], scores["VPQ1_things"], scores["VPQ-cat"]]).all()
    notes = " ".join(metric.notes())
    assert "VPQ1_things, VPQ2_things, and with it VPQ_things, is undefined: no things" in notes
    assert "4 of 5 classes are neither annotated nor predicted" in notes


def test_window_that_no_video_fills_is_undefined_with_a_reason():
    metric = feed(new_metric(1, 4), video(["ssss"] * 3, ["ssss"] * 3))
    scores = metric.compute()
    assert scores["VPQ1"] == scores["VPQ-sky"] == 1
    assert np.isnan([scores["VPQ4"], scores["VPQ"]]).all()
    assert "VPQ4, and with it VPQ, is undefined: no video has 4" in " ".join(metric.notes())


def test_prediction_of_nothing_scores_zero():
    scores = feed(new_metric(1), video(["ssaa"], ["...."])).compute()
    assert scores["VPQ"] == scores["VPQ_things"] == scores["SQ1"] == 0


def test_truth_of_void_alone_forgives_everything():
    metric = feed(new_metric(1), video(["...."], ["ssaa"]))
    assert np.isnan(metric.compute()["VPQ"])


def test_set_without_videos_is_undefined():
    metric = new_metric(1)
    assert np.isnan(metric.compute()["VPQ"])
    assert "no video has 1 annotated frames" in metric.notes()[0]


def test_complete_set_has_no_notes():
    frame = draw("srgad", {"s": 0, "r": 1, "g": 2, "a": 3, "d": 4})
    metric = feed(new_metric(1, 2), video([frame] * 2, [frame] * 2))
    assert metric.compute()["VPQ"] == 1
    assert metric.notes() == []


def test_identity_given_twice_in_a_frame_is_an_error():
    frame = draw("aabb", CLASSES)
    twice = replace(frame.prediction(3), ids=np.array([7, 7]))
    record = {"video_id": "walk", "file_names": [f"{index}.jpg" for index in range(4)]}
    with pytest.raises(ValueError, match=r"prediction of video walk, frame 3\.jpg has several"):
        new_metric(1).update(record, frame.labels(3), twice)
    truth = replace(frame.labels(3), segments=twice)
    with pytest.raises(ValueError, match=r"annotation of video walk, frame 3\.jpg has several"):
        new_metric(1).update(record, truth, frame.prediction(3))


def test_wrong_input_is_named():
    truth = draw("aabb", CLASSES).labels()
    with pytest.raises(ValueError, match=r"prediction of frame 0 has 1x3 .* has 1x4"):
        new_metric(1).update({}, truth, draw("aab", CLASSES).prediction())
    with pytest.raises(ValueError, match=r"prediction of frame 0 has segments of .* \[9\]"):
        new_metric(1).update({}, truth, draw("aaaa", {"a": 9}).prediction())


def test_class_mean_leaves_out_what_does_not_count():
    values = np.array([0.5, np.nan, 0.1])
    assert class_mean(values, np.array([True, True, False])) == 0.5
    assert np.isnan(class_mean(values, np.array([False, True, False])))


def test_protocols_have_the_windows_of_their_benchmarks():
    names = ("vipseg", "vipseg_script", "cityscapes_vps", "kitti_step")
    windows = {
        name: METRICS[f"vpq/{name}"](kitti_step.KITTI_STEP).protocol.windows for name in names
    }
    assert windows == {
        "vipseg": (1, 2, 4, 6),
        "vipseg_script": (1, 2, 4, 6, 8),
        "cityscapes_vps": (1, 2, 3, 4),
        "kitti_step": (1, 2, 3, 4),
    }
