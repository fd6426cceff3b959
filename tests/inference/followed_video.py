"""A painted video whose objects are pointed out, and a segmenter that follows colours in it."""

import pytest
import torch
import torch.nn.functional as F

from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog

from gvseg.config import add_gvseg_config
from gvseg.inference.predictor import VideoPredictor
from gvseg.structures import TubePrediction
from tests.inference.painted_video import COLORS, ColorSegmenter, paint

DATASET = "painted_objects"
SIZE = (64, 96)
RED, GREEN, BLUE = range(3)
NUM_QUERIES = 6


class ColorFollower(ColorSegmenter):
    """Each object's query finds what has the colour that was read of it; the others find nothing.

    Keeps what it was asked, as the real model does what it read.
    """

    def __init__(self):
        super().__init__()
        self.asked = []
        self.num_reads = 0  # of exemplars

    def segment_clip(self, frames, requests=()):
        (request,) = requests
        self.num_reads += request.points is not None
        features = F.avg_pool2d(frames[0], 4)[None]  # (1, T, 3, h, w)
        objects = request.read(features[0])
        self.asked.append(0 if objects is None else len(objects.features))
        colors = torch.full((NUM_QUERIES, 3), -1000.0)
        if objects is not None:
            colors[: len(objects.features)] = objects.features
        distance = (features[:, None] - colors[None, :, None, :, None, None]).abs().amax(3)
        masks = 20 * (distance < 60).float() - 10  # (1, Q, T, h, w)
        is_there = (masks > 0).flatten(2).any(2)[..., None]
        class_logits = torch.where(is_there, torch.tensor([9.0, 0.0]), torch.tensor([0.0, 9.0]))
        embeds = torch.zeros(1, NUM_QUERIES, 4)
        return TubePrediction(class_logits, masks, embeds, features=features, objects=[objects])


@pytest.fixture(autouse=True)
def dataset():
    MetadataCatalog.get(DATASET).set(thing_classes=["object"], thing_colors=[[255, 0, 0]])
    yield
    MetadataCatalog.remove(DATASET)


def make_predictor(window=1, task="evs", model=None, overlap=0, **options):
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.DATASETS.TEST = (DATASET,)
    cfg.MODEL.GVSEG.TASK = task
    cfg.MODEL.GVSEG.TEST.WINDOW = window
    cfg.MODEL.GVSEG.TEST.OVERLAP = overlap
    cfg.MODEL.GVSEG.TEST.EXEMPLAR.update(options)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 1
    cfg.MODEL.LINKER.NAME = "QuerySimilarityLinker"
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.INPUT.FORMAT = "RGB"
    return VideoPredictor(cfg, model=model or ColorFollower())


def box_of(color, t):
    """Where a colour is in frame t: red walks and is hidden in 4 and 5, green and blue stand."""
    return {
        RED: None if t in (4, 5) else (8, 4 * t, 24, 4 * t + 16),
        GREEN: (40, 8, 56, 24),
        BLUE: (40, 64, 56, 80),
    }[color]


def frame(t):
    boxes = {color: box_of(color, t) for color in (RED, GREEN, BLUE)}
    return paint(SIZE, {color: box for color, box in boxes.items() if box is not None})


def mask_of(color, t):
    return (frame(t) == COLORS[color]).all(-1)


def exemplar(kind, color, t):
    top, left, bottom, right = box_of(color, t)
    return {
        "mask": {"mask": mask_of(color, t)},
        "box": {"box": (left, top, right, bottom)},
        "point": {"point": (left + 8, top + 8)},
    }[kind]


def run(predictor, num_frames=10):
    results = []

    class Collector:
        def __init__(self):
            self.files = []

        def open(self, video):
            pass

        def write(self, frame, segments):
            results.append(segments)

        def close(self):
            pass

    predictor.run([frame(t) for t in range(num_frames)], [Collector()])
    return results


def assert_found(segments, colors, t):
    """The colours in frame t, by the identity of each, and nothing else.

    Enlarged masks lack the corner pixels of boxes.
    """
    assert segments.ids.tolist() == list(colors)
    for position, color in enumerate(colors.values()):
        wrong = segments.mask(position) != mask_of(color, t)
        assert wrong.sum() <= 4
