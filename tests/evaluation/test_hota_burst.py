from dataclasses import replace

import numpy as np
import pytest

from gvseg.data.benchmark import annotated_frames
from gvseg.data.benchmarks.burst import BURST_CLASS, BURST_MASK
from gvseg.data.burst_json import load_burst_json
from gvseg.data.class_table import read_class_table
from gvseg.evaluation.hota_burst import (
    DISTRACTORS,
    MAX_MASKS,
    MERGED,
    BurstHotaMetric,
    Guidance,
)
from gvseg.evaluation.mask_overlaps import box_overlaps_of_segments, overlaps_of_segments
from gvseg.evaluation.protocols import METRICS
from gvseg.evaluation.submissions import submission_format
from tests.evaluation import metric_cases
from tests.evaluation.track_videos import TrackVideo, drawn, ident

CATEGORIES = read_class_table("burst")
CAT, DOG, RARE = 95, 805, 1  # bicycle and baby are common, acorn is not
NAMES = dict(zip(CATEGORIES.ids, CATEGORIES.names, strict=True))


# Official numbers.


@pytest.mark.data
@pytest.mark.parametrize("guidance", Guidance)
@pytest.mark.parametrize("case", metric_cases.cases("burst"))
def test_files_give_the_official_numbers(case: str, guidance: Guidance):
    root = metric_cases.ROOT / "burst" / case
    official = metric_cases.expected("burst", case)[f"burstapi_{guidance.value}_guided"
        if guidance is not Guidance.OPEN_WORLD else "burstapi_open_world"]  # fmt: skip
    benchmark = BURST_CLASS if guidance is Guidance.CLASS else BURST_MASK
    name = "exemplar" if guidance is Guidance.EXEMPLAR else "class"
    records = load_burst_json(root / "all_classes.json", root)
    file = root / f"pred_{name}_guided.json"
    reader = submission_format(benchmark).open_reader(file, benchmark, records)
    metric = METRICS[f"hota/burst_{guidance.value}"](benchmark)
    for record in records:
        frames = annotated_frames(record)
        for index, prediction in zip(frames, reader.frames(record, frames), strict=True):
            metric.update(record, benchmark.read_labels(record, index), prediction)
        metric.end_video(record)
    scores = metric.compute()
    if guidance is Guidance.OPEN_WORLD:
        for group, expected in official["table"].items():
            for name in ("OWTA", "DetRe", "AssA"):
                value = 100 * scores[f"{name}_{group}"]
                assert value == pytest.approx(expected[name], abs=1e-6), (name, group)
        return
    for name in ("HOTA", "DetA", "AssA"):
        for group, expected in official["table"][name].items():
            assert 100 * scores[f"{name}_{group}"] == pytest.approx(expected, abs=1e-6)
    for name, expected in official["per_class"].items():
        assert scores[f"HOTA-{name}"] == pytest.approx(expected["HOTA"], abs=1e-6)


# Each rule on its own, worked by hand.


def score(
    video: TrackVideo,
    guidance: str = "class",
    categories: dict[str, int] | None = None,
    compare=overlaps_of_segments,
    **lists: list[int],
) -> dict[str, float]:
    """Score one video whose classes are cat and dog, that is, categories of BURST."""
    metric = BurstHotaMetric(guidance, (CAT, DOG), NAMES, compare)
    category_ids = {ident("a"): CAT, ident("b"): CAT, ident("c"): CAT}
    category_ids |= {ident("d"): DOG, ident("e"): DOG}
    category_ids |= {ident(letter): id_ for letter, id_ in (categories or {}).items()}
    record = {
        "video_id": 3,
        "file_names": [f"{index}.jpg" for index in range(9)],
        "category_ids": category_ids,
        "neg_category_ids": [],
        "not_exhaustive_category_ids": [],
        **lists,
    }
    for labels, segments in zip(video.truth, video.prediction, strict=True):
        metric.update(record, labels, segments)
    metric.end_video(record)
    return metric.compute()


def as_exemplars(video: TrackVideo) -> TrackVideo:
    """Give predicted objects the identities of the true ones with the same letter."""
    offset = ident("a") - ident("A")
    frames = [replace(segments, ids=segments.ids + offset) for segments in video.prediction]
    return replace(video, prediction=tuple(frames))


def test_groups_are_plain_means_of_their_classes():
    """Cats are found, dogs are not and neither is the acorn."""
    one = drawn(["aaddee"], ["AA...."])
    scores = score(one, categories={"e": RARE})
    assert scores["HOTA_common"] == pytest.approx(1 / 2)
    assert scores["HOTA_uncommon"] == 0
    assert scores["HOTA_all"] == pytest.approx(1 / 3)
    assert scores[f"HOTA-{NAMES[CAT]}"] == 1


def test_frames_without_objects_are_left_out_whatever_is_predicted():
    one = drawn(["aa..", "...."], ["AA..", "..BB"])
    assert score(one, neg_category_ids=[CAT])["DetA_all"] == 1


def test_distractors_are_no_objects():
    """`d` is one: it is neither to be found nor a reason to look at the second frame."""
    distractor = min(DISTRACTORS)
    one = drawn(["aadd", "..dd"], ["AA..", "BB.."])
    scores = score(one, categories={"d": distractor}, neg_category_ids=[CAT])
    assert scores["DetA_all"] == 1
    assert f"HOTA-{NAMES[distractor]}" not in scores


