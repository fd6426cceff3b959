import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from gvseg.data.benchmark import annotated_frames
from gvseg.data.benchmarks.ytvis import YTVIS_2019
from gvseg.data.class_table import ClassTable
from gvseg.data.video_json import load_video_json
from gvseg.evaluation.submissions import submission_format
from gvseg.evaluation.ytvis_ap import ClassTubes, VideoInstanceApMetric, match_tubes
from tests.evaluation import metric_cases
from tests.evaluation.track_videos import (
    NAMES,
    TrackVideo,
    drawn,
    feed,
    perfect,
    random_videos,
    renamed,
)

STATS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
ONE_HALF = 51 / 101  # of the points of recall lie at 0.5 or below


def score(*videos: TrackVideo) -> dict[str, float]:
    return feed(VideoInstanceApMetric(NAMES), *videos).compute()


# Official numbers.


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("ytvis"))
def test_files_give_the_official_numbers(case: str):
    root = metric_cases.ROOT / "ytvis" / case
    official = metric_cases.expected("ytvis", case)["ytvis_ytvoseval_official"]
    categories = json.loads((root / "gt.json").read_text())["categories"]
    ids, names = zip(*[(entry["id"], entry["name"]) for entry in categories], strict=True)
    things, colors = (True,) * len(ids), ((0, 0, 0),) * len(ids)
    classes = ClassTable("case", "", ids, names, things, colors)
    benchmark = replace(YTVIS_2019, classes=classes)
    records = load_video_json(root / "gt.json", root, classes)
    open_reader = submission_format(benchmark).open_reader
    if "error" in official:
        metric = VideoInstanceApMetric(names)
        with contextlib.suppress(ValueError):
            reader = open_reader(root / "results.json", benchmark, records)
            feed_files(metric, records, reader)
        assert np.isnan(metric.compute()["AP"])
        return
    metric = VideoInstanceApMetric(names)
    feed_files(metric, records, open_reader(root / "results.json", benchmark, records))
    scores = metric.compute()
    for name in STATS:
        expected = np.nan if official[name] < 0 else official[name]
        assert scores[name] == pytest.approx(expected, abs=1e-6, nan_ok=True), name
    for id_, expected in official["AP_per_category"].items():
        name = names[ids.index(int(id_))]
        expected = float(expected)  # "nan" where it is
        assert scores[f"AP-{name}"] == pytest.approx(expected, abs=1e-6, nan_ok=True), name


def feed_files(metric: VideoInstanceApMetric, records: list[dict], reader) -> None:
    for record in records:
        frames = annotated_frames(record)
        for index, prediction in zip(frames, reader.frames(record, frames), strict=True):
            metric.update(record, YTVIS_2019.read_labels(record, index), prediction)
        metric.end_video(record)


# COCO's evaluation of frames stacked into one tall image.


def stacked_stats(videos: list[TrackVideo]) -> list[float]:
    """Return the 12 numbers of COCOeval, given mean areas and the ranges of sizes of videos."""
    truth, detections = COCO(), COCO()
    images = [{"id": number, "height": 1, "width": 1} for number in range(1, len(videos) + 1)]
    categories = [{"id": index, "name": name} for index, name in enumerate(NAMES)]
    annotations: list[list[dict]] = [[], []]
    for number, video in enumerate(videos, 1):
        for side, frames in enumerate(
            ([labels.segments for labels in video.truth], video.prediction)
        ):
            annotations[side] += stacked_tracks(frames, number)
    for coco, listed in zip((truth, detections), annotations, strict=True):
        for position, annotation in enumerate(listed, 1):
            annotation["id"] = position
        coco.dataset = {"images": images, "categories": categories, "annotations": listed}
    evaluation = COCOeval(None, None, "segm")
    evaluation.params.areaRng = [[0, 1e10], [0, 128**2], [128**2, 256**2], [256**2, 1e10]]
    with contextlib.redirect_stdout(io.StringIO()):
        for coco in (truth, detections):
            coco.createIndex()
        evaluation.cocoGt, evaluation.cocoDt = truth, detections
        evaluation.params.imgIds = [image["id"] for image in images]
        evaluation.params.catIds = [category["id"] for category in categories]
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return [np.nan if stat < 0 else float(stat) for stat in evaluation.stats]


