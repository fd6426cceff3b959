import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from detectron2.data import DatasetCatalog

from gvseg.data.benchmark import get_benchmark
from gvseg.data.class_table import read_class_table
from gvseg.data.segments import encode_masks
from gvseg.evaluation.coco_ap import InstanceApMetric
from gvseg.structures import FrameSegments
from tests.evaluation.stream import instance_segments, labels_of

SIZE = (40, 60)
STATS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")


def box_masks(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Draw boxes (top, left, bottom, right)."""
    masks = np.zeros((len(boxes), *SIZE), dtype=bool)
    for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
        mask[top:bottom, left:right] = True
    return masks


def score(*frames: tuple[FrameSegments, FrameSegments], num_classes: int = 2) -> dict[str, float]:
    """Score pairs of truth and prediction."""
    metric = InstanceApMetric([str(index) for index in range(num_classes)])
    for image_id, (truth, prediction) in enumerate(frames):
        metric.update({"video_id": image_id}, labels_of(truth), prediction)
        metric.end_video({"video_id": image_id})
    return metric.compute()


def test_average_precision_worked_by_hand():
    """Two objects, three detections.

    By score: a hit of IoU 1, a miss, a hit of IoU 0.8 (80 of 100 pixels). At thresholds up to 0.8
    precision is 1 up to recall 1/2 and 2/3 beyond: 51 of COCO's 101 recall points have 1, 50 have
    2/3. At the three thresholds above only the first hits: 51 points have 1, the rest 0.
    """
    truth = instance_segments(box_masks((0, 0, 10, 10), (20, 20, 30, 30)), [0, 0], [1, 1])
    detections = box_masks((0, 0, 10, 10), (0, 40, 10, 50), (20, 20, 28, 30))
    scores = score((truth, instance_segments(detections, [0, 0, 0], [0.9, 0.8, 0.7])))
    low, high = (51 + 50 * 2 / 3) / 101, 51 / 101
    assert scores["AP50"] == pytest.approx(low)
    assert scores["AP"] == pytest.approx((7 * low + 3 * high) / 10)
    assert scores["AR100"] == pytest.approx((7 * 1 + 3 * 0.5) / 10)
    assert scores["AP-0"] == scores["AP"]


def test_perfect_prediction_scores_one_in_every_defined_number():
    truth = instance_segments(box_masks((0, 0, 9, 9), (20, 20, 30, 30)), [0, 1], [1, 1])
    scores = score((truth, truth))
    defined = {name for name, value in scores.items() if not np.isnan(value)}
    assert [scores[name] for name in defined] == pytest.approx([1.0] * len(defined))
    assert defined == {*scores} - {"APm", "APl", "ARm", "ARl"}, "all objects are small"


def test_detection_of_the_wrong_class_does_not_count():
    truth = instance_segments(box_masks((0, 0, 9, 9)), [0], [1])
    scores = score((truth, instance_segments(box_masks((0, 0, 9, 9)), [1], [1])))
    assert scores["AP"] == 0
    assert np.isnan(scores["AP-1"]), "a class that is nowhere annotated has no AP"


def test_detections_count_in_their_own_frame_only():
    first, second = box_masks((0, 0, 9, 9)), box_masks((20, 20, 30, 30))
    frames = [
        (instance_segments(first, [0], [1]), instance_segments(second, [0], [1])),
        (instance_segments(second, [0], [1]), instance_segments(first, [0], [1])),
    ]
    assert score(*frames)["AP"] == 0


def test_no_detection_at_all_scores_zero():
    truth = instance_segments(box_masks((0, 0, 9, 9)), [0], [1])
    scores = score((truth, instance_segments(np.zeros((0, *SIZE), dtype=bool), [], [])))
    assert scores["AP"] == scores["AR100"] == 0


def test_no_annotation_at_all_leaves_everything_undefined():
    nothing = instance_segments(np.zeros((0, *SIZE), dtype=bool), [], [])
    detection = instance_segments(box_masks((0, 0, 9, 9)), [0], [1])
    assert all(np.isnan(value) for value in score((nothing, detection)).values())


def test_detection_inside_a_crowd_is_no_error():
    truth = labels_of(instance_segments(box_masks((0, 0, 9, 9), (10, 0, 40, 60)), [0, 0], [1, 1]))
    truth.is_crowd[1] = True
    detections = instance_segments(box_masks((0, 0, 9, 9), (20, 20, 30, 30)), [0, 0], [0.5, 0.9])
    metric = InstanceApMetric(["0"])
    metric.update({"video_id": 1}, truth, detections)
    assert metric.compute()["AP"] == pytest.approx(1.0)


def test_stated_areas_choose_the_size_range():
    truth = labels_of(instance_segments(box_masks((0, 0, 9, 9)), [0], [1]))
    truth.areas[:] = 32**2 + 1
    metric = InstanceApMetric(["0"])
    metric.update({"video_id": 1}, truth, instance_segments(box_masks((0, 0, 9, 9)), [0], [1]))
    scores = metric.compute()
    assert scores["APm"] == pytest.approx(1.0)
    assert np.isnan(scores["APs"])


def test_segments_of_a_map_score_as_their_masks():
    masks = box_masks((0, 0, 9, 9), (20, 20, 30, 30))
    index_map = np.where(masks[0], 0, np.where(masks[1], 1, -1)).astype(np.int16)
    as_masks = instance_segments(masks, [0, 1], [0.9, 0.8])
    as_map = FrameSegments(0, as_masks.ids, as_masks.classes, as_masks.scores, index_map=index_map)
    truth = instance_segments(box_masks((0, 0, 9, 9), (20, 20, 30, 34)), [0, 1], [1, 1])
    np.testing.assert_equal(score((truth, as_map)), score((truth, as_masks)))


def test_merged_parts_score_as_the_whole():
    truth = instance_segments(box_masks((0, 0, 9, 9), (20, 20, 30, 30)), [0, 1], [1, 1])
    good, bad = (
        instance_segments(truth.masks, [0, 1], [0.5, 0.6]),
        instance_segments(truth.masks, [1, 0], [0.9, 0.8]),
    )
    parts = [InstanceApMetric(["0", "1"]) for _ in range(2)]
    parts[0].update({"video_id": 0}, labels_of(truth), good)
    parts[1].update({"video_id": 1}, labels_of(truth), bad)
    parts[0].merge(parts[1])
    np.testing.assert_equal(parts[0].compute(), score((truth, good), (truth, bad)))


def test_equal_scores_rank_by_image_whoever_saw_it_first():
    truth = instance_segments(box_masks((0, 0, 9, 9)), [0], [1])
    right = instance_segments(truth.masks, [0], [0.5])
    wrong = instance_segments(box_masks((20, 20, 30, 30)), [0], [0.5])
    scores = []
    for order in ((1, 2), (2, 1)):
        metric = InstanceApMetric(["0"])
        for image_id in order:
            prediction = wrong if image_id == 1 else right
            metric.update({"video_id": image_id}, labels_of(truth), prediction)
        scores.append(metric.compute()["AP"])
    # The wrong one of the first image comes first: precision 1 / 2 up to a recall of 1 / 2.
    assert scores == pytest.approx([51 / 101 / 2] * 2)


def test_scores_are_those_of_pycocotools_on_files(small_benchmarks: Path):
    """The same detections, through COCO's own json of truth and of results."""
    rng = np.random.default_rng(0)
    read_labels = get_benchmark("coco128_train").read_labels
    category_ids = read_class_table("coco").ids
    metric, results = InstanceApMetric(read_class_table("coco").names), []
    for record in DatasetCatalog.get("coco128_train"):
        labels = read_labels(record, 0)
        masks = np.stack(
            [np.roll(mask, rng.integers(-3, 4, 2), (0, 1)) for mask in labels.segments.masks]
            + [rng.random(labels.size) < 0.5]
        )
        classes = [*labels.segments.classes.tolist(), 0]
        prediction = instance_segments(masks, classes, rng.random(len(masks)).tolist())
        metric.update(record, labels, prediction)
        results += [
            {
                "image_id": record["video_id"],
                "category_id": category_ids[class_index],
                "score": float(confidence),
                "segmentation": dict(run_length, counts=run_length["counts"].decode()),
            }
            for class_index, confidence, run_length in zip(
                classes, prediction.scores, encode_masks(masks), strict=True
            )
        ]
    path = small_benchmarks / "coco128" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["info"] = {}
    content["categories"] = [{"id": id_} for id_ in category_ids]
    path.write_text(json.dumps(content))
    truth = COCO(path)
    official = COCOeval(truth, truth.loadRes(results), "segm")
    official.evaluate()
    official.accumulate()
    official.summarize()
    expected = np.where(official.stats < 0, np.nan, official.stats)
    assert 0.1 < official.stats[0] < 0.9
    scores = metric.compute()
    np.testing.assert_allclose([scores[name] for name in STATS], expected, atol=1e-12)
