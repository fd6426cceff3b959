"""What a run leaves on disk when the disk is full, when it is interrupted and when it is killed."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from gvseg.inference.writers import FORMATS
from tests.demo.test_demo import error_line
from tests.inference.output_files import num_frames_in

EVERYTHING = ["--formats", ",".join(FORMATS)]
ROOT = Path(__file__).resolve().parents[2]
NUM_FRAMES = 150
NUM_BEFORE = 70  # the signal
PICTURES = {"overview.png", "tracks.png"}
RUN = """
import importlib.util, signal, sys
from detectron2.data import MetadataCatalog
from tests.demo.conftest import DATASET, DEMO
from tests.inference.painted_video import LEGEND

signal.signal(signal.SIGINT, signal.default_int_handler)  # where it was started in the background
MetadataCatalog.get(DATASET).set(thing_classes=list(LEGEND.names), thing_colors=list(LEGEND.colors))
spec = importlib.util.spec_from_file_location("demo", DEMO)
demo = importlib.util.module_from_spec(spec)
spec.loader.exec_module(demo)
sys.exit(demo.main())
"""


@pytest.fixture(params=[16, 150, 400])
def small_disk(request, tmp_path):
    """A disk of few kilobytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs rights that this user lacks")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def test_full_disk_is_told_in_one_line_and_leaves_whole_files(
    demo, model, clip, small_disk, capsys
):
    output = small_disk / "result"
    assert demo.main(["--input", str(clip), "--output", str(output), *EVERYTHING, *model]) == 1
    line = error_line(capsys)
    assert re.match(
        rf"error: {output}/\S+ cannot be written: No space left on device; make room or choose "
        "another folder.$",
        line,
    ), line
    num_frames_in(output)


@pytest.fixture
def long_clip(clip):
    """The clip over and over, as links."""
    images = sorted(clip.iterdir())
    folder = clip.with_name("long")
    folder.mkdir()
    for index in range(NUM_FRAMES):
        (folder / f"{index}.png").hardlink_to(images[index % len(images)])
    return folder


def run_until_signal(sent, arguments, output):
    """Run the demo in a process of its own, with a signal after some frames."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", RUN, "--output", str(output), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    table = output / "tracks.csv"
    while process.poll() is None:
        if table.exists() and f"\n{NUM_BEFORE}," in table.read_text():
            process.send_signal(sent)
            break
        time.sleep(0.01)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_completes_its_files(model, long_clip, tmp_path, sent):
    output = tmp_path / "result"
    status, errors = run_until_signal(
        sent, ["--input", str(long_clip), *EVERYTHING, *model], output
    )
    assert errors == f"Stopped; what was written to {output} stays, and --resume goes on.\n"
    assert status == 130
    num_frames = num_frames_in(output)
    assert num_frames.keys() > PICTURES
    (num_written,) = {num for name, num in num_frames.items() if name not in PICTURES}
    assert NUM_BEFORE < num_written < NUM_FRAMES


def test_killed_run_leaves_whole_files_and_is_resumed(demo, model, long_clip, tmp_path):
    output = tmp_path / "result"
    arguments = ["--input", str(long_clip), *EVERYTHING, *model]
    status, errors = run_until_signal(signal.SIGKILL, arguments, output)
    assert status == -signal.SIGKILL, errors
    num_frames = num_frames_in(output, was_killed=True)
    num_written = num_frames["tracks.csv"]
    assert NUM_BEFORE < num_written < NUM_FRAMES
    assert num_frames.pop("tracks.png", None) is None
    for name, num in num_frames.items():
        behind = {"overlay.mp4": 2, "coco_panoptic": 26}.get(name, 26 if ".json" in name else 1)
        assert num_written - behind <= num <= num_written + 1, name
    assert demo.main(["--resume", "--output", str(output), *arguments]) == 0
    num_frames = num_frames_in(output)
    assert {num for name, num in num_frames.items() if name not in PICTURES} == {NUM_FRAMES}


def test_results_are_never_written_over_what_is_read(demo, model, clip, tmp_path, capsys):
    output = tmp_path / "result"
    options = ["--output", str(output), *model]
    assert demo.main(["--input", str(clip), "--formats", "frames,video,json", *options]) == 0
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    for name in ("frames", "overlay.mp4"):
        # Whatever is asked for now, what the run before wrote would go first.
        assert demo.main(["--input", str(output / name), "--formats", "json", *options]) == 1
        expected = f"Input {output / name} lies where results go, in {output}; choose another"
        assert expected in error_line(capsys)
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_that_cannot_begin_leaves_the_results_of_the_one_before(
    demo, model, clip, tmp_path, capsys, monkeypatch
):
    output = tmp_path / "result"
    options = ["--input", str(clip), "--output", str(output), *model]
    assert demo.main([*options, "--formats", "frames,json"]) == 0
    before = {path: path.read_bytes() for path in output.rglob("*") if path.is_file()}
    monkeypatch.setattr("av.codecs_available", {"mpeg4"})
    assert demo.main([*options, "--formats", "video"]) == 1
    assert "cannot encode H.264" in error_line(capsys)
    assert {path: path.read_bytes() for path in before} == before


def test_only_what_comes_again_is_said_to_go_on(demo, model, clip, tmp_path, capsys, monkeypatch):
    def stopped(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "VideoPredictor", stopped)
    assert demo.main(["--input", str(clip), "--output", str(tmp_path / "a"), *model]) == 130
    assert "stays, and --resume goes on." in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(bytes(3 * 8 * 8))))
    raw = ["--input", "-", "--raw-size", "8x8", "--output", str(tmp_path / "b")]
    assert demo.main([*raw, *model]) == 130
    assert "stays.\n" in capsys.readouterr().err
