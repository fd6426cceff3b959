"""Truth from one JSON, wherever it lies: end to end, with the official numbers where they are."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.benchmark import unregister
from gvseg.data.custom import register_video_folder
from gvseg.evaluation.ground_truth import load_truth
from gvseg.evaluation.scoring import score_submission
from tests.evaluation import metric_cases
from tests.evaluation.submissions.made_up import make, poor

# Dataset, JSON within the benchmarks' folder, what stands beside it.
JSONS = {
    "vipseg_val": ("VIPSeg_720P/panoptic_gt_VIPSeg_val.json", ("panomasksRGB",)),
    "ytvis_2019_train": ("ytvis_2019/train.json", ()),
    "burst_class_val": ("burst/annotations/val/all_classes.json", ()),
}


def official_scores(family: str, case: str, dataset_name: str, truth: str, pred: str, **options):
    root = metric_cases.ROOT / family / case
    return score_submission(dataset_name, root / pred, root=root / truth, **options).results


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("vipseg"))
def test_official_numbers_of_vipseg(case: str):
    protocols = ("vpq/vipseg", "vpq/vipseg_script", "stq/vipseg_script")
    paper, script, stq = official_scores(
        *("vipseg", case, "vipseg_val", "panoptic_gt_VIPSeg_val.json", "pred"), protocols=protocols
    ).values()
    vpq = metric_cases.expected("vipseg", case)["vpq_vipseg_official"]
    for name, kind in (("VPQ", "all"), ("VPQ_things", "things"), ("VPQ_stuff", "stuff")):
        assert paper[name] == pytest.approx(vpq[f"VPQ_{kind}"], abs=1e-6, nan_ok=True)
    assert script["VPQ"] == pytest.approx(vpq["VPQ_all_script_1_2_4_6_8"], abs=1e-6)
    expected = metric_cases.expected("vipseg", case)["stq_vipseg_official"]
    for name, key in (("STQ", "STQ"), ("SQ", "IoU"), ("AQ", "AQ")):
        assert stq[name] == pytest.approx(100 * expected[key], abs=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("ytvis"))
def test_official_numbers_of_a_json_with_categories_of_its_own(case: str):
    expected = metric_cases.expected("ytvis", case)["ytvis_ytvoseval_official"]
    names = ("ytvis", case, "ytvis_2019_valid", "gt.json", "results.json")
    (scores,) = official_scores(*names).values()
    for name in ("AP", "AP50", "AP75", "AR1", "AR10"):
        assert scores[name] == pytest.approx(100 * expected[name], abs=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("burst"))
def test_official_numbers_of_burst(case: str):
    for dataset_name, guidance in (("burst_class_val", "class"), ("burst_mask_val", "exemplar")):
        expected = metric_cases.expected("burst", case)[f"burstapi_{guidance}_guided"]["table"]
        names = ("burst", case, dataset_name, "all_classes.json", f"pred_{guidance}_guided.json")
        (scores,) = official_scores(*names).values()
        for group, value in expected["HOTA"].items():
            assert scores[f"HOTA_{group}"] == pytest.approx(value, abs=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("kitti_step"))
def test_official_numbers_of_kitti_step(case: str):
    names = ("kitti_step", case, "kitti_step_val", "gt", "pred")
    stq, vpq = official_scores(*names).values()
    expected = metric_cases.expected("kitti_step", case)
    for name, key in (("STQ", "STQ"), ("SQ", "IoU"), ("AQ", "AQ")):
        assert stq[name] / 100 == pytest.approx(expected["stq_deeplab2_numpy"][key], abs=1e-6)
    for window in "1234":
        value = expected["vpq_deeplab2_tf"][window]["pq"]
        assert vpq[f"VPQ{window}"] / 100 == pytest.approx(value, abs=1e-6)


@pytest.mark.data
@pytest.mark.parametrize("case", metric_cases.cases("vspw"))
def test_official_numbers_of_vspw(case: str, tmp_path: Path):
    """The case has masks as the official scripts convert them; here they are as published."""
    root = metric_cases.ROOT / "vspw" / case
    for path in (root / "data").glob("*/mask/*.png"):
        raw = tmp_path / path.relative_to(root / "data")
        raw.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.array(Image.open(path)) + np.uint8(1)).save(raw)  # 255 becomes 0
    (scores,) = score_submission("vspw_val", root / "pred", root=tmp_path).results.values()
    expected = metric_cases.expected("vspw", case)
    miou = expected["miou_vspw_official"]
    for name, key in (("mIoU", "mIoU"), ("pACC", "Acc"), ("fwIoU", "FWIoU"), ("mACC", "Acc_class")):
        assert scores[name] == pytest.approx(100 * miou[key], abs=1e-6)
    for length in ("8", "16"):
        value = 100 * expected[f"mvc{length}_vspw_official"][f"VC{length}"]
        assert scores[f"mVC{length}"] == pytest.approx(value, abs=1e-6, nan_ok=True)


# Dataset, and where its label images lie.
IMAGES = {
    "kitti_step_val": "kitti_step/panoptic_maps/val",
    "vspw_val": "VSPW_480p/data",
    "davis2017_val": "DAVIS/Annotations/480p",
}


@pytest.mark.parametrize("dataset_name", IMAGES)
def test_label_images_alone_score_as_the_benchmark(dataset_name: str, tmp_path: Path):
    made = make(tmp_path / "benchmarks", dataset_name)
    folder = made.submit(tmp_path / "submission", poor)
    expected = score_submission(dataset_name, folder, root=made.root)
    labels = tmp_path / "labels"
    shutil.move(made.root / IMAGES[dataset_name], labels)
    shutil.rmtree(made.root)
    found = score_submission(dataset_name, folder, root=labels)
    for protocol, scores in expected.results.items():
        assert found.results[protocol] == pytest.approx(scores, nan_ok=True)


@pytest.mark.parametrize("dataset_name", JSONS)
def test_json_elsewhere_scores_as_the_benchmark(dataset_name: str, tmp_path: Path):
    made = make(tmp_path / "benchmarks", dataset_name)
    folder = made.submit(tmp_path / "submission", poor)
    expected = score_submission(dataset_name, folder, root=made.root)
    name, beside = JSONS[dataset_name]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(made.root / name, elsewhere / "mine.json")
    for folder_name in beside:
        shutil.copytree((made.root / name).parent / folder_name, elsewhere / folder_name)
    shutil.rmtree(made.root)
    found = score_submission(dataset_name, folder, root=elsewhere / "mine.json")
    for protocol, scores in expected.results.items():
        assert found.results[protocol] == pytest.approx(scores, nan_ok=True)


@pytest.mark.parametrize("shift", [0, 1000])
def test_categories_of_a_json_may_be_its_own(shift: int, tmp_path: Path):
    made = make(tmp_path, "ytvis_2019_train")
    folder = made.submit(tmp_path / "submission", poor)
    expected = score_submission("ytvis_2019_train", folder, root=made.root)
    path = made.root / "ytvis_2019" / "train.json"
    content = json.loads(path.read_text())
    for category in content["categories"]:
        category["id"] += shift
        category["name"] = f"my {category['name']}"
    tracks = json.loads((folder / "results.json").read_text())
    for entry in (*content["annotations"], *tracks):
        entry["category_id"] += shift
    path.write_text(json.dumps(content))
    (folder / "results.json").write_text(json.dumps(tracks))
    found = score_submission("ytvis_2019_train", folder, root=path)
    assert found.results["ap/youtube_vis"]["AP"] == expected.results["ap/youtube_vis"]["AP"]
    assert "AP-my person" in found.results["ap/youtube_vis"]


def test_panoptic_json_has_the_classes_of_its_benchmark(tmp_path: Path):
    made = make(tmp_path, "vipseg_val")
    (path,) = made.root.glob("**/*val.json")
    content = json.loads(path.read_text())
    infos = [
        info
        for video in content["annotations"]
        for frame in video["annotations"]
        for info in frame["segments_info"]
    ]
    for category in content["categories"]:
        category["id"] += 1
    for info in infos:
        info["category_id"] += 1
    path.write_text(json.dumps(content))
    classes = made.benchmark.classes
    shifted = replace(classes, name="mine", ids=tuple(id_ + 1 for id_ in classes.ids))
    own = replace(made.benchmark, name="mine", classes=shifted)
    benchmark, records = load_truth(own, "val", path)
    for before, after in zip(made.records, records, strict=True):
        expected = made.benchmark.read_labels(before, 0).segments
        found = benchmark.read_labels(after, 0).segments
        assert found.classes.tolist() == expected.classes.tolist()
        assert found.ids.tolist() == expected.ids.tolist()


def test_folder_of_a_benchmark_whose_frames_are_png_too(tmp_path: Path):
    made = make(tmp_path / "benchmarks", "camvid_val")
    folder = made.submit(tmp_path / "submission", poor)
    expected = score_submission("camvid_val", folder, root=made.root)
    assert list((made.root / "camvid" / "val").glob("*.png"))
    found = score_submission("camvid_val", folder, root=made.root / "camvid")
    assert found.results["vss/vspw"] == pytest.approx(expected.results["vss/vspw"], nan_ok=True)


def test_labels_beside_a_benchmark_are_those_that_are_meant(tmp_path: Path):
    made = make(tmp_path, "davis2017_val")
    folder = made.submit(tmp_path / "submission", poor)
    mine = tmp_path / "mine"
    shutil.copytree(folder, mine)
    shutil.rmtree(tmp_path / "DAVIS" / "JPEGImages")  # of the benchmark, which is not asked
    found = score_submission("davis2017_val", folder, root=mine)
    assert found.results["vos/davis2017"]["J&F"] == pytest.approx(100)


def test_labels_given_for_a_dataset_of_ones_own_are_those_that_are_meant(tmp_path: Path):
    made = make(tmp_path / "made", "davis2017_val")
    masks = made.root / "DAVIS" / "Annotations" / "480p"
    images = made.root / "DAVIS" / "JPEGImages" / "480p"
    name = "registered_for_its_labels"
    benchmark = register_video_folder(name, images=images, masks=masks, task="evs")
    try:
        folder = made.submit(tmp_path / "submission", poor)
        mine = shutil.copytree(folder, tmp_path / "mine")
        scores = [
            score_submission(name, folder, root=root, protocols=["vos/davis2017"])
            for root in (masks, mine)
        ]
        registered, given = (found.results["vos/davis2017"]["J&F"] for found in scores)
        assert registered < 99
        assert given == pytest.approx(100)
    finally:
        unregister(benchmark)


def test_file_is_no_truth_where_labels_are_images(tmp_path: Path):
    (tmp_path / "val.txt").write_text("\n")
    with pytest.raises(ValueError, match=r"val\.txt is a file, but vspw has its labels in folders"):
        score_submission("vspw_val", tmp_path, root=tmp_path / "val.txt")
