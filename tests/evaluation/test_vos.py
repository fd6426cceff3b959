import numpy as np
import pytest

from gvseg.evaluation.vos import (
    SEEN_CATEGORIES,
    DavisMetric,
    YouTubeVosMetric,
    decay,
    recall,
    region_similarity,
)
from gvseg.structures import FrameSegments
from tests.evaluation import metric_cases
from tests.evaluation.stream import labels_of, object_segments

SIZE = (40, 60)
Video = tuple[dict, np.ndarray, np.ndarray]  # record, truth and prediction (T, H, W)


def record_of(length: int, objects: dict[int, tuple[str | None, int]] | None = None) -> dict:
    """Return a record; objects have a category and the frame in which they are given."""
    record = {
        "video_id": "swim",
        "length": length,
        "file_names": [f"swim/{index:05d}.jpg" for index in range(length)],
    }
    if objects is not None:
        record["objects"] = {
            id_: {"category": category, "frame_index": index}
            for id_, (category, index) in objects.items()
        }
    return record


def score(metric: DavisMetric | YouTubeVosMetric, *videos: Video) -> dict[str, float]:
    for record, truth, prediction in videos:
        for index, (true_ids, ids) in enumerate(zip(truth, prediction, strict=True)):
            labels = labels_of(object_segments(true_ids, index))
            metric.update(record, labels, object_segments(ids, index))
        metric.end_video(record)
    return metric.compute()


def boxes(*columns_of_frame: dict[int, tuple[int, int]]) -> np.ndarray:
    """Draw objects by frame: id -> (first, last + 1) column, over rows 10 to 29."""
    ids = np.zeros((len(columns_of_frame), *SIZE), dtype=np.int64)
    for frame, columns in zip(ids, columns_of_frame, strict=True):
        for object_id, (left, right) in columns.items():
            frame[10:30, left:right] = object_id
    return ids


def random_video(seed: int, length: int = 6) -> Video:
    """Three objects that walk, of which the third comes in frame 2, and poor predictions."""
    rng = np.random.default_rng(seed)
    columns = [{}, {}]
    truth, prediction = [], []
    for index in range(length):
        for object_id in (1, 2) if index < 2 else (1, 2, 3):
            left = int(rng.integers(0, 8)) + 18 * (object_id - 1)
            columns[0][object_id] = (left, left + 10)
            shift = int(rng.integers(-4, 5))
            columns[1][object_id] = (max(left + shift, 0), left + shift + 9)
        truth.append(boxes(columns[0])[0])
        prediction.append(boxes(columns[1])[0])
    record = record_of(length, {1: ("dog", 0), 2: ("octopus", 0), 3: ("cat", 2)})
    return record | {"video_id": f"walk{seed}"}, np.stack(truth), np.stack(prediction)


