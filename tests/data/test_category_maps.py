import pytest

from gvseg.data.category_maps import (
    COCO_TO_OVIS,
    COCO_TO_YTVIS_2019,
    COCO_TO_YTVIS_2021,
    index_of_category,
)
from gvseg.data.class_table import read_class_table

# By category id in the files of both sides, as others give them.
IDS = {
    "ytvis_2019": (
        COCO_TO_YTVIS_2019,
        "1:1 2:21 3:6 4:21 5:28 7:17 8:29 9:34 17:14 18:8 19:18 21:15 22:32 23:20 24:30 25:22 "
        "35:33 36:33 41:5 42:27 43:40",
    ),
    "ytvis_2021": (
        COCO_TO_YTVIS_2021,
        "1:26 2:23 3:5 4:23 5:1 7:36 8:37 9:4 16:3 17:6 18:9 19:19 21:7 22:12 23:2 24:40 25:18 "
        "34:14 35:31 36:31 41:29 42:33 43:34",
    ),
    "ovis": (
        COCO_TO_OVIS,
        "1:1 2:21 3:25 4:22 5:23 6:25 8:25 9:24 17:3 18:4 19:5 20:6 21:7 22:8 23:9 24:10 25:11",
    ),
}


@pytest.mark.parametrize("target", IDS)
def test_names_give_the_ids_that_the_field_uses(target: str):
    name_of_name, pairs = IDS[target]
    classes = read_class_table(target)
    indices = index_of_category(read_class_table("coco"), classes, name_of_name)
    expected = {int(a): int(b) for a, b in (pair.split(":") for pair in pairs.split())}
    assert {id_: classes.ids[index] for id_, index in indices.items()} == expected


@pytest.mark.parametrize("name_of_name", [{"perso": "Person"}, {"person": "person"}])
def test_name_that_a_table_lacks_is_named(name_of_name: dict[str, str]):
    with pytest.raises(ValueError, match=r"(things|OVIS) has no class perso"):
        index_of_category(read_class_table("coco"), read_class_table("ovis"), name_of_name)
