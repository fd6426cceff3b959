"""Predictions score the same from memory and from files of every format."""

import random
from pathlib import Path

import numpy as np
import pytest

from gvseg.data.benchmark import annotated_frames
from gvseg.evaluation.scoring import score_submission
from gvseg.evaluation.submissions import submission_format
from tests.evaluation.submissions.made_up import DATASETS, MadeUp, make, perfect, poor

# What is 1 for a perfect prediction, by what is measured.
FULL = {
    "pq": ("VPQ", "VPQ_things", "VPQ_stuff"),
    "vpq": ("VPQ", "VPQ_things", "VPQ_stuff"),
    "stq": ("STQ", "SQ", "AQ"),
    "vss": ("mIoU", "mVC8", "pACC"),
    "ap": ("AP", "AP50", "AR10"),
    "vos": ("J", "F"),
    "hota": ("HOTA_all",),
}


@pytest.fixture(scope="module", params=DATASETS)
def made(request, tmp_path_factory) -> MadeUp:
    return make(tmp_path_factory.mktemp("benchmarks"), request.param)


def in_percent(scores: dict[str, float]) -> dict[str, float]:
    return {name: 100 * score for name, score in scores.items()}


def test_perfect_predictions_have_full_scores(made: MadeUp, tmp_path: Path):
    folder = made.submit(tmp_path, perfect)
    scores = score_submission(made.dataset_name, folder, root=made.root)
    assert list(scores.results) == list(made.benchmark.metrics)
    for protocol, results in scores.results.items():
        names = FULL[protocol.partition("/")[0]]
        if protocol == "vss/images":  # nothing to be consistent over
            names = ("mIoU", "pACC")
        if protocol.startswith("vos/davis"):
            names = ("J&F", "J-Mean", "F-Recall")
        assert {name: results[name] for name in names} == pytest.approx(dict.fromkeys(names, 100))


def test_files_score_as_what_was_predicted_by_any_number_of_processes(made: MadeUp, tmp_path: Path):
    folder = made.submit(tmp_path, poor)
    alone = score_submission(made.dataset_name, folder, root=made.root)
    for protocol, results in alone.results.items():
        metric = made.scores(poor, protocol)
        assert results == pytest.approx(in_percent(metric.compute()), abs=1e-9, nan_ok=True)
        assert alone.notes[protocol] == metric.notes()
        main = results["J"] if "J" in results else next(iter(results.values()))
        assert 1 < main < 99, "predictions should be neither perfect nor hopeless"
    together = score_submission(made.dataset_name, folder, root=made.root, num_workers=2)
    np.testing.assert_equal(together.results, alone.results)  # to the last digit


def test_order_of_videos_and_shares_of_processes_change_nothing(made: MadeUp):
    shuffled = random.Random(1).sample(made.records, len(made.records))
    for protocol in (*made.benchmark.metrics, "tracking/gvseg", "hota/trackeval"):
        whole = made.scores(poor, protocol)
        parts = [made.scores(poor, protocol, records=[record]) for record in shuffled]
        total = parts[0]
        for part in parts[1:]:
            total.merge(part)
        assert total.compute() == pytest.approx(whole.compute(), nan_ok=True)
        assert total.notes() == whole.notes()


def test_video_can_be_scored_alone(made: MadeUp, tmp_path: Path):
    folder = made.submit(tmp_path, poor)
    scores = score_submission(made.dataset_name, folder, root=made.root, by_video=True)
    record = made.records[1]
    by_protocol = scores.by_video[str(record["video_id"])]
    for protocol in made.benchmark.metrics:
        alone = made.scores(poor, protocol, records=[record])
        expected = in_percent(alone.compute())
        assert by_protocol[protocol] == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_masks_come_back_bit_for_bit(made: MadeUp, tmp_path: Path):
    folder = made.submit(tmp_path, poor)
    reader = submission_format(made.benchmark).open_reader(folder, made.benchmark, made.records)
    for record in made.records:
        frames = annotated_frames(record)
        predicted = poor(made, record)
        for index, read in zip(frames, reader.frames(record, frames), strict=True):
            assert read.frame_index == index
            if made.dataset_name == "davis2016_val":
                continue  # all objects become one
            assert masks(read) == masks(predicted[index])


def masks(segments) -> list[tuple[int, bytes]]:
    """Return class and pixels of each segment that is seen, in a fixed order."""
    found = ((int(segments.classes[n]), segments.mask(n)) for n in range(len(segments)))
    return sorted((index, mask.tobytes()) for index, mask in found if mask.any())
