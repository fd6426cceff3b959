"""Loaders: endless batches of training samples, and the videos of a test set one by one."""

from __future__ import annotations

import itertools
import logging
import operator
from collections.abc import Iterable, Iterator, Sequence

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, DatasetFromList
from detectron2.data.build import build_batch_data_loader, build_detection_test_loader
from detectron2.utils import comm

from gvseg.data.benchmark import (
    Benchmark,
    Record,
    annotated_frames,
    check_labels,
    check_num_classes,
    check_task,
    get_benchmark,
)
from gvseg.data.class_table import ClassTable
from gvseg.data.clip_mapper import ClipMapper
from gvseg.data.sample import Sample

logger = logging.getLogger(__name__)


def build_train_loader(cfg: CfgNode, start_iter: int = 0) -> DataLoader:
    """Return endless batches, each a list of samples, mixed from all of `DATASETS.TRAIN`.

    A batch may mix datasets, tasks and class tables, as far as the model takes them: every sample
    says its `task` and `dataset_name`. With `SEED >= 0` sample i of a run is the same whatever the
    number of workers and of breaks.

    Args:
        cfg: the config.
        start_iter: iterations of an earlier run that this one continues, whose samples are skipped
            unread.

    Raises:
        ValueError: no dataset, one that the model cannot learn from or that has no labels, or
            ratios that do not fit them.
        FileNotFoundError: a dataset is not on disk.
    """
    names = cfg.DATASETS.TRAIN
    if not names:
        raise ValueError("DATASETS.TRAIN names no dataset.")
    check_model(cfg, names)
    if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
        raise ValueError(
            f"DATALOADER.SAMPLER_TRAIN is {cfg.DATALOADER.SAMPLER_TRAIN!r}; videos are drawn by "
            "DATASETS.DATASET_RATIO and INPUT.SAMPLING_UNIT, so leave it TrainingSampler."
        )
    seed = cfg.SEED if cfg.SEED >= 0 else comm.shared_random_seed()
    sources = [_training_source(cfg, name) for name in names]
    sampler = MixtureSampler(
        [len(source) for source in sources],
        cfg.DATASETS.DATASET_RATIO,
        seed,
        first_draw=start_iter * cfg.SOLVER.IMS_PER_BATCH,
    )
    return build_batch_data_loader(
        ClipDataset(sources, seed),
        sampler,
        cfg.SOLVER.IMS_PER_BATCH,
        aspect_ratio_grouping=False,
        num_workers=cfg.DATALOADER.NUM_WORKERS,
    )


def check_model(cfg: CfgNode, dataset_names: Sequence[str]) -> None:
    """Raise a ValueError unless the model can learn from all of the datasets at once."""
    if len(class_tables(dataset_names)) > 1 and not cfg.MODEL.GVSEG.LABEL_SETS:
        raise ValueError(
            f"The datasets {', '.join(dataset_names)} have different classes; name one of each "
            "class table in MODEL.GVSEG.LABEL_SETS."
        )
    for name in dataset_names:
        check_task(cfg, name)
        check_num_classes(cfg, name)


def copy_paste_prob(cfg: CfgNode, benchmark: Benchmark) -> float:
    """Return the share of clips that get objects of another, which take a task that has objects."""
    share: float = cfg.INPUT.COPY_PASTE_PROB
    return share if benchmark.task.has_instances else 0.0


def class_tables(dataset_names: Iterable[str]) -> dict[str, ClassTable]:
    """Return the class tables of datasets by name, in the order in which they first come.

    Raises:
        ValueError: two tables with one name are not the same.
    """
    tables: dict[str, ClassTable] = {}
    for dataset_name in dataset_names:
        table = get_benchmark(dataset_name).classes
        known = tables.setdefault(table.name, table)
        if (known.names, known.is_thing) != (table.names, table.is_thing):
            raise ValueError(
                f"The class table of {dataset_name} is called {table.name!r}, as another one with "
                "other classes is; give it a name of its own."
            )
    return tables


