"""Each command of the pages for users runs as it stands, with segmenters that need no training."""

import io
import re
import shlex
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from detectron2.data import MetadataCatalog

from gvseg.inference.predictor import VideoPredictor
from tests.inference.followed_video import ColorFollower
from tests.inference.painted_video import LEGEND, ColorSegmenter, crossing_video
from tests.inference.test_sources import FakeCapture

ROOT = Path(__file__).resolve().parents[2]
DATASET = "painted_for_the_commands"
PAGES = [(ROOT / page).read_text(encoding="utf-8") for page in ("README.md", "demo/README.md")]
COMMANDS = sorted(
    {
        command.partition("  #")[0].strip()
        for page in PAGES
        for command in re.findall(r"(?:^|`|/)(python demo/demo\.py[^`\n]*)", page, re.MULTILINE)
    }
)


def arguments_of(command):
    """What follows `python demo/demo.py`; configs are those of the repository."""
    words = shlex.split(command)[2:]
    return [str(ROOT / word) if word.startswith("configs/") else word for word in words]


def write_video(path):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        for image in crossing_video(12):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


@pytest.fixture
def clone(tmp_path, demo, monkeypatch):
    """A folder with the files that the commands name, and segmenters in place of models."""
    for name in ("footage.mp4", "second.mp4"):
        write_video(tmp_path / name)
    (tmp_path / "folder").mkdir()
    for index, image in enumerate(crossing_video(3)):
        cv2.imwrite(str(tmp_path / "folder" / f"{index}_left.png"), image[..., ::-1])
    cv2.imwrite(str(tmp_path / "still.jpg"), crossing_video(1)[0])
    mask = np.zeros((64, 96), np.uint8)
    mask[44:60, 40:56] = 1
    cv2.imwrite(str(tmp_path / "first.png"), mask)
    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    piped = io.BytesIO(b"".join(image.tobytes() for image in crossing_video(3)))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(piped))
    monkeypatch.setattr(demo, "CLIP", tmp_path / "footage.mp4")
    monkeypatch.setattr(demo, "VideoPredictor", predictor)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    MetadataCatalog.pop(DATASET, None)


def predictor(cfg):
    """A predictor of what the config asks for, with painted classes and a model to match."""
    is_evs = cfg.MODEL.GVSEG.TASK == "evs"
    names = ["object"] if is_evs else list(LEGEND.names)
    things = {index: index for index in range(min(len(names), 3))}
    MetadataCatalog.get(DATASET).set(
        thing_classes=names,
        thing_colors=list(LEGEND.colors)[: len(names)],
        thing_dataset_id_to_contiguous_id=things,
    )
    cfg.defrost()
    cfg.DATASETS.TEST = (DATASET,)
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = len(names)
    cfg.MODEL.LINKER.NAME = "QuerySimilarityLinker"
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.INPUT.FORMAT = "RGB"
    return VideoPredictor(cfg, model=ColorFollower() if is_evs else ColorSegmenter())


def test_the_pages_have_commands():
    assert len(COMMANDS) > 30
    assert any("--interactive" in page for page in PAGES)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_runs_and_writes_what_it_names(command, clone, demo, capsys):
    arguments = arguments_of(command)
    assert demo.main(arguments) == 0, capsys.readouterr().err
    for line in capsys.readouterr().out.splitlines():
        if line.startswith("  output/") or line.startswith("  result/"):
            assert Path(line.strip()).exists()
    output = demo.parse_arguments(arguments).output
    assert len(list(output.rglob("tracks.png"))) == len(demo.parse_arguments(arguments).input)


def test_every_format_and_view_has_a_command(demo):
    options = [demo.parse_arguments(arguments_of(command)) for command in COMMANDS]
    named = {name for option in options for name in option.formats.split(",")}
    parser = {action.dest: action for action in demo.build_parser(None, "", ["vis"])._actions}
    formats = re.findall(r"[a-z_]+", parser["formats"].help.partition(" to write")[0])[2:]
    assert set(formats) <= named
    assert {option.view for option in options} == set(parser["view"].choices)
