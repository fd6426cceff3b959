import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from safetensors.torch import save_file

from detectron2.config import get_cfg
from detectron2.data import MetadataCatalog

from gvseg.config import add_gvseg_config
from gvseg.inference.frames import OnBadFrame
from gvseg.inference.predictor import VideoPredictor
from gvseg.inference.sources import ImageSource
from gvseg.inference.writers import build_writers
from tests.inference.painted_video import LEGEND, ColorSegmenter, crossing_video
from tests.tiny_model import FIVE_CLASSES, build_tiny, tiny_config

DATASET = "painted_for_the_predictor"


@pytest.fixture(autouse=True)
def dataset():
    things = {index: index for index in range(3)}
    MetadataCatalog.get(DATASET).set(
        thing_classes=list(LEGEND.names),
        thing_colors=list(LEGEND.colors),
        thing_dataset_id_to_contiguous_id=things,
    )
    yield
    MetadataCatalog.remove(DATASET)


def make_config(*overrides):
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.DATASETS.TEST = (DATASET,)
    cfg.MODEL.DEVICE = "cpu"
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.MODEL.LINKER.NAME = "QuerySimilarityLinker"  # painted embeddings are no descriptors
    cfg.merge_from_list(list(overrides))
    return cfg


def make_predictor(*overrides, model=None):
    overrides = ("INPUT.FORMAT", "RGB", "MODEL.GVSEG.TEST.SCORE_THRESHOLD", 0.5, *overrides)
    return VideoPredictor(make_config(*overrides), model=model or ColorSegmenter())


class Collector:
    """A writer that remembers what it was called with."""

    def __init__(self, fail_at=None):
        self.calls = []
        self.results = []
        self.fail_at = fail_at
        self.files = [Path("collected")]

    def open(self, video):
        self.calls.append("open")
        self.video = video

    def write(self, frame, segments):
        if frame.index == self.fail_at:
            raise OSError("disk full")
        self.results.append((frame, segments))

    def close(self):
        self.calls.append("close")


