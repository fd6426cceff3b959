import json

import pytest

from gvseg.cli import main
from gvseg.cli.evaluate import dataset_of_protocol, is_of_class
from tests.evaluation.submissions.made_up import MadeUp, make, perfect, poor


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> MadeUp:
    made = make(tmp_path_factory.mktemp("benchmarks"), "vipseg_val")
    made.submit(made.root / "poor", poor)
    made.submit(made.root / "perfect", perfect)
    return made


def evaluate(made: MadeUp, *arguments: str, name: str = "vipseg_val", pred: str = "poor") -> int:
    folders = ["--gt", str(made.root), "--pred", str(made.root / pred)]
    return main(["eval", name, *folders, "--workers", "1", *arguments])


def test_tables_show_the_scores_of_each_protocol(made: MadeUp, capsys):
    assert evaluate(made, pred="perfect") == 0
    output = capsys.readouterr().out
    assert "vipseg_val: 3 videos, 33 frames scored" in output
    lines = [line.split() for line in output.splitlines()]
    for name in ("VPQ", "VPQ_things", "VPQ1", "VPQ6", "STQ", "SQ", "AQ"):
        assert [name, "100.00"] in lines, name
    assert "vpq/vipseg, by class" in output
    assert "stq/vipseg" in output
    assert "118 of 124 classes are neither annotated nor predicted and do not count." in output


def test_json_has_all_scores_and_is_all_of_the_output(made: MadeUp, capsys):
    assert evaluate(made, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["dataset"], content["num_videos"], content["num_frames"]) == (
        *("vipseg_val", 3, 33),
    )
    assert list(content["results"]) == ["vpq/vipseg", "stq/vipseg"]
    expected = made.scores(poor, "vpq/vipseg").compute()
    assert content["results"]["vpq/vipseg"]["VPQ"] == pytest.approx(100 * expected["VPQ"])
    assert None in content["results"]["vpq/vipseg"].values(), "classes that do not occur"
    assert content["notes"]["vpq/vipseg"]
    assert "videos" not in content


def test_each_video_is_scored_on_request(made: MadeUp, capsys):
    assert evaluate(made, "--per-video", "--protocol", "vpq/vipseg") == 0
    output = capsys.readouterr().out
    assert "vpq/vipseg, by video" in output
    rows = [line.split() for line in output.splitlines()]
    for record in made.records:
        score = 100 * made.scores(poor, "vpq/vipseg", records=[record]).compute()["VPQ"]
        (row,) = [row for row in rows if row and row[0] == str(record["video_id"])]
        assert row[1] == f"{score:.2f}"


def test_diagnosis_counts_what_became_of_objects(made: MadeUp, capsys):
    arguments = ("--protocol", "tracking/gvseg", "--per-video")
    assert evaluate(made, *arguments, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert list(content["results"]) == ["tracking/gvseg"]
    counts = content["counts"]["tracking/gvseg"]
    assert list(counts) == [str(record["video_id"]) for record in made.records]
    # All identities change once, between the sixth frame and the seventh.
    assert all(of_video["switches"] >= 1 for of_video in counts.values())
    assert evaluate(made, *arguments) == 0
    output = capsys.readouterr().out
    assert "counts by video" in output
    assert "fragmentations" in output


def test_protocol_stands_for_the_benchmark_it_is_named_after(made: MadeUp, capsys):
    assert evaluate(made, "--json", name="vpq/vipseg_script") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["dataset"] == "vipseg_val"
    assert list(content["results"]) == ["vpq/vipseg_script"]
    assert "VPQ8" in content["results"]["vpq/vipseg_script"]


@pytest.mark.parametrize(
    ("protocol", "dataset_name"),
    [
        ("vpq/vipseg", "vipseg_val"),
        ("stq/vipseg_script", "vipseg_val"),
        ("vss/vspw_strict", "vspw_val"),
        ("stq/kitti_step", "kitti_step_val"),
        ("vpq/cityscapes_vps", "cityscapes_vps_val"),
        ("vos/davis2017", "davis2017_val"),
        ("ap/ovis", "ovis_valid"),
        ("hota/burst_class", "burst_class_val"),
    ],
)
def test_dataset_of_protocol(protocol: str, dataset_name: str):
    assert dataset_of_protocol(protocol) == dataset_name


def test_protocol_of_no_single_benchmark_asks_for_the_dataset(made: MadeUp, capsys):
    assert evaluate(made, name="hota/trackeval") == 1
    error = capsys.readouterr().err
    assert error.startswith("gvseg eval: Protocol hota/trackeval does not say what is scored")


def test_mistakes_are_one_line(made: MadeUp, capsys):
    for arguments, message in (
        ({"name": "vipsag_val"}, "Unknown dataset 'vipsag_val'"),
        ({"pred": "nothing"}, "There are no predictions: "),
    ):
        assert evaluate(made, **arguments) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert line.startswith(f"gvseg eval: {message}")


def test_scores_of_classes_are_told_from_others():
    assert is_of_class("VPQ-traffic-light", ["traffic-light"])
    assert not is_of_class("J-Mean", ["person"])
    assert not is_of_class("HOTA", ["HOTA"])
