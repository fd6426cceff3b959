import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from detectron2.config import CfgNode, get_cfg
from detectron2.utils import comm

from gvseg.config import add_gvseg_config
from gvseg.data.benchmark import get_benchmark
from gvseg.data.loader import load_records
from gvseg.evaluation import METRICS, VideoEvaluator, build_evaluator
from gvseg.structures import FrameSegments

pytestmark = pytest.mark.usefixtures("small_benchmarks")


def model_cfg(task: str, num_classes: int) -> CfgNode:
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.MODEL.GVSEG.TASK = task
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = num_classes
    return cfg


def true_segments(record: dict, frame_index: int) -> FrameSegments:
    return get_benchmark(record["dataset_name"]).read_labels(record, frame_index).segments


def feed(evaluator: VideoEvaluator, records: list[dict]) -> None:
    for record in records:
        for frame_index in range(record["length"]):
            evaluator.process_frame(record, true_segments(record, frame_index))


@pytest.mark.parametrize(
    ("dataset_name", "protocol", "main_score"),
    [("camvid_val", "vss/vspw", "mIoU"), ("coco128_train", "ap/coco", "AP")],
)
def test_perfect_predictions_score_a_hundred_percent(
    tmp_path: Path, dataset_name: str, protocol: str, main_score: str
):
    benchmark = get_benchmark(dataset_name)
    cfg = model_cfg(benchmark.task.value, len(benchmark.classes))
    cfg.OUTPUT_DIR = str(tmp_path)
    evaluator = build_evaluator(cfg, dataset_name)
    feed(evaluator, load_records(dataset_name))
    results = evaluator.evaluate()
    assert list(results) == [protocol]
    assert results[protocol][main_score] == pytest.approx(100)
    written = json.loads((tmp_path / "inference" / dataset_name / "metrics.json").read_text())
    for name, value in results[protocol].items():
        assert written[protocol][name] == (None if np.isnan(value) else pytest.approx(value))


def test_reasons_for_undefined_scores_are_kept_logged_and_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    evaluator = VideoEvaluator("camvid_val", tmp_path)
    feed(evaluator, load_records("camvid_val"))
    with caplog.at_level(logging.WARNING):
        assert np.isnan(evaluator.evaluate()["vss/vspw"]["mVC16"])
    (sentence,) = [note for note in evaluator.notes["vss/vspw"] if "mVC16" in note]
    assert "no video has over 16 frames" in sentence
    assert f"vss/vspw on camvid_val: {sentence}" in caplog.text
    assert json.loads((tmp_path / "metrics.json").read_text())["notes"] == evaluator.notes


def test_frames_without_labels_are_neither_read_nor_scored():
    (record,) = load_records("camvid_val")
    truth = {index: true_segments(record, index) for index in range(10)}
    for index in set(range(10)) - {2, 7}:
        Path(record["label_files"][index]).unlink()
    sparse = record | {"annotated_frames": [2, 7]}
    evaluator = VideoEvaluator("camvid_val")
    for index in range(10):
        wrong = replace(truth[index], classes=(truth[index].classes + 1) % 11)
        evaluator.process_frame(sparse, truth[index] if index in (2, 7) else wrong)
    assert evaluator.evaluate()["vss/vspw"]["mIoU"] == pytest.approx(100)


def test_hidden_labels_are_named():
    (record,) = load_records("camvid_val")
    first = true_segments(record, 0)
    evaluator = VideoEvaluator("camvid_val")
    with pytest.raises(ValueError, match=r"camvid_val cannot be scored.*0016E5_07959 are hidden"):
        evaluator.process_frame(record | {"annotated_frames": []}, first)


def test_videos_without_labels_are_written_and_the_others_scored(tmp_path, monkeypatch, caplog):
    records = load_records("camvid_train")
    records = [records[0], records[1] | {"annotated_frames": []}]
    monkeypatch.setattr("gvseg.evaluation.video_evaluator.load_records", lambda name: records)
    evaluator = VideoEvaluator("camvid_train", tmp_path, write_predictions=True)
    for record in records:
        for index in range(record["length"]):
            segments = true_segments(record, index)
            filled = np.maximum(segments.index_map, 0)  # void may be anything
            evaluator.process_frame(record, replace(segments, index_map=filled))
    with caplog.at_level(logging.WARNING):
        assert evaluator.evaluate()["vss/vspw"]["mIoU"] == pytest.approx(100)
    assert "1 of 2 videos are not scored, as they have no labels, such as" in caplog.text
    assert len(list((tmp_path / "predictions").iterdir())) == 2


@pytest.mark.parametrize(
    ("dataset_name", "protocol", "message"),
    [
        ("vipseg_val", "ap/youtube_vis", "scores evs and vis, but vipseg is for vps"),
        ("camvid_val", "ap/coco", "scores evs and vis, but camvid is for vss"),
        ("davis2017_val", "vos/youtube_vos", "davis2017 can have vos/davis2017"),
        ("ytvis_2019_valid", "hota/burst_class", "ytvis_2019 can have hota/trackeval"),
        ("burst_mask_val", "hota/burst_class", "burst_mask has no classes to score by"),
    ],
)
def test_protocol_that_does_not_fit_is_refused(dataset_name: str, protocol: str, message: str):
    with pytest.raises(ValueError, match=message):
        VideoEvaluator(dataset_name, more_protocols=[protocol])


