import itertools
import json
import pickle
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from detectron2.config import CfgNode, get_cfg
from detectron2.utils import comm

from gvseg.config import add_gvseg_config
from gvseg.data import loader
from gvseg.data.benchmark import get_benchmark, register, unregister
from gvseg.data.loader import (
    ClipDataset,
    MixtureSampler,
    VideoSampler,
    build_test_loader,
    build_train_loader,
    class_tables,
    load_records,
)
from tests.data.vps_benchmark import vps_benchmark


def train_cfg(*names: str, num_classes: int, **changes) -> CfgNode:
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.DATASETS.TRAIN = names
    cfg.MODEL.GVSEG.TASK = "vss" if "camvid_train" in names else "vis"
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = num_classes
    cfg.INPUT.MIN_SIZE_TRAIN = (36, 48)
    cfg.SOLVER.IMS_PER_BATCH = 2
    cfg.DATALOADER.NUM_WORKERS = 0
    cfg.SEED = 3
    cfg.merge_from_list(
        [part for key, value in changes.items() for part in (key.replace("__", "."), value)]
    )
    return cfg


def first_samples(cfg: CfgNode, num_batches: int, start_iter: int = 0) -> list[dict]:
    batches = itertools.islice(iter(build_train_loader(cfg, start_iter)), num_batches)
    return [sample for batch in batches for sample in batch]


def fingerprints(samples: list[dict]) -> list[tuple]:
    return [
        (sample["video_id"], *sample["frame_indices"], int(torch.stack(sample["images"]).sum()))
        for sample in samples
    ]


def test_batches_hold_as_many_samples_as_asked(small_benchmarks: Path):
    cfg = train_cfg("camvid_train", num_classes=11, SOLVER__IMS_PER_BATCH=3)
    batch = next(iter(build_train_loader(cfg)))
    assert len(batch) == 3
    assert {sample["dataset_name"] for sample in batch} == {"camvid_train"}


def test_seed_fixes_every_sample_whatever_the_number_of_workers(small_benchmarks: Path):
    alone, with_workers, other_seed = (
        fingerprints(
            first_samples(
                train_cfg(
                    "coco128_train",
                    num_classes=80,
                    INPUT__SAMPLING_FRAME_NUM=2,
                    INPUT__COPY_PASTE_PROB=0.5,
                    DATALOADER__NUM_WORKERS=num_workers,
                    SEED=seed,
                ),
                4,
            )
        )
        for num_workers, seed in ((0, 3), (2, 3), (0, 4))
    )
    assert alone == with_workers
    assert alone != other_seed


@pytest.mark.parametrize("num_workers", [0, 2])
def test_continued_run_reads_what_comes_next(small_benchmarks: Path, num_workers: int):
    cfg = train_cfg("camvid_train", num_classes=11, DATALOADER__NUM_WORKERS=num_workers)
    whole = fingerprints(first_samples(cfg, 5))
    assert fingerprints(first_samples(cfg, 3, start_iter=2)) == whole[4:]


def test_draws_of_one_video_differ(small_benchmarks: Path):
    cfg = train_cfg("coco128_train", num_classes=80, INPUT__SAMPLING_FRAME_NUM=2)
    drawn = fingerprints(first_samples(cfg, 6))
    assert len(set(drawn)) == len(drawn)


def test_images_without_objects_are_left_out(small_benchmarks: Path):
    cfg = train_cfg("coco128_train", num_classes=80)
    assert {sample["video_id"] for sample in first_samples(cfg, 10)} == {3, 7}


def test_record_without_objects_is_replaced_by_another(small_benchmarks: Path):
    cfg = train_cfg("coco128_train", num_classes=80, DATALOADER__FILTER_EMPTY_ANNOTATIONS=False)
    samples = first_samples(cfg, 10)
    assert {sample["video_id"] for sample in samples} == {3, 7}
    assert all(len(sample["instances"][0]) > 0 for sample in samples)


def remove_annotations(root: Path) -> None:
    path = root / "coco128" / "instances_train2017.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"annotations": []}))


def test_dataset_without_any_object_is_named(small_benchmarks: Path):
    remove_annotations(small_benchmarks)
    with pytest.raises(ValueError, match="coco128_train has no video with an object"):
        build_train_loader(train_cfg("coco128_train", num_classes=80))


