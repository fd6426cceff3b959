"""The real sets, as they lie under DETECTRON2_DATASETS."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from detectron2.config import get_cfg

from gvseg.config import add_gvseg_config
from gvseg.data import build_train_loader, get_benchmark, read_frame
from gvseg.data.loader import load_records
from gvseg.data.segments import class_map

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("DETECTRON2_DATASETS" not in os.environ, reason="no DETECTRON2_DATASETS"),
]


def test_camvid_has_the_frames_of_its_lists():
    records = load_records("camvid_train")
    assert sum(record["length"] for record in records) == 367
    # Two sequences without a hole, and one cut at its two holes.
    assert [record["length"] for record in records] == [62, 101, 68, 120, 16]
    (val,) = load_records("camvid_val")
    assert (val["video_id"], val["length"]) == ("0016E5_07959", 101)


def test_every_camvid_file_reads():
    benchmark = get_benchmark("camvid_val")
    seen = Counter()
    for dataset_name in ("camvid_train", "camvid_val"):
        for record in load_records(dataset_name):
            for index, path in enumerate(record["file_names"]):
                labels = benchmark.read_labels(record, index)
                assert read_frame(path).shape[:2] == labels.size == (360, 480)
                seen.update(labels.segments.classes.tolist())
    assert set(seen) == set(range(11))


def test_camvid_classes_lie_where_a_driver_sees_them():
    benchmark = get_benchmark("camvid_val")
    (record,) = load_records("camvid_val")
    classes = class_map(benchmark.read_labels(record, 50).segments)
    mean_row = {
        name: np.nonzero(classes == benchmark.classes.names.index(name))[0].mean()
        for name in ("sky", "building", "road")
    }
    assert mean_row["sky"] < mean_row["building"] < mean_row["road"]


def test_coco128_has_its_images_and_objects():
    records = load_records("coco128_train")
    annotations = [entry for record in records for entry in record["annotations"][0]]
    assert (len(records), len(annotations)) == (128, 900)
    assert sum(entry["iscrowd"] for entry in annotations) == 13


def test_coco_masks_are_those_of_coco_itself():
    benchmark = get_benchmark("coco128_train")
    root = Path(os.environ["DETECTRON2_DATASETS"]) / "coco128"
    coco = COCO(root / "instances_train2017.json")
    for record in load_records("coco128_train"):
        labels = benchmark.read_labels(record, 0)
        assert read_frame(record["file_names"][0]).shape[:2] == labels.size
        annotations = coco.imgToAnns[record["video_id"]]
        assert len(annotations) == len(labels.segments)
        for mask, annotation in zip(labels.segments.masks, annotations, strict=True):
            np.testing.assert_array_equal(mask, coco.annToMask(annotation))


@pytest.mark.parametrize(
    ("dataset_name", "num_classes"), [("camvid_train", 11), ("coco128_train", 80)]
)
def test_strong_augmentation_gives_whole_batches(dataset_name: str, num_classes: int):
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.DATASETS.TRAIN = (dataset_name,)
    cfg.MODEL.GVSEG.TASK = get_benchmark(dataset_name).task.value
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = num_classes
    cfg.INPUT.LARGE_SCALE_JITTER = True
    cfg.INPUT.IMAGE_SIZE = 256
    cfg.INPUT.COLOR_AUG_SSD = True
    cfg.INPUT.COPY_PASTE_PROB = 0.3
    cfg.INPUT.SAMPLING_FRAME_NUM = 2
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SEED = 0
    loader = iter(build_train_loader(cfg))
    for sample in [sample for _ in range(10) for sample in next(loader)]:
        assert [tuple(image.shape) for image in sample["images"]] == [(3, 256, 256)] * 2
        assert Path(sample["file_names"][0]).is_file()
        targets = sample.get("instances") or sample["sem_seg"]
        assert len(targets) == 2


def test_davis_videos_have_one_object_given_in_the_first_frame():
    benchmark = get_benchmark("davis2016_dev_val")
    records = load_records("davis2016_dev_val")
    lengths = {record["video_id"]: record["length"] for record in records}
    assert lengths == {
        "blackswan": 50, "bmx-trees": 80, "car-roundabout": 75, "cows": 104, "dance-twirl": 90,
        "drift-straight": 50, "goat": 90, "libby": 49, "parkour": 100, "soapbox": 99,
    }  # fmt: skip
    for record in records:
        (exemplar,) = benchmark.read_exemplars(record)
        assert (exemplar.object_id, exemplar.frame_index) == (1, 0)
        for index in range(record["length"]):
            labels = benchmark.read_labels(record, index)
            assert labels.size == (480, 854)
            assert set(labels.segments.ids.tolist()) <= {1}
            if index == 0:
                np.testing.assert_array_equal(labels.segments.mask(0), exemplar.mask)
