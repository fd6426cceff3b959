import shutil
from pathlib import Path

import pytest

from gvseg.cli import main
from gvseg.data.loader import load_records
from gvseg.data.synthetic.formats import FORMATS


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def make(*arguments: str) -> int:
    return main(["make-synthetic", "--videos", "2", "--size", "36x48", *arguments])


def test_split_is_ready_for_use(root: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level("INFO"):
        assert make("--format", "camvid", "--frames", "3", "--classes", "4") == 0
    assert "camvid_train: 2 videos of 3 frames" in caplog.text
    records = load_records("camvid_train")
    assert [(r["length"], r["height"], r["width"]) for r in records] == [(3, 36, 48)] * 2


@pytest.mark.parametrize(
    ("format_name", "dataset_name", "lengths"),
    [("ytvis", "ytvis_2019_train", [3, 3]), ("coco", "coco_train2017", [1] * 6)],
)
def test_split_and_frames_fit_the_format(
    root: Path, format_name: str, dataset_name: str, lengths: list[int]
):
    """The split to train on by its own name; of still images as many as frames in all."""
    assert make("--format", format_name, "--frames", "3") == 0
    assert [record["length"] for record in load_records(dataset_name)] == lengths


def test_root_wins_over_the_environment(root: Path):
    assert make("--format", "davis", "--split", "val", "--root", str(root / "elsewhere")) == 0
    assert (root / "elsewhere" / "DAVIS" / "ImageSets" / "2017" / "val.txt").is_file()


def test_splits_stand_beside_each_other(root: Path):
    for split in ("train", "val"):
        assert make("--format", "davis", "--split", split, "--frames", "2") == 0
    for split in ("train", "val"):
        names = [record["video_id"] for record in load_records(f"davis2017_{split}")]
        assert names == [f"{split}_00000", f"{split}_00001"]


def test_seed_decides_the_frames(root: Path):
    for folder, seed in (("first", "1"), ("again", "1"), ("other", "2")):
        arguments = ("--frames", "1", "--seed", seed, "--root", str(root / folder))
        assert make("--format", "camvid", *arguments) == 0
    first, again, other = (
        (root / folder / "camvid" / "train" / "train_00000_00000.png").read_bytes()
        for folder in ("first", "again", "other")
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--format", "vipseq"), "Unknown format 'vipseq'; choose one of"),
        (("--format", "camvid", "--split", "valid"), "There is no split 'valid'"),
        (("--format", "camvid", "--size", "36"), "The size '36' is not HEIGHTxWIDTH"),
        (("--format", "camvid", "--size", "20x30"), "20x30 pixels are too small"),
        (("--format", "camvid", "--classes", "12"), "12 classes are wanted"),
        (("--format", "camvid", "--frames", "0"), "0 frames is empty"),
        (("--format", "camvid", "--videos", "0"), "0 videos are nothing to make"),
    ],
)
def test_mistake_is_told_in_one_line_and_leaves_no_file(
    root: Path, capsys: pytest.CaptureFixture, arguments: tuple[str, ...], message: str
):
    assert make(*arguments) == 1
    error = capsys.readouterr().err
    assert error.startswith("gvseg make-synthetic: ")
    assert message in error
    assert error.count("\n") == 1
    assert list(root.iterdir()) == []


def test_split_is_never_written_over(root: Path, capsys: pytest.CaptureFixture):
    for format_name in ("camvid", "davis", "youtube_vos"):
        assert make("--format", format_name, "--frames", "1") == 0
        assert make("--format", format_name, "--frames", "1") == 1
        assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize("format_name", list(FORMATS))
def test_nothing_is_written_beside_the_lists_of_another_set(format_name: str, root: Path):
    """A real benchmark may have its JSON where its frames are not unpacked yet."""
    num_frames = "1" if FORMATS[format_name].is_still else "5"
    split = FORMATS[format_name].splits[1]
    arguments = ("--format", format_name, "--frames", num_frames, "--split", split)
    assert make(*arguments) == 0
    lists = [path for path in root.rglob("*") if path.suffix in (".json", ".txt")]
    for kept in lists:
        name = kept.relative_to(root)
        shutil.rmtree(root)
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("")
        assert make(*arguments) == 1
        assert [path for path in root.rglob("*") if path.is_file()] == [root / name]