def test_search_for_an_object_ends_in_an_error(small_benchmarks: Path):
    remove_annotations(small_benchmarks)
    cfg = train_cfg("coco128_train", num_classes=80, DATALOADER__FILTER_EMPTY_ANNOTATIONS=False)
    with pytest.raises(ValueError, match="20 records of coco128 in a row gave a clip without"):
        first_samples(cfg, 1)


def test_epoch_over_frames_has_each_as_key_frame_once(small_benchmarks: Path):
    by_frame = train_cfg("camvid_train", num_classes=11, INPUT__SAMPLING_UNIT="frame")
    by_frame.SOLVER.IMS_PER_BATCH = 5  # the frames of the split
    epoch = Counter(sample["file_names"][0] for sample in first_samples(by_frame, 1))
    assert len(epoch) == 5
    by_video = train_cfg("camvid_train", num_classes=11)
    by_video.SOLVER.IMS_PER_BATCH = 3  # the videos of the split
    assert len({sample["video_id"] for sample in first_samples(by_video, 1)}) == 3


def test_datasets_of_one_table_are_mixed_by_ratio(small_benchmarks: Path):
    cfg = train_cfg(
        "camvid_train", "camvid_val", num_classes=11, DATASETS__DATASET_RATIO=[1.0, 3.0]
    )
    names = Counter(sample["dataset_name"] for sample in first_samples(cfg, 10))
    assert names == {"camvid_train": 5, "camvid_val": 15}


def test_batches_mix_tasks_and_class_tables_where_the_model_takes_them(
    small_benchmarks: Path, monkeypatch: pytest.MonkeyPatch
):
    names = ("camvid_train", "coco128_train")
    cfg = train_cfg(*names, num_classes=11, DATASETS__DATASET_RATIO=[1.0, 1.0])
    monkeypatch.setattr(loader, "check_model", lambda cfg, names: None)
    for batch in itertools.islice(iter(build_train_loader(cfg)), 4):
        assert {(sample["dataset_name"], sample["task"]) for sample in batch} == {
            ("camvid_train", "vss"),
            ("coco128_train", "vis"),
        }
        for sample in batch:
            assert ("sem_seg" in sample, "instances" in sample) == (
                (True, False) if sample["task"] == "vss" else (False, True)
            )


def test_datasets_of_one_table_share_it(small_benchmarks: Path):
    tables = class_tables(["coco128_train", "camvid_train", "camvid_val"])
    assert {name: len(table) for name, table in tables.items()} == {
        get_benchmark(name).classes.name: num
        for name, num in (("coco128_train", 80), ("camvid_val", 11))
    }


def test_two_tables_of_one_name_are_refused(tmp_path: Path):
    benchmark = vps_benchmark(tmp_path)
    table = replace(benchmark.classes, name=get_benchmark("camvid_val").classes.name)
    benchmark = replace(benchmark, classes=table)
    register(benchmark)
    with pytest.raises(ValueError, match="small_vps_train is called 'CamVid, 11 classes', as"):
        class_tables(["camvid_val", "small_vps_train"])
    unregister(benchmark)


@pytest.fixture
def sparse_vps(tmp_path: Path) -> Iterator[Callable[[list[int]], None]]:
    """Register a video of which only the frames given are annotated."""
    registered = []

    def register_sparse(frames: list[int]) -> None:
        benchmark = vps_benchmark(tmp_path)
        (record,) = benchmark.load_records(tmp_path, "train")
        sparse = record | {"annotated_frames": frames}
        benchmark = replace(benchmark, load_records=lambda root, split: [sparse])
        register(benchmark)
        registered.append(benchmark)

    yield register_sparse
    for benchmark in registered:
        unregister(benchmark)


def test_epoch_over_frames_visits_those_with_labels(sparse_vps: Callable):
    sparse_vps([1, 4, 6])
    cfg = train_cfg(
        "small_vps_train", num_classes=4, MODEL__GVSEG__TASK="vps", INPUT__SAMPLING_UNIT="frame"
    )
    frames = [sample["frame_indices"] for sample in first_samples(cfg, 3)]
    assert sorted(frames) == [[1], [1], [4], [4], [6], [6]]