def assert_same(first, second):
    assert first.frame_index == second.frame_index
    for name in ("ids", "classes", "scores", "masks"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def assert_same_maps(first, second):
    assert first.frame_index == second.frame_index
    for name in ("ids", "classes", "scores", "index_map"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


@pytest.mark.parametrize("num_frames", [1, 3, 12, 13])
@pytest.mark.parametrize(("window", "overlap"), [(1, 0), (2, 1), (3, 0), (3, 1), (4, 3), (5, 0)])
@pytest.mark.parametrize("task", ["vis", "vps", "vss"])
def test_step_over_a_video_equals_run_over_it(task, window, overlap, num_frames):
    images = crossing_video(num_frames)
    windows = ("MODEL.GVSEG.TEST.WINDOW", window, "MODEL.GVSEG.TEST.OVERLAP", overlap)
    settings = ("MODEL.GVSEG.TASK", task, *windows)
    collector = Collector()
    make_predictor(*settings, model=ColorSegmenter(shuffle_seed=5)).run(images, [collector])
    live = make_predictor(*settings, model=ColorSegmenter(shuffle_seed=5))
    stepped = [live.step(image) for image in images]
    late = min(window - 1, num_frames)
    assert stepped[:late] == [None] * late
    together = stepped[late:] + live.flush()
    assert len(together) == len(collector.results) == num_frames
    for image, segments, (frame, expected) in zip(images, together, collector.results, strict=True):
        np.testing.assert_array_equal(frame.image, image)
        (assert_same if task == "vis" else assert_same_maps)(segments, expected)


def test_flush_ends_the_video():
    predictor = make_predictor("MODEL.GVSEG.TEST.WINDOW", 3)
    images = crossing_video(4)
    videos = []
    for _ in range(2):
        stepped = [segments for image in images if (segments := predictor.step(image))]
        videos.append(stepped + predictor.flush())
    assert predictor.flush() == []
    for first, second in zip(*videos, strict=True):
        assert_same(first, second)


@pytest.mark.parametrize("window", [1, 2])
def test_frames_of_a_video_have_one_size_and_those_of_another_may_have_another(window):
    predictor = make_predictor("MODEL.GVSEG.TEST.WINDOW", window)
    wide, narrow = np.zeros((64, 96, 3), np.uint8), np.zeros((64, 32, 3), np.uint8)
    for begin_another in (predictor.flush, predictor.reset):
        predictor.step(wide)
        with pytest.raises(ValueError, match=r"Frame 1 is 32x64, but those before are 96x64"):
            predictor.step(narrow)
        predictor.step(wide)
        begin_another()
        predictor.step(narrow)
        begin_another()


def test_reset_begins_another_video():
    # Without blue the counting differs, so a linker that remembers would show.
    predictor = make_predictor()
    first = predictor.step(crossing_video(1)[0])
    predictor.step(np.zeros((64, 96, 3), np.uint8))
    predictor.reset()
    assert_same(predictor.step(crossing_video(1)[0]), first)


def test_run_begins_another_video_each_time():
    predictor = make_predictor()
    runs = []
    for _ in range(2):
        collector = Collector()
        predictor.run(crossing_video(4), [collector])
        runs.append([segments for _, segments in collector.results])
    for first, second in zip(*runs, strict=True):
        assert_same(first, second)


@pytest.mark.parametrize("frame", [np.zeros((64, 96, 3), np.float32), np.zeros((64, 96), np.uint8)])
def test_step_refuses_what_is_no_picture(frame):
    with pytest.raises(ValueError, match=r"Frame 0 is .* give \(H, W, 3\) uint8 RGB"):
        make_predictor().step(frame)


def test_writers_learn_about_the_video_and_are_closed():
    collector = Collector()
    summary = make_predictor().run(iter(crossing_video(5)), [collector])
    video = collector.video
    assert (video.size, video.num_frames, video.frame_rate) == ((64, 96), None, None)
    assert video.legend.names == LEGEND.names
    assert video.legend.is_thing == LEGEND.is_thing
    assert collector.calls == ["open", "close"]
    assert summary.files == [Path("collected")]


def test_summary_counts_frames_tracks_and_time():
    summary = make_predictor().run(crossing_video(5), [Collector()])
    assert (summary.num_frames, summary.num_tracks) == (5, 3)
    assert set(summary.stage_seconds) == {"read", "network", "postprocess", "write"}
    assert summary.stage_seconds["network"] > 0
    waiting = sum(summary.stage_seconds.values()) - summary.stage_seconds["read"]
    assert summary.seconds >= waiting


def test_what_was_written_before_a_bad_frame_stays(tmp_path):
    def images():
        yield from crossing_video(4)
        raise OSError("Frame 4 is unreadable.")

    writers = build_writers(tmp_path, ["video", "frames", "masks", "json"])
    with pytest.raises(OSError, match="Frame 4 is unreadable"):
        make_predictor().run(images(), writers)
    assert len(json.loads((tmp_path / "segments.json").read_text())["frames"]) == 4
    for folder in ("frames", "masks", "classes"):
        assert len(list((tmp_path / folder).iterdir())) == 4
    assert (tmp_path / "overlay.mp4").stat().st_size > 0
    assert (tmp_path / "overview.png").exists()


def test_writers_are_closed_when_one_fails():
    good, bad = Collector(), Collector(fail_at=2)
    with pytest.raises(OSError, match="disk full"):
        make_predictor().run(crossing_video(5), [good, bad])
    assert good.calls == bad.calls == ["open", "close"]
    assert len(good.results) == 3


@pytest.mark.parametrize("fail_at", [2, 4, None])
def test_first_of_several_errors_is_raised_and_the_others_are_told_of(fail_at, caplog):
    """A full disk fails the writing of one, in mid-video or with the last frame, then all closes.

    Those opened last are closed first.
    """

    class Full(Collector):
        def close(self):
            super().close()
            raise OSError(f"no room to close {self.files[0]}")

    writers = [Full(), Full(fail_at=fail_at), Full()]
    for writer, name in zip(writers, "abc", strict=True):
        writer.files = [name]
    messages = [f"no room to close {name}" for name in "cba"]
    first = "disk full"
    if fail_at is None:
        first = messages.pop(0)
    with pytest.raises(OSError, match=first):
        make_predictor().run(crossing_video(5), writers)
    assert [writer.calls for writer in writers] == [["open", "close"]] * 3
    assert [record.getMessage() for record in caplog.records] == messages


def test_writer_that_cannot_open_stops_the_run_before_the_network():
    class Locked(Collector):
        def open(self, video):
            raise OSError("locked")

    model, opened = ColorSegmenter(), Collector()
    with pytest.raises(OSError, match="locked"):
        make_predictor(model=model).run(crossing_video(5), [opened, Locked()])
    assert model.windows_seen == []
    assert opened.calls == ["open", "close"]


def test_one_object_has_one_class():
    class Undecided(ColorSegmenter):
        def segment_clip(self, frames, requests=()):
            prediction = super().segment_clip(frames, requests)
            prediction.class_logits[..., 3:5] += 20  # as sure of two classes more
            return prediction

    predictor = make_predictor("MODEL.GVSEG.TEST.SCORE_THRESHOLD", 0.1, model=Undecided())
    segments = predictor.step(crossing_video(1)[0])
    assert len(segments.ids) == len(set(segments.ids.tolist()))


def test_semantic_task_has_no_tracks():
    collector = Collector()
    summary = make_predictor("MODEL.GVSEG.TASK", "vss").run(crossing_video(2), [collector])
    assert all(segments.index_map is not None for _, segments in collector.results)
    assert summary.num_tracks == 0


def test_missing_weights_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"Weights .*none\.pth do not exist"):
        VideoPredictor(make_config("MODEL.WEIGHTS", str(tmp_path / "none.pth")))


def test_empty_weights_are_refused():
    with pytest.raises(ValueError, match=r"MODEL\.WEIGHTS is empty"):
        VideoPredictor(make_config())


def test_config_without_dataset_is_refused():
    cfg = make_config()
    cfg.DATASETS.TEST = ()
    with pytest.raises(ValueError, match=r"DATASETS\.TEST is empty"):
        VideoPredictor(cfg, model=ColorSegmenter())


def test_unknown_dataset_is_refused():
    cfg = make_config()
    cfg.DATASETS.TEST = ("nobody_registered_this",)
    with pytest.raises(ValueError, match="'nobody_registered_this' has no class names"):
        VideoPredictor(cfg, model=ColorSegmenter())


def test_weights_of_a_part_are_refused(tmp_path):
    """A backbone alone trains well, but what it would predict is noise."""
    cfg = tiny_config(*FIVE_CLASSES)
    cfg.defrost()
    cfg.DATASETS.TEST = (DATASET,)
    cfg.MODEL.WEIGHTS = str(tmp_path / "part.safetensors")
    state = build_tiny().state_dict()
    part = {k: v for k, v in state.items() if not k.startswith("pixel_decoder.layers.")}
    save_file(part, cfg.MODEL.WEIGHTS)
    with pytest.raises(ValueError, match=r"lacks \d+ tensors of the model, such as pixel_decoder"):
        VideoPredictor(cfg)
    save_file(state, cfg.MODEL.WEIGHTS)
    assert not VideoPredictor(cfg).runner.model.training


@pytest.mark.parametrize("num_classes", [3, 80])
def test_model_of_other_classes_is_refused(num_classes, tmp_path):
    """A name of another table would be wrong, and a class beyond its end has none."""
    weights = tmp_path / "w.safetensors"
    weights.write_bytes(b"never read")
    overrides = ("MODEL.SEM_SEG_HEAD.NUM_CLASSES", num_classes, "MODEL.WEIGHTS", str(weights))
    with pytest.raises(ValueError, match=rf"has {num_classes} classes .* has 5; name the dataset"):
        VideoPredictor(make_config(*overrides))


def test_video_of_which_no_frame_can_be_used_is_told(tmp_path):
    (tmp_path / "0.png").write_bytes(b"no image")
    cv2.imwrite(str(tmp_path / "1.png"), crossing_video(1)[0])
    source = ImageSource.from_folder(tmp_path, on_bad_frame=OnBadFrame.SKIP)
    with pytest.raises(ValueError, match=r"gave no frame that can be used"):
        make_predictor().run(source.only(range(1)))
