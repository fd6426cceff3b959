from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import gvseg.data
from gvseg.data.class_table import read_class_table

TABLES = sorted(
    path.stem for path in (Path(gvseg.data.__file__).parent / "categories").glob("*.json")
)


@pytest.mark.parametrize("name", TABLES)
def test_table_is_consistent(name: str):
    table = read_class_table(name)
    assert len(table) > 0
    assert table.source
    for column in (table.ids, table.names, table.colors):
        assert len(column) == len(table)
        assert len(set(column)) == len(table), "ids, names and colours tell classes apart"
    assert len(table.is_thing) == len(table)
    assert all(len(color) == 3 and 0 <= min(color) <= max(color) <= 255 for color in table.colors)
    assert not set(table.void_ids) & set(table.ids)


def test_coco_has_its_80_things_with_their_sparse_ids():
    table = read_class_table("coco")
    assert (len(table), table.ids[0], table.ids[-1]) == (80, 1, 90)
    assert all(table.is_thing)
    assert table.names[table.index_of_id[18]] == "dog"


def test_indices_are_contiguous_and_void_is_minus_one():
    table = read_class_table("camvid")
    indices = table.indices(np.array([0, 10, 11, 3]), "labels.png")
    assert indices.tolist() == [0, 10, -1, 3]


def test_id_outside_the_table_is_named_with_its_file():
    with pytest.raises(ValueError, match=r"labels\.png has category ids \[12, 200\]"):
        read_class_table("camvid").indices(np.array([0, 12, 200]), "labels.png")


def test_id_of_a_class_is_not_void_too():
    table = read_class_table("camvid")
    with pytest.raises(ValueError, match=r"CamVid.*, \[3\] are ids of classes and void"):
        replace(table, void_ids=(3, 11))