def test_dataset_with_hidden_labels_is_no_training_set(sparse_vps: Callable):
    sparse_vps([])
    cfg = train_cfg("small_vps_train", num_classes=4, MODEL__GVSEG__TASK="vps")
    message = "small_vps_train cannot be trained on: labels are hidden of 1 of its 1 videos"
    with pytest.raises(ValueError, match=message):
        build_train_loader(cfg)


def test_panoptic_samples_have_instances_and_stuff(tmp_path: Path):
    benchmark = vps_benchmark(tmp_path)
    register(benchmark)
    cfg = train_cfg(
        "small_vps_train", num_classes=4, INPUT__SAMPLING_FRAME_NUM=3, MODEL__GVSEG__TASK="vps"
    )
    samples = first_samples(cfg, 2)
    unregister(benchmark)
    for sample in samples:
        assert len(sample["instances"]) == len(sample["sem_seg"]) == 3
        for instances, sem_seg, image in zip(
            sample["instances"], sample["sem_seg"], sample["images"], strict=True
        ):
            assert instances.gt_masks.tensor.shape[1:] == sem_seg.shape == image.shape[1:]
            assert not (instances.gt_masks.tensor.any(0) & (sem_seg != 255)).any()


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        (train_cfg(num_classes=11), "TRAIN names no dataset"),
        (train_cfg("camvid_train", "coco128_train", num_classes=11), "have different classes"),
        (train_cfg("camvid_train", num_classes=80), "NUM_CLASSES is 80, but camvid_train has 11"),
        (
            train_cfg("coco128_train", num_classes=80, MODEL__GVSEG__TASK="vss"),
            "MODEL.GVSEG.TASK is vss, but coco128_train is a dataset for vis",
        ),
        (train_cfg("cityscapes", num_classes=11), "Unknown dataset 'cityscapes'"),
        (
            train_cfg("camvid_train", num_classes=11, INPUT__SAMPLING_UNIT="clip"),
            "SAMPLING_UNIT is 'clip'",
        ),
        (
            train_cfg("camvid_train", num_classes=11, DATASETS__DATASET_RATIO=[1.0, 2.0]),
            r"DATASET_RATIO is \[1.0, 2.0\]; it needs one share for each of the 1",
        ),
    ],
)
def test_wrong_config_is_named(small_benchmarks: Path, cfg: CfgNode, message: str):
    with pytest.raises(ValueError, match=message):
        build_train_loader(cfg)


def test_test_loader_yields_the_records_in_order_unread(small_benchmarks: Path):
    records = load_records("camvid_train")
    videos = build_test_loader(train_cfg(num_classes=11), "camvid_train")
    for record in records:
        for path in record["file_names"]:
            Path(path).unlink()
    assert len(videos) == 3
    assert list(videos) == records
    assert {record["dataset_name"] for record in records} == {"camvid_train"}


class TestVideoSampler:
    def shares(
        self, monkeypatch: pytest.MonkeyPatch, lengths: list[int], num_processes: int
    ) -> list[list[int]]:
        monkeypatch.setattr(comm, "get_world_size", lambda: num_processes)
        shares = []
        for rank in range(num_processes):
            monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
            shares.append(list(VideoSampler(lengths)))
        return shares

    @pytest.mark.parametrize("num_processes", [1, 2, 3, 8, 50])
    def test_every_video_is_in_one_share_and_no_share_is_long(
        self, monkeypatch: pytest.MonkeyPatch, num_processes: int
    ):
        rng = np.random.default_rng(0)
        lengths = rng.integers(1, 500, 40).tolist()
        shares = self.shares(monkeypatch, lengths, num_processes)
        assert [video for share in shares for video in share] == list(range(40))
        frames = [sum(lengths[video] for video in share) for share in shares]
        assert max(frames) <= sum(lengths) / num_processes + max(lengths)

    def test_long_videos_weigh_more(self, monkeypatch: pytest.MonkeyPatch):
        assert self.shares(monkeypatch, [30, 10, 10, 10], 2) == [[0], [1, 2, 3]]


