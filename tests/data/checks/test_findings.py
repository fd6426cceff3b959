import json
from pathlib import Path

from gvseg.data.checks.findings import DatasetReport, Finding, Repair, group_alike


def missing(file: str) -> Finding:
    return Finding.wrong("missing frame", file, "does not exist", "download it")


def sized(file: str, height: int) -> Finding:
    return Finding.wrong("size", file, f"has {height}x9 pixels (height x width)", "resize it")


def test_what_differs_in_numbers_and_names_is_alike():
    rare = Finding.wrong("annotations", "a.json", "has category 7 of 'cat'", "correct it")
    also = Finding.wrong("annotations", "b.json", "has category 12 of 'dog'", "correct it")
    other = Finding.wrong("annotations", "b.json", "lacks category_id", "correct it")
    groups = group_alike([missing("a"), rare, sized("a", 3), also, missing("b"), other])
    assert groups == [[missing("a"), missing("b")], [rare, also], [sized("a", 3)], [other]]


def test_same_words_of_another_kind_are_not_alike():
    damaged = Finding.wrong("damaged frame", "a", "does not exist", "download it")
    assert len(group_alike([missing("a"), damaged])) == 2


def test_report_as_json_names_everything():
    note = Finding.note("empty mask", "a.json", "has an empty mask", "leave it out")
    report = DatasetReport(
        "camvid_val", Path("sets"), 2, 5, 0,
        findings=[missing("a"), note, missing("b")],
        repairs=[Repair("c.png", "c.png.original", "value 200")],
    )  # fmt: skip
    content = json.loads(json.dumps(report.as_dict()))
    assert content["dataset"] == "camvid_val"
    assert (content["num_videos"], content["num_frames"], content["num_objects"]) == (2, 5, 0)
    assert [problem["file"] for problem in content["problems"]] == ["a", "b"]
    assert content["problems"][0] == {
        "kind": "missing frame", "file": "a", "what": "does not exist", "fix": "download it",
    }  # fmt: skip
    assert [note["kind"] for note in content["notes"]] == ["empty mask"]
    assert content["repairs"] == [
        {"file": "c.png", "backup": "c.png.original", "kind": "value 200"}
    ]
