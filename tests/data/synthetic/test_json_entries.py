import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from gvseg.data.class_table import read_class_table
from gvseg.data.synthetic.json_entries import box, category_entries, run_lengths, write_json


@pytest.mark.parametrize("seed", range(5))
def test_plain_run_lengths_are_those_of_coco(seed: int):
    rng = np.random.default_rng(seed)
    mask = np.kron(rng.random((4, 5)) < 0.5, np.ones((3, 2), dtype=bool))
    lengths = run_lengths(mask)
    assert lengths["size"] == [12, 10]
    expected = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    assert coco_mask.frPyObjects(lengths, 12, 10) == expected


def test_first_count_is_of_unset_pixels():
    column = np.array([[True], [True], [False]])
    assert run_lengths(column)["counts"] == [0, 2, 1]
    assert run_lengths(~column)["counts"] == [2, 1]
    assert run_lengths(np.ones((2, 2), dtype=bool))["counts"] == [0, 4]
    assert run_lengths(np.zeros((2, 2), dtype=bool))["counts"] == [4]


def test_box_is_tight_in_pixels():
    mask = np.zeros((20, 30), dtype=bool)
    mask[3:9, 10:12] = True
    assert box(mask) == [10, 3, 2, 6]


def test_categories_have_the_ids_of_the_table():
    entries = category_entries(read_class_table("coco"))
    assert len(entries) == 80
    assert entries[-1] == {"id": 90, "name": "toothbrush", "supercategory": "object"}


def test_json_is_written_once(tmp_path: Path):
    path = tmp_path / "a" / "b.json"
    write_json(path, {"videos": []})
    assert json.loads(path.read_text()) == {"videos": []}
    with pytest.raises(FileExistsError, match=r"a/b\.json exists already"):
        write_json(path, {})
