"""`--resume` on the demo's own command line."""

import json

import pytest

from gvseg.inference import journal
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
    assert (report["frames"], report["tracks"], report["input"]) == (12, 3, str(clip))


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
        (["--opts", "MODEL.LINKER.MAX_AGE", "3"], "its config was"),
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
