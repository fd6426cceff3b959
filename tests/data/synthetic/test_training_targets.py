"""Made and checked by commands, loaded by name: a batch asks for what was made, bit for bit."""

import itertools
from pathlib import Path

import pytest

from detectron2.config import CfgNode, get_cfg

from gvseg.cli import main
from gvseg.config import add_gvseg_config
from gvseg.data import build_test_loader, build_train_loader, get_benchmark
from gvseg.data.benchmark import annotated_frames
from gvseg.data.loader import load_records
from gvseg.data.synthetic.formats import FORMATS
from gvseg.data.synthetic.scene import make_videos
from tests.data.synthetic.round_trip import check_video
from tests.data.synthetic.sample_checks import check_images, check_targets

SIZE = (48, 64)
NUM_VIDEOS, NUM_FRAMES = 3, 6


def plain_config(dataset_name: str, num_frames: int) -> CfgNode:
    """Return a config under which clips stay as they are on disk."""
    benchmark = get_benchmark(dataset_name)
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.DATASETS.TRAIN = (dataset_name,)
    cfg.MODEL.GVSEG.TASK = benchmark.task.value
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = len(benchmark.classes)
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.MIN_SIZE_TRAIN = (SIZE[0],)
    cfg.INPUT.RANDOM_FLIP = "none"
    cfg.INPUT.SAMPLING_FRAME_NUM = num_frames
    cfg.SOLVER.IMS_PER_BATCH = NUM_VIDEOS
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SEED = 0
    return cfg


@pytest.mark.parametrize("format_name", FORMATS)
def test_batch_asks_for_what_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
):
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    chosen, num_frames = FORMATS[format_name], 1 if FORMATS[format_name].is_still else NUM_FRAMES
    split = chosen.splits[0]
    dataset_name, benchmark = chosen.dataset_name(split), chosen.benchmark(split)
    size = ["--size", f"{SIZE[0]}x{SIZE[1]}", "--seed", "4"]
    numbers = ["--videos", str(NUM_VIDEOS), "--frames", str(num_frames)]
    assert main(["make-synthetic", "--format", format_name, *size, *numbers]) == 0
    assert main(["check-data", dataset_name, "--subset", "--workers", "1"]) == 0

    scene = chosen.scene(split, size=SIZE, num_frames=num_frames)
    videos = list(make_videos(scene, num_videos=NUM_VIDEOS, seed=4, split=split))
    records = load_records(dataset_name)
    made = {
        record["video_id"]: (record, video) for record, video in zip(records, videos, strict=True)
    }
    loader = build_train_loader(plain_config(dataset_name, min(num_frames, 2)))
    seen = set()
    for sample in itertools.chain(*itertools.islice(iter(loader), 2)):
        record, video = made[sample["video_id"]]
        assert sample["dataset_name"] == dataset_name
        check_images(sample, record)
        check_targets(sample, record, video, benchmark)
        seen.add(sample["video_id"])
    assert seen == made.keys(), "two batches are two epochs"

    tested = list(build_test_loader(plain_config(dataset_name, 1), dataset_name))
    assert [record["video_id"] for record in tested] == list(made)
    for record, video in zip(tested, videos, strict=True):
        check_video(benchmark, record, video, list(annotated_frames(record)))
