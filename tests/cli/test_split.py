"""The command on made-up videos in the layouts of several benchmarks."""

import json
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from detectron2.data import DatasetCatalog

from gvseg.cli import main
from gvseg.config import load_config
from gvseg.data import build_train_loader, get_benchmark
from gvseg.data.benchmark import unregister
from gvseg.data.loader import load_records
from gvseg.data.synthetic.formats import FORMATS
from gvseg.tasks import Task

REPOSITORY = Path(__file__).parents[2]
SIDES = ("fit", "hold_out")
DATASETS = {
    "ytvis_2021": "ytvis_2021_train",
    "youtube_vos": "youtube_vos_2019_train",
    "burst": "burst_train",
    "coco": "coco_train2017",
    "coco_panoptic": "coco_panoptic_train2017",
    "vipseg": "vipseg_train",
    "vspw": "vspw_train",
    "cityscapes_vps": "cityscapes_vps_train",
}
IN_ONE_JSON = {"ytvis_2021", "youtube_vos", "burst", "coco", "coco_panoptic", "vipseg"}


@pytest.fixture
def unregistered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take back the datasets and modules that splits of a test register."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in (f"{dataset}_{side}" for dataset in DATASETS.values() for side in SIDES):
        if name in DatasetCatalog.list():
            unregister(get_benchmark(name))
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


pytestmark = pytest.mark.usefixtures("unregistered")


def make(root: Path, format_name: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write ten small videos and return the name of the dataset."""
    monkeypatch.setenv("DETECTRON2_DATASETS", str(root))
    chosen = FORMATS[format_name]
    is_evs = chosen.benchmark(chosen.splits[0]).task is Task.EVS
    num_classes = 1 if is_evs else 6
    options = ["--videos", "10", "--size", "48x64", "--classes", str(num_classes)]
    options += [] if chosen.is_still else ["--frames", "2"]
    assert main(["make-synthetic", "--format", format_name, *options]) == 0
    return DATASETS[format_name]


def split(dataset: str, output: Path, *options: str) -> int:
    return main(["split", dataset, "--share", "0.3", "--output", str(output), *options])


@pytest.mark.parametrize("format_name", DATASETS)
def test_both_sides_are_datasets_to_use_right_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
):
    dataset = make(tmp_path / "data", format_name, monkeypatch)
    assert split(dataset, tmp_path / "splits") == 0
    benchmark = get_benchmark(dataset)
    config = tmp_path / "train.yaml"
    config.write_text(
        f"_BASE_: {REPOSITORY}/configs/base/mask2former_r50.yaml\n"
        f"PROJECTS: [splits/{dataset}_split.py]\n"
        f"DATASETS: {{TRAIN: [{dataset}_fit], TEST: [{dataset}_hold_out]}}\n"
        f"MODEL: {{GVSEG: {{TASK: {benchmark.task.value}}},"
        f" SEM_SEG_HEAD: {{NUM_CLASSES: {len(benchmark.classes)}}}}}\n"
        "SOLVER: {IMS_PER_BATCH: 2}\nDATALOADER: {NUM_WORKERS: 0}\nINPUT: {MIN_SIZE_TRAIN: [48]}\n"
    )
    cfg = load_config(config)
    whole, fit, hold_out = (
        [record["video_id"] for record in load_records(name)]
        for name in (dataset, *cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST)
    )
    assert sorted([*fit, *hold_out]) == sorted(whole)
    assert 1 <= len(hold_out) <= 4
    for sample in next(iter(build_train_loader(cfg))):
        assert sample["video_id"] in fit


@pytest.mark.parametrize("format_name", DATASETS)
def test_files_are_of_the_form_that_the_whole_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
):
    dataset = make(tmp_path, format_name, monkeypatch)
    assert split(dataset, tmp_path / "splits") == 0
    suffix = ".json" if format_name in IN_ONE_JSON else ".txt"
    assert sorted(path.name for path in (tmp_path / "splits").iterdir()) == sorted(
        [*(f"{dataset}_{side}{suffix}" for side in SIDES), f"{dataset}_split.py"]
    )


@pytest.mark.parametrize("format_name", sorted(IN_ONE_JSON))
def test_half_of_a_json_reads_as_the_whole_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
):
    dataset = make(tmp_path, format_name, monkeypatch)
    assert split(dataset, tmp_path / "splits") == 0
    records = load_records(dataset)
    path = Path(records[0]["annotation_file"])
    read = []
    for side in SIDES:
        # In the place of the whole, with the frames of all videos beside it.
        shutil.copy(tmp_path / "splits" / f"{dataset}_{side}.json", path)
        problems = []
        benchmark = get_benchmark(dataset)
        split_name = benchmark.split_of(dataset)
        read += benchmark.load_records(tmp_path, split_name, report=problems.append)
        assert all("is not listed in" in problem.what for problem in problems), problems
    for record in records:
        (half,) = [other for other in read if other["video_id"] == record["video_id"]]
        del record["dataset_name"]
        assert str(half) == str(record)


def test_list_is_written_as_two_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    dataset = make(tmp_path, "vspw", monkeypatch)
    assert split(dataset, tmp_path / "splits") == 0
    fit, hold_out = (
        (tmp_path / "splits" / f"{dataset}_{side}.txt").read_text().split() for side in SIDES
    )
    whole = (tmp_path / "VSPW_480p" / "train.txt").read_text().split()
    assert sorted([*fit, *hold_out]) == sorted(whole)


def test_earlier_split_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    dataset = make(tmp_path, "vspw", monkeypatch)
    assert split(dataset, tmp_path) == 0
    assert split(dataset, tmp_path, "--seed", "1") == 1
    assert "vspw_train_fit.txt exists; remove it" in capsys.readouterr().err


def test_dataset_of_the_user_is_found_by_the_config_that_registers_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    make(tmp_path, "vspw", monkeypatch)
    config = tmp_path / "my.yaml"
    config.write_text("PROJECTS: [my_own_videos.py]\n")
    (tmp_path / "my_own_videos.py").write_text(
        "from gvseg.data import register_subset\n"
        f"register_subset('vspw_train_fit', of='vspw_train', videos='{tmp_path}/three.txt')\n"
    )
    names = (tmp_path / "VSPW_480p" / "train.txt").read_text().split()[:3]
    (tmp_path / "three.txt").write_text("\n".join(names))
    assert split("vspw_train_fit", tmp_path, "--config-file", str(config)) == 0
    assert (tmp_path / "vspw_train_fit_hold_out.txt").read_text().strip() in names


def test_hidden_labels_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    dataset = make(tmp_path, "ytvis_2021", monkeypatch)
    path = Path(load_records(dataset)[0]["annotation_file"])
    content = json.loads(path.read_text())
    hidden = tmp_path / "ytvis_2021" / "valid.json"
    hidden.write_text(json.dumps(content | {"annotations": None}))
    assert split("ytvis_2021_valid", tmp_path) == 1
    assert "are hidden; split a training set" in capsys.readouterr().err