def test_every_metric_that_a_benchmark_names_exists():
    for dataset_name in ("camvid_val", "coco128_train"):
        assert set(get_benchmark(dataset_name).metrics) <= set(METRICS)


def test_whole_videos_score_as_their_frames():
    (record,) = load_records("camvid_val")
    by_frame, by_video = VideoEvaluator("camvid_val"), VideoEvaluator("camvid_val")
    feed(by_frame, [record])
    frames = (true_segments(record, index) for index in range(record["length"]))
    by_video.process([record], [frames])
    np.testing.assert_equal(by_frame.evaluate(), by_video.evaluate())


def test_reset_forgets_all_videos():
    (record,) = load_records("camvid_val")
    evaluator = VideoEvaluator("camvid_val")
    shifted = replace(true_segments(record, 0), classes=(true_segments(record, 0).classes + 1) % 11)
    evaluator.process_frame(record, shifted)
    evaluator.reset()
    feed(evaluator, [record])
    assert evaluator.evaluate()["vss/vspw"]["mIoU"] == pytest.approx(100)


def test_finished_video_leaves_no_pixels_behind():
    evaluator = VideoEvaluator("camvid_train")
    records = load_records("camvid_train")
    feed(evaluator, records[:1])
    metric = evaluator._metrics["vss/vspw"]
    held = [value for value in vars(metric).values() if isinstance(value, np.ndarray)]
    assert [array.shape for array in held] == [(11, 12)]
    assert metric._consistency is None


def test_skipped_frame_is_named_with_its_video():
    (record,) = load_records("camvid_val")
    evaluator = VideoEvaluator("camvid_val")
    evaluator.process_frame(record, true_segments(record, 0))
    with pytest.raises(
        ValueError, match=r"Video 0016E5_07959: segments of frame 2 .*07961\.png, were expected"
    ):
        evaluator.process_frame(record, true_segments(record, 2))


def test_video_left_early_is_named_when_the_next_begins():
    first, second, _ = load_records("camvid_train")
    evaluator = VideoEvaluator("camvid_train")
    evaluator.process_frame(first, true_segments(first, 0))
    with pytest.raises(
        ValueError, match=r"Video 0001TP_00030 was left after 1 of 3 frames; .*000060\.png"
    ):
        evaluator.process_frame(second, true_segments(second, 0))


def test_video_left_early_is_named_at_the_end():
    (record,) = load_records("camvid_val")
    evaluator = VideoEvaluator("camvid_val")
    evaluator.process_frame(record, true_segments(record, 0))
    with pytest.raises(ValueError, match="Video 0016E5_07959 was left after 1 of 10 frames"):
        evaluator.evaluate()


def test_missing_video_is_named():
    evaluator = VideoEvaluator("camvid_train")
    feed(evaluator, load_records("camvid_train")[:2])
    with pytest.raises(ValueError, match="1 of 3 videos were not scored, among them 0006R0_00010"):
        evaluator.evaluate()


def test_video_scored_twice_is_named():
    evaluator = VideoEvaluator("camvid_val")
    feed(evaluator, load_records("camvid_val") * 2)
    with pytest.raises(ValueError, match="videos 0016E5_07959 were scored twice"):
        evaluator.evaluate()


def test_segments_of_another_size_are_named():
    (record,) = load_records("camvid_val")
    small = replace(true_segments(record, 0), index_map=np.zeros((18, 24), dtype=np.int16))
    with pytest.raises(
        ValueError, match=r"video 0016E5_07959, frame .*07959\.png, have the size \(18, 24\)"
    ):
        VideoEvaluator("camvid_val").process_frame(record, small)


def test_annotation_of_another_size_is_named():
    (record,) = load_records("camvid_val")
    prediction = true_segments(record, 0)
    Image.new("L", (24, 18)).save(record["label_files"][0])
    with pytest.raises(ValueError, match=r"07959\.png has 36x48 pixels, .* has 18x24"):
        VideoEvaluator("camvid_val").process_frame(record, prediction)


def test_missing_annotation_is_named():
    (record,) = load_records("camvid_val")
    prediction = true_segments(record, 0)
    Path(record["label_files"][0]).unlink()
    with pytest.raises(FileNotFoundError, match=r"Annotation .*07959\.png does not exist"):
        VideoEvaluator("camvid_val").process_frame(record, prediction)


@pytest.mark.parametrize(
    ("task", "num_classes", "message"),
    [
        ("vss", 80, "NUM_CLASSES is 80, but camvid_val has 11"),
        ("vis", 11, "TASK is vis, but camvid_val is a dataset for vss"),
    ],
)
def test_model_that_does_not_fit_is_refused(task: str, num_classes: int, message: str):
    with pytest.raises(ValueError, match=message):
        build_evaluator(model_cfg(task, num_classes), "camvid_val")


def test_processes_are_gathered_on_the_main_one(monkeypatch: pytest.MonkeyPatch):
    records = load_records("camvid_train")
    evaluators = [VideoEvaluator("camvid_train") for _ in range(2)]
    feed(evaluators[0], records[:2])
    feed(evaluators[1], records[2:])
    alone = VideoEvaluator("camvid_train")
    feed(alone, records)
    alone_results = alone.evaluate()

    sent = (evaluators[1]._metrics, evaluators[1]._finished)
    monkeypatch.setattr(comm, "gather", lambda part: [part, sent])
    np.testing.assert_equal(evaluators[0].evaluate(), alone_results)
    monkeypatch.setattr(comm, "is_main_process", lambda: False)
    assert evaluators[1].evaluate() == {}