def stacked_tracks(frames, number: int) -> list[dict]:
    tracks = []
    for id_ in sorted({id_ for segments in frames for id_ in segments.ids.tolist()}):
        masks, found = [], {}
        for segments in frames:
            places = np.flatnonzero(segments.ids == id_).tolist()
            mask = segments.mask(places[0]) if places else np.zeros(segments.size, dtype=bool)
            masks.append(mask)
            for place in places:
                found = {"class": segments.classes[place], "score": segments.scores[place]}
        areas = [int(mask.sum()) for mask in masks if mask.any()]
        tracks.append(
            {
                "image_id": number,
                "category_id": int(found["class"]),
                "score": float(found["score"]),
                "iscrowd": 0,
                "area": float(np.mean(areas)) if areas else 0.0,
                "segmentation": coco_mask.encode(
                    np.asfortranarray(np.concatenate(masks), np.uint8)
                ),
            }
        )
    return tracks


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_coco_on_stacked_frames(seed: int):
    videos = random_videos(6, 9, 1, 5, seed=seed) + random_videos(4, seed=seed, side=300)
    scores = score(*videos)
    expected = stacked_stats(videos)
    assert [scores[name] for name in STATS] == pytest.approx(expected, nan_ok=True)
    assert 0.02 < scores["AP50"] < 0.98


# Properties.


def test_perfect_prediction_scores_one():
    scores = score(*map(perfect, random_videos(5, 6, 7)))
    defined = {name for name, value in scores.items() if not np.isnan(value)} - {"AR1"}
    assert {"AP", "AP75", "AR10", "APs", "AP-cat", "AP-dog"} <= defined
    assert [scores[name] for name in defined] == pytest.approx([1.0] * len(defined))


def test_renaming_identities_changes_nothing():
    videos = random_videos(5, 6, 7, seed=3)
    assert score(*map(renamed, videos)) == pytest.approx(score(*videos), nan_ok=True)


def test_order_and_shares_of_videos_change_nothing():
    videos = random_videos(5, 6, 7, seed=4)
    total = VideoInstanceApMetric(NAMES)
    for number in (2, 0, 1):
        total.merge(feed(VideoInstanceApMetric(NAMES), videos[number], first=number))
    assert total.compute() == pytest.approx(score(*videos), nan_ok=True)


# Each rule on its own, worked by hand.


def test_average_precision_worked_by_hand():
    """Two cats over two frames. By score: `A` is `a` exactly, `C` nothing, `B` 6 of the 8 pixels of
    `b`: IoU 0.75. Up to there precision is 1 to recall 1/2 and 2/3 beyond; above it `B` is wrong.
    """
    one = drawn(
        ["aaaabbbb....", "aaaabbbb...."],
        ["AAAABBBBCCCC", "AAAABB..CCCC"],
        {"A": 0.9, "C": 0.8, "B": 0.7},
    )
    scores = score(one)
    low, high = ONE_HALF + (1 - ONE_HALF) * 2 / 3, ONE_HALF
    assert scores["AP50"] == scores["AP75"] == pytest.approx(low)
    assert scores["AP"] == pytest.approx((6 * low + 4 * high) / 10)
    assert scores["AR10"] == pytest.approx((6 * 1 + 4 / 2) / 10)
    assert scores["AR1"] == pytest.approx(1 / 2)


def test_overlap_is_that_of_all_frames_at_once():
    """IoU 1 of 2 pixels in one frame and 4 of 8 in the other: 10 pixels in all, 2 + 4 shared, so
    6 / 10, where the mean of the frames is 3/4.
    """
    scores = score(drawn(["aa......", "aaaaaaaa"], ["AA......", "AAAA...."]))
    assert scores["AP50"] == pytest.approx(1)
    assert scores["AP"] == pytest.approx(3 / 10)  # at 0.5, 0.55 and 0.6


def test_frame_in_which_one_is_absent_is_all_union():
    """4 shared pixels, 4 more of the truth and 4 more of the prediction: IoU 1/3."""
    scores = score(drawn(["aaaa", "aaaa", "...."], ["AAAA", "....", "AAAA"]))
    assert scores["AP50"] == pytest.approx(0)
    scores = score(drawn(["aaaa", "aaaa"], ["AAAA", "...."]))
    assert scores["AP50"] == pytest.approx(1)
    assert scores["AP"] == pytest.approx(1 / 10)  # IoU 1/2


