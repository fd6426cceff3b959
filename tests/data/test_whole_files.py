import pytest

from gvseg.data.whole_files import DirectFile, GrowingFile, whole_file, writing
from tests.limited_files import files_limited_to

FULL = "cannot be written: File too large; make room or choose another folder"


def test_file_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "a.json"
    with whole_file(path) as unfinished:
        unfinished.write_text("{")
        assert not path.exists()
        unfinished.write_text("{}")
    assert path.read_text() == "{}"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_of_the_users_is_not_in_the_way(tmp_path):
    (tmp_path / "a.part").write_text("a download")
    with whole_file(tmp_path / "a.png") as first, whole_file(tmp_path / "a.jpg") as second:
        first.write_text("1")
        second.write_text("2")
    assert (tmp_path / "a.part").read_text() == "a download"
    assert [(tmp_path / name).read_text() for name in ("a.png", "a.jpg")] == ["1", "2"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_file_that_is_not_completed_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.json"
    path.write_text("old")

    def write():
        with whole_file(path) as unfinished:
            unfinished.write_text("{")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_full_disk_leaves_what_was_there(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def write():
        with whole_file(path) as unfinished:
            unfinished.write_bytes(bytes(101))

    with files_limited_to(100), pytest.raises(OSError, match=f"^{path} {FULL}"):
        write()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_other_errors_are_named_without_that_advice(tmp_path):
    path = tmp_path / "none" / "a.bin"
    message = f"^{path} cannot be written: No such file or directory.$"
    with pytest.raises(OSError, match=message), writing(path):
        path.write_bytes(b"")


def test_all_is_written_or_an_error_is_raised(tmp_path):
    with files_limited_to(100), DirectFile(tmp_path / "a.bin", "w") as file:
        assert file.write(bytes(60)) == 60
        assert (tmp_path / "a.bin").stat().st_size == 60
        with pytest.raises(OSError, match="File too large"):
            file.write(bytes(60))


def test_growing_file_is_whole_after_each_piece(tmp_path):
    path = tmp_path / "a.txt"
    file = GrowingFile(path, b"[1", tail=b"]\n")
    for piece, expected in ((b", 2", "[1, 2]\n"), (b"", "[1, 2]\n"), (b", 34", "[1, 2, 34]\n")):
        file.append(piece)
        assert path.read_text() == expected
    file.close()
    GrowingFile(path, b"anew").close()
    assert path.read_text() == "anew"


@pytest.mark.parametrize("tail", [b"", b"]" * 20])
@pytest.mark.parametrize("room", range(1, 40, 3))
def test_growing_file_stays_as_it_was_on_a_full_disk(tmp_path, tail, room):
    path = tmp_path / "a.txt"
    file = GrowingFile(path, b"[1", tail=tail)
    file.append(b", 2")
    before = path.read_bytes()
    limited = files_limited_to(len(before) + room)
    with limited, pytest.raises(OSError, match=f"^{path} {FULL}"):
        file.append(b"," * 40)
    assert path.read_bytes() == before
    file.append(b"3")
    file.close()
    assert path.read_bytes() == b"[1, 23" + tail


def test_file_that_has_no_room_for_its_beginning_is_none(tmp_path):
    with files_limited_to(3), pytest.raises(OSError, match=f"^{tmp_path / 'a.txt'} {FULL}"):
        GrowingFile(tmp_path / "a.txt", b"[1, 2")
    assert list(tmp_path.iterdir()) == []
