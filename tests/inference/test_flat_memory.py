"""What a run holds does not grow with the video: every task and every linker."""

import ctypes
import gc
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog

from gvseg.config import add_gvseg_config
from gvseg.inference.journal import Journal
from gvseg.inference.linking import LINKERS
from gvseg.inference.predictor import VideoPredictor
from tests.inference.followed_video import ColorFollower
from tests.inference.painted_video import COLORS, LEGEND, ColorSegmenter, paint
from tests.tiny_model import FIVE_CLASSES, build_tiny, tiny_config

DATASET = "painted_for_ever"
OBJECTS = "objects_painted_for_ever"
SETTLED = 100  # frames after which nothing may be added
PEAK_OF = 50  # frames
SIZE = (128, 256)
SLOW_SIZE = (64, 96)
GROWTH = 0.02  # what the allocator may hold more of; who keeps all masks has three times as much

# Task, linker, WINDOW and OVERLAP.
WAYS = [
    ("vis", "QuerySimilarityLinker", 1, 0),
    ("vis", "ShapePositionLinker", 3, 0),
    ("vis", "LocationAwareLinker", 3, 1),
    ("vps", "QuasiDenseLinker", 1, 0),
    ("vps", "VideoStitchingLinker", 2, 1),
    ("vss", "QuerySimilarityLinker", 1, 0),
    ("evs", "QuerySimilarityLinker", 2, 1),
]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Restless(ColorSegmenter):
    """Finds colours, but never describes one as it did before: identities are born and die."""

    def __init__(self, embed_dim):
        super().__init__()
        self.embed_dim = embed_dim
        self.random = torch.Generator().manual_seed(0)

    def segment_clip(self, frames, requests=()):
        prediction = super().segment_clip(frames, requests)
        self.windows_seen.clear()
        num_queries = prediction.query_embeds.shape[1]
        prediction.query_embeds = torch.randn(1, num_queries, self.embed_dim, generator=self.random)
        return prediction


class Follower(ColorFollower):
    """Follows colours without a record of what it was asked."""

    def segment_clip(self, frames, requests=()):
        prediction = super().segment_clip(frames, requests)
        self.asked.clear()
        return prediction


class Meter:
    """A writer that notes how much memory the process holds, in bytes."""

    def __init__(self):
        self.files = []
        self.held = []

    def open(self, video):
        give_back_free_memory()

    def write(self, frame, segments):
        self.held.append(resident_bytes())

    def close(self):
        pass

    @property
    def growth(self):
        """How much larger the peak of the last frames is than that of those up to `SETTLED`.

        In between the process holds more or less of what a window needs for a moment.
        """
        before, after = self.held[SETTLED - PEAK_OF : SETTLED], self.held[-PEAK_OF:]
        return max(after) / max(before) - 1


class Hoarder(Meter):
    """Does what must not be done: keeps all masks until the end."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def write(self, frame, segments):
        self.kept.append(segments.masks.astype(np.float32))
        super().write(frame, segments)


def give_back_free_memory():
    """Have what earlier tests freed count no more: new allocations would hide in it."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None:
        pytest.skip("needs glibc, whose free memory can be given back")
    gc.collect()
    trim(0)


def resident_bytes():
    num_pages = int(Path("/proc/self/statm").read_text().split()[1])
    return num_pages * 4096


@pytest.fixture(autouse=True)
def dataset():
    things = {index: index for index in range(3)}
    MetadataCatalog.get(DATASET).set(
        thing_classes=list(LEGEND.names),
        thing_colors=list(LEGEND.colors),
        class_is_thing=LEGEND.is_thing,
        thing_dataset_id_to_contiguous_id=things,
    )
    MetadataCatalog.get(OBJECTS).set(thing_classes=["object"], thing_colors=[[255, 0, 0]])
    yield
    MetadataCatalog.remove(DATASET)
    MetadataCatalog.remove(OBJECTS)


def make_predictor(task, linker, window, overlap):
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.DATASETS.TEST = (OBJECTS if task == "evs" else DATASET,)
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.MODEL.GVSEG.TASK = task
    cfg.MODEL.LINKER.NAME = linker
    cfg.MODEL.GVSEG.TEST.WINDOW = window
    cfg.MODEL.GVSEG.TEST.OVERLAP = overlap
    cfg.MODEL.GVSEG.TEST.SCORE_THRESHOLD = 0.5
    embed_dim = cfg.MODEL.MASK_FORMER.HIDDEN_DIM
    if task != "evs":
        return VideoPredictor(cfg, model=Restless(embed_dim))
    predictor = VideoPredictor(cfg, model=Follower())
    predictor.add_exemplar(point=(8, 8), frame_index=0)
    return predictor


def endless(num_frames, size):
    """Boxes that come, jump about and go; a red one is there for ever."""
    rng = np.random.default_rng(0)
    height, width = size
    for _ in range(num_frames):
        boxes = {0: (0, 0, 16, 16)}
        for color in range(1, len(COLORS)):
            top, left = rng.integers(16, height - 16), rng.integers(16, width - 16)
            if rng.random() < 0.7:
                boxes[color] = (top, left, top + 16, left + 16)
        yield paint(size, boxes)


def test_every_linker_is_here():
    assert {linker for _, linker, _, _ in WAYS} == {name for name, _ in LINKERS}


@pytest.mark.parametrize(("task", "linker", "window", "overlap"), WAYS)
def test_what_is_held_does_not_grow(tmp_path, task, linker, window, overlap):
    meter, journal = Meter(), Journal(tmp_path, {})
    predictor = make_predictor(task, linker, window, overlap)
    predictor.run(endless(3 * SETTLED, SIZE), [meter], journal=journal)
    assert len(meter.held) == 3 * SETTLED
    assert meter.growth < GROWTH


def test_one_who_keeps_the_masks_of_all_frames_is_noticed():
    hoarder = Hoarder()
    make_predictor(*WAYS[0]).run(endless(3 * SETTLED, SIZE), [hoarder])
    assert hoarder.growth > GROWTH


@pytest.mark.slow
@pytest.mark.parametrize(("task", "linker", "window", "overlap"), WAYS)
def test_what_is_held_does_not_grow_in_5000_frames(tmp_path, task, linker, window, overlap):
    meter, journal = Meter(), Journal(tmp_path, {})
    predictor = make_predictor(task, linker, window, overlap)
    predictor.run(endless(5000, SLOW_SIZE), [meter], journal=journal)
    assert len(meter.held) == 5000
    assert meter.growth < GROWTH


@pytest.mark.slow
@pytest.mark.parametrize("task", ["vis", "vps", "vss"])
def test_what_a_real_network_holds_does_not_grow(task):
    overrides = ("MODEL.GVSEG.TASK", task, "DATASETS.TEST", f"('{DATASET}',)")
    cfg = tiny_config(*FIVE_CLASSES, *overrides, "INPUT.MIN_SIZE_TEST", "0")
    meter = Meter()
    VideoPredictor(cfg, model=build_tiny(*overrides).eval()).run(endless(1000, SLOW_SIZE), [meter])
    assert meter.growth < GROWTH