def build_test_loader(cfg: CfgNode, dataset_name: str) -> DataLoader:
    """Return the records of this process's share of a dataset, one video at a time.

    Frames are not read: whoever runs the video streams `record["file_names"]` by `read_frame`.
    """
    records = load_records(dataset_name)
    return build_detection_test_loader(
        records,
        mapper=None,
        sampler=VideoSampler([record["length"] for record in records]),
        collate_fn=operator.itemgetter(0),
    )


def load_records(dataset_name: str) -> list[Record]:
    """Return all videos of a dataset, each with its `dataset_name`.

    Raises:
        ValueError: the name is unknown, or the dataset has no video.
    """
    get_benchmark(dataset_name)  # a dataset that is not of ours has records of another kind
    records = DatasetCatalog.get(dataset_name)
    if not records:
        raise ValueError(f"Dataset {dataset_name} has no video.")
    return [dict(record, dataset_name=dataset_name) for record in records]


class TrainingSource:
    """The records of one dataset and how clips are drawn from them.

    Args:
        records: the videos.
        mapper: turns a record into a sample.
        each_frame: an epoch visits every annotated frame as key frame once, not every video.
        copy_paste_prob: share of clips that get objects of another one.
    """

    def __init__(
        self,
        *,
        records: Sequence[Record],
        mapper: ClipMapper,
        each_frame: bool,
        copy_paste_prob: float,
    ) -> None:
        self.mapper = mapper
        self.copy_paste_prob = copy_paste_prob
        num_frames = [len(annotated_frames(record)) for record in records]
        # Keyed by position: which video and, where every frame counts, which key frame.
        self._video_of_item = np.repeat(np.arange(len(records)), num_frames if each_frame else 1)
        first_items = np.cumsum([0, *num_frames[:-1]])
        self._first_items = first_items if each_frame else None
        self._records = DatasetFromList(list(records))

    def __len__(self) -> int:
        return len(self._video_of_item)

    def draw(self, item: int, rng: np.random.Generator) -> Sample | None:
        """Return a sample of one item, or None where nothing was left to segment."""
        video = int(self._video_of_item[item])
        record, key_frame = self._records[video], None
        if self._first_items is not None:
            key_frame = annotated_frames(record)[item - int(self._first_items[video])]
        donor = None
        if rng.random() < self.copy_paste_prob:
            donor = self._records[int(rng.integers(len(self._records)))]
        return self.mapper(record, rng, key_frame=key_frame, donor=donor)


class ClipDataset(Dataset):
    """Samples by (draw number, source, item), as `MixtureSampler` asks for them.

    The draw number seeds everything that is random in a sample. A record that gives no sample is
    replaced by others of the same source, drawn at random.
    """

    _max_records = 20  # tried for one sample; more means that something is wrong with the data

    def __init__(self, sources: Sequence[TrainingSource], seed: int) -> None:
        self.sources = sources
        self.seed = seed

    def __getitem__(self, key: tuple[int, int, int]) -> Sample:
        if get_worker_info() is not None:
            cv2.setNumThreads(0)  # workers are the parallelism; their threads would fight for cores
        draw_number, source_index, item = key
        source = self.sources[source_index]
        rng = np.random.default_rng((self.seed, draw_number))
        for _ in range(self._max_records):
            sample = source.draw(item, rng)
            if sample is not None:
                return sample
            item = int(rng.integers(len(source)))
        raise ValueError(
            f"{self._max_records} records of {source.mapper.benchmark.name} in a row gave a clip "
            "without any object; check the annotations (in images of objects, 0 and 255 are none) "
            "and the strength of INPUT's crop and scales."
        )


class VideoSampler(Sampler[int]):
    """This process's share of the videos of a test set, in their order.

    Shares follow each other and have much the same number of frames: a process has the videos whose
    middle lies in its part of all frames, so none has more than an even share and one video.

    Args:
        lengths: frames of each video.
    """

    def __init__(self, lengths: Sequence[int]) -> None:
        frames = np.array(lengths)
        middles = np.cumsum(frames) - frames / 2
        process = (middles / frames.sum() * comm.get_world_size()).astype(int)
        self._videos = np.flatnonzero(process == comm.get_rank()).tolist()

    def __iter__(self) -> Iterator[int]:
        return iter(self._videos)

    def __len__(self) -> int:
        return len(self._videos)


