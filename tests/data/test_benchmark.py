from pathlib import Path

import pytest

from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog

from gvseg.config import add_gvseg_config
from gvseg.data import get_benchmark
from gvseg.data.benchmark import (
    Benchmark,
    check_num_classes,
    check_task,
    register,
    unregister,
)
from gvseg.data.class_table import ClassTable, read_class_table
from gvseg.tasks import Task
from tests.data.vps_benchmark import vps_benchmark


def test_dataset_name_leads_to_its_benchmark():
    assert get_benchmark("camvid_val") is get_benchmark("camvid_train")
    assert get_benchmark("coco128_train").task is Task.VIS


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("camvid_vla", r"do you mean camvid_val( or \w+)*\? "),
        ("nothing", r"there are .*camvid_val, .*coco128_train, "),
    ],
)
def test_unknown_dataset_is_answered_with_those_alike_or_all(name: str, hint: str):
    with pytest.raises(ValueError, match=f"Unknown dataset '{name}'; {hint}"):
        get_benchmark(name)


def test_missing_files_are_noticed_on_use_and_say_where_to_put_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path / "nothing"))
    with pytest.raises(FileNotFoundError, match=r"nothing/camvid/val does not exist; unpack"):
        DatasetCatalog.get("camvid_val")


def test_semantic_benchmark_has_stuff_metadata_only():
    metadata = MetadataCatalog.get("camvid_val")
    assert metadata.stuff_classes[8] == "car"
    assert metadata.stuff_dataset_id_to_contiguous_id == {index: index for index in range(11)}
    assert metadata.stuff_colors[0] == (128, 128, 128)
    assert (metadata.task, metadata.evaluator_type) == ("vss", "gvseg_vss")
    assert metadata.ignore_label == 255
    assert not hasattr(metadata, "thing_classes")


def test_instance_benchmark_has_thing_metadata_only():
    metadata = MetadataCatalog.get("coco128_train")
    assert len(metadata.thing_classes) == len(metadata.thing_colors) == 80
    assert metadata.thing_dataset_id_to_contiguous_id[90] == 79
    assert not hasattr(metadata, "stuff_classes")


def test_contiguous_index_reads_the_names_of_things_and_of_stuff(tmp_path: Path):
    benchmark = vps_benchmark(tmp_path)
    register(benchmark)
    metadata = MetadataCatalog.get("small_vps_train")
    unregister(benchmark)
    assert metadata.thing_dataset_id_to_contiguous_id == {20: 1, 40: 3}
    assert metadata.stuff_dataset_id_to_contiguous_id == {10: 0, 30: 2}
    assert metadata.thing_classes[3] == metadata.stuff_classes[3] == "dog"


def test_second_registration_of_a_name_is_refused():
    with pytest.raises(ValueError, match="'camvid_train' is registered already"):
        register(get_benchmark("camvid_train"))


def test_unregistered_dataset_is_unknown_again():
    benchmark = Benchmark(
        name="passing",
        task=Task.VSS,
        classes=ClassTable("t", "test", (0,), ("a",), (False,), ((0, 0, 0),)),
        splits=("train", "val"),
        load_records=lambda root, split: [],
        read_labels=lambda record, frame_index: None,
        metrics=(),
    )
    register(benchmark)
    assert get_benchmark("passing_val") is benchmark
    unregister(benchmark)
    assert "passing_val" not in DatasetCatalog.list()
    with pytest.raises(ValueError, match="Unknown dataset"):
        get_benchmark("passing_val")


def test_model_with_another_number_of_classes_is_refused():
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = len(read_class_table("camvid"))
    check_num_classes(cfg, "camvid_val")
    with pytest.raises(ValueError, match="NUM_CLASSES is 11, but coco128_train has 80 classes"):
        check_num_classes(cfg, "coco128_train")


def test_model_for_another_task_is_refused():
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.MODEL.GVSEG.TASK = "vss"
    check_task(cfg, "camvid_val")
    with pytest.raises(ValueError, match="TASK is vss, but coco128_train is a dataset for vis"):
        check_task(cfg, "coco128_train")