class TestMixtureSampler:
    def draws(self, num: int, **kwargs) -> list[tuple[int, int, int]]:
        return list(itertools.islice(MixtureSampler(**kwargs), num))

    def test_each_source_is_visited_in_whole_epochs(self):
        drawn = self.draws(300, sizes=[7, 20], ratio=[1, 2], seed=0)
        for source, size in enumerate((7, 20)):
            items = [item for _, drawn_source, item in drawn if drawn_source == source]
            for start in range(0, len(items) - size, size):
                assert sorted(items[start : start + size]) == list(range(size))

    def test_shares_hold_at_every_moment(self):
        sources = [
            source for _, source, _ in self.draws(200, sizes=[5, 5, 5], ratio=[1, 2, 5], seed=0)
        ]
        for end in range(1, 201):
            counts = np.bincount(sources[:end], minlength=3)
            assert np.abs(counts - end * np.array([1, 2, 5]) / 8).max() <= 1.5

    def test_without_ratio_large_sources_are_drawn_more(self):
        counts = Counter(
            source for _, source, _ in self.draws(90, sizes=[10, 20], ratio=[], seed=0)
        )
        assert counts == {0: 30, 1: 60}

    def test_processes_share_one_stream(self, monkeypatch: pytest.MonkeyPatch):
        whole = self.draws(12, sizes=[5], ratio=[], seed=9)
        assert [number for number, _, _ in whole] == list(range(12))
        monkeypatch.setattr(comm, "get_world_size", lambda: 3)
        parts = []
        for rank in range(3):
            monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
            parts.append(self.draws(4, sizes=[5], ratio=[], seed=9))
        for index, drawn in enumerate(zip(*parts, strict=True)):
            assert sorted(drawn) == whole[3 * index : 3 * index + 3]

    @pytest.mark.parametrize("ratio", [[1, 1], [3, 1], [0.25, 0.2, 0.25, 0.3]])
    @pytest.mark.parametrize("num_processes", [2, 8])
    def test_every_process_sees_every_source(self, ratio, num_processes, monkeypatch):
        monkeypatch.setattr(comm, "get_world_size", lambda: num_processes)
        shares = np.array(ratio) / sum(ratio)
        for rank in range(num_processes):
            monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
            drawn = self.draws(500, sizes=[5] * len(ratio), ratio=ratio, seed=9)
            counts = np.bincount([source for _, source, _ in drawn], minlength=len(ratio))
            assert np.abs(counts / 500 - shares).max() < 0.1

    def test_process_is_remembered_where_workers_cannot_ask(self, monkeypatch: pytest.MonkeyPatch):
        """A spawned worker gets the sampler pickled, and is itself process 0 of 1."""
        whole = self.draws(6, sizes=[5], ratio=[], seed=9)
        with monkeypatch.context() as in_training:
            in_training.setattr(comm, "get_world_size", lambda: 2)
            in_training.setattr(comm, "get_rank", lambda: 1)
            sampler = MixtureSampler([5], [], 9)
            content = pickle.dumps(sampler)
        there = list(itertools.islice(pickle.loads(content), 3))
        assert there == list(itertools.islice(sampler, 3))
        assert all(draw in whole[2 * index : 2 * index + 2] for index, draw in enumerate(there))

    def test_first_draw_counts_those_of_all_processes(self, monkeypatch: pytest.MonkeyPatch):
        sources = {"sizes": [5, 7], "ratio": [], "seed": 9}
        whole = self.draws(40, **sources)
        assert self.draws(20, **sources, first_draw=20) == whole[20:]
        monkeypatch.setattr(comm, "get_world_size", lambda: 2)
        monkeypatch.setattr(comm, "get_rank", lambda: 1)
        assert self.draws(10, **sources, first_draw=20) == self.draws(20, **sources)[10:]

    @pytest.mark.parametrize("ratio", [[1.0], [1.0, -1.0], [0.0, 0.0]])
    def test_impossible_ratio_is_named(self, ratio: list[float]):
        with pytest.raises(ValueError, match="one share for each of the 2 datasets"):
            MixtureSampler([3, 4], ratio, seed=0)


def test_dataset_seeds_each_sample_by_its_draw_number():
    class Source:
        def __len__(self) -> int:
            return 1

        def draw(self, item: int, rng: np.random.Generator) -> float:
            return rng.random()

    dataset = ClipDataset([Source()], seed=0)
    assert dataset[0, 0, 0] == dataset[0, 0, 0]
    assert dataset[0, 0, 0] != dataset[1, 0, 0]
    assert dataset[0, 0, 0] != ClipDataset([Source()], seed=1)[0, 0, 0]
