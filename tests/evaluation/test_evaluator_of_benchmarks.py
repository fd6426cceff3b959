"""The evaluator on every benchmark: alone, in two processes, and with predictions written."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detectron2.utils import comm

from gvseg.data.loader import load_records
from gvseg.data.synthetic.formats import get_format
from gvseg.data.synthetic.scene import make_videos
from gvseg.evaluation import VideoEvaluator, build_evaluator
from gvseg.evaluation.scoring import score_submission
from gvseg.structures import FrameSegments
from tests.evaluation.submissions.made_up import DATASETS, MadeUp, make, poor
from tests.evaluation.test_video_evaluator import model_cfg

DIAGNOSES = ("hota/trackeval", "tracking/gvseg")


@pytest.fixture(scope="module", params=DATASETS)
def shared(request, tmp_path_factory) -> MadeUp:
    return make(tmp_path_factory.mktemp("benchmarks"), request.param)


@pytest.fixture
def made(shared: MadeUp, monkeypatch: pytest.MonkeyPatch) -> MadeUp:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(shared.root))
    return shared


def feed(evaluator: VideoEvaluator, made: MadeUp, records: list[dict]) -> None:
    for record in records:
        for segments in poor(made, record):
            evaluator.process_frame(record, segments)


def test_written_predictions_score_as_the_evaluation_does(made: MadeUp, tmp_path: Path):
    evaluator = VideoEvaluator(made.dataset_name, tmp_path, write_predictions=True)
    feed(evaluator, made, load_records(made.dataset_name))
    results = evaluator.evaluate()
    assert tuple(results) == made.benchmark.metrics
    scores = score_submission(made.dataset_name, tmp_path / "predictions", root=made.root)
    for name, expected in results.items():
        assert scores.results[name] == pytest.approx(expected, nan_ok=True)


def test_identities_of_several_classes_are_written_as_they_are_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    made = make(tmp_path, "burst_class_val")
    evaluator = VideoEvaluator(made.dataset_name, tmp_path / "out", write_predictions=True)
    num_classes = len(made.benchmark.classes)
    for record in load_records(made.dataset_name):
        for segments in poor(made, record):
            assert segments.masks is not None
            guess = segments.classes + (segments.frame_index % 2)
            twice = replace(
                segments,
                ids=np.tile(segments.ids, 2),
                classes=np.concatenate([guess, guess + 1]) % num_classes,
                scores=np.concatenate([segments.scores, segments.scores / 2]),
                masks=np.tile(segments.masks, (2, 1, 1)),
            )
            evaluator.process_frame(record, twice)
    results = evaluator.evaluate()
    scores = score_submission(made.dataset_name, tmp_path / "out/predictions", root=made.root)
    for name, expected in results.items():
        assert expected["DetA_all"] > 1
        assert scores.results[name] == pytest.approx(expected, nan_ok=True)


def test_a_video_that_was_broken_off_is_not_written(made: MadeUp, tmp_path: Path):
    evaluator = VideoEvaluator(made.dataset_name, tmp_path, write_predictions=True)
    record, *_ = records = load_records(made.dataset_name)
    evaluator.process_frame(record, poor(made, record)[0])
    evaluator.reset()
    feed(evaluator, made, records)
    results = evaluator.evaluate()
    scores = score_submission(made.dataset_name, tmp_path / "predictions", root=made.root)
    for name, expected in results.items():
        assert scores.results[name] == pytest.approx(expected, nan_ok=True)


def test_two_processes_score_and_write_as_one(
    made: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    records = load_records(made.dataset_name)
    alone, *parts = (
        VideoEvaluator(made.dataset_name, folder, more_protocols=DIAGNOSES, write_predictions=True)
        for folder in (tmp_path / "alone", tmp_path / "shared", tmp_path / "shared")
    )
    feed(alone, made, records)
    expected = alone.evaluate()
    feed(parts[0], made, records[1:])
    feed(parts[1], made, records[:1])
    sent = (parts[1]._metrics, parts[1]._finished)
    monkeypatch.setattr(comm, "gather", lambda part: [part, sent])
    results = parts[0].evaluate()
    for name, scores in results.items():
        assert scores == pytest.approx(expected[name], nan_ok=True), name
    files = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}
        for folder in (tmp_path / "alone" / "predictions", tmp_path / "shared" / "predictions")
    ]
    assert files[0] == files[1]
    assert not any(".parts" in str(path) for path in files[0])


def test_diagnoses_stand_beside_the_scores_and_name_videos(made: MadeUp, tmp_path: Path):
    cfg = model_cfg(made.benchmark.task.value, len(made.benchmark.classes))
    cfg.OUTPUT_DIR = str(tmp_path)
    cfg.MODEL.GVSEG.TEST.MORE_PROTOCOLS = list(DIAGNOSES)
    cfg.MODEL.GVSEG.TEST.WRITE_PREDICTIONS = True
    evaluator = build_evaluator(cfg, made.dataset_name)
    feed(evaluator, made, load_records(made.dataset_name))
    results = evaluator.evaluate()
    assert tuple(results) == (*made.benchmark.metrics, *DIAGNOSES)
    folder = tmp_path / "inference" / made.dataset_name
    assert (folder / "predictions").is_dir()
    counts = json.loads((folder / "metrics.json").read_text())["videos"]["tracking/gvseg"]
    assert list(counts) == sorted(str(record["video_id"]) for record in made.records)
    assert all("switches" in of_video for of_video in counts.values())


def test_hidden_labels_are_predicted_for_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    row = get_format("ytvis_2019")
    spec = row.scene("valid", size=(48, 72), num_frames=3, num_classes=6)
    row.write(tmp_path, "valid", make_videos(spec, num_videos=2, seed=0, split="valid"))
    evaluator = VideoEvaluator("ytvis_2019_valid", tmp_path / "out", write_predictions=True)
    masks = np.zeros((1, 48, 72), dtype=bool)
    masks[0, 3:9, 4:20] = True
    for record in load_records("ytvis_2019_valid"):
        for index in range(record["length"]):
            found = FrameSegments(index, np.array([1]), np.array([3]), np.array([0.5]), masks=masks)
            evaluator.process_frame(record, found)
    assert evaluator.evaluate() == {}
    tracks = json.loads((tmp_path / "out" / "predictions" / "results.json").read_text())
    assert [(track["video_id"], len(track["segmentations"])) for track in tracks] == [
        (record["video_id"], 3) for record in load_records("ytvis_2019_valid")
    ]


def test_options_that_make_no_sense_are_named(tmp_path: Path):
    with pytest.raises(ValueError, match="Unknown protocol 'hota'; choose one of vpq/vipseg,"):
        VideoEvaluator("vspw_val", more_protocols=["hota"])
    for dataset_name, name, message in (
        ("ytvis_2019_valid", "stq/vipseg", "scores vps and vss, but ytvis_2019 is for vis"),
        ("vspw_val", "vos/davis2016", "scores evs, but vspw is for vss"),
        ("ytvis_2019_valid", "hota/burst_class", "is for BURST.* can have hota/trackeval"),
    ):
        with pytest.raises(ValueError, match=f"Protocol {name} {message}"):
            VideoEvaluator(dataset_name, more_protocols=[name])
    with pytest.raises(ValueError, match="coco128_as_object has no format for predictions"):
        VideoEvaluator("coco128_as_object_train", tmp_path, write_predictions=True)
    with pytest.raises(ValueError, match="Predictions are to be written, but no output_dir"):
        VideoEvaluator("vspw_val", write_predictions=True)
