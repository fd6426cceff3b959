import json
from pathlib import Path

import pytest

from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog

from gvseg.config import add_gvseg_config
from gvseg.data import build_train_loader, get_benchmark, read_frame
from gvseg.data.clip_mapper import read_clip
from gvseg.data.problems import AnnotationError
from tests.data.synthetic.round_trip import write_and_read

NAMES = ("ytvis_2019", "ytvis_2021", "ytvis_2022", "ovis")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write three videos of YouTube-VIS 2019 and make them the ones in use."""
    write_and_read(tmp_path, "ytvis_2019", "train", num_frames=3)
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("name", NAMES)
def test_benchmark_names_where_it_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=rf"/{name} does not exist; unpack"):
        DatasetCatalog.get(f"{name}_valid")


@pytest.mark.parametrize(("name", "total"), [("ytvis_2019", 2883), ("ytvis_2021", 3859)])
def test_counts_of_splits_add_up(name: str, total: int):
    counts = get_benchmark(f"{name}_train").counts
    assert sum(count.videos for count in counts.values()) == total


def test_archive_may_stay_as_it_unpacks(root: Path):
    expected = DatasetCatalog.get("ytvis_2019_train")
    folder = root / "ytvis_2019"
    (folder / "train.json").rename(folder / "train" / "instances.json")
    records = DatasetCatalog.get("ytvis_2019_train")
    assert [record["file_names"] for record in records] == [
        record["file_names"] for record in expected
    ]


def test_ovis_json_may_be_named_by_its_split(tmp_path: Path):
    write_and_read(tmp_path, "ovis", "train", num_frames=2)
    folder = tmp_path / "ovis" / "annotations"
    (folder / "annotations_train.json").rename(folder / "train.json")
    assert len(get_benchmark("ovis_train").load_records(tmp_path, "train")) == 3


def test_missing_json_names_both_places(root: Path):
    (root / "ytvis_2019" / "train.json").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"2019/train\.json does not exist, nor does .*/train/instances"
    ):
        DatasetCatalog.get("ytvis_2019_train")


def test_training_without_labels_is_refused(root: Path):
    path = root / "ytvis_2019" / "train.json"
    content = json.loads(path.read_text())
    del content["annotations"]
    path.write_text(json.dumps(content))
    with pytest.raises(AnnotationError, match=r"train\.json has no annotations; get the file with"):
        DatasetCatalog.get("ytvis_2019_train")


def test_file_of_another_year_is_refused(root: Path):
    (root / "ytvis_2019").rename(root / "ytvis_2021")
    with pytest.raises(AnnotationError, match="has person as category 1, but in YouTube-VIS 2021"):
        DatasetCatalog.get("ytvis_2021_train")


def test_clip_has_frames_and_labels_of_one_size(root: Path):
    record = DatasetCatalog.get("ytvis_2019_train")[0]
    clip = read_clip(record, [2, 0], get_benchmark("ytvis_2019_train"))
    assert [frame.shape for frame in clip.frames] == [(48, 64, 3)] * 2
    assert [labels.segments.frame_index for labels in clip.labels] == [2, 0]


class TestFrames:
    """Frames are opened when a clip is read, and no sooner."""

    def test_missing_one_is_named(self, root: Path):
        path = root / "ytvis_2019/train/JPEGImages/train_00001/00002.jpg"
        path.unlink()
        record = DatasetCatalog.get("ytvis_2019_train")[1]
        with pytest.raises(FileNotFoundError, match=r"train_00001/00002\.jpg does not exist"):
            read_clip(record, [2], get_benchmark("ytvis_2019_train"))

    def test_truncated_one_is_named(self, root: Path):
        path = root / "ytvis_2019/train/JPEGImages/train_00001/00002.jpg"
        path.write_bytes(path.read_bytes()[:300])
        with pytest.raises(OSError, match=r"train_00001/00002\.jpg cannot be read"):
            read_frame(path)

    def test_one_of_another_size_is_named(self, root: Path):
        folder = root / "ytvis_2019"
        content = json.loads((folder / "train.json").read_text())
        content["videos"][0]["height"] = 50
        content["annotations"] = [
            annotation for annotation in content["annotations"] if annotation["video_id"] != 1
        ]
        (folder / "train.json").write_text(json.dumps(content))
        record = DatasetCatalog.get("ytvis_2019_train")[0]
        with pytest.raises(ValueError, match=r"train_00000/00000\.jpg has 48x64 pixels, but video"):
            read_clip(record, [0], get_benchmark("ytvis_2019_train"))


def test_images_of_coco_train_along(root: Path):
    write_and_read(root, "coco", "train2017")
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.DATASETS.TRAIN = ("ytvis_2019_train", "coco_as_ytvis_2019_train")
    cfg.DATASETS.DATASET_RATIO = [1.0, 1.0]
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 40
    cfg.INPUT.MIN_SIZE_TRAIN = (48,)
    cfg.INPUT.SAMPLING_FRAME_NUM = 2
    cfg.SOLVER.IMS_PER_BATCH = 4
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SEED = 0
    loader = iter(build_train_loader(cfg))
    samples = [sample for _ in range(3) for sample in next(loader)]
    frames = {sample["dataset_name"]: sample["frame_indices"] for sample in samples}
    assert frames["coco_as_ytvis_2019_train"] == [0, 0], "a pseudo clip of a still image"
    assert len(set(frames["ytvis_2019_train"])) == 2
    for sample in samples:
        assert len(sample["images"]) == len(sample["instances"]) == 2
        assert sample["instances"][0].gt_classes.min() >= 0
        assert sample["instances"][0].gt_classes.max() < 40
