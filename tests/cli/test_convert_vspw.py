from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.cli import main
from gvseg.data.benchmarks.vspw import VSPW, VSPW_RAW
from tests.data.synthetic.round_trip import write_and_read


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write three videos of two frames, 48x64, for val and for test."""
    for split in ("val", "test"):
        write_and_read(tmp_path, "vspw_raw", split, num_frames=2)
    return tmp_path


def convert(root: Path, *splits: str, more: tuple[str, ...] = ()) -> int:
    return main(["convert-vspw", "--root", str(root), "--splits", *splits, *more])


def test_videos_have_a_height_of_480_and_their_values(root: Path, tmp_path: Path):
    assert convert(root, "val") == 0
    raw, resized = VSPW_RAW.load_records(root, "val"), VSPW.load_records(root, "val")
    for before, after in zip(raw, resized, strict=True):
        assert after["video_id"] == before["video_id"]
        assert (after["height"], after["width"], after["length"]) == (480, 640, 2)
        with Image.open(before["label_files"][1]) as image:
            expected = np.array(image).repeat(10, axis=0).repeat(10, axis=1)
        with Image.open(after["label_files"][1]) as image:
            assert image.mode == "L"
            np.testing.assert_array_equal(np.array(image), expected)
        with Image.open(before["file_names"][1]) as image:
            image.resize((640, 480), Image.Resampling.BILINEAR).save(tmp_path / "expected.jpg")
        written = Path(after["file_names"][1]).read_bytes()
        assert written == (tmp_path / "expected.jpg").read_bytes()


def test_hidden_labels_stay_hidden(root: Path):
    assert convert(root, "test") == 0
    assert [record["annotated_frames"] for record in VSPW.load_records(root, "test")] == [[]] * 3


def test_list_is_written_last(root: Path, capsys: pytest.CaptureFixture):
    damaged = Path(VSPW_RAW.load_records(root, "val")[2]["file_names"][1])
    damaged.write_bytes(damaged.read_bytes()[:300])
    assert convert(root, "val") == 1
    assert f"{damaged} cannot be read" in capsys.readouterr().err
    assert not (root / "VSPW_480p" / "val.txt").exists()


def test_first_frame_that_cannot_be_read_is_left_out_on_request(
    root: Path, caplog: pytest.LogCaptureFixture
):
    broken = Path(VSPW_RAW.load_records(root, "val")[0]["file_names"][0])
    broken.write_bytes(b"")
    assert convert(root, "val", more=("--skip-broken",)) == 0
    assert f"Left out: {broken} cannot be read" in caplog.text
    made = root / "VSPW_480p" / "data" / broken.parents[1].name / "origin"
    assert broken.name not in {path.name for path in made.iterdir()}
    assert len(list(made.iterdir())) == len(list(broken.parent.iterdir())) - 1


def test_missing_release_is_named(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert convert(tmp_path, "val") == 1
    assert f"{tmp_path / 'VSPW'} does not exist" in capsys.readouterr().err


def test_video_that_was_converted_without_a_frame_is_converted_again(root: Path):
    first, *_, last = VSPW_RAW.load_records(root, "val")
    lost, damaged = Path(first["label_files"][1]), Path(last["file_names"][1])
    label, image = lost.read_bytes(), damaged.read_bytes()
    lost.unlink()
    damaged.write_bytes(image[:300])  # so that the run is broken off after the first
    arguments = ["convert-vspw", "--root", str(root), "--splits", "val", "--workers", "1"]
    assert main([*arguments, "--skip-broken"]) == 1
    finished = root / "VSPW_480p" / ".val.finished"
    assert (finished / f"{first['video_id']}.json").is_file()
    lost.write_bytes(label)
    damaged.write_bytes(image)
    assert main(arguments) == 0
    assert VSPW.load_records(root, "val")[0]["length"] == 2
