import json
from pathlib import Path

import numpy as np
import pytest

from gvseg.evaluation.vss import (
    VideoSemanticMetric,
    class_iou,
    confusion_matrix,
    semantic_scores,
    video_consistency,
)
from tests.evaluation.stream import labels_of, semantic_segments

CASES = Path(__file__).parent / "vspw"
OFFICIAL = json.loads((CASES / "expected.json").read_text())["cases"]


def load_videos(case: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return truth and prediction (T, H, W) of each video."""
    with np.load(CASES / f"{case}.npz") as arrays:
        num_videos = json.loads(str(arrays["meta"]))["n_videos"]
        return [
            (arrays[f"v{index}_gt_sem"], arrays[f"v{index}_pred_sem"])
            for index in range(num_videos)
        ]


def score(
    videos: list[tuple[np.ndarray, np.ndarray]],
    num_classes: int,
    windows: tuple[int, ...] = (8, 16),
) -> VideoSemanticMetric:
    metric = VideoSemanticMetric([str(index) for index in range(num_classes)], windows)
    for truth, prediction in videos:
        for index, (true_frame, predicted_frame) in enumerate(zip(truth, prediction, strict=True)):
            metric.update(
                {},
                labels_of(semantic_segments(true_frame, index)),
                semantic_segments(predicted_frame, index),
            )
        metric.end_video({})
    return metric


def random_videos(*lengths: int, num_classes: int = 4) -> list[tuple[np.ndarray, np.ndarray]]:
    """Draw labels that rest for some frames, in truth and prediction, with void in the truth."""
    rng = np.random.default_rng(sum(lengths))
    videos = []
    for length in lengths:
        steps = rng.integers(0, num_classes, (2, length, 5, 6))
        is_kept = rng.random((2, length, 5, 6)) < 0.8
        for index in range(1, length):
            steps[:, index] = np.where(is_kept[:, index], steps[:, index - 1], steps[:, index])
        truth = np.where(rng.random((5, 6)) < 0.2, 255, steps[0])
        videos.append((truth, steps[1]))
    return videos


@pytest.mark.parametrize("case", OFFICIAL)
def test_scores_are_the_official_ones(case: str):
    metric = score(load_videos(case), num_classes=124)
    scores = metric.compute()
    for name in ("mIoU", "fwIoU", "mACC", "pACC", "mVC8", "mVC16"):
        assert scores[name] == pytest.approx(OFFICIAL[case][name], abs=1e-6), name
    assert metric.num_windows == {
        int(window): count for window, count in OFFICIAL[case]["num_windows"].items()
    }


def test_confusion_matrix_of_the_worked_example():
    truth = np.array([[0, 0, 1], [0, 1, 255]])
    prediction = np.array([[0, 1, 1], [1, 7, 0]])
    confusion = confusion_matrix(truth, prediction, 2)
    assert confusion.tolist() == [[1, 2, 0], [0, 1, 1]]
    np.testing.assert_allclose(class_iou(confusion), [1 / 3, 1 / 4])
    assert semantic_scores(confusion) == pytest.approx(
        {"mIoU": 7 / 24, "fwIoU": 0.3, "mACC": 5 / 12, "pACC": 0.4}
    )


def test_consistency_of_the_worked_example():
    truth = np.array([[[0, 5]], [[0, 5]], [[0, 6]], [[0, 6]]])
    prediction = np.array([[[1, 2]], [[1, 3]], [[1, 3]], [[1, 3]]])
    assert video_consistency(truth, prediction, 2).tolist() == [0.5, 1.0]


def test_class_that_only_predictions_have_is_no_zero_in_the_mean():
    confusion = confusion_matrix(np.array([0, 0, 0, 1]), np.array([0, 0, 2, 1]), 3)
    assert semantic_scores(confusion)["mIoU"] == pytest.approx((2 / 3 + 1) / 2)
    assert np.isnan(class_iou(confusion)[2])


def test_pixel_without_class_is_a_miss_of_its_truth_and_no_one_elses_fault():
    truth = np.array([0, 0, 1, 1])
    with_hole = confusion_matrix(truth, np.array([0, 255, 1, 1]), 2)
    assert class_iou(with_hole).tolist() == [0.5, 1.0]
    assert confusion_matrix(truth, np.array([0, -1, 1, 1]), 2).tolist() == with_hole.tolist()


@pytest.mark.parametrize("window", [2, 3, 5])
def test_frame_by_frame_consistency_is_that_of_whole_videos(window: int):
    videos = random_videos(4, 9, 2, 5)
    whole = np.concatenate([video_consistency(*video, window) for video in videos])
    metric = score(videos, num_classes=4, windows=(window,))
    assert metric.num_windows[window] == np.count_nonzero(~np.isnan(whole))
    assert metric.compute()[f"mVC{window}"] == pytest.approx(np.nanmean(whole))


def test_constant_wrong_prediction_is_consistent():
    truth = np.zeros((10, 4, 4), dtype=int)
    scores = score([(truth, truth + 1)], num_classes=2).compute()
    assert (scores["mIoU"], scores["mVC8"]) == (0.0, 1.0)


def test_constant_void_counts_as_a_label_at_rest():
    truth = np.full((3, 1, 2), 255)
    prediction = np.array([[[0, 0]], [[0, 1]], [[0, 1]]])
    assert video_consistency(truth, prediction, 2).tolist() == [0.5]


def test_window_without_a_pixel_at_rest_is_skipped():
    truth = np.array([[[0]], [[1]], [[1]], [[1]]])
    np.testing.assert_array_equal(video_consistency(truth, truth, 2), [np.nan, 1.0])
    metric = score([(truth, truth)], num_classes=2, windows=(2,))
    assert metric.compute()["mVC2"] == 1.0
    assert metric.num_windows[2] == 1


def test_video_no_longer_than_the_window_has_none():
    still = np.zeros((8, 2, 2), dtype=int)
    metric = score([(still, still)], num_classes=1)
    assert np.isnan(metric.compute()["mVC8"])
    assert "mVC8 is undefined" in " ".join(metric.notes())


def test_truth_of_void_alone_leaves_scores_undefined():
    void = np.full((2, 3, 3), 255)
    metric = score([(void, np.zeros_like(void))], num_classes=2)
    scores = metric.compute()
    assert np.isnan([scores[name] for name in ("mIoU", "fwIoU", "mACC", "pACC", "IoU-0")]).all()
    assert "mIoU is undefined" in " ".join(metric.notes())


def test_perfect_prediction_scores_one():
    videos = [(truth, truth) for truth, _ in random_videos(12)]
    scores = score(videos, num_classes=4).compute()
    assert scores["mIoU"] == scores["pACC"] == scores["mVC8"] == scores["IoU-3"] == 1.0


def test_windows_do_not_reach_from_one_video_into_the_next():
    ones = np.ones((3, 2, 2), dtype=int)
    metric = score([(ones, ones)] * 4, num_classes=2, windows=(4,))
    assert metric.num_windows[4] == 0


def test_merged_parts_score_as_the_whole():
    videos = random_videos(9, 12, 10)
    whole = score(videos, num_classes=4).compute()
    part = score(videos[:1], num_classes=4)
    part.merge(score(videos[1:], num_classes=4))
    assert part.compute() == pytest.approx(whole, nan_ok=True)
