"""YouTube-VOS on disk, whole and damaged."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.benchmark import Benchmark, Record, annotated_frames, get_benchmark
from gvseg.data.problems import AnnotationError, Problem
from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.video import SyntheticVideo
from gvseg.data.synthetic.writers import youtube_vos
from gvseg.structures import FrameSegments
from tests.data.synthetic.round_trip import write_and_read

LATE = 2  # the object that comes in the third frame of the video


def late_video() -> SyntheticVideo:
    """Return five frames of a large object, id 1, and of a small one that comes and goes."""
    labels = []
    for index in range(5):
        index_map = np.full((36, 48), -1, np.int16)
        index_map[4:20, 5:25] = 0
        if 2 <= index < 4:
            index_map[22:32, 30:45] = 1
        segments = FrameSegments(
            index, np.array([1, LATE]), np.zeros(2, int), np.ones(2, np.float32), None, index_map
        )
        areas = np.array([(index_map == position).sum() for position in (0, 1)], float)
        labels.append(FrameLabels(segments, np.zeros(2, bool), areas))
    frames = [np.full((36, 48, 3), 40 * index, np.uint8) for index in range(5)]
    return SyntheticVideo("only", frames, labels)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for split in ("train", "valid"):
        youtube_vos.write_2018(tmp_path, split, [late_video()])
    return tmp_path


def benchmark(kind: str = "") -> Benchmark:
    return get_benchmark(f"youtube_vos_2018{kind}_valid")


def load(root: Path, split: str = "train", **options) -> list[Record]:
    return benchmark().load_records(root, split, **options)


def test_frames_between_the_labelled_ones_have_no_labels(root: Path):
    """As the archives called all_frames have them."""
    folder = root / "youtube_vos_2018" / "train" / "JPEGImages" / "only"
    for index in range(1, 20, 5):
        Image.new("RGB", (48, 36)).save(folder / f"{index:05d}.jpg")
    (record,) = load(root)
    assert record["length"] == 9
    assert list(annotated_frames(record)) == [0, 2, 4, 6, 8]
    assert record["label_files"][1] is None
    assert benchmark().read_labels(record, 4).segments.ids.tolist() == [1, LATE]
    with pytest.raises(AnnotationError, match=r"00001\.jpg has no labels"):
        benchmark().read_labels(record, 1)


def test_objects_come_with_category_and_the_frame_where_they_are_given(root: Path):
    (record,) = load(root)
    given = {
        id_: (entry["category"], entry["frame_index"]) for id_, entry in record["objects"].items()
    }
    assert given == {1: ("object", 0), LATE: ("object", 2)}


def test_split_to_test_on_has_exemplars_and_no_labels(root: Path):
    (record,) = load(root, "valid")
    assert list(annotated_frames(record)) == []
    masks = sorted((root / "youtube_vos_2018" / "valid" / "Annotations" / "only").iterdir())
    assert [path.name for path in masks] == ["00000.png", "00010.png"]
    first, late = benchmark().read_exemplars(record)
    assert (first.object_id, first.frame_index, late.object_id, late.frame_index) == (1, 0, LATE, 2)
    labels = late_video().labels[2].segments
    np.testing.assert_array_equal(first.mask, labels.mask(0))
    np.testing.assert_array_equal(late.mask, labels.mask(1))


def test_other_objects_in_a_given_frame_are_no_exemplars(root: Path):
    """Some of the public masks show objects again that an earlier frame gave."""
    path = root / "youtube_vos_2018" / "valid" / "Annotations" / "only" / "00010.png"
    with Image.open(path) as image:
        ids = np.array(image)
    ids[4:20, 5:25] = 1
    Image.fromarray(ids).save(path)
    (record,) = load(root, "valid")
    given = {(e.object_id, e.frame_index) for e in benchmark().read_exemplars(record)}
    assert given == {(1, 0), (LATE, 2)}


def test_box_and_point_are_drawn_from_the_mask(root: Path):
    (record,) = load(root, "valid")
    boxes, points = (benchmark(kind).read_exemplars(record) for kind in ("_box", "_point"))
    assert [box.box.tolist() for box in boxes] == [[5, 4, 25, 20], [30, 22, 45, 32]]
    for point, mask in zip(points, benchmark().read_exemplars(record), strict=True):
        x, y = point.point.astype(int)
        assert mask.mask[y - 3 : y + 4, x - 3 : x + 4].all()


def test_both_years_read_their_own_folder(root: Path):
    with pytest.raises(FileNotFoundError, match="youtube_vos_2019/train does not exist"):
        get_benchmark("youtube_vos_2019_train").load_records(root, "train")


def edit_meta(folder: Path, edit: Callable[[dict], object]):
    path = folder / "meta.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


def objects(content: dict) -> dict:
    return content["videos"]["only"]["objects"]


def remove_frame(folder: Path):
    (folder / "JPEGImages" / "only" / "00010.jpg").unlink()


def remove_all_frames(folder: Path):
    for path in (folder / "JPEGImages" / "only").iterdir():
        path.unlink()


def remove_given_mask(folder: Path):
    (folder / "Annotations" / "only" / "00010.png").unlink()


def remove_masks(folder: Path):
    for path in (folder / "Annotations" / "only").iterdir():
        path.unlink()
    (folder / "Annotations" / "only").rmdir()


def add_unlisted_video(folder: Path):
    (folder / "JPEGImages" / "other").mkdir()


LISTING_DAMAGE = {
    "missing frame": (remove_frame, r"00010"),
    "empty video": (remove_all_frames, r"JPEGImages/only has no"),
    "missing mask": (remove_given_mask, r"object 2 given in frame 00010, which has no mask"),
    "missing masks": (remove_masks, r"Annotations/only does not exist"),
    "video that is not listed": (add_unlisted_video, r"other is not listed in .*meta\.json"),
    "listed video that is missing": (
        lambda folder: edit_meta(folder, lambda c: c["videos"].update(gone={"objects": {}})),
        r"JPEGImages/gone does not exist",
    ),
    "object without frames": (
        lambda folder: edit_meta(folder, lambda c: objects(c)["2"].update(frames=[])),
        r"meta\.json: video only has object 2 without frames",
    ),
    "object in a frame that is missing": (
        lambda folder: edit_meta(folder, lambda c: objects(c)["2"]["frames"].append("00090")),
        r"meta\.json: video only has object 2 in frames \['00090'\], which do not exist",
    ),
    "object that is no number": (
        lambda folder: edit_meta(folder, lambda c: objects(c).update(cat=objects(c).pop("2"))),
        r"meta\.json: video only has an object 'cat'",
    ),
    "object whose number is void": (
        lambda folder: edit_meta(folder, lambda c: objects(c).update({"255": objects(c)["2"]})),
        r"has an object '255'; ids are 1 to 254",
    ),
}


@pytest.mark.parametrize("damage", LISTING_DAMAGE)
def test_damage_stops_the_loader_and_is_named(root: Path, damage: str):
    apply, message = LISTING_DAMAGE[damage]
    apply(root / "youtube_vos_2018" / "train")
    with pytest.raises(AnnotationError, match=message):
        load(root)


@pytest.mark.parametrize("damage", LISTING_DAMAGE)
def test_damage_is_collected_and_what_is_whole_is_kept(root: Path, damage: str):
    apply, message = LISTING_DAMAGE[damage]
    folder = root / "youtube_vos_2018" / "train"
    whole = late_video()
    whole.name = "whole"
    youtube_vos.write_2018(root / "more", "train", [whole])
    for name in ("JPEGImages", "Annotations"):
        source = root / "more" / "youtube_vos_2018" / "train" / name / "whole"
        source.rename(folder / name / "whole")
    edit_meta(folder, lambda c: c["videos"].update(whole=c["videos"]["only"]))
    apply(folder)
    problems: list[Problem] = []
    records = load(root, report=problems.append)
    assert problems
    assert any(re.search(message, str(problem)) for problem in problems)
    assert "whole" in [record["video_id"] for record in records]


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "is not valid JSON"), ("{}", "has no object 'videos'"), ("[]", "holds no JSON object")],
)
def test_meta_that_is_none_is_named(root: Path, content: str, message: str):
    (root / "youtube_vos_2018" / "train" / "meta.json").write_text(content)
    with pytest.raises(AnnotationError, match=rf"meta\.json {message}"):
        load(root)


def test_missing_meta_is_named(root: Path):
    (root / "youtube_vos_2018" / "train" / "meta.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"meta\.json does not exist"):
        load(root)


def truncate(path: Path):
    path.write_bytes(path.read_bytes()[:60])


def enlarge(path: Path):
    Image.new("P", (49, 36)).save(path)


def colour(path: Path):
    Image.new("RGB", (48, 36)).save(path)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (truncate, r"00010\.png cannot be read"),
        (enlarge, r"00010\.png has 36x49 pixels, but its video has 36x48"),
        (colour, r"00010\.png is an image of mode RGB"),
        (Path.unlink, r"00010\.png does not exist"),
    ],
)
def test_damaged_mask_is_named(root: Path, damage: Callable[[Path], object], message: str):
    (record,) = load(root)
    damage(root / "youtube_vos_2018" / "train" / "Annotations" / "only" / "00010.png")
    with pytest.raises((OSError, ValueError), match=message):
        benchmark().read_labels(record, 2)
    with pytest.raises((OSError, ValueError), match=message):
        benchmark().read_exemplars(record)


def test_exemplar_that_its_frame_does_not_show_is_named(root: Path):
    (record,) = load(root, "valid")
    path = root / "youtube_vos_2018" / "valid" / "Annotations" / "only" / "00010.png"
    Image.new("P", (48, 36)).save(path)
    with pytest.raises(AnnotationError, match=r"00010\.png does not show object 2"):
        benchmark().read_exemplars(record)


def test_videos_come_in_the_order_of_their_names(tmp_path: Path):
    videos, records, _ = write_and_read(tmp_path, "youtube_vos", "valid", num_frames=2)
    assert [record["video_id"] for record in records] == [video.name for video in videos]
