"""CamVid with regions for objects, as configs/camvid/objects_data.py registers it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.config import load_config
from gvseg.data import get_benchmark

CONFIG = Path(__file__).parents[3] / "configs/camvid/gvseg_vps_effnet_lite0.yaml"
ROAD, CAR, PEDESTRIAN, VOID = 3, 8, 9, 11


@pytest.fixture
def label_image(tmp_path):
    """A road with a car on each side, a speck of one, a pedestrian and a row of them."""
    image = np.full((60, 120), ROAD, dtype=np.uint8)
    image[10:20, 10:30], image[10:20, 50:70], image[30:32, 5:8] = CAR, CAR, CAR
    image[30:50, 20:30], image[30:50, 60:100] = PEDESTRIAN, PEDESTRIAN
    image[55:] = VOID
    for folder in ("train", "trainannot"):
        (tmp_path / "camvid" / folder).mkdir(parents=True)
    for index in (30, 60):
        name = f"0001TP_{index:06d}.png"
        Image.fromarray(image).save(tmp_path / "camvid" / "trainannot" / name)
        Image.fromarray(np.stack([image] * 3, -1)).save(tmp_path / "camvid" / "train" / name)
    return image


def test_regions_are_objects_unless_they_are_several_or_specks(tmp_path, label_image):
    load_config(CONFIG)
    benchmark = get_benchmark("camvid_objects_train")
    records = benchmark.load_records(tmp_path, "train")
    assert [(record["video_id"], record["length"]) for record in records] == [
        ("0001TP_00030_0", 1), ("0001TP_00030_1", 1),
    ]  # fmt: skip
    labels = benchmark.read_labels(records[1], 0)
    found = [
        (int(class_index), bool(is_crowd), int(area))
        for class_index, is_crowd, area in zip(
            labels.segments.classes, labels.is_crowd, labels.areas, strict=True
        )
    ]
    assert sorted(found) == [
        (ROAD, False, int((label_image == ROAD).sum())),
        (CAR, False, 200), (CAR, False, 200), (CAR, True, 6),
        (PEDESTRIAN, False, 200), (PEDESTRIAN, True, 800),
    ]  # fmt: skip
    is_void = labels.segments.index_map < 0
    np.testing.assert_array_equal(is_void, label_image == VOID)
    things = np.array(benchmark.classes.is_thing)
    assert things.nonzero()[0].tolist() == [8, 9, 10]
