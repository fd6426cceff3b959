import json
from pathlib import Path

import pytest

from gvseg.cli import main
from tests.cli.own_data import own_dataset
from tests.data.small_benchmarks import write_camvid, write_coco128

FRAME, LABELS = "camvid/val/0016E5_07963.png", "camvid/valannot/0016E5_07963.png"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_camvid(tmp_path)
    write_coco128(tmp_path)
    return tmp_path


def check(root: Path, *arguments: str, dataset: str = "camvid_val") -> int:
    return main(["check-data", dataset, "--root", str(root), "--workers", "1", *arguments])


def test_clean_dataset_gives_zero_and_its_counts(root: Path, capsys):
    assert check(root) == 0
    output = capsys.readouterr().out
    assert "1 videos, 10 frames, 0 objects" in output
    assert output.endswith("0 problems, 0 notes\n")


def test_objects_of_images_are_counted(root: Path, capsys):
    assert check(root, dataset="coco128_train") == 0
    assert "3 videos, 3 frames, 4 objects" in capsys.readouterr().out


def test_problem_gives_one_and_is_named_with_its_fix(root: Path, capsys):
    (root / LABELS).unlink()
    assert check(root, "--workers", "2") == 1
    output = capsys.readouterr().out
    assert "missing labels: 1\n" in output
    fix = "restore it, or unpack or download the archive again"
    assert f"{root / LABELS} does not exist; {fix}." in output
    assert output.endswith("1 problems, 0 notes\n")


def test_only_the_first_of_many_alike_are_shown(root: Path, capsys):
    labels = sorted((root / "camvid/valannot").iterdir())
    for path in labels[:7]:
        path.unlink()
    assert check(root, "--show", "2") == 1
    output = capsys.readouterr().out
    assert "missing labels: 7\n" in output
    assert [path for path in labels if str(path) in output] == labels[:2]
    assert "... and 5 more" in output


def test_json_names_all_and_is_all_of_the_output(root: Path, capsys):
    labels = sorted((root / "camvid/valannot").iterdir())
    for path in labels:
        path.unlink()
    assert check(root, "--json", "--show", "2") == 1
    content = json.loads(capsys.readouterr().out)
    assert [problem["file"] for problem in content["problems"]] == [str(path) for path in labels]
    assert content["root"] == str(root)


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("nothing_val", "Unknown dataset 'nothing_val'; there are burst_"),
        ("camvid_test", "camvid/test does not exist"),
    ],
)
def test_what_cannot_be_checked_gives_two(root: Path, capsys, dataset: str, message: str):
    assert check(root, dataset=dataset) == 2
    assert message in capsys.readouterr().err


def test_root_is_the_usual_one_by_default(root: Path, capsys, monkeypatch):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    assert main(["check-data", "camvid_val", "--workers", "1"]) == 0
    assert f"camvid_val in {root}:" in capsys.readouterr().out


def test_fix_leaves_alone_what_has_no_repair(root: Path):
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    (root / FRAME).write_bytes(b"")
    assert check(root, "--fix") == 1
    after = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert after == before | {root / FRAME: b""}


def test_dataset_of_ones_own_is_checked_by_the_config_that_registers_it(tmp_path: Path, capsys):
    with own_dataset(tmp_path, "checked_cars") as config:
        arguments = ["check-data", "checked_cars", "--config-file", str(config), "--workers", "1"]
        assert main(arguments) == 0
        assert "1 videos, 3 frames, 2 objects" in capsys.readouterr().out
        damaged = tmp_path / "masks" / "street" / "1.png"
        damaged.write_bytes(damaged.read_bytes()[:-1])
        assert main(arguments) == 1
        assert f"{damaged} is truncated" in capsys.readouterr().out


def test_report_comes_before_the_error_of_a_repair(root: Path, capsys, monkeypatch):
    def fail(report):
        raise OSError("labels.png cannot be written")

    monkeypatch.setattr("gvseg.cli.check_data.repair", fail)
    assert check(root, "--fix") == 2
    printed = capsys.readouterr()
    assert "camvid_val in" in printed.out
    assert "labels.png cannot be written" in printed.err