def case_videos(case: str) -> tuple[list[Video], list[str]]:
    meta, arrays = metric_cases.read_arrays("vos", case)
    videos = []
    for position, (name, entry) in enumerate(meta["videos"].items()):
        truth, prediction = arrays[f"v{position}_gt"], arrays[f"v{position}_pred"]
        objects = {
            int(id_): (given["category"], int(given["frames"][0]) // meta["step"])
            for id_, given in entry["objects"].items()
        }
        videos.append((record_of(len(truth), objects) | {"video_id": name}, truth, prediction))
    return videos, meta["seen"]


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("vos"))
def test_davis_scores_are_the_official_ones(case: str):
    videos, _ = case_videos(case)
    official = metric_cases.expected("vos", case)["davis2017_official"]
    metric = DavisMetric()
    if "error" in official:
        with pytest.raises(ValueError, match="but the first frame gives"):
            score(metric, *videos)
        return
    scores = score(metric, *videos)
    for name, value in scores.items():
        assert value == pytest.approx(official[name], abs=1e-6), name
    for one in metric.objects:
        name = f"{one.video_id}_{one.object_id}"
        assert one.region.mean() == pytest.approx(official["J_per_object"][name], abs=1e-6)
        assert one.contour.mean() == pytest.approx(official["F_per_object"][name], abs=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("variant", ["incl_last", "excl_last"])
@pytest.mark.parametrize("case", metric_cases.cases("vos"))
def test_youtube_vos_scores_are_those_of_official_j_and_f(case: str, variant: str):
    videos, seen = case_videos(case)
    official = metric_cases.expected("vos", case)[f"ytvos_{variant}"]
    metric = YouTubeVosMetric(seen, skip_last=variant == "excl_last")
    scores = score(metric, *videos)
    for name in ("G", "J_seen", "F_seen", "J_unseen", "F_unseen"):
        assert scores[name] == pytest.approx(official[name], abs=1e-6, nan_ok=True), name
    for objects in metric.objects.values():
        for one in objects:
            frames = official["per_object"][f"{one.video_id}_{one.object_id}"]
            np.testing.assert_allclose(one.region, frames["J_frames"], atol=1e-12)
            np.testing.assert_allclose(one.contour, frames["F_frames"], atol=1e-12)


def test_region_similarity_worked_by_hand():
    truth, prediction = np.zeros(SIZE, dtype=bool), np.zeros(SIZE, dtype=bool)
    assert region_similarity(truth, prediction) == 1
    truth[0, :4] = True
    assert region_similarity(truth, prediction) == 0
    prediction[0, 2:6] = True
    assert region_similarity(truth, prediction) == 2 / 6


def test_recall_is_strict():
    assert recall(np.array([0.5, 0.51, 1.0, 0.0])) == 0.5


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([0.9, 0.8, 0.7, 0.6, 0.5], 0.3),
        ([0.4], 0.0),
        # Quarters of six frames: 1 to 2.25, to 3.5 (which rounds up), to 4.75, to 6.
        ([6, 5, 4, 3, 2, 1], 5.5 - 1.5),
        (list(range(300)), (0 + 75) / 2 - (224 + 299) / 2),
    ],
)
def test_decay_worked_by_hand(scores: list[float], expected: float):
    assert decay(np.array(scores, dtype=float)) == pytest.approx(expected)


def test_davis_leaves_out_first_and_last_frame():
    """Object 1 is perfect in frame 1, half found in frame 2, and wrong where it does not count."""
    truth = boxes({1: (10, 20)}, {1: (10, 20)}, {1: (10, 20)}, {1: (10, 20)})
    prediction = boxes({1: (40, 50)}, {1: (10, 20)}, {1: (10, 15)}, {1: (40, 50)})
    scores = score(DavisMetric(), (record_of(4), truth, prediction))
    assert scores["J-Mean"] == pytest.approx((1 + 0.5) / 2)
    assert scores["J-Recall"] == 0.5
    assert scores["J-Decay"] == pytest.approx(1 - 0.5)


def test_davis_mean_is_over_objects_not_frames():
    """One video has two scored frames of J 1, another has one of J 0: the mean is 1/2, not 2/3."""
    one = boxes(*[{1: (10, 20)}] * 4)
    other = boxes(*[{1: (10, 20)}] * 3)
    missed = np.zeros_like(other)
    scores = score(DavisMetric(), (record_of(4), one, one), (record_of(3), other, missed))
    assert (scores["J-Mean"], scores["F-Mean"], scores["J&F"]) == (0.5, 0.5, 0.5)


def test_davis_absent_object_that_is_not_predicted_scores_one():
    """Number 2 is left out of the first frame: officially it is an object that is never there."""
    truth = boxes(*[{1: (0, 10), 3: (30, 40)}] * 3)
    prediction = np.where(truth == 3, 0, truth)
    scores = score(DavisMetric(), (record_of(3), truth, prediction))
    assert scores["J-Mean"] == pytest.approx((1 + 1 + 0) / 3)


def test_davis_does_not_score_objects_that_come_later():
    truth = boxes({1: (0, 10)}, {1: (0, 10), 2: (30, 40)}, {1: (0, 10)})
    scores = score(DavisMetric(), (record_of(3), truth, np.where(truth == 2, 0, truth)))
    assert scores["J&F"] == 1


