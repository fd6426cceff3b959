"""The known bugs of the benchmarks, as `gvseg check-data` tells of them and repairs them."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from gvseg.cli import main
from gvseg.data.benchmark import get_benchmark
from gvseg.data.segments import class_map
from tests.data.checks.made_up_sets import write_set

BROKEN_VIDEO = "353_-5sqmCF8OFU"


def spoil_vipseg(root: Path) -> Path:
    """Name a video as the one with the bug, and write its value there."""
    folder = root / "VIPSeg"
    for kind in ("imgs", "panomasks"):
        (folder / kind / "train_00001").rename(folder / kind / BROKEN_VIDEO)
    names = (folder / "train.txt").read_text()
    (folder / "train.txt").write_text(names.replace("train_00001", BROKEN_VIDEO))
    return write_value(folder / "panomasks" / BROKEN_VIDEO / "00000001.png", 200)


def spoil_vspw(root: Path) -> Path:
    return write_value(root / "VSPW_480p" / "data" / "train_00001" / "mask" / "00000001.png", 253)


def spoil_burst(root: Path) -> Path:
    path = root / "burst" / "annotations" / "train" / "all_classes.json"
    content = json.loads(path.read_text())
    nothing = coco_mask.encode(np.zeros((48, 64), dtype=np.uint8, order="F"))["counts"].decode()
    next(iter(content["sequences"][1]["segmentations"][1].values()))["rle"] = nothing
    path.write_text(json.dumps(content))
    return path


def write_value(path: Path, value: int) -> Path:
    with Image.open(path) as image:
        pixels = np.array(image)
    pixels[:4, :4] = value
    Image.fromarray(pixels).save(path)
    return path


REPAIRED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "vipseg_raw": (spoil_vipseg, "value 200"),
    "vspw": (spoil_vspw, "value 253 or 254"),
    "burst": (spoil_burst, "masks of no pixels"),
}


def check(root: Path, dataset_name: str, capsys, *arguments: str) -> tuple[int, dict]:
    options = ["--root", str(root), "--subset", "--json", "--workers", "1"]
    code = main(["check-data", dataset_name, *options, *arguments])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("format_name", REPAIRED)
def test_known_bug_is_noted_then_repaired_and_gone(tmp_path: Path, capsys, format_name: str):
    name = write_set(format_name, tmp_path)
    assert check(tmp_path, name, capsys)[1]["notes"] == []
    spoil, kind = REPAIRED[format_name]
    path = spoil(tmp_path)
    spoiled = path.read_bytes()

    code, report = check(tmp_path, name, capsys)
    assert code == 0, "it is read as it is meant"
    assert [(note["kind"], note["file"]) for note in report["notes"]] == [(kind, str(path))]

    code, report = check(tmp_path, name, capsys, "--fix")
    (repair,) = report["repairs"]
    assert (code, report["notes"]) == (0, [])
    assert (repair["file"], repair["kind"]) == (str(path), kind)
    assert Path(repair["backup"]).read_bytes() == spoiled

    code, report = check(tmp_path, name, capsys, "--fix")
    assert (code, report["notes"], report["repairs"]) == (0, [], [])


@pytest.mark.parametrize("format_name", ["vipseg_raw", "vspw"])
def test_repair_changes_nothing_that_is_read(tmp_path: Path, capsys, format_name: str):
    name = write_set(format_name, tmp_path)
    path = REPAIRED[format_name][0](tmp_path)
    benchmark = get_benchmark(name)
    before = class_map(labels_of(benchmark, tmp_path, path))
    assert (before[:4, :4] == 255).all()
    check(tmp_path, name, capsys, "--fix")
    np.testing.assert_array_equal(class_map(labels_of(benchmark, tmp_path, path)), before)


def labels_of(benchmark, root: Path, path: Path):
    for record in benchmark.load_records(root, "train"):
        if str(path) in record["label_files"]:
            return benchmark.read_labels(record, record["label_files"].index(str(path))).segments
    raise AssertionError(path)


def test_value_200_in_any_other_video_is_a_problem(tmp_path: Path, capsys):
    name = write_set("vipseg_raw", tmp_path)
    path = tmp_path / "VIPSeg" / "panomasks" / "train_00001" / "00000001.png"
    write_value(path, 200)
    code, report = check(tmp_path, name, capsys, "--fix")
    (problem,) = report["problems"]
    assert (code, problem["file"], report["repairs"]) == (1, str(path), [])


def test_things_without_a_number_are_noted_as_the_crowd_they_are(tmp_path: Path, capsys):
    """KITTI-STEP has no other way to write a crowd, so there is nothing to repair."""
    name = write_set("kitti_step", tmp_path)
    code, report = check(tmp_path, name, capsys, "--fix")
    assert (code, report["problems"], report["repairs"]) == (0, [], [])
    assert {note["kind"] for note in report["notes"]} == {"thing without a number"}
