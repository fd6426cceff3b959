"""`--resume` on the demo's own command line."""

import json

import pytest

from gvseg.inference import journal
from gvseg.inference.frames import Frame
from gvseg.inference.pictures import VideoFile
from gvseg.inference.sources import open_source
from gvseg.inference.writers import FORMATS
from tests.demo.conftest import PaintedSegmenter
from tests.demo.test_demo import error_line
from tests.inference.painted_video import ColorSegmenter, crossing_video


@pytest.fixture
def interrupt(monkeypatch):
    """Have the network stop after some windows."""
    monkeypatch.setattr(journal, "SECONDS_BETWEEN_STATES", 0.0)

    def set_limit(limit):
        seen = []

        def segment(segmenter, frames, requests=()):
            if len(seen) == limit:
                raise KeyboardInterrupt
            seen.append(1)
            return ColorSegmenter.segment_clip(segmenter, frames)

        monkeypatch.setattr(PaintedSegmenter, "segment_clip", segment)
        return seen

    return set_limit


def contents(folder):
    """Every file, by its place."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_resumed_run_writes_what_an_unbroken_one_does(
    demo, model, clip, tmp_path, interrupt, capsys
):
    command = ["--formats", ",".join(FORMATS), "--trail", "5", "--input", str(clip), *model]
    assert demo.main(["--output", str(tmp_path / "whole"), *command]) == 0
    output = ["--output", str(tmp_path / "parts")]
    for limit in (5, 3):
        interrupt(limit)
        assert demo.main([*output, "--resume", *command]) == 130
        assert "--resume goes on" in capsys.readouterr().err
    seen = interrupt(None)
    assert demo.main([*output, "--resume", *command]) == 0
    assert len(seen) == 4
    assert "4 frames and 8 from the run before in" in capsys.readouterr().out
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    report = json.loads((tmp_path / "parts" / "run.json").read_text())
    assert (report["frames"], report["tracks"]) == (12, 3)
    assert report["input"] == f"{clip}, 12 frames"


def test_inputs_that_are_done_are_left_alone(demo, model, clip, tmp_path, interrupt, capsys):
    second = tmp_path / "second"
    second.mkdir()
    for index in range(3):
        (second / f"{index}.png").write_bytes((clip / f"{index}.png").read_bytes())
    command = ["--input", str(second), str(clip), "--output", str(tmp_path / "out"), *model]
    interrupt(6)
    assert demo.main(command) == 130
    seen = interrupt(None)
    assert demo.main([*command, "--resume"]) == 0
    assert len(seen) == 9
    assert "second is done already; see" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--every", "2"], "its every was 1, now it is 2"),
        (["--formats", "csv"], "its formats was"),
        (["--opts", "MODEL.LINKER.MAX_AGE", "3"], "its MODEL.LINKER.MAX_AGE was 10, now it is 3"),
    ],
)
def test_another_command_is_not_resumed(
    demo, model, clip, tmp_path, interrupt, capsys, changes, message
):
    command = ["--input", str(clip), "--output", str(tmp_path / "out"), *model]
    interrupt(3)
    assert demo.main(command) == 130
    capsys.readouterr()
    assert demo.main([*command, "--resume", *changes]) == 1
    assert message in error_line(capsys)


def test_camera_is_not_resumed(demo, model, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo, "open_input", lambda name, options: open_source(crossing_video(2)))
    command = ["--input", "0", "--output", str(tmp_path / "out"), "--resume", *model]
    assert demo.main(command) == 1
    assert "does not come twice" in error_line(capsys)


def test_stopped_run_is_not_written_over_by_mistake(demo, model, clip, tmp_path, interrupt, capsys):
    command = ["--input", str(clip), "--output", str(tmp_path / "out"), *model]
    interrupt(3)
    assert demo.main(command) == 130
    capsys.readouterr()
    assert demo.main(command) == 1
    assert "was stopped and can go on" in error_line(capsys)
    assert demo.main([*command, "--overwrite", "--weights", "nix.pth"]) == 1
    seen = interrupt(None)
    assert demo.main([*command, "--resume"]) == 0
    assert len(seen) == 9


def test_another_video_in_its_place_is_not_resumed(demo, model, tmp_path, interrupt, capsys):
    footage = tmp_path / "footage.mp4"
    command = ["--input", str(footage), "--output", str(tmp_path / "out"), *model]
    write_video(footage, 12)
    interrupt(3)
    assert demo.main(command) == 130
    capsys.readouterr()
    write_video(footage, 14)
    assert demo.main([*command, "--resume"]) == 1
    assert "its input was" in error_line(capsys)


def test_frames_of_an_earlier_run_do_not_stay(demo, model, clip, tmp_path):
    command = ["--input", str(clip), "--output", str(tmp_path / "out"), *model]
    assert demo.main(command) == 0
    assert demo.main([*command, "--max-frames", "2", "--formats", "frames,json"]) == 0
    names = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    always = {"overview.png", "tracks.png", "run.json"}
    assert names == {"00000.png", "00001.png", "segments.json"} | always


def write_video(path, num_frames):
    video = VideoFile(path)
    video.open((64, 96), None)
    for index, image in enumerate(crossing_video(num_frames)):
        video.write(Frame(index, None, image), image)
    video.close()