def test_class_without_objects_is_left_out_and_named():
    metric = feed(VideoInstanceApMetric(NAMES), drawn(["aa.."], ["AADD"]))
    scores = metric.compute()
    assert scores["AP"] == scores["AP-cat"] == pytest.approx(1)
    assert np.isnan(scores["AP-dog"])
    assert "AP of 1 of 2 classes (dog) is undefined and left out of means: the truth has no such " \
        "object." in metric.notes()  # fmt: skip


def tubes(**changes: object) -> ClassTubes:
    """Return one object of one detection, which is exact."""
    return replace(
        ClassTubes(
            iou=np.array([[1.0]]),
            scores=np.array([0.9]),
            areas=np.array([100.0]),
            truth_areas=np.array([100.0]),
            is_crowd=np.array([False]),
        ),
        **changes,
    )


@pytest.mark.parametrize(
    ("area", "ranges"),
    [(100.0, [0, 1]), (128.0**2, [0, 1, 2]), (200.0**2, [0, 2]), (256.0**2, [0, 2, 3])],
)
def test_bounds_of_sizes_belong_to_both_sides(area: float, ranges: list[int]):
    matches = match_tubes(tubes(truth_areas=np.array([area]), areas=np.array([area])))
    assert np.flatnonzero(matches.num_objects).tolist() == ranges


def test_size_is_the_mean_area_of_frames_where_it_has_any():
    """128 pixels squared, twice that, and twice nothing: medium; the mean of all would be small."""
    large = np.zeros((4, 1, 256, 256), dtype=bool)
    large[0, 0, :128, :128] = True
    large[1, 0, :128, :] = True
    (one,) = random_videos(4, seed=0, side=256)
    truth = [
        replace(
            labels,
            segments=replace(labels.segments, ids=np.array([1]), classes=np.array([0]),
                             scores=np.ones(1), masks=mask),
            is_crowd=np.array([False]),
            areas=mask.sum(axis=(1, 2)).astype(float),
        )
        for labels, mask in zip(one.truth, large, strict=True)
    ]  # fmt: skip
    scores = score(perfect(TrackVideo(tuple(truth), one.prediction)))
    assert scores["APm"] == pytest.approx(1)
    assert np.isnan(scores["APs"])


def test_crowd_takes_any_number_of_detections_but_by_ordinary_overlap():
    """`A` is the crowd to the pixel and `B` half of it: both ignored, `B` at IoU 1/2 alone. `C`,
    two of its eight pixels, is wrong, where COCO would forgive it.
    """
    matches = match_tubes(
        tubes(
            iou=np.array([[1.0], [0.5], [0.25]]),
            scores=np.array([0.9, 0.8, 0.7]),
            areas=np.array([8.0, 4, 2]),
            truth_areas=np.array([8.0]),
            is_crowd=np.array([True]),
        )
    )
    assert matches.num_objects[0] == 0
    assert matches.is_ignored[0, 0].tolist() == [True, True, False]
    assert matches.is_ignored[0, 1].tolist() == [True, False, False]
    crowded = drawn(["aa..bbbbbbbb"], ["AA..BB......"], {"A": 0.5, "B": 0.9}, crowds="b")
    # `B` comes first and is wrong: precision 1/2.
    assert score(crowded)["AP"] == pytest.approx(1 / 2)
    absorbed = drawn(["aa..bbbbbbbb"], ["AA..BBBBBBBB"], {"A": 0.5, "B": 0.9}, crowds="b")
    assert score(absorbed)["AP"] == pytest.approx(1)


def test_at_most_a_hundred_detections_of_a_class_count_in_a_video():
    """The hundredth in order hits, a hundred and first would not be looked at."""
    for rank, expected in ((99, 1), (100, 0)):
        iou = np.zeros((120, 1))
        iou[rank] = 1
        matches = match_tubes(
            tubes(iou=iou, scores=np.linspace(1, 0, 120), areas=np.full(120, 100.0))
        )
        assert len(matches.scores) == 100
        assert matches.is_hit[0, 0].sum() == expected