class MixtureSampler(Sampler[tuple[int, int, int]]):
    """Endless (draw number, source, item), each source visited in shuffled epochs of its own.

    Args:
        sizes: items of each source.
        ratio: relative share of each source in the draws; empty means by size.
        seed: the same in all processes, each of which has one draw of every round.
        first_draw: number of the draw to begin with, counted over all processes.
    """

    def __init__(
        self, sizes: Sequence[int], ratio: Sequence[float], seed: int, *, first_draw: int = 0
    ) -> None:
        if ratio and (len(ratio) != len(sizes) or min(ratio) < 0 or sum(ratio) <= 0):
            raise ValueError(
                f"DATASETS.DATASET_RATIO is {list(ratio)}; it needs one share for each of the "
                f"{len(sizes)} datasets, none negative."
            )
        shares = np.array(ratio if ratio else sizes, dtype=float)
        self.shares = shares / shares.sum()
        self.sizes = sizes
        self.seed = seed
        self.first_draw = first_draw
        # Workers iterate, and one that was spawned, not forked, knows of no other process.
        self.rank, self.world_size = comm.get_rank(), comm.get_world_size()

    def __iter__(self) -> Iterator[tuple[int, int, int]]:
        draws = self._draws()
        for round_number in itertools.count():
            drawn = list(itertools.islice(draws, self.world_size))
            if drawn[-1][0] < self.first_draw:
                continue
            # Sources come in a pattern that may repeat in step with the processes; no process is to
            # have always the same.
            order = np.random.default_rng((self.seed, round_number)).permutation(self.world_size)
            mine = drawn[order[self.rank]]
            if mine[0] >= self.first_draw:
                yield mine

    def _draws(self) -> Iterator[tuple[int, int, int]]:
        """Yield the draws of all processes."""
        rng = np.random.default_rng(self.seed)
        epochs: list[Iterator[int]] = [iter(()) for _ in self.sizes]
        shares = self.shares.tolist()
        num_drawn = [0] * len(shares)
        for draw_number in itertools.count():
            # The source furthest behind its share is next, so that short runs keep the ratio too.
            behind = [
                share * (draw_number + 1) - num
                for share, num in zip(shares, num_drawn, strict=True)
            ]
            source = behind.index(max(behind))
            item = next(epochs[source], None)
            if item is None:
                epochs[source] = iter(rng.permutation(self.sizes[source]).tolist())
                item = next(epochs[source])
            num_drawn[source] += 1
            yield draw_number, source, item


def _training_source(cfg: CfgNode, dataset_name: str) -> TrainingSource:
    benchmark = get_benchmark(dataset_name)
    records = load_records(dataset_name)
    check_labels(records, dataset_name)
    if cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS:
        kept = [record for record in records if _has_annotations(record)]
        logger.info(
            "%s: left out %d of %d videos without any object.",
            dataset_name,
            len(records) - len(kept),
            len(records),
        )
        records = kept
    num_frames = sum(len(annotated_frames(record)) for record in records)
    logger.info("%s: %d videos, %d annotated frames", dataset_name, len(records), num_frames)
    if not records:
        raise ValueError(f"{dataset_name} has no video with an object to learn from.")
    unit = cfg.INPUT.SAMPLING_UNIT
    if unit not in ("video", "frame"):
        raise ValueError(f"INPUT.SAMPLING_UNIT is {unit!r}; choose video or frame.")
    return TrainingSource(
        records=records,
        mapper=ClipMapper(cfg, benchmark),
        each_frame=unit == "frame",
        copy_paste_prob=copy_paste_prob(cfg, benchmark),
    )


def _has_annotations(record: Record) -> bool:
    """Whether a record has an object that is no crowd, which only records with lists can tell."""
    if "tracks" in record:
        return any(not track["iscrowd"] for track in record["tracks"])
    if "annotations" in record:
        return any(not entry["iscrowd"] for frame in record["annotations"] for entry in frame)
    return True
