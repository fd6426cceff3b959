"""Every format: what was made comes back bit for bit, as labels and as training samples."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from detectron2.config import get_cfg

from gvseg.config import add_gvseg_config
from gvseg.data.augmentation import PseudoMotion
from gvseg.data.benchmark import Benchmark, Record, annotated_frames
from gvseg.data.clip_mapper import ClipMapper
from gvseg.data.clip_sampling import ClipSampler, sample_consecutive
from gvseg.data.frames import read_frame
from gvseg.data.synthetic.formats import FORMATS, Format, get_format
from gvseg.data.synthetic.video import SyntheticVideo
from gvseg.tasks import Task
from tests.data.synthetic.round_trip import check_video, write_and_read
from tests.data.synthetic.sample_checks import check_exemplars, check_images, check_targets

SPLITS = [(name, split) for name, row in FORMATS.items() for split in row.splits]


class Written(NamedTuple):
    """A split on disk beside what was made."""

    row: Format
    benchmark: Benchmark
    pairs: list[tuple[Record, SyntheticVideo]]


@pytest.fixture(scope="module", params=SPLITS, ids="-".join)
def written(request, tmp_path_factory) -> Written:
    name, split = request.param
    row = get_format(name)
    root = tmp_path_factory.mktemp(name)
    num_frames = None if row.is_still else 6
    videos, records, benchmark = write_and_read(root, name, split, num_frames=num_frames)
    for record in records:
        record["dataset_name"] = row.dataset_name(split)
    return Written(row, benchmark, list(zip(records, videos, strict=True)))


def test_labels_are_those_that_were_made(written: Written):
    for record, video in written.pairs:
        identities = check_video(written.benchmark, record, video, list(annotated_frames(record)))
        segments, is_crowd = video.labels[0].segments, video.labels[0].is_crowd
        is_stuff = np.full(len(segments), not written.benchmark.task.has_instances)
        is_stuff |= ~np.array(written.benchmark.classes.is_thing)[segments.classes]
        for position, identity in identities.items():
            if is_stuff[position]:
                assert identity == segments.classes[position] + 1
            elif written.row.keeps_ids and not is_crowd[position]:
                assert identity == segments.ids[position]


def test_frames_are_those_that_were_made(written: Written):
    for record, video in written.pairs:
        for path, frame in zip(record["file_names"], video.frames, strict=True):
            read = read_frame(path)
            if Path(path).suffix == ".png":
                np.testing.assert_array_equal(read, frame)
            assert np.abs(read.astype(int) - frame).mean() < 3


def test_training_clip_holds_the_masks_that_were_made(written: Written):
    for record, video in written.pairs:
        if not annotated_frames(record):
            continue
        num_frames = min(2, len(annotated_frames(record)))
        mapper = ClipMapper(
            benchmark=written.benchmark,
            sampler=ClipSampler(partial(sample_consecutive, stride=1), num_frames),
            pseudo_motion=PseudoMotion(max_degrees=0, max_zoom=0, max_shift=0),
            augmentations=[],
        )
        sample = mapper(record, np.random.default_rng(0))
        assert set(sample["frame_indices"]) <= set(annotated_frames(record))
        check_images(sample, record)
        check_targets(sample, record, video, written.benchmark)


def test_test_clip_holds_all_frames_and_the_given_exemplars(written: Written):
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.MIN_SIZE_TEST = 48
    if written.benchmark.task is Task.EVS and written.benchmark.read_exemplars is None:
        pytest.skip("a split to train on: its exemplars are drawn")
    mapper = ClipMapper(cfg, written.benchmark, is_train=False)
    for record, video in written.pairs:
        sample = mapper(record, np.random.default_rng(0))
        assert sample["frame_indices"] == list(range(len(video.frames)))
        assert "instances" not in sample
        assert "sem_seg" not in sample
        check_images(sample, record)
        if written.benchmark.task is Task.EVS:
            check_exemplars(sample, record, video)
