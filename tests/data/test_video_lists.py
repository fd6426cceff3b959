import json
from pathlib import Path

import pytest

from gvseg.data.video_lists import listed_videos, part_of, read_video_ids


def test_part_of_a_json_has_all_that_belongs_to_its_videos():
    content = {
        "info": "kept",
        "videos": [{"id": 1}, {"id": 2}, {"id": 3}],
        "categories": [{"id": 9}],
        "annotations": [{"id": 5, "video_id": 2}, {"id": 6, "video_id": 1}],
    }
    assert part_of(content, {1, 3}) == {
        "info": "kept",
        "videos": [{"id": 1}, {"id": 3}],
        "categories": [{"id": 9}],
        "annotations": [{"id": 6, "video_id": 1}],
    }


@pytest.mark.parametrize(
    ("content", "video_ids"),
    [
        ({"videos": [{"id": 1}, {"id": 2}], "images": [{"id": 9}]}, {1, 2}),
        ({"videos": [{"video_id": "a", "images": [{"id": 1}]}]}, {"a"}),
        ({"videos": {"a": {"objects": {}}, "b": {}}}, {"a", "b"}),
        ({"sequences": [{"id": 0}]}, {0}),
        ({"images": [{"id": 3}], "annotations": [{"id": 1, "image_id": 3}]}, {3}),
        ({"annotations": [{"id": 1}]}, set()),
    ],
)
def test_videos_are_found_in_each_form(tmp_path: Path, content: dict, video_ids: set):
    assert listed_videos(content) == video_ids
    assert listed_videos(part_of(content, video_ids)) == video_ids
    assert listed_videos(part_of(content, set())) == set()
    path = tmp_path / "some.json"
    path.write_text(json.dumps(content))
    if video_ids:
        assert read_video_ids(path) == {str(video_id) for video_id in video_ids}
    else:
        with pytest.raises(ValueError, match=r"some\.json lists no video under any of videos, "):
            read_video_ids(path)


def test_part_of_images_has_their_annotations():
    content = {
        "images": [{"id": 1}, {"id": 2}],
        "annotations": [{"id": 2, "image_id": 1}, {"id": 1, "image_id": 2}],
    }
    assert part_of(content, {2})["annotations"] == [{"id": 1, "image_id": 2}]


def test_hidden_annotations_stay_hidden():
    content = {"videos": [{"id": 1}], "annotations": None}
    assert part_of(content, {1}) == content
