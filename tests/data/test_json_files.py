import json
from pathlib import Path

import pytest

from gvseg.data.class_table import read_class_table
from gvseg.data.json_files import (
    check_categories,
    class_index_of,
    first_existing,
    listed,
    read_json,
)
from gvseg.data.problems import AnnotationError

FILE = Path("labels.json")


class TestReadJson:
    def test_object_is_returned(self, tmp_path: Path):
        path = tmp_path / "a.json"
        path.write_text('{"videos": [1]}')
        assert read_json(path) == {"videos": [1]}

    def test_missing_file_is_named(self, tmp_path: Path):
        with pytest.raises(FileNotFoundError, match=r"a\.json does not exist"):
            read_json(tmp_path / "a.json")

    @pytest.mark.parametrize("content", [b'{"videos": [', b"", b'{"a": "\xff"}', b"\x1f\x8b\x08"])
    def test_damaged_file_is_named(self, tmp_path: Path, content: bytes):
        (tmp_path / "a.json").write_bytes(content)
        with pytest.raises(AnnotationError, match=r"a\.json is not valid JSON: .*; restore it"):
            read_json(tmp_path / "a.json")

    def test_key_given_twice_is_named(self, tmp_path: Path):
        (tmp_path / "a.json").write_text('{"videos": {"b": 1, "a": 2, "a": 3}, "b": {"a": 2}}')
        with pytest.raises(AnnotationError, match=r"a\.json has 'a' several times in one object"):
            read_json(tmp_path / "a.json")

    def test_other_json_is_named(self, tmp_path: Path):
        (tmp_path / "a.json").write_text("[1, 2]")
        with pytest.raises(AnnotationError, match=r"a\.json holds no JSON object"):
            read_json(tmp_path / "a.json")


class TestFirstExisting:
    def test_first_of_those_that_are_there(self, tmp_path: Path):
        candidates = [tmp_path / name for name in "abc"]
        (tmp_path / "b").mkdir()
        (tmp_path / "c").touch()
        assert first_existing(candidates) == tmp_path / "b"

    def test_all_are_named_where_none_is(self, tmp_path: Path):
        named = r"/a does not exist, nor does .*/b; unpack .*DETECTRON2_DATASETS"
        with pytest.raises(FileNotFoundError, match=named):
            first_existing([tmp_path / "a", tmp_path / "b"])


class TestListed:
    def test_whole_entries_are_kept_in_order(self):
        entries = [{"id": 3, "width": 1}, {"id": 1, "width": 2, "more": 0}]
        assert listed({"videos": entries}, "videos", ["width"], FILE) == entries

    @pytest.mark.parametrize("content", [{}, {"videos": None}, {"videos": {}}])
    def test_missing_list_is_named(self, content: dict):
        with pytest.raises(AnnotationError, match=r"labels\.json has no list 'videos'"):
            listed(content, "videos", [], FILE)

    @pytest.mark.parametrize("entry", [{"id": 1}, {"width": 1}, 7])
    def test_incomplete_entry_is_named(self, entry: object):
        with pytest.raises(AnnotationError, match=r"labels\.json lacks .* in entry 1 of 'videos'"):
            listed({"videos": [{"id": 5, "width": 1}, entry]}, "videos", ["width"], FILE)

    def test_second_entry_of_an_id_is_named(self):
        with pytest.raises(AnnotationError, match="several entries of 'videos' with id 5"):
            listed({"videos": [{"id": 5}, {"id": 5}]}, "videos", [], FILE)

    def test_collector_gets_all_problems_and_the_rest_is_kept(self):
        problems = []
        content = {"images": [{"image": 1}, {}, {"image": 1, "b": 2}, {"image": 2}]}
        kept = listed(content, "images", [], FILE, identity="image", report=problems.append)
        assert kept == [{"image": 1}, {"image": 2}]
        assert [problem.what for problem in problems] == [
            "lacks image in entry 1 of 'images'",
            "has several entries of 'images' with image 1",
        ]


class TestCategories:
    def test_file_of_another_year_is_told(self):
        classes = read_class_table("ytvis_2019")
        later = read_class_table("ytvis_2021")
        content = {
            "categories": [
                {"id": id_, "name": name} for id_, name in zip(later.ids, later.names, strict=True)
            ]
        }
        problems = []
        check_categories(content, classes, FILE, report=problems.append)
        assert len(problems) == 1, "one tells enough"
        assert str(problems[0]) == (
            "labels.json has airplane as category 1, but in YouTube-VIS 2019 it is 28; get the "
            "file of YouTube-VIS 2019."
        )

    def test_spelling_and_unknown_names_are_no_problem(self):
        names = {1: "person", 2: "Giant Panda", 39: "earless-seal", 7: "gibbon"}
        content = {"categories": [{"id": id_, "name": name} for id_, name in names.items()]}
        check_categories(content, read_class_table("ytvis_2019"), FILE)
        check_categories({}, read_class_table("ytvis_2019"), FILE)

    def test_index_of_a_category(self):
        classes = read_class_table("coco")
        assert class_index_of(90, classes, "annotation 1", FILE) == 79
        with pytest.raises(
            AnnotationError,
            match=r"labels\.json says that annotation 7 has category id 12, which is not among the "
            "80 of COCO 2017 things",
        ):
            class_index_of(12, classes, "annotation 7", FILE)

    def test_unknown_category_has_no_index_for_a_collector(self):
        problems = []
        table = read_class_table("coco")
        assert class_index_of(12, table, "annotation 7", FILE, report=problems.append) is None
        assert len(problems) == 1


def test_report_names_the_file_as_it_was_given(tmp_path: Path):
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"videos": [{}]}))
    with pytest.raises(AnnotationError) as caught:
        listed(read_json(path), "videos", [], path)
    assert caught.value.problem.file == str(path)
