import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gvseg.data.benchmark import Benchmark, Counts, Record, register, unregister
from gvseg.data.checks import DatasetReport, check_dataset
from gvseg.data.problems import Problem, raise_problem
from tests.data.vps_benchmark import vps_benchmark


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    """Three videos that share their frames, of which the check knows nothing."""
    one = vps_benchmark(tmp_path)
    (record,) = one.load_records(tmp_path, "train")

    def load_records(root: Path, split: str, *, report=raise_problem) -> list[Record]:
        return [record | {"video_id": f"walk {number}"} for number in range(3)]

    return replace(one, name="three", load_records=load_records)


@pytest.fixture
def registered() -> Iterator:
    """Register benchmarks until the test is over."""
    benchmarks: list[Benchmark] = []

    def register_for_test(benchmark: Benchmark) -> str:
        register(benchmark)
        benchmarks.append(benchmark)
        return benchmark.dataset_names[0]

    yield register_for_test
    for benchmark in benchmarks:
        unregister(benchmark)


def test_report_counts_videos_labelled_frames_and_objects(benchmark: Benchmark, registered):
    report = check_dataset(registered(benchmark))
    assert (report.num_videos, report.num_frames, report.num_objects) == (3, 24, 6)
    assert report.findings == []


def test_processes_find_the_same_as_one(benchmark: Benchmark, registered, tmp_path: Path):
    (tmp_path / "3.png").unlink()
    (tmp_path / "6.png").write_bytes(b"")
    name = registered(benchmark)
    alone, together = (check_dataset(name, num_workers=number) for number in (1, 2))
    assert len(alone.problems) == 6
    assert together == alone


def test_process_that_is_killed_is_an_error_that_says_so(benchmark: Benchmark, registered):
    def die(record: Record, frame_index: int) -> None:
        os._exit(1)

    name = registered(replace(benchmark, read_labels=die))
    with pytest.raises(OSError, match="killed while it checked three; use fewer workers"):
        check_dataset(name, num_workers=2)


def test_progress_sees_each_video_and_their_number(benchmark: Benchmark, registered):
    seen = []

    def progress(results, total: int) -> Iterator:
        for result in results:
            seen.append((result.num_objects, total))
            yield result

    check_dataset(registered(benchmark), progress=progress)
    assert seen == [(2, 3)] * 3


def test_root_goes_to_the_loader(benchmark: Benchmark, registered, tmp_path: Path):
    roots = []

    def load_records(root: Path, split: str, *, report=raise_problem) -> list[Record]:
        roots.append((root, split))
        return []

    name = registered(replace(benchmark, load_records=load_records))
    check_dataset(name, root=tmp_path / "here")
    assert roots == [(tmp_path / "here", "train")]


def test_what_the_loader_reports_is_found_and_the_rest_checked(
    benchmark: Benchmark, registered, tmp_path: Path
):
    def load_records(root: Path, split: str, *, report=raise_problem) -> list[Record]:
        report(Problem("list.txt", "names a video 'run' that is not there", "download it"))
        return benchmark.load_records(root, split)

    (tmp_path / "0.png").unlink()
    report = check_dataset(registered(replace(benchmark, load_records=load_records)))
    assert [finding.kind for finding in report.problems] == ["annotations"] + ["missing frame"] * 3


def test_problem_that_loader_and_check_both_see_is_told_once(
    benchmark: Benchmark, registered, tmp_path: Path
):
    def load_records(root: Path, split: str, *, report=raise_problem) -> list[Record]:
        report(Problem(str(tmp_path / "0.png"), "does not exist", "look for it"))
        return benchmark.load_records(root, split)[:1]

    (tmp_path / "0.png").unlink()
    (finding,) = check_dataset(registered(replace(benchmark, load_records=load_records))).findings
    assert finding.kind == "missing frame"


def test_video_listed_twice_is_found(benchmark: Benchmark, registered, tmp_path: Path):
    def load_records(root: Path, split: str, *, report=raise_problem) -> list[Record]:
        return [*benchmark.load_records(root, split), *benchmark.load_records(root, split)[:1]]

    report = check_dataset(registered(replace(benchmark, load_records=load_records)))
    assert [finding.kind for finding in report.problems] == ["video listed twice"] * 2
    assert report.problems[0].problem.what == "is one of 2 with the id 'walk 0'"


class TestCounts:
    def check(self, registered, benchmark: Benchmark, counts: Counts, **options) -> DatasetReport:
        return check_dataset(registered(replace(benchmark, counts={"train": counts})), **options)

    def test_equal_counts_pass(self, benchmark: Benchmark, registered):
        assert self.check(registered, benchmark, Counts(3, 24, 6)).problems == []

    def test_counts_that_are_not_known_pass(self, benchmark: Benchmark, registered):
        assert self.check(registered, benchmark, Counts(3)).problems == []

    @pytest.mark.parametrize(
        ("counts", "what"),
        [
            (Counts(4, 24, 6), "has 3 videos, but its authors count 4"),
            (Counts(3, 25, 6), "has 24 labelled frames, but its authors count 25"),
            (Counts(3, 24, 5), "has 6 objects, but its authors count 5"),
        ],
    )
    def test_other_counts_are_found_unless_a_part_is_meant(
        self, benchmark: Benchmark, registered, counts: Counts, what: str
    ):
        (finding,) = self.check(registered, benchmark, counts).problems
        assert (finding.kind, finding.problem.what) == ("count", what)

    def test_part_of_a_benchmark_may_have_other_counts(self, benchmark: Benchmark, registered):
        report = self.check(registered, benchmark, Counts(4, 25, 5), is_subset=True)
        assert report.findings == []


def test_unknown_name_and_missing_files_are_errors(tmp_path: Path):
    with pytest.raises(ValueError, match="Unknown dataset 'nothing'"):
        check_dataset("nothing")
    with pytest.raises(FileNotFoundError, match="camvid/val does not exist"):
        check_dataset("camvid_val", root=tmp_path)