def test_merged_categories_are_one_class():
    old, new = next(iter(MERGED.items()))
    one = drawn(["aa.."], ["...."])
    assert f"HOTA-{NAMES[new]}" in score(one, categories={"a": old})


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        ({}, 1),
        ({"neg_category_ids": [DOG]}, 1 / 2),
        ({"not_exhaustive_category_ids": [DOG]}, 1),
    ],
    ids=["unknown", "known to be absent", "annotated in part"],
)
def test_prediction_that_may_be_right_costs_nothing(lists: dict, expected: float):
    """Two frames with a cat, one with a dog too, which is found. In the other frame a dog `E` is
    predicted where the truth has none: left out, unless dogs are known to be absent there.
    """
    one = drawn(["aadd....", "aa......"], ["AADD....", "AA....EE"])
    scores = score(one, **lists)
    dog = scores[f"HOTA-{NAMES[DOG]}"]
    assert dog == pytest.approx(np.sqrt(expected))


def test_wrong_prediction_counts_where_the_frame_has_the_class():
    """`E` is wrong beside a true dog: DetA 1/2; not if dogs are annotated in part only."""
    one = drawn(["dd......"], ["DD....EE"])
    assert score(one)["DetA_all"] == pytest.approx(1 / 2)
    assert score(one, not_exhaustive_category_ids=[DOG])["DetA_all"] == 1


def test_exemplars_have_the_class_of_their_object_whatever_is_predicted():
    """The dog is predicted as a cat, under its identity."""
    one = as_exemplars(drawn(["aadd"], ["AADD"]))
    wrong = [replace(s, classes=np.zeros_like(s.classes)) for s in one.prediction]
    scores = score(replace(one, prediction=tuple(wrong)), "exemplar")
    assert scores["HOTA_all"] == scores[f"HOTA-{NAMES[DOG]}"] == 1


def test_exemplar_that_is_never_predicted_is_missed():
    scores = score(as_exemplars(drawn(["aadd"], ["AA.."])), "exemplar")
    assert scores["HOTA_all"] == pytest.approx(1 / 2)


def test_exemplars_are_not_forgiven_for_what_may_be_right():
    """`b` is an object that the second frame does not have."""
    one = as_exemplars(drawn(["aabb", "aa.."], ["AABB", "AABB"]))
    assert score(one, "exemplar")["DetA_all"] == pytest.approx(3 / 4)


def test_unknown_exemplar_is_named():
    one = drawn(["aa.."], ["AA.."])
    with pytest.raises(ValueError, match=r"Video 3, frame 0\.jpg: the video has no object 1065"):
        score(one, "exemplar")


def test_open_world_asks_for_no_class_and_forgives_what_is_unmatched():
    """The dog is predicted as a cat, and `B` is nothing: OWTA 1."""
    one = drawn(["aadd......"], ["AAC...BB.."])
    scores = score(one, "open_world")
    assert scores["DetRe_all"] == pytest.approx((1 + 10 / 19) / 2)
    right = drawn(["aadd......"], ["AACC..BB.."])
    assert score(right, "open_world")["OWTA_all"] == 1


def test_boxes_are_compared_as_officially_unless_masks_are_asked_for():
    """A mask with a hole has the box of a whole one: IoU 1, of masks 4/6."""
    one = drawn(["aaaaaa"], ["AA..AA"])
    boxes = score(one, compare=box_overlaps_of_segments)
    assert boxes["LocA_all"] == 1
    assert score(one)[f"HOTA-{NAMES[CAT]}"] == pytest.approx(13 / 19)  # thresholds up to 0.65


def test_only_so_many_masks_count_in_a_frame():
    """301 predictions, of which the one with the lowest score hits."""
    (frame,) = drawn(["aa.."], ["AA.."]).prediction
    num = MAX_MASKS + 1
    masks = np.zeros((num, 1, 4), dtype=bool)
    masks[0, 0, :2] = True
    masks[1:, 0, 3] = True
    for score_of_hit, expected in ((0.1, 0.0), (0.95, 1.0)):
        many = replace(
            frame, ids=np.arange(num) + 1, classes=np.zeros(num, dtype=int), masks=masks,
            scores=np.append(score_of_hit, np.linspace(0.9, 0.5, MAX_MASKS)), index_map=None,
        )  # fmt: skip
        one = replace(drawn(["aa.."], ["AA.."]), prediction=(many,))
        scores = score(one, not_exhaustive_category_ids=[CAT])
        assert scores["DetA_all"] == expected


def test_groups_without_objects_are_undefined_with_a_reason():
    """The official script stops there."""
    metric = METRICS["hota/burst_exemplar"](BURST_MASK)
    scores = metric.compute()
    assert np.isnan([scores["HOTA_all"], scores["HOTA_common"], scores["HOTA_uncommon"]]).all()
    assert metric.notes() == [
        f"Scores of {group} classes are undefined: the truth has no object of them."
        for group in ("all", "common", "uncommon")
    ]


def test_scores_by_class_need_classes():
    with pytest.raises(ValueError, match="burst_mask has no classes to score by; burst_class has"):
        METRICS["hota/burst_class"](BURST_MASK)
