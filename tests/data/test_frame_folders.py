from pathlib import Path

import pytest
from PIL import Image

from gvseg.data.frame_folders import folder_record, label_file, read_video_list
from gvseg.data.problems import AnnotationError, Problem


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Three frames with labels, and a file of the system among each."""
    frames, labels = tmp_path / "frames", tmp_path / "labels"
    for folder, suffix in ((frames, "jpg"), (labels, "png")):
        folder.mkdir()
        for name in ("003", "001", "002"):
            Image.new("L", (6, 4)).save(folder / f"{name}.{suffix}")
        (folder / f"._001.{suffix}").write_bytes(b"")
        (folder / "notes.txt").write_text("")
    return frames, labels


def problems_of(frames: Path, labels: Path) -> tuple[list[Problem], dict | None]:
    problems: list[Problem] = []
    return problems, folder_record("walk", frames, labels, report=problems.append)


def test_frames_and_labels_are_paired_in_the_order_of_names(folders: tuple[Path, Path]):
    record = folder_record("walk", *folders)
    assert (record["height"], record["width"], record["length"]) == (4, 6, 3)
    assert [Path(path).name for path in record["file_names"]] == ["001.jpg", "002.jpg", "003.jpg"]
    assert [Path(path).name for path in record["label_files"]] == ["001.png", "002.png", "003.png"]
    assert "annotated_frames" not in record
    assert label_file(record, 1).endswith("002.png")


def test_hidden_labels_leave_all_frames(folders: tuple[Path, Path]):
    record = folder_record("walk", folders[0], None)
    assert (record["length"], record["annotated_frames"]) == (3, [])
    with pytest.raises(AnnotationError, match=r"001\.jpg has no labels"):
        label_file(record, 0)


def test_frame_without_label_and_label_without_frame_are_left_out(folders: tuple[Path, Path]):
    frames, labels = folders
    (frames / "001.jpg").unlink()
    (labels / "003.png").unlink()
    problems, record = problems_of(frames, labels)
    assert [(Path(problem.file).name, problem.what) for problem in problems] == [
        ("003.jpg", f"has no label image in {labels}"),
        ("001.png", f"has no frame in {frames}"),
    ]
    assert [Path(path).stem for path in record["file_names"]] == ["002"]


@pytest.mark.parametrize("which", [0, 1])
def test_missing_folder_is_reported_once(folders: tuple[Path, Path], which: int):
    folders[which].rename(folders[which].with_name("elsewhere"))
    problems, record = problems_of(*folders)
    assert [(problem.file, problem.what) for problem in problems] == [
        (str(folders[which]), "does not exist")
    ]
    assert record is None


def test_empty_video_is_reported(folders: tuple[Path, Path]):
    frames, labels = folders
    for path in frames.iterdir():
        path.unlink()
    problems, record = problems_of(frames, labels)
    assert [problem.what for problem in problems] == ["has no images (.jpg, .jpeg, .png)"]
    assert record is None


def test_two_frames_of_one_name_are_reported(folders: tuple[Path, Path]):
    Image.new("L", (6, 4)).save(folders[0] / "002.png")
    with pytest.raises(AnnotationError, match=r"002\.png has the name of 002\.jpg"):
        folder_record("walk", *folders)


def test_list_of_videos_needs_no_line_end_and_no_order(tmp_path: Path):
    (tmp_path / "val.txt").write_text("b\r\n\na  \nc")
    assert read_video_list(tmp_path / "val.txt") == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("text", "what"), [("a\nb\na\n", "names video a 2 times"), ("\n", "names no video")]
)
def test_wrong_list_of_videos_is_reported(tmp_path: Path, text: str, what: str):
    (tmp_path / "val.txt").write_text(text)
    with pytest.raises(AnnotationError, match=rf"val\.txt {what}"):
        read_video_list(tmp_path / "val.txt")


def test_missing_list_is_named(tmp_path: Path):
    with pytest.raises(FileNotFoundError, match=r"val\.txt does not exist"):
        read_video_list(tmp_path / "val.txt")


def test_mark_at_the_beginning_of_a_list_is_no_name(tmp_path: Path):
    (tmp_path / "val.txt").write_text("a\nb\n", encoding="utf-8-sig")
    assert read_video_list(tmp_path / "val.txt") == ["a", "b"]


def test_first_frame_that_cannot_be_read_is_reported_and_stays(folders: tuple[Path, Path]):
    (folders[0] / "001.jpg").write_bytes(b"")
    problems, record = problems_of(*folders)
    assert [Path(problem.file).name for problem in problems] == ["001.jpg"]
    assert record is not None
    assert record["length"] == 3
