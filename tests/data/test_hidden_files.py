"""What systems and tools hide in folders by a first dot is nothing of a dataset."""

import shutil
from pathlib import Path

import pytest

from gvseg.cli import main
from gvseg.data.benchmark import Record
from gvseg.data.loader import load_records
from gvseg.data.synthetic.formats import FORMATS
from gvseg.data.video_folder import load_folders


def hide_files(root: Path) -> None:
    """Put a hidden file, a hidden copy of an image and a hidden folder of one into all folders."""
    image = next(path for path in root.rglob("*") if path.suffix in (".jpg", ".png"))
    for folder in [path for path in root.rglob("*") if path.is_dir()]:
        (folder / ".DS_Store").write_bytes(b"Bud1")
        shutil.copy(image, folder / f"._{image.name}")
        (folder / ".ipynb_checkpoints").mkdir()
        shutil.copy(image, folder / ".ipynb_checkpoints")


def files_of(records: list[Record]) -> list[dict[str, object]]:
    """What records say of videos, frames and label files."""
    return [
        {key: record.get(key) for key in ("video_id", "file_names", "label_files", "length")}
        for record in records
    ]


@pytest.mark.parametrize("format_name", list(FORMATS))
def test_benchmarks_are_read_as_without_them(
    format_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    row = FORMATS[format_name]
    num_frames = "1" if row.is_still else "5"
    options = ("--frames", num_frames, "--videos", "2", "--size", "36x48")
    assert main(["make-synthetic", "--format", format_name, *options]) == 0
    dataset_name = row.dataset_name(row.splits[0])
    files = files_of(load_records(dataset_name))
    hide_files(tmp_path)
    assert files_of(load_records(dataset_name)) == files


def test_folders_of_ones_own_are_read_as_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    options = ("--frames", "3", "--videos", "2", "--size", "36x48")
    assert main(["make-synthetic", "--format", "vspw_raw", *options]) == 0
    frames = tmp_path / "frames"
    for folder in (tmp_path / "VSPW" / "data").iterdir():
        shutil.copytree(folder / "origin", frames / folder.name)
    files = files_of(load_folders(frames, None))
    hide_files(frames)
    assert files_of(load_folders(frames, None)) == files
