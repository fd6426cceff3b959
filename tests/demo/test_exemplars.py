"""Objects that are pointed out on the demo's command line or in its window."""

import cv2
import numpy as np
import pytest
from safetensors.torch import save_file

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import META_ARCH_REGISTRY

from gvseg.inference import journal
from gvseg.inference.exemplar_options import PointedOut
from tests.demo.test_demo import error_line, frames_in
from tests.inference.followed_video import ColorFollower
from tests.inference.painted_video import ColorSegmenter

DATASET = "painted_objects_for_the_demo"


@META_ARCH_REGISTRY.register()
class FollowingSegmenter(ColorFollower):
    """A `ColorFollower` that a config can name."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()


@pytest.fixture
def follower(tmp_path):
    """Options that choose the segmenter of objects that are pointed out."""
    MetadataCatalog.get(DATASET).set(thing_classes=["object"], thing_colors=[(255, 0, 0)])
    config = tmp_path / "follower.yaml"
    config.write_text(
        "VERSION: 2\n"
        "MODEL:\n  META_ARCHITECTURE: FollowingSegmenter\n  SEM_SEG_HEAD: {NUM_CLASSES: 1}\n"
        "  GVSEG: {TASK: evs, TEST: {WINDOW: 1}}\n"
        "INPUT:\n  FORMAT: RGB\n  MIN_SIZE_TEST: 0\n"
        f"DATASETS:\n  TEST: [{DATASET}]\n"
    )
    weights = tmp_path / "follower.safetensors"
    save_file(ColorSegmenter().state_dict(), weights)
    yield ["--config-file", str(config), "--weights", str(weights), "--device", "cpu"]
    MetadataCatalog.remove(DATASET)


def test_objects_of_the_command_line_are_followed_in_its_order(demo, follower, clip, tmp_path):
    mask = np.zeros((64, 96), np.uint8)
    mask[44:60, 40:56] = 255  # blue
    cv2.imwrite(str(tmp_path / "blue.png"), mask)
    output = tmp_path / "result"
    objects = ["--box", "60,20,76,36@1", "--point", "8,16", "--mask", f"{tmp_path}/blue.png@3"]
    options = ["--output", str(output), "--formats", "json,csv", *objects, *follower]
    assert demo.main(["--input", str(clip), *options]) == 0
    seen = [{s["identity"] for s in frame["segments"]} for frame in frames_in(output)[:5]]
    assert seen == [{2}, {1, 2}, {1, 2}, {1, 2, 3}, {1, 2, 3}]
    boxes = {s["identity"]: s["bbox"] for s in frames_in(output)[4]["segments"]}
    for identity, (left, top) in {1: (48, 20), 2: (16, 8), 3: (40, 44)}.items():
        np.testing.assert_allclose(boxes[identity][:2], (left, top), atol=1)


def test_objects_picked_with_the_mouse_are_followed(demo, follower, clip, tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "check_display", lambda: None)
    monkeypatch.setattr(demo, "pick", lambda frame: [PointedOut(frame.index, box=(42, 46, 50, 50))])
    output = tmp_path / "result"
    options = ["--interactive", "--start", "2", "--output", str(output), "--formats", "json"]
    assert demo.main(["--input", str(clip), *options, *follower]) == 0
    frames = frames_in(output)
    assert [frame["frame_index"] for frame in frames] == list(range(2, 12))
    assert all(len(frame["segments"]) == 1 for frame in frames)


def test_objects_picked_with_the_mouse_are_not_asked_for_again(
    demo, follower, clip, tmp_path, monkeypatch
):
    def follow(limit):
        monkeypatch.setattr(FollowingSegmenter, "segment_clip", stop_after(limit))

    def stop_after(limit):
        seen = []

        def segment(segmenter, frames, requests=()):
            if len(seen) == limit:
                raise KeyboardInterrupt
            seen.append(1)
            return ColorFollower.segment_clip(segmenter, frames, requests)

        return segment

    picked = []

    def pick(frame):
        picked.append(frame.index)
        return [PointedOut(frame.index, box=(42, 46, 50, 50))]

    monkeypatch.setattr(journal, "SECONDS_BETWEEN_STATES", 0.0)
    monkeypatch.setattr(demo, "check_display", lambda: None)
    monkeypatch.setattr(demo, "pick", pick)
    output = tmp_path / "result"
    command = ["--input", str(clip), "--output", str(output), "--formats", "json", "--interactive"]
    follow(limit=5)
    assert demo.main([*command, *follower]) == 130
    follow(limit=None)
    assert demo.main([*command, *follower, "--resume"]) == 0
    assert picked == [0]
    assert [len(frame["segments"]) for frame in frames_in(output)] == [1] * 12


@pytest.mark.parametrize(
    ("objects", "message"),
    [
        ([], "No object is pointed out; give --point"),
        (["--mask", "{0}/small.png"], "small.png is 8x6 pixels but the video is 96x64"),
        (["--mask", "{0}/none.png"], "none.png"),
        (["--every", "2", "--box", "1,1,9,9@3"], "in frame 3, which is not among those"),
        (["--box", "40,60,200,63"], "40,60,200,63, pointed out in frame 0, lies outside"),
        (["--box", "9,9,1,12"], "9,9,1,12, pointed out in frame 0, holds no pixel"),
        (["--point", "400,4"], "400,4, pointed out in frame 0, lies outside"),
    ],
)
def test_wrong_objects_are_told_before_the_model_is_loaded(
    demo, follower, clip, tmp_path, capsys, monkeypatch, objects, message
):
    monkeypatch.delattr(demo, "VideoPredictor")
    cv2.imwrite(str(tmp_path / "small.png"), np.ones((6, 8), np.uint8))
    objects = [word.format(tmp_path) for word in objects]
    command = ["--input", str(clip), "--output", str(tmp_path / "result"), *objects, *follower]
    assert demo.main(command) == 1
    assert message in error_line(capsys)