def test_davis_refuses_an_object_that_is_not_given():
    truth = boxes(*[{1: (0, 10)}] * 3)
    prediction = boxes(*[{1: (0, 10), 2: (30, 40)}] * 3)
    with pytest.raises(ValueError, match=r"Video swim, frame swim/00001\.jpg: objects \[2\] are"):
        score(DavisMetric(), (record_of(3), truth, prediction))


def test_davis_scores_annotated_frames_alone():
    """Frames 2 and 6 are the first and the last with labels, so that frame 4 alone counts."""
    record = record_of(8) | {"annotated_frames": [2, 4, 6]}
    metric = DavisMetric()
    truth = boxes({1: (10, 20)})[0]
    for index, prediction in ((2, {}), (4, {1: (10, 15)}), (6, {})):
        labels = labels_of(object_segments(truth, index))
        metric.update(record, labels, object_segments(boxes(prediction)[0], index))
    metric.end_video(record)
    assert metric.compute()["J-Mean"] == 0.5


def test_davis_video_of_two_frames_is_undefined():
    truth = boxes({1: (0, 10)}, {1: (0, 10)})
    metric = DavisMetric()
    scores = score(metric, (record_of(2), truth, truth))
    assert all(np.isnan(value) for value in scores.values())
    assert "1 of 1 objects are left out" in metric.notes()[0]
    assert "All scores are undefined" in metric.notes()[1]


def test_overlapping_masks_are_seen_by_score():
    """Mask 2 has the higher score, and takes columns 10 to 14 of mask 1."""
    truth = object_segments(boxes({1: (0, 10), 2: (10, 20)})[0], 1)
    masks = np.stack([boxes({1: columns})[0] > 0 for columns in ((0, 15), (10, 20))])
    prediction = FrameSegments(
        frame_index=1,
        ids=np.array([1, 2]),
        classes=np.array([0, 0]),
        scores=np.array([0.5, 0.9], dtype=np.float32),
        masks=masks,
    )
    metric = DavisMetric()
    record = record_of(3)
    given = object_segments(boxes({1: (0, 10), 2: (10, 20)})[0])
    metric.update(record, labels_of(given), given)
    metric.update(record, labels_of(truth), prediction)
    metric.end_video(record)
    assert metric.compute()["J&F"] == 1


