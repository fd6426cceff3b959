import json

from gvseg.inference.json_files import LineStore, write_json


def test_lists_have_what_was_committed(tmp_path):
    store = LineStore(tmp_path / ".lists")
    store.append("names", "a")
    store.append("sizes", [1, 2])
    assert (store.length("names"), list(store.lines("names"))) == (1, [])
    store.commit()
    store.append("names", "b")  # and then an error, before the other list has its part
    assert store.length("names") == 2
    assert [list(store.lines(name)) for name in ("names", "sizes")] == [['"a"'], ["[1, 2]"]]


def test_line_that_was_cut_short_is_no_part_of_a_list(tmp_path):
    store = LineStore(tmp_path / ".lists")
    store.append("names", "a")
    store.commit()
    with (tmp_path / ".lists" / "names.jsonl").open("a") as file:
        file.write('"b')
    write_json(tmp_path / "names.json", store.lines("names"))
    assert json.loads((tmp_path / "names.json").read_text()) == ["a"]


def test_folder_of_lists_is_there_only_while_it_is_needed(tmp_path):
    LineStore(tmp_path / ".lists").remove()
    assert list(tmp_path.iterdir()) == []
    LineStore(tmp_path / ".lists").append("names", "a")
    assert list(LineStore(tmp_path / ".lists").lines("names")) == []  # another run's are forgotten
    assert list(tmp_path.iterdir()) == []
