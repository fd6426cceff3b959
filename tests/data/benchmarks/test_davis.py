"""DAVIS on disk, whole and damaged."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.benchmark import Record, annotated_frames, get_benchmark
from gvseg.data.problems import AnnotationError, Problem
from gvseg.data.synthetic.video import SyntheticVideo
from tests.data.synthetic.round_trip import write_and_read


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, list[SyntheticVideo]]:
    videos, _, _ = write_and_read(tmp_path, "davis", "val", num_frames=3)
    return tmp_path, videos


def load(root: Path, name: str = "davis2017", split: str = "val", **options) -> list[Record]:
    return get_benchmark(f"{name}_{split}").load_records(root, split, **options)


def test_videos_come_in_the_order_of_the_list(made):
    root, videos = made
    names = [video.name for video in videos]
    listed = root / "DAVIS" / "ImageSets" / "2017" / "val.txt"
    listed.write_text("".join(f"{name}\n" for name in [names[2], names[0]]))
    assert [record["video_id"] for record in load(root)] == [names[2], names[0]]


def test_all_that_is_marked_is_one_object_in_2016(made):
    """From the archive of 2017, with ids, and from that of 2016, with 255."""
    root, (video, *_) = made
    sets = root / "DAVIS" / "ImageSets"
    (sets / "2016").mkdir()
    (sets / "2016" / "val.txt").write_text(f"{video.name}\n")
    path = root / "DAVIS" / "Annotations" / "480p" / video.name / "00001.png"
    marked = video.labels[1].segments.index_map >= 0
    benchmark = get_benchmark("davis2016_val")
    (record,) = load(root, "davis2016")
    for is_of_2016 in (False, True):
        if is_of_2016:
            Image.fromarray(marked.astype(np.uint8) * 255).save(path)
        segments = benchmark.read_labels(record, 1).segments
        assert segments.ids.tolist() == [1]
        np.testing.assert_array_equal(segments.mask(0), marked)
    (exemplar,) = benchmark.read_exemplars(record)
    np.testing.assert_array_equal(exemplar.mask, video.labels[0].segments.index_map >= 0)


def test_void_of_2017_is_no_object(made):
    root, (video, *_) = made
    path = root / "DAVIS" / "Annotations" / "480p" / video.name / "00000.png"
    with Image.open(path) as image:
        ids = np.array(image)
    ids[:3] = 255
    Image.fromarray(ids).save(path)
    record = load(root)[0]
    segments = get_benchmark("davis2017_val").read_labels(record, 0).segments
    assert 255 not in segments.ids
    assert (segments.index_map[:3] == -1).all()
    assert 255 not in [
        exemplar.object_id for exemplar in get_benchmark("davis2017_val").read_exemplars(record)
    ]


@pytest.mark.parametrize("kind", ["mask", "box", "point"])
def test_exemplars_are_of_the_first_frame(made, kind: str):
    root, videos = made
    name = "davis2017" if kind == "mask" else f"davis2017_{kind}"
    for record, video in zip(load(root, name), videos, strict=True):
        exemplars = get_benchmark(f"{name}_val").read_exemplars(record)
        assert {exemplar.kind for exemplar in exemplars} == {kind}
        assert {exemplar.frame_index for exemplar in exemplars} == {0}
        ids = video.labels[0].segments.ids.tolist()
        assert [exemplar.object_id for exemplar in exemplars] == ids


def test_hidden_split_needs_the_first_mask_alone(made):
    root, (video, *_) = made
    folder = root / "DAVIS"
    (folder / "ImageSets" / "2017" / "test-dev.txt").write_text(f"{video.name}\n")
    for index in (1, 2):
        (folder / "Annotations" / "480p" / video.name / f"{index:05d}.png").unlink()
    (record,) = load(root, split="test-dev")
    assert list(annotated_frames(record)) == []
    benchmark = get_benchmark("davis2017_test-dev")
    assert len(benchmark.read_exemplars(record)) == len(video.labels[0].segments)
    with pytest.raises(AnnotationError, match="has no labels"):
        benchmark.read_labels(record, 0)


def test_set_without_lists_takes_every_video(made):
    root, videos = made
    (root / "DAVIS").rename(root / "davis2016_dev")
    for name, kind in (("davis2016_dev", "mask"), ("davis2016_dev_point", "point")):
        records = load(root, name)
        assert [record["video_id"] for record in records] == [video.name for video in videos]
        (exemplar,) = get_benchmark(f"{name}_val").read_exemplars(records[0])
        assert exemplar.kind == kind


def test_missing_list_is_named_and_no_other_split_taken(made):
    root, _ = made
    with pytest.raises(FileNotFoundError, match=r"2017/train\.txt does not exist"):
        load(root, split="train")


def images_of(root: Path) -> Path:
    return root / "DAVIS" / "JPEGImages" / "480p" / "val_00000"


def masks_of(root: Path) -> Path:
    return root / "DAVIS" / "Annotations" / "480p" / "val_00000"


def empty_video(root: Path):
    for path in images_of(root).iterdir():
        path.unlink()


def list_twice(root: Path):
    path = root / "DAVIS" / "ImageSets" / "2017" / "val.txt"
    path.write_text(path.read_text() + "val_00000\n")


def list_unknown(root: Path):
    path = root / "DAVIS" / "ImageSets" / "2017" / "val.txt"
    path.write_text(path.read_text() + "gone\n")


DAMAGE = {
    "missing frame": (lambda root: (images_of(root) / "00001.jpg").unlink(), r"00001\.png has no"),
    "missing mask": (lambda root: (masks_of(root) / "00001.png").unlink(), r"00001\.jpg has no"),
    "empty video": (empty_video, r"val_00000 has no images"),
    "video listed twice": (list_twice, r"val\.txt names video val_00000 2 times"),
    "listed video that is missing": (list_unknown, r"gone does not exist"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_stops_the_loader_and_is_named(made, damage: str):
    root, _ = made
    apply, message = DAMAGE[damage]
    apply(root)
    with pytest.raises(AnnotationError, match=message):
        load(root)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_collected_and_what_is_whole_is_kept(made, damage: str):
    root, _ = made
    DAMAGE[damage][0](root)
    problems: list[Problem] = []
    records = load(root, report=problems.append)
    assert problems
    names = [record["video_id"] for record in records]
    assert {"val_00001", "val_00002"} <= set(names)
    assert len(set(names)) == len(names)


def truncate(path: Path):
    path.write_bytes(path.read_bytes()[:60])


def shrink(path: Path):
    Image.new("P", (20, 10)).save(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"00000\.png cannot be read"),
        (shrink, r"00000\.png has 10x20 pixels, but its video has 48x64"),
        (Path.unlink, r"00000\.png does not exist"),
    ],
)
def test_damaged_mask_is_named(made, damage: Callable[[Path], object], message: str):
    root, _ = made
    record, *_ = load(root)
    damage(masks_of(root) / "00000.png")
    benchmark = get_benchmark("davis2017_val")
    with pytest.raises((OSError, ValueError), match=message):
        benchmark.read_labels(record, 0)
    with pytest.raises((OSError, ValueError), match=message):
        benchmark.read_exemplars(record)
