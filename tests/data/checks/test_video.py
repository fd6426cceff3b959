"""The check of one video, on the painted panoptic one with one thing wrong at a time."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.benchmark import Benchmark, KnownBug, Record
from gvseg.data.checks.findings import Finding
from gvseg.data.checks.video import check_video
from gvseg.data.problems import AnnotationError, Problem
from gvseg.data.segments import FrameLabels
from gvseg.structures import Exemplar, FrameSegments
from tests.data.vps_benchmark import LENGTH, SIZE, read_labels, vps_benchmark

CAT = 1


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    return vps_benchmark(tmp_path)


@pytest.fixture
def record(benchmark: Benchmark) -> Record:
    (record,) = benchmark.load_records(Path(), "train")
    return record


def kinds(findings: list[Finding]) -> list[str]:
    return [finding.kind for finding in findings]


def check(record: Record, benchmark: Benchmark, **changes) -> list[Finding]:
    return check_video(record, replace(benchmark, **changes)).findings


def labels_with(
    change: Callable[[FrameSegments], FrameSegments],
) -> Callable[[Record, int], FrameLabels]:
    """Return labels in which frame 5 differs."""

    def read_changed(record: Record, frame_index: int) -> FrameLabels:
        labels = read_labels(record, frame_index)
        if frame_index == 5:
            labels = replace(labels, segments=change(labels.segments))
        return labels

    return read_changed


def test_whole_video_has_no_findings_and_its_objects_are_counted(
    record: Record, benchmark: Benchmark
):
    result = check_video(record, benchmark)
    assert result.findings == []
    assert result.num_objects == 2, "a cat and a dog, but neither stuff nor the crowd"


def test_frame_that_ends_early_is_named(record: Record, benchmark: Benchmark):
    path = Path(record["file_names"][2])
    path.write_bytes(path.read_bytes()[:-1])
    (finding,) = check(record, benchmark)
    assert (finding.kind, finding.problem.file) == ("damaged frame", str(path))
    assert finding.problem.what == "is truncated: it ends within a PNG chunk"


def test_file_that_is_no_picture_is_named(record: Record, benchmark: Benchmark):
    Path(record["file_names"][2]).write_bytes(b"")
    (finding,) = check(record, benchmark)
    assert (finding.kind, finding.problem.file) == ("damaged frame", record["file_names"][2])
    assert finding.problem.what.startswith("cannot be read: cannot identify image file")


def test_missing_frame_is_named(record: Record, benchmark: Benchmark):
    Path(record["file_names"][7]).unlink()
    (finding,) = check(record, benchmark)
    expected = ("missing frame", record["file_names"][7], "does not exist")
    assert (finding.kind, finding.problem.file, finding.problem.what) == expected


def test_video_that_was_not_downloaded_is_one_finding(record: Record, benchmark: Benchmark):
    for path in record["file_names"]:
        Path(path).unlink()
    (finding,) = check(record, benchmark)
    assert finding.kind == "missing video"
    assert finding.problem.what == "has none of the 8 frames of video walk"


def test_frame_of_another_size_than_its_video_is_named(record: Record, benchmark: Benchmark):
    Image.new("RGB", (10, 20)).save(record["file_names"][3])
    (finding,) = check(record, benchmark)
    assert (finding.kind, finding.problem.file) == (
        "frame of another size",
        record["file_names"][3],
    )
    assert "has 20x10 pixels, but its video has 48x64" in finding.problem.what


def test_labels_of_another_size_are_named(record: Record, benchmark: Benchmark):
    smaller = labels_with(lambda segments: replace(segments, index_map=segments.index_map[::2]))
    (finding,) = check(record, benchmark, read_labels=smaller)
    assert finding.kind == "labels of another size"
    assert "has 24x64 pixels" in finding.problem.what


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (FileNotFoundError("{} does not exist."), "missing labels"),
        (OSError("Annotation {} is too short."), "damaged labels"),
        (ValueError("{}: nothing makes sense."), "wrong labels"),
        (AnnotationError(Problem("labels/5.png", "is odd", "repair it")), "wrong labels"),
    ],
)
def test_what_the_reader_of_labels_raises_is_a_finding_about_their_file(
    record: Record, benchmark: Benchmark, error: Exception, kind: str
):
    record["annotation_file"] = "labels/5.png"
    if not isinstance(error, AnnotationError):
        error = type(error)(str(error).format("labels/5.png"))

    def read_or_raise(record: Record, frame_index: int) -> FrameLabels:
        if frame_index == 5:
            raise error
        return read_labels(record, frame_index)

    (finding,) = check(record, benchmark, read_labels=read_or_raise)
    assert (finding.kind, finding.problem.file) == (kind, "labels/5.png")
    assert "labels/5.png" not in finding.problem.what, "the file is named once"


def test_label_file_that_still_decodes_is_found_damaged(
    record: Record, benchmark: Benchmark, tmp_path: Path
):
    record["label_files"] = [str(tmp_path / f"label{index}.png") for index in range(LENGTH)]
    for path in record["label_files"]:
        Image.new("L", (4, 4)).save(path)
    assert check(record, benchmark) == []
    damaged = Path(record["label_files"][4])
    damaged.write_bytes(damaged.read_bytes()[:-3])
    (finding,) = check(record, benchmark)
    assert (finding.kind, finding.problem.file) == ("damaged labels", str(damaged))


def test_only_frames_that_have_labels_are_asked_for_them(record: Record, benchmark: Benchmark):
    asked = []

    def read_and_tell(record: Record, frame_index: int) -> FrameLabels:
        asked.append(frame_index)
        return read_labels(record, frame_index)

    record["annotated_frames"] = [0, 5]
    assert check(record, benchmark, read_labels=read_and_tell) == []
    assert asked == [0, 5]


def test_problem_of_a_file_that_all_frames_share_is_told_once(record: Record, benchmark: Benchmark):
    def refuse(record: Record, frame_index: int) -> FrameLabels:
        raise AnnotationError(Problem("all.json", "is odd", "repair it"))

    assert len(check(record, benchmark, read_labels=refuse)) == 1


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"file_names": [], "length": 0}, "empty video"),
        ({"length": 9}, "length of video"),
        ({"annotated_frames": [2, 8]}, "labels without frame"),
    ],
)
def test_list_of_a_video_that_makes_no_sense_is_found(
    record: Record, benchmark: Benchmark, changes: dict, kind: str
):
    assert kinds(check(record | changes, benchmark)) == [kind]


def test_frame_listed_twice_is_named(record: Record, benchmark: Benchmark):
    record["file_names"][4] = record["file_names"][3]
    (finding,) = check(record, benchmark)
    assert (finding.kind, finding.problem.file) == ("frame listed twice", record["file_names"][3])


class TestObjects:
    def test_identity_below_one(self, record: Record, benchmark: Benchmark):
        changed = labels_with(lambda segments: replace(segments, ids=segments.ids - 41))
        findings = check(record, benchmark, read_labels=changed)
        assert kinds(findings)[0] == "identity"

    def test_identity_of_two_classes(self, record: Record, benchmark: Benchmark):
        def turn_into_cat(segments: FrameSegments) -> FrameSegments:
            return replace(segments, classes=np.where(segments.ids == 41, CAT, segments.classes))

        (finding,) = check(record, benchmark, read_labels=labels_with(turn_into_cat))
        assert finding.kind == "identity of two classes"
        assert finding.problem.what == "has object 41 as 'cat', but earlier it was 'dog'"

    def test_identity_twice_in_one_frame(self, record: Record, benchmark: Benchmark):
        def name_both_alike(segments: FrameSegments) -> FrameSegments:
            return replace(segments, ids=np.where(segments.ids == 41, 7, segments.ids))

        findings = check(record, benchmark, read_labels=labels_with(name_both_alike))
        assert "identity twice in a frame" in kinds(findings)

    def test_empty_mask_is_noted_and_no_problem(self, record: Record, benchmark: Benchmark):
        def as_masks(segments: FrameSegments) -> FrameSegments:
            masks = np.stack([segments.mask(position) for position in range(len(segments))])
            masks[segments.ids == 7] = False
            return replace(segments, masks=masks, index_map=None)

        (finding,) = check(record, benchmark, read_labels=labels_with(as_masks))
        assert (finding.kind, finding.is_note) == ("empty mask", True)
        assert finding.problem.what == "has an empty mask of object 7"

    def test_object_that_is_never_to_be_seen_is_noted(self, record: Record, benchmark: Benchmark):
        record["annotated_frames"] = [0, 1]  # the cat, object 7, comes in frame 4
        (finding,) = check(record, benchmark)
        assert (finding.kind, finding.is_note) == ("object never visible", True)
        assert "object 7" in finding.problem.what

    def test_object_that_is_listed_and_has_no_mask_at_all_is_noted(
        self, record: Record, benchmark: Benchmark
    ):
        record["tracks"] = [
            {"id": 7, "class_index": CAT, "iscrowd": False},
            {"id": 8, "class_index": CAT, "iscrowd": False},
            {"id": 9, "class_index": CAT, "iscrowd": True},
        ]
        result = check_video(record, benchmark)
        (finding,) = result.findings
        assert (finding.kind, finding.is_note) == ("object never visible", True)
        assert "object 8" in finding.problem.what
        assert result.num_objects == 3


class TestExemplars:
    mask = np.ones(SIZE, dtype=bool)

    @pytest.mark.parametrize(
        "exemplar",
        [
            Exemplar(7, 0, mask=mask),
            Exemplar(7, 7, box=np.array([-3, -3, 5, 5])),
            Exemplar(7, 0, point=np.array([63.5, 47.5])),
        ],
    )
    def test_exemplar_inside_the_video_passes(
        self, record: Record, benchmark: Benchmark, exemplar: Exemplar
    ):
        assert check(record, benchmark, read_exemplars=lambda record: [exemplar]) == []

    @pytest.mark.parametrize(
        ("exemplar", "fault"),
        [
            (Exemplar(7, 8, mask=mask), "a mask of object 7 that lies in frame 8 of 8"),
            (Exemplar(7, 0, mask=~mask), "a mask of object 7 that is empty"),
            (Exemplar(7, 0, mask=mask[1:]), "that has 47x64 pixels, not the 48x64 of the video"),
            (Exemplar(7, 0, box=np.array([70, 1, 80, 9])), "covers nothing of the frame"),
            (Exemplar(7, 0, box=np.array([5, 9, 5, 20])), "covers nothing of the frame"),
            (Exemplar(7, 0, point=np.array([3.0, 49.0])), "lies outside the frame: [3.0, 49.0]"),
        ],
    )
    def test_exemplar_that_points_at_nothing_is_found(
        self, record: Record, benchmark: Benchmark, exemplar: Exemplar, fault: str
    ):
        (finding,) = check(record, benchmark, read_exemplars=lambda record: [exemplar])
        assert finding.kind == "exemplar"
        assert fault in finding.problem.what

    def test_object_pointed_out_twice_or_none_at_all(self, record: Record, benchmark: Benchmark):
        twice = [Exemplar(7, index, mask=self.mask) for index in range(2)]
        (finding,) = check(record, benchmark, read_exemplars=lambda record: twice)
        assert finding.problem.what == "points out object 7 2 times"
        (finding,) = check(record, benchmark, read_exemplars=lambda record: [])
        assert finding.problem.what == "has no exemplar"

    def test_exemplars_that_cannot_be_read_are_a_finding(
        self, record: Record, benchmark: Benchmark
    ):
        def refuse(record: Record) -> list[Exemplar]:
            raise AnnotationError(Problem("first.json", "is odd", "repair it"))

        (finding,) = check(record, benchmark, read_exemplars=refuse)
        assert (finding.kind, finding.problem.file) == ("exemplar", "first.json")


def test_known_bug_is_noted_where_it_is_found(record: Record, benchmark: Benchmark):
    def find(record: Record, frame_index: int) -> Problem | None:
        return Problem(f"{frame_index}.png", "is odd", "repair it") if frame_index == 3 else None

    (finding,) = check(record, benchmark, known_bugs=(KnownBug("oddity", find),))
    assert finding == Finding.note("oddity", "3.png", "is odd", "repair it")
