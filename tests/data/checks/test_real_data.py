"""Real sets, as they lie under DETECTRON2_DATASETS, are clean and have the counts they should."""

import os

import pytest

from gvseg.data.checks import check_dataset

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("DETECTRON2_DATASETS" not in os.environ, reason="no DETECTRON2_DATASETS"),
]


@pytest.mark.parametrize(
    ("dataset_name", "counts"),
    [
        ("camvid_train", (5, 367, 0)),
        ("camvid_val", (1, 101, 0)),
        ("coco128_train", (128, 128, 900 - 13)),  # less the crowds
        ("davis2016_dev_val", (10, 787, 10)),
        ("coco_stuff21_train", (13, 13, 73)),
        ("coco_stuff21_val", (8, 8, 60)),
    ],
)
def test_real_set_is_clean(dataset_name: str, counts: tuple[int, int, int]):
    report = check_dataset(dataset_name, num_workers=2)
    assert report.findings == []
    assert (report.num_videos, report.num_frames, report.num_objects) == counts