def test_limits_are_by_class_and_video():
    """Two cats and a dog in each of two videos: one detection of each class and video finds 1/2 of
    the cats and all dogs.
    """
    one = drawn(["aabbdd"], ["AABBDD"])
    assert score(one, one)["AR1"] == pytest.approx((1 / 2 + 1) / 2)


def test_equal_scores_keep_the_order_of_identities_and_then_of_videos():
    """Of equal scores the lower identity counts first, and the earlier video."""
    hit_first = drawn(["aa.."], ["AABB"], {"A": 0.5, "B": 0.5})
    hit_last = drawn(["aa.."], ["BBAA"], {"A": 0.5, "B": 0.5})
    assert score(hit_first)["AP"] == pytest.approx(1)
    assert score(hit_last)["AP"] == pytest.approx(1 / 2)
    hit, miss = drawn(["aa.."], ["AA.."]), drawn(["aa.."], ["..AA"])
    assert score(hit, miss)["AP"] == pytest.approx(ONE_HALF)
    assert score(miss, hit)["AP"] == pytest.approx(ONE_HALF / 2)
    # The order in which processes score the videos plays no part.
    late = feed(VideoInstanceApMetric(NAMES), miss, first=1)
    late.merge(feed(VideoInstanceApMetric(NAMES), hit, first=0))
    assert late.compute()["AP"] == pytest.approx(ONE_HALF)


def test_detection_without_pixels_is_wrong():
    (one,) = [drawn(["aa..", "aa.."], ["AA..", "AA.."], {"A": 0.5})]
    frames = []
    for segments in one.prediction:
        empty = replace(
            segments,
            ids=np.append(segments.ids, 7),
            classes=np.append(segments.classes, 0),
            scores=np.append(segments.scores, 0.9),
        )
        frames.append(empty)
    scores = score(replace(one, prediction=tuple(frames)))
    assert scores["AP"] == scores["APs"] == pytest.approx(1 / 2)


# What nothing defines.


def test_nothing_predicted_is_undefined_with_a_reason():
    """The official script stops at an empty list."""
    metric = feed(VideoInstanceApMetric(NAMES), drawn(["aa"], [".."]))
    assert np.isnan(list(metric.compute().values())).all()
    assert metric.notes() == ["All scores are undefined: nothing is predicted in any video."]


def test_truth_without_objects_is_undefined_with_a_reason():
    metric = feed(VideoInstanceApMetric(NAMES), drawn([".."], ["AA"]))
    assert np.isnan(metric.compute()["AP"])
    assert metric.notes() == ["All scores are undefined: the truth has no object."]


def test_sizes_that_do_not_occur_are_named():
    metric = feed(VideoInstanceApMetric(NAMES), drawn(["aadd"], ["AADD"]))
    scores = metric.compute()
    assert np.isnan([scores[name] for name in ("APm", "APl", "ARm", "ARl")]).all()
    assert "APm and ARm are undefined: the truth has no object of 16384" in metric.notes()[0]


def test_wrong_classes_and_identities_are_named():
    one = drawn(["aa.."], ["AABB"])
    unknown = replace(one.prediction[0], classes=np.array([0, 5]))
    with pytest.raises(ValueError, match=r"Video 0, frame 0\.jpg: predicted class 5 is none of"):
        feed(VideoInstanceApMetric(NAMES), replace(one, prediction=(unknown,)))
    twice = replace(one.prediction[0], ids=np.array([3, 3]))
    with pytest.raises(ValueError, match=r"0\.jpg: Identity 3 is listed twice as class 0"):
        feed(VideoInstanceApMetric(NAMES), replace(one, prediction=(twice,)))


def test_track_of_several_classes_is_a_detection_of_each():
    """The identity is listed as cat with 0.9 and as dog with 0.2. As a dog it finds nothing."""
    one = drawn(["aadd"], ["AA.."])
    (frame,) = one.prediction
    both = replace(
        frame, ids=np.repeat(frame.ids, 2), classes=np.array([0, 1]), scores=np.array([0.9, 0.2]),
        masks=np.repeat(frame.mask(0)[None], 2, axis=0), index_map=None,
    )  # fmt: skip
    scores = score(replace(one, prediction=(both,)))
    assert scores["AP-cat"] == pytest.approx(1)
    assert scores["AP-dog"] == pytest.approx(0)
