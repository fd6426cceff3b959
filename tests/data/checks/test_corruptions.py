"""Whatever is wrong with a benchmark's files, the checker names it and training stops at it."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gvseg.data.benchmark import annotated_frames
from gvseg.data.checks import check_dataset
from gvseg.data.clip_mapper import read_clip
from gvseg.data.synthetic.formats import FORMATS
from tests.data.checks.corruptions import Case, corruptions, has_json, json_corruptions
from tests.data.checks.json_edits import Said
from tests.data.checks.made_up_sets import write_set

# Formats that keep labels in images, one for each frame.
IMAGES = {
    *("camvid", "davis", "youtube_vos", "vipseg", "vipseg_raw", "vspw", "vspw_raw"),
    *("kitti_step", "cityscapes_vps", "coco_panoptic"),
}
CASES = [
    (format_name, name)
    for format_name in FORMATS
    for name in corruptions(format_name, has_label_images=format_name in IMAGES)
]


@pytest.fixture(scope="module")
def whole_sets(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write three short videos in a format, once."""
    roots: dict[str, Path] = {}

    def write(format_name: str) -> Path:
        if format_name not in roots:
            roots[format_name] = tmp_path_factory.mktemp(format_name)
            write_set(format_name, roots[format_name])
        return roots[format_name]

    return write


@pytest.fixture
def make_case(whole_sets: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Case]:
    """Copy a set, to be damaged."""

    def make(format_name: str) -> Case:
        root = tmp_path / "sets"
        shutil.copytree(whole_sets(format_name), root)
        chosen = FORMATS[format_name]
        split = chosen.splits[0]
        benchmark, dataset_name = chosen.benchmark(split), chosen.dataset_name(split)
        records = benchmark.load_records(root, benchmark.split_of(dataset_name))
        return Case(root, format_name, dataset_name, benchmark, records[1])

    return make


def read_all(case: Case) -> Iterator[int]:
    """Read what training and testing read: all frames with their labels, and all exemplars."""
    for record in case.benchmark.load_records(case.root, case.split):
        for frame_index in annotated_frames(record):
            yield len(read_clip(record, [frame_index], case.benchmark).frames)
        if case.benchmark.read_exemplars is not None:
            yield len(case.benchmark.read_exemplars(record))


def says(message: str, said: Said) -> bool:
    return all(part in message for part in said)


@pytest.mark.parametrize("format_name", FORMATS)
def test_whole_set_is_clean_and_reads(make_case, format_name: str):
    case = make_case(format_name)
    report = check_dataset(case.dataset_name, root=case.root, is_subset=True)
    assert [str(finding.problem) for finding in report.problems] == []
    assert report.num_videos == 3
    assert all(number >= 1 for number in read_all(case))
    # Else some of its corruptions were never tried.
    assert ("label_files" in case.record) == (format_name in IMAGES)
    assert "annotation_file" not in case.record or has_json(format_name)


@pytest.mark.parametrize(("format_name", "corruption"), CASES)
def test_checker_names_the_problem_and_checks_the_rest(
    make_case, format_name: str, corruption: str
):
    case = make_case(format_name)
    said = corruptions(format_name, has_label_images=format_name in IMAGES)[corruption](case)
    report = check_dataset(case.dataset_name, root=case.root, is_subset=True)
    messages = [str(finding.problem) for finding in report.problems]
    assert any(says(message, said) for message in messages), (said, messages)
    assert report.num_videos >= 2
    assert len(messages) <= 8, "only what is wrong"


@pytest.mark.parametrize(("format_name", "corruption"), CASES)
def test_reading_for_training_stops_with_one_line_that_names_it(
    make_case, format_name: str, corruption: str
):
    case = make_case(format_name)
    said = corruptions(format_name, has_label_images=format_name in IMAGES)[corruption](case)
    with pytest.raises((OSError, ValueError)) as error:
        list(read_all(case))
    message = str(error.value)
    assert says(message, said), (said, message)
    assert "\n" not in message
    assert str(case.root) in message, "a file is named"


@pytest.mark.parametrize("format_name", FORMATS)
def test_end_of_a_frame_that_is_cut_off_is_found_though_it_decodes(make_case, format_name: str):
    case = make_case(format_name)
    case.frame.write_bytes(case.frame.read_bytes()[:-1])
    (finding,) = check_dataset(case.dataset_name, root=case.root, is_subset=True).problems
    assert (finding.kind, finding.problem.file) == ("damaged frame", str(case.frame))
    assert finding.problem.what.startswith("is truncated")


@pytest.mark.parametrize(
    ("format_name", "corruption"),
    [(name, kind) for name in FORMATS if has_json(name) for kind in json_corruptions(name)],
)
def test_annotation_file_of_no_use_stops_both(make_case, format_name: str, corruption: str):
    case = make_case(format_name)
    said = json_corruptions(format_name)[corruption](case)
    with pytest.raises(ValueError) as error:  # noqa: PT011  the message is compared below
        check_dataset(case.dataset_name, root=case.root)
    assert says(str(error.value), said)
    with pytest.raises(ValueError) as error:  # noqa: PT011  the message is compared below
        list(read_all(case))
    assert says(str(error.value), said)