def test_youtube_vos_starts_after_the_frame_in_which_each_object_is_given():
    """Object 2 is given in frame 1: it counts in frames 2 and 3, object 1 in frames 1 to 3.

    Object 1 (a dog, seen) is found in frames 1 and 2 of three, object 2 (unseen) in one of two;
    what is predicted earlier costs nothing.
    """
    one, two = (0, 10), (30, 40)
    truth = boxes({1: one}, {1: one, 2: two}, {1: one, 2: two}, {1: one, 2: two})
    prediction = boxes({2: (40, 50)}, {1: one}, {1: one, 2: two}, {})
    video = (record_of(4, {1: ("dog", 0), 2: ("octopus", 1)}), truth, prediction)
    scores = score(YouTubeVosMetric(), video)
    assert scores["J_seen"] == scores["F_seen"] == pytest.approx(2 / 3)
    assert scores["J_unseen"] == scores["F_unseen"] == pytest.approx(1 / 2)
    assert scores["G"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores["J"] == pytest.approx((2 / 3 + 1 / 2) / 2)

    without_last = score(YouTubeVosMetric(skip_last=True), video)
    assert (without_last["J_seen"], without_last["J_unseen"]) == (1, 1)


def test_youtube_vos_kind_without_objects_is_undefined():
    truth = boxes(*[{1: (0, 10)}] * 3)
    metric = YouTubeVosMetric()
    scores = score(metric, (record_of(3, {1: ("dog", 0)}), truth, truth))
    assert scores["J_seen"] == scores["J"] == 1
    assert np.isnan([scores["J_unseen"], scores["G"]]).all()
    assert "no object of unseen categories" in " ".join(metric.notes())


def test_youtube_vos_categories_that_are_not_public_are_of_neither_kind():
    truth = boxes(*[{1: (0, 10)}] * 3)
    metric = YouTubeVosMetric()
    scores = score(metric, (record_of(3, {1: (None, 0)}), truth, truth))
    assert np.isnan([scores["J_seen"], scores["J_unseen"]]).all()
    assert scores["J"] == 1
    assert "1 objects are neither seen nor unseen" in " ".join(metric.notes())


def test_youtube_vos_tells_of_predicted_objects_that_videos_do_not_have():
    truth = boxes(*[{1: (0, 10)}] * 3)
    prediction = boxes(*[{1: (0, 10), 7: (30, 40)}] * 3)
    metric = YouTubeVosMetric()
    scores = score(metric, (record_of(3, {1: ("dog", 0)}), truth, prediction))
    assert scores["J_seen"] == 1
    assert "1 predicted objects are left out" in " ".join(metric.notes())
    assert "object 7 of video swim" in " ".join(metric.notes())


def test_youtube_vos_object_given_in_the_last_frame_does_not_count():
    truth = boxes({1: (0, 10)}, {1: (0, 10)}, {1: (0, 10), 2: (30, 40)})
    video = (record_of(3, {1: ("dog", 0), 2: ("cat", 2)}), truth, truth)
    metric = YouTubeVosMetric()
    assert score(metric, video)["J_seen"] == 1
    assert "1 of 2 objects are left out" in " ".join(metric.notes())


def test_youtube_vos_needs_to_know_where_objects_are_given():
    truth = boxes({1: (0, 10)}, {1: (0, 10)})
    with pytest.raises(ValueError, match="Video swim cannot be scored as in YouTube-VOS"):
        score(YouTubeVosMetric(), (record_of(2), truth, truth))


def test_seen_categories_are_sixty_five():
    assert len(SEEN_CATEGORIES) == 65


def metrics() -> list[DavisMetric | YouTubeVosMetric]:
    return [DavisMetric(), YouTubeVosMetric()]


def davis_video(seed: int) -> Video:
    """Without the object that comes later, which DAVIS does not have."""
    record, truth, prediction = random_video(seed)
    return record, np.where(truth == 3, 0, truth), np.where(prediction == 3, 0, prediction)


@pytest.mark.parametrize("position", [0, 1])
def test_perfect_prediction_scores_one(position: int):
    videos = [davis_video(seed) for seed in range(2)]
    scores = score(metrics()[position], *[(record, truth, truth) for record, truth, _ in videos])
    assert {name: value for name, value in scores.items() if "Decay" not in name} == {
        name: 1.0 for name in scores if "Decay" not in name
    }


@pytest.mark.parametrize("position", [0, 1])
def test_order_of_videos_and_sharing_them_out_change_nothing(position: int):
    videos = [davis_video(seed) for seed in range(4)]
    whole = score(metrics()[position], *videos)
    assert 0.1 < whole.get("J-Mean", whole.get("G")) < 0.9
    assert score(metrics()[position], *videos[::-1]) == pytest.approx(whole)
    parts = [metrics()[position] for _ in range(2)]
    score(parts[0], *videos[:1])
    score(parts[1], *videos[1:])
    parts[0].merge(parts[1])
    assert parts[0].compute() == pytest.approx(whole)


@pytest.mark.parametrize("position", [0, 1])
def test_swapping_numbers_in_truth_and_prediction_changes_nothing(position: int):
    record, truth, prediction = davis_video(3)
    swap = np.array([0, 2, 1, 3])
    objects = {int(swap[id_]): given for id_, given in record["objects"].items()}
    swapped = record | {"objects": objects}
    scores = score(metrics()[position], (record, truth, prediction))
    assert score(metrics()[position], (swapped, swap[truth], swap[prediction])) == pytest.approx(
        scores
    )


def test_finished_video_leaves_no_pixels_behind():
    metric = DavisMetric()
    score(metric, davis_video(0))
    held = [array for one in metric.objects for array in (one.region, one.contour)]
    assert [array.shape for array in held] == [(4,)] * 4
