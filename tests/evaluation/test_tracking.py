from dataclasses import replace

import numpy as np
import pytest

from gvseg.evaluation.tracking import FATES, TrackingMetric, VideoTally
from tests.evaluation.track_videos import (
    TrackVideo,
    drawn,
    feed,
    perfect,
    random_videos,
    renamed,
)


def new_metric() -> TrackingMetric:
    return TrackingMetric((True, True))


def tally(video: TrackVideo) -> dict[str, int]:
    return feed(new_metric(), video).per_video()[0]


def fates(video: TrackVideo) -> dict[str, int]:
    """Return the fates that occur."""
    counts = tally(video)
    return {name: counts[name] for name in FATES if counts[name]}


# Each rule on its own, worked by hand.


def test_object_that_is_followed_is_found():
    counts = tally(drawn(["aa.."] * 3, ["AA.."] * 3))
    assert counts == vars(
        VideoTally(objects=1, identities=1, masks=3, predicted_masks=3, matches=3, found=3)
    )


def test_breaks_worked_by_hand():
    """`a` is found as A, A, not at all, B, then is away, then A: switches A-B and B-A. It was
    visible and not found once, between two frames in which it was found: one fragmentation.
    """
    truth = ["aa..", "aa..", "aa..", "aa..", "....", "aa.."]
    counts = tally(drawn(truth, ["AA..", "AA..", "....", "BB..", "....", "AA.."]))
    assert (counts["switches"], counts["fragmentations"]) == (2, 1)
    assert (counts["found"], counts["split"], counts["missed"]) == (3, 1, 1)


def test_frames_before_and_after_an_object_is_found_are_no_fragmentation():
    counts = tally(drawn(["aa.."] * 4, ["....", "AA..", "AA..", "...."]))
    assert counts["fragmentations"] == 0
    assert counts["missed"] == 2


def test_match_asks_for_half_of_the_union():
    assert fates(drawn(["aaaa...."], ["AA......"])) == {"found": 1}
    assert fates(drawn(["aaaaa..."], ["AA......"])) == {"missed": 1}


def test_object_keeps_its_identity_where_another_fits_better():
    """`A` still has IoU 1/2 in the second frame, `B` has 3/4."""
    one = drawn(["aaaa....", "aaaa...."], ["AAAA....", "AAAA...."])
    masks = np.zeros((2, 1, 8), dtype=bool)
    masks[0, 0, :2], masks[1, 0, :3] = True, True
    second = replace(
        one.prediction[1], ids=np.array([1065, 1066]), classes=np.array([0, 0]),
        scores=np.ones(2), masks=masks, index_map=None,
    )  # fmt: skip
    counts = tally(replace(one, prediction=(one.prediction[0], second)))
    assert counts["switches"] == 0
    assert (counts["found"], counts["spurious"]) == (2, 1)


def test_wrong_class_is_told_apart_from_a_miss():
    assert fates(drawn(["aa.."], ["DD.."])) == {"wrong_class": 1}


def test_exchanged_identities_are_swapped():
    """A and B change places in the last of three frames; most of A is `a`."""
    one = drawn(["aabb"] * 3, ["AABB", "AABB", "BBAA"])
    assert fates(one) == {"found": 4, "swapped": 2}
    assert tally(one)["switches"] == 2


def test_object_in_two_halves_is_split():
    """Neither half has IoU 1/2 (4 of 9, 4 of 9); together they cover it."""
    assert fates(drawn(["aaaaaaaaa..."], ["AAAABBBB...."])) == {"split": 1}


def test_halves_that_cover_less_than_half_are_no_split():
    assert fates(drawn(["aaaaaaaaa..."], ["AABB........"])) == {"missed": 1}


def test_objects_under_one_mask_are_merged():
    """IoU with the mask is 4 of 9 and 5 of 9: `b` is found, `a` merged into it."""
    assert fates(drawn(["aaaabbbbb"], ["AAAAAAAAA"])) == {"found": 1, "merged": 1}
    three = drawn(["aaabbbccc"], ["AAAAAAAAA"])
    assert fates(three) == {"merged": 3}


def test_crowds_do_not_count():
    """`B` lies in a crowd: neither a match nor spurious."""
    counts = tally(drawn(["aa..bbbb"], ["AA..BB.."], crowds="b"))
    assert (counts["objects"], counts["predicted_masks"], counts["spurious"]) == (1, 1, 0)


def test_shares_worked_by_hand():
    """Of 4 true masks 3 are found and 1 missed; of 4 predicted ones 1 is spurious; of 3 matches
    none is a switch and 1 comes after a gap.
    """
    one = drawn(["aa...."] * 4, ["AA....", "AA....", "...BB.", "AA...."])
    scores = feed(new_metric(), one).compute()
    assert scores["found"] == pytest.approx(3 / 4)
    assert scores["missed"] == pytest.approx(1 / 4)
    assert scores["spurious"] == pytest.approx(1 / 4)
    assert scores["switches"] == 0
    assert scores["fragmentations"] == pytest.approx(1 / 3)


# Properties.


@pytest.mark.parametrize("seed", range(3))
def test_every_true_mask_has_one_fate(seed: int):
    occurring = dict.fromkeys(FATES, 0)
    metric = feed(new_metric(), *random_videos(9, 9, 12, seed=seed))
    for counts in metric.per_video().values():
        assert sum(counts[name] for name in FATES) == counts["masks"]
        assert counts["matches"] + counts["spurious"] == counts["predicted_masks"]
        for name in FATES:
            occurring[name] += counts[name]
    assert occurring["found"] > 0
    assert occurring["swapped"] > 0
    assert occurring["missed"] > 0


def test_perfect_prediction_is_all_found():
    scores = feed(new_metric(), *map(perfect, random_videos(5, 6, seed=1))).compute()
    assert scores.pop("found") == 1
    assert set(scores.values()) == {0}


def test_renaming_identities_changes_nothing():
    videos = random_videos(6, 9, seed=2)
    expected = feed(new_metric(), *videos).per_video()
    assert feed(new_metric(), *map(renamed, videos)).per_video() == expected


def test_order_and_shares_of_videos_change_nothing():
    videos = random_videos(5, 6, 7, seed=4)
    whole, total = feed(new_metric(), *videos), new_metric()
    for number in (2, 0, 1):
        total.merge(feed(new_metric(), videos[number], first=number))
    assert total.per_video() == whole.per_video()
    assert total.compute() == whole.compute()


# What nothing defines.


def test_nothing_true_and_nothing_predicted_are_undefined_with_reasons():
    metric = feed(new_metric(), drawn([".."], [".."]))
    assert np.isnan(list(metric.compute().values())).all()
    assert metric.notes() == [
        "What became of objects is undefined: the truth has none.",
        "The share of spurious masks is undefined: none is predicted.",
        "Shares of switches and fragmentations are undefined: nothing matches.",
    ]
