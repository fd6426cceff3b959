import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from gvseg.data.segments import IGNORE_LABEL
from gvseg.evaluation.frame_pairs import VOID, FramePairs, JointRuns, frame_name
from tests.evaluation.panoptic_videos import draw, random_videos

CLASSES = {"s": 0, "a": 3, "b": 3}


def counted(truth: np.ndarray, prediction: np.ndarray, num_values: int) -> np.ndarray:
    runs = JointRuns.of(truth, prediction)
    rows, columns = runs.values
    return runs.count(rows.astype(int) * num_values + columns, (num_values, num_values))


def test_runs_of_the_worked_example():
    runs = JointRuns.of(np.array([[5, 5], [5, 7]] * 3), np.array([[1, 1], [2, 2]] * 3))
    assert runs.lengths is None, "five runs in twelve pixels are not worth it"
    longer = [np.repeat(np.array(row), 4) for row in ([5, 5, 5, 7], [1, 1, 2, 2])]
    runs = JointRuns.of(*longer)
    assert [values.tolist() for values in runs.values] == [[5, 5, 7], [1, 2, 2]]
    assert runs.lengths.tolist() == [8, 4, 4]


@pytest.mark.parametrize("grain", [1, 40], ids=["noise", "runs"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_every_pixel_is_counted_once(grain: int, dtype: type):
    rng = np.random.default_rng(0)
    truth, prediction = rng.integers(0, 6, (2, 20, 200 // grain), dtype=dtype).repeat(grain, axis=2)
    expected = np.zeros((6, 6), dtype=np.int64)
    np.add.at(expected, (truth.ravel(), prediction.ravel()), 1)
    counts = counted(truth, prediction, 6)
    assert counts.tolist() == expected.tolist()
    assert counts.dtype == np.int64


def test_single_pixel_is_counted():
    assert counted(np.array([[1]]), np.array([[0]]), 2).tolist() == [[0, 0], [1, 0]]


def test_segments_are_counted_in_the_order_of_their_lists():
    """Rows are b, a, s and void of the truth, columns s and b of the prediction, and void."""
    truth = draw(["ssaa", "bbb."], {"b": 3, "a": 3, "s": 0}, crowds="b").labels()
    prediction = draw(["sssb", "bbbb"], CLASSES).prediction()
    pairs = FramePairs.of_segments(truth, prediction)
    assert pairs.counts.tolist() == [[0, 3, 0], [1, 1, 0], [2, 0, 0], [0, 1, 0]]
    assert pairs.true_ids.tolist() == [1098, 1097, 1115]
    assert pairs.true_classes.tolist() == [3, 3, 0]
    assert pairs.is_crowd.tolist() == [True, False, False]
    assert pairs.true_areas.tolist() == [3, 2, 2]
    assert pairs.predicted_classes.tolist() == [0, 3]


def test_segments_without_pixels_are_left_out():
    truth, prediction = draw("sa", CLASSES).labels(), draw("ab", CLASSES).prediction()
    truth.segments.index_map[:] = 1
    prediction.index_map[:] = 1
    pairs = FramePairs.of_segments(truth, prediction)
    assert (pairs.true_classes.tolist(), pairs.predicted_ids.tolist()) == ([3], [1098])
    assert pairs.counts.tolist() == [[2, 0], [0, 0]]


def test_frames_without_any_segment_are_void():
    nothing = draw("....", {})
    pairs = FramePairs.of_segments(nothing.labels(), nothing.prediction())
    assert pairs.counts.tolist() == [[4]]
    assert len(pairs.true_ids) == len(pairs.predicted_ids) == 0


def test_maps_count_as_segments_do():
    (video,) = random_videos(4, seed=3)
    for truth, prediction in zip(video.truth, video.prediction, strict=True):
        crowds = [segment.number for segment in truth.segments if segment.is_crowd]
        from_maps = FramePairs.of_maps(
            (truth.class_map(), truth.numbers),
            (prediction.class_map(), prediction.numbers),
            is_crowd=np.isin(truth.numbers, crowds),
        )
        from_segments = FramePairs.of_segments(truth.labels(), prediction.prediction())
        assert table(from_maps) == table(from_segments)


def table(pairs: FramePairs) -> dict:
    """Return counts by class and size, as numbers of identities differ between sources."""
    rows = [*zip(pairs.true_classes, pairs.true_areas, pairs.is_crowd, strict=True), "void"]
    columns = [*zip(pairs.predicted_classes, pairs.counts[:, :-1].sum(0), strict=True), "void"]
    return {
        (str(row), str(column)): int(pairs.counts[i, j])
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    }


def test_number_is_of_its_class_in_maps():
    """Number 1 of class 3, number 1 of class 4, class 4 without number, and void."""
    classes, numbers = np.array([[3, 4, 4, 255]]), np.array([[1, 1, 0, 0]])
    pairs = FramePairs.of_maps((classes, numbers), (classes, numbers))
    assert np.sort(pairs.true_classes).tolist() == [3, 4, 4]
    assert len(set(pairs.true_ids.tolist())) == 3
    assert 5 in pairs.true_ids, "a region known by its class has class + 1 as its identity"
    assert np.trace(pairs.counts) == pairs.counts.sum() == 4


def test_sizes_that_differ_are_named():
    truth, prediction = draw("ss", CLASSES), draw(["ss", "ss"], CLASSES)
    with pytest.raises(ValueError, match=r"prediction of frame 7 has 2x2 .* annotation has 1x2"):
        FramePairs.of_segments(truth.labels(), prediction.prediction(), "frame 7")
    with pytest.raises(ValueError, match=r"shapes \[\(1, 2\), \(1, 2\), \(2, 2\)"):
        FramePairs.of_maps((truth.numbers,) * 2, (prediction.numbers,) * 2)


def test_segments_that_may_overlap_are_refused():
    truth, prediction = draw("sa", CLASSES).labels(), draw("sa", CLASSES).prediction()
    masks = np.stack([prediction.mask(position) for position in range(2)])
    with pytest.raises(ValueError, match="prediction of frame 7 has a mask for each segment"):
        FramePairs.of_segments(truth, replace(prediction, masks=masks, index_map=None), "frame 7")


def test_unknown_class_is_named():
    pairs = FramePairs.of_segments(draw("sa", CLASSES).labels(), draw("aa", {"a": 5}).prediction())
    with pytest.raises(
        ValueError, match=r"prediction of frame 7 has .* classes \[5\]; there are 5"
    ):
        pairs.check_classes(5, "frame 7")
    pairs.check_classes(6, "frame 7")


def test_frames_are_called_by_video_and_file():
    record = {"video_id": "walk", "file_names": ["walk/0.jpg", "walk/1.jpg"]}
    assert frame_name(record, 1) == "video walk, frame walk/1.jpg"
    assert frame_name({"video_id": 3}, 1) == "video 3, frame 1"
    assert frame_name({}, 1) == "frame 1"


def test_void_is_the_label_that_samples_ignore():
    assert VOID == IGNORE_LABEL


def test_label_map_metrics_need_neither_detectron2_nor_torch():
    code = """
import sys
sys.modules["detectron2"] = sys.modules["torch"] = None
import numpy as np
from gvseg.evaluation.frame_pairs import FramePairs
from gvseg.evaluation.stq import SegmentationTrackingMetric
from gvseg.evaluation.vpq import VIPSEG, VideoPanopticMetric
from gvseg.evaluation.vss import VideoSemanticMetric
classes, numbers = np.array([[0, 1]]), np.array([[0, 1]])
vpq = VideoPanopticMetric(["sky", "cat"], [False, True], VIPSEG)
stq = SegmentationTrackingMetric(["sky", "cat"], [False, True])
vss = VideoSemanticMetric(["sky", "cat"], windows=(2,))
for _ in range(6):
    pairs = FramePairs.of_maps((classes, numbers), (classes, numbers))
    vpq.update_pairs(pairs)
    stq.update_pairs(pairs)
    vss.update_maps(classes, classes)
for metric in (vpq, stq, vss):
    metric.end_video()
assert vpq.compute()["VPQ"] == stq.compute()["STQ"] == vss.compute()["mVC2"] == 1
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
