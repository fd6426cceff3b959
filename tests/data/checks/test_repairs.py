from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gvseg.data.benchmark import KnownBug, Record, register, unregister
from gvseg.data.checks import DatasetReport, Finding, check_dataset, repair
from gvseg.data.problems import Problem
from tests.data.vps_benchmark import vps_benchmark


def bug(letter: bytes, *, is_repaired: bool = True) -> KnownBug:
    """A letter that must not be in the file beside the frames."""

    def find(record: Record, frame_index: int) -> Problem | None:
        path = Path(record["file_names"][frame_index]).with_name("labels.txt")
        if letter not in path.read_bytes():
            return None
        return Problem(str(path), f"has {letter!r} in frame {frame_index}", "remove it")

    def remove(path: Path) -> None:
        path.write_bytes(path.read_bytes().replace(letter, b""))

    return KnownBug(f"letter {letter!r}", find, remove if is_repaired else None)


@pytest.fixture
def labels(tmp_path: Path) -> Iterator[Path]:
    """A file with three known bugs, of which one has no repair."""
    benchmark = replace(
        vps_benchmark(tmp_path), name="buggy",
        load_records=lambda root, split, report: vps_benchmark(tmp_path).load_records(root, split),
        known_bugs=(bug(b"x"), bug(b"y"), bug(b"z", is_repaired=False)),
    )  # fmt: skip
    register(benchmark)
    path = tmp_path / "labels.txt"
    path.write_bytes(b"axbycz")
    yield path
    unregister(benchmark)


def checked() -> DatasetReport:
    return check_dataset("buggy_train")


def test_known_bugs_are_notes_which_leave_the_files_alone(labels: Path):
    report = checked()
    assert (len(report.problems), len(report.notes)) == (0, 24)
    assert labels.read_bytes() == b"axbycz"


def test_repair_rewrites_the_file_once_for_each_bug_and_keeps_the_original(labels: Path):
    report = checked()
    repair(report)
    assert labels.read_bytes() == b"abcz"
    backup = labels.with_name("labels.txt.original")
    assert backup.read_bytes() == b"axbycz"
    assert [(done.file, done.backup, done.kind) for done in report.repairs] == [
        (str(labels), str(backup), f"letter {letter!r}") for letter in (b"x", b"y")
    ]


def test_report_tells_only_what_is_left_and_a_new_check_agrees(labels: Path):
    report = checked()
    repair(report)
    assert {finding.kind for finding in report.notes} == {"letter b'z'"}
    assert checked().findings == report.findings


def test_repair_does_nothing_where_nothing_can_be_repaired(labels: Path):
    labels.write_bytes(b"abcz")
    report = checked()
    findings = list(report.findings)
    repair(report)
    assert (report.findings, report.repairs) == (findings, [])
    assert not labels.with_name("labels.txt.original").exists()


def test_original_of_an_earlier_repair_is_never_overwritten(labels: Path):
    repair(checked())
    labels.write_bytes(b"x again")
    with pytest.raises(FileExistsError, match=r"labels\.txt\.original exists"):
        repair(checked())
    assert labels.read_bytes() == b"x again"
    assert labels.with_name("labels.txt.original").read_bytes() == b"axbycz"


def test_nothing_is_rewritten_where_any_original_is_in_the_way(labels: Path):
    report = checked()
    other = labels.with_name("more.txt")
    other.write_bytes(b"x")
    other.with_name("more.txt.original").write_bytes(b"older")
    report.findings.append(Finding.note("letter b'x'", str(other), "has it", "remove it"))
    with pytest.raises(FileExistsError, match=r"more\.txt\.original exists"):
        repair(report)
    assert labels.read_bytes() == b"axbycz"
    assert report.repairs == []


def test_what_was_repaired_before_an_error_is_in_the_report(labels: Path):
    report = checked()
    missing = labels.with_name("missing.txt")
    left = Finding.note("letter b'x'", str(missing), "has it", "remove it")
    report.findings.append(left)
    with pytest.raises(FileNotFoundError):
        repair(report)
    assert [done.kind for done in report.repairs] == ["letter b'x'", "letter b'y'"]
    assert left in report.notes
    assert "letter b'y'" not in {finding.kind for finding in report.findings}


def test_other_findings_stay(labels: Path):
    report = checked()
    other = Finding.wrong("missing frame", str(labels), "does not exist", "look for it")
    report.findings.append(other)
    repair(report)
    assert report.problems == [other]
