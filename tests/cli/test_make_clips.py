import runpy
from pathlib import Path

import numpy as np
import pytest

from gvseg.cli import main
from gvseg.data import get_benchmark
from gvseg.data.benchmark import unregister
from gvseg.data.synthetic.formats import FORMATS
from gvseg.tasks import Task
from tests.data.checks.made_up_sets import write_set

STILL = [name for name, chosen in FORMATS.items() if chosen.is_still]
AT_REST = ("--degrees", "0", "--zoom", "0", "--shift", "0")


def make(root: Path, dataset: str, *arguments: str) -> int:
    paths = ["--root", str(root), "--output", str(root / "clips")]
    return main(["make-clips", dataset, *paths, *arguments])


@pytest.fixture
def registered():
    """Register the clips of a dataset as its file says; forget them after the test."""
    benchmarks = []

    def register(folder: Path, dataset: str):
        name = f"{dataset}_clips"
        runpy.run_path(str(folder / f"{name}.py"))
        benchmark = get_benchmark(name)
        benchmarks.append(benchmark)
        return benchmark, benchmark.load_records(folder, benchmark.split_of(name))

    yield register
    for benchmark in benchmarks:
        unregister(benchmark)


def segments_by_class(labels) -> list[tuple[int, bool, bytes]]:
    """Class, whether it is a crowd, and pixels of each segment that shows, whatever its number."""
    masks = [labels.segments.mask(position) for position in range(len(labels.segments))]
    about = zip(labels.segments.classes.tolist(), labels.is_crowd.tolist(), masks, strict=True)
    return sorted((index, crowd, mask.tobytes()) for index, crowd, mask in about if mask.any())


@pytest.mark.parametrize("format_name", STILL)
def test_images_at_rest_have_their_own_labels_in_every_frame(tmp_path, registered, format_name):
    dataset = write_set(format_name, tmp_path)
    assert make(tmp_path, dataset, "--frames", "2", *AT_REST) == 0
    source = get_benchmark(dataset)
    images = source.load_records(tmp_path, source.split_of(dataset))
    benchmark, videos = registered(tmp_path / "clips", dataset)
    assert (benchmark.task, benchmark.classes) == (source.task, source.classes)
    assert [video["video_id"] for video in videos] == [str(image["video_id"]) for image in images]
    for image, video in zip(images, videos, strict=True):
        expected = segments_by_class(source.read_labels(image, 0))
        assert expected
        for frame_index in range(2):
            assert segments_by_class(benchmark.read_labels(video, frame_index)) == expected


def test_objects_keep_their_identity_and_move_evenly(tmp_path, registered):
    dataset = write_set("coco", tmp_path)
    motion = ("--frames", "5", "--degrees", "0", "--zoom", "0", "--shift", "0.2", "--seed", "3")
    assert make(tmp_path, dataset, *motion) == 0
    benchmark, videos = registered(tmp_path / "clips", dataset)
    num_steps = 0
    for video in videos:
        centres: dict[int, list[np.ndarray]] = {}
        for frame_index in range(5):
            labels = benchmark.read_labels(video, frame_index)
            for position, identity in enumerate(labels.segments.ids.tolist()):
                mask = labels.segments.mask(position)
                cut = mask[[0, -1]].any() or mask[:, [0, -1]].any()
                if not cut and not labels.is_crowd[position]:
                    centres.setdefault(identity, []).append(np.argwhere(mask).mean(0))
        for path in (path for path in centres.values() if len(path) > 1):
            steps = np.diff(path, axis=0)
            np.testing.assert_allclose(steps, np.broadcast_to(steps.mean(0), steps.shape), atol=1.1)
            num_steps += len(path) == 5
    assert num_steps, "no object was to be seen whole all the time"


def test_frames_are_as_large_as_asked_for(tmp_path, registered):
    dataset = write_set("coco_panoptic", tmp_path)
    assert make(tmp_path, dataset, "--frames", "1", "--max-side", "32") == 0
    _, videos = registered(tmp_path / "clips", dataset)
    assert {(video["height"], video["width"], video["length"]) for video in videos} == {(24, 32, 1)}


def test_the_same_seed_makes_the_same_clips(tmp_path):
    dataset = write_set("coco", tmp_path)
    contents = []
    for seed in ("1", "1", "2"):
        folder = tmp_path / f"clips{len(contents)}"
        assert make(tmp_path, dataset, "--seed", seed, "--output", str(folder)) == 0
        contents.append([path.read_bytes() for path in sorted(folder.rglob("*.png"))])
    assert contents[0] == contents[1] != contents[2]


@pytest.mark.parametrize(
    ("format_name", "arguments", "message"),
    [
        ("coco", ["--frames", "0"], "--frames is 0; give 1 or more."),
        ("coco", ["--max-side", "0"], "--max-side is 0; give 1 or more."),
        ("coco", ["--zoom", "-1"], "--zoom is -1.0; give 0 or more."),
        ("coco", ["--degrees", "nan"], "--degrees is nan; give 0 or more."),
        ("davis", [], "is a video; clips are made of still images."),
    ],
)
def test_mistakes_are_told(tmp_path, capsys, format_name, arguments, message):
    assert make(tmp_path, write_set(format_name, tmp_path), *arguments) == 1
    assert message in capsys.readouterr().err


def test_files_in_the_folder_are_left_alone(tmp_path, capsys):
    dataset = write_set("coco", tmp_path)
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "mine.txt").write_text("kept")
    assert make(tmp_path, dataset) == 1
    assert "has files; remove them or choose another folder" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "clips").iterdir()] == ["mine.txt"]


def test_every_task_of_still_images_is_tried():
    tasks = {FORMATS[name].benchmark(FORMATS[name].splits[0]).task for name in STILL}
    assert tasks == {Task.VIS, Task.VPS}
