"""The demo's own command line, with a segmenter that needs no training, and its exit statuses."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gvseg.inference.runner_settings import RunnerSettings
from gvseg.inference.sources import VideoSource
from gvseg.tasks import Task
from tests.demo.conftest import PaintedSegmenter
from tests.inference.painted_video import ColorSegmenter

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "demo" / "demo.py"


def frames_in(output):
    return json.loads((output / "segments.json").read_text())["frames"]


def error_line(capsys):
    captured = capsys.readouterr()
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("error: ")
    return lines[0]


def test_demo_writes_every_format_and_a_summary(demo, model, clip, tmp_path, capsys):
    output = tmp_path / "deep" / "result"
    assert demo.main(["--input", str(clip), "--output", str(output), *model]) == 0
    assert {path.name for path in output.iterdir()} == {
        "overlay.mp4",
        "overview.png",
        "tracks.png",
        "run.json",
        "frames",
        "masks",
        "classes",
        "segments.json",
    }
    frames = frames_in(output)
    assert len(frames) == 12
    assert {s["identity"] for frame in frames for s in frame["segments"]} == {1, 2, 3}
    assert VideoSource(output / "overlay.mp4").num_frames == 12
    printed = capsys.readouterr().out
    assert "clip: 96x64 pixels, 12 frames, on cpu" in printed
    assert "12 frames in" in printed
    assert "3 tracks" in printed
    for word in ("read", "network", "post-processing", "write", "overlay.mp4", "segments.json"):
        assert word in printed


def test_options_bound_the_run(demo, model, clip, tmp_path):
    output = tmp_path / "result"
    options = ["--max-frames", "5", "--formats", "json,video", "--frame-rate", "30000/1001"]
    assert demo.main(["--input", str(clip), "--output", str(output), *options, *model]) == 0
    assert len(frames_in(output)) == 5
    always = {"overview.png", "tracks.png", "run.json"}
    assert {p.name for p in output.iterdir()} == {"overlay.mp4", "segments.json"} | always
    assert float(VideoSource(output / "overlay.mp4").frame_rate) == pytest.approx(29.97, abs=0.01)


@pytest.mark.parametrize(("threshold", "expected"), [("0.5", 3), ("1.0", 0)])
def test_score_threshold_drops_objects(demo, model, clip, tmp_path, threshold, expected):
    output = tmp_path / "result"
    options = ["--score-threshold", threshold, "--formats", "json", "--max-frames", "1"]
    assert demo.main(["--input", str(clip), "--output", str(output), *options, *model]) == 0
    assert len(frames_in(output)[0]["segments"]) == expected


def test_opts_win_over_the_config(demo, model, clip, tmp_path):
    output = tmp_path / "result"
    arguments = ["--input", str(clip), "--output", str(output), "--formats", "json", *model]
    assert demo.main([*arguments, "--opts", "MODEL.GVSEG.TEST.MAX_INSTANCES", "1"]) == 0
    assert [len(frame["segments"]) for frame in frames_in(output)] == [1] * 12


def test_video_file_keeps_its_rate(demo, model, clip, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    options = ["--formats", "video", *model]
    arguments = ["--input", str(clip), "--output", str(first), "--frame-rate", "12"]
    assert demo.main([*arguments, *options]) == 0
    arguments = ["--input", str(first / "overlay.mp4"), "--output", str(second)]
    assert demo.main([*arguments, *options]) == 0
    assert VideoSource(second / "overlay.mp4").frame_rate == 12


def test_defaults_are_the_bundled_clip_and_model_of_instances(demo):
    options = demo.parse_arguments([])
    cfg = demo.build_config(options)
    assert VideoSource(*options.input).num_frames == 90
    assert str(demo.BUNDLED[Task.VIS].weights) == cfg.MODEL.WEIGHTS
    assert options.exemplars == []
    assert cfg.MODEL.GVSEG.TEST.SCORE_THRESHOLD == cfg.MODEL.LINKER.BIRTH_SCORE == 0.5


@pytest.mark.parametrize("task", ["vis", "vss", "vps", "evs"])
def test_each_task_has_a_bundled_model_for_the_bundled_clip(demo, task):
    options = demo.parse_arguments(["--task", task])
    cfg = demo.build_config(options)
    assert Path(cfg.MODEL.WEIGHTS).is_file()
    settings = RunnerSettings.from_config(cfg)
    assert settings.task is Task(task)
    demo.check_objects(options, demo.open_input(*options.input, options), settings.task)


def test_each_task_has_a_folder_of_its_own(demo, model):
    folders = [
        demo.parse_arguments(options).output
        for options in ([], ["--task", "evs"], model[:2], ["--task", "evs", "--output", "mine"])
    ]
    expected = ["output/demo/vis", "output/demo/evs", "output/demo", "mine"]
    assert [folder.as_posix() for folder in folders] == expected


def test_objects_of_the_bundled_clip_are_for_it_and_for_users_who_name_none(demo):
    def objects(*words):
        return demo.parse_arguments(["--task", "evs", *words]).exemplars

    assert len(objects()) == len(objects("--max-frames", "4")) == 4
    assert len(objects("--input", os.path.relpath(demo.CLIP))) == 4
    assert objects("--input", "other.mp4") == []
    assert objects("--interactive") == []
    assert objects("--start", "10") == []
    assert [exemplar.point for exemplar in objects("--point", "3,4")] == [(3.0, 4.0)]


def test_task_and_config_are_not_both_taken(demo, model, capsys):
    with pytest.raises(SystemExit):
        demo.parse_arguments(["--task", "evs", *model])
    assert "--task chooses a bundled model" in capsys.readouterr().err


def test_weights_of_another_config_are_its_own(demo, model):
    options = demo.parse_arguments(model[:2])
    assert demo.build_config(options).MODEL.WEIGHTS == ""


def test_weights_may_be_a_folder_of_hugging_face(demo, model, clip, tmp_path):
    folder, output = tmp_path / "hugging_face", tmp_path / "result"
    folder.mkdir()
    save_file(ColorSegmenter().state_dict(), folder / "model.safetensors")
    options = ["--formats", "json", "--max-frames", "1", *model, "--weights", str(folder)]
    assert demo.main(["--input", str(clip), "--output", str(output), *options]) == 0
    assert len(frames_in(output)[0]["segments"]) == 3


# What users do wrong, as (arguments, what the one line says). {0} is a folder of the test.
MISTAKES = {
    "missing weights": (["--weights", "{0}/none.safetensors"], r"none\.safetensors do not exist"),
    "URL as weights": (
        ["--weights", "detectron2://COCO/model.pkl"],
        "model.pkl are a URL, and URLs are not fetched",
    ),
    "backbone alone": (
        ["--weights", "{0}/backbone.safetensors"],
        r"backbone\.safetensors: no tensor fits",
    ),
    "classes of another dataset": (
        ["--opts", "DATASETS.TEST", "('camvid_val',)"],
        r"has 5 classes .* but camvid_val of DATASETS\.TEST has 11",
    ),
    "missing config": (["--config-file", "{0}/none.yaml"], r"none\.yaml does not exist"),
    "wrong key": (
        ["--opts", "MODEL.GVSEG.TAKS", "vis"],
        r"\['MODEL\.GVSEG\.TAKS', 'vis'\]: Non-existent key",
    ),
    "wrong value": (["--opts", "MODEL.GVSEG.TASK", "vos"], "TASK is 'vos'; choose .* or mixed"),
    "missing input": (["--input", "{0}/nowhere"], "nowhere does not exist"),
    "empty folder": (["--input", "{0}/empty"], "has no images"),
    "no match": (["--input", "{0}/*.jpg"], r"No file matches .*\*\.jpg"),
    "not a video": (["--input", "{0}/text.mp4"], r"text\.mp4 is not a video"),
    "no frames": (["--input", "{0}/zero.avi"], r"zero\.avi has no frames"),
    "output in the way": (["--output", "{0}/text.mp4"], r"text\.mp4 cannot be written"),
    "unknown format": (["--formats", "json,gif"], "Unknown format 'gif'"),
    "threshold": (["--score-threshold", "50"], r"--score-threshold is 50\.0; give 0 to 1"),
    "raw video of no size": (["--input", "-"], "needs its size, --raw-size"),
    "no such frame": (["--start", "40"], "has 12 frames, so none is frame 40"),
    "objects for another task": (["--point", "3,4@0"], r"model of the task evs .*TASK is vis"),
    "objects in two inputs": (["--point", "3,4", "--input", "{0}/zero.avi", "{0}"], "one input"),
    "no window": (["--interactive"], "--interactive needs (windows|a display)"),
    "no frames wanted": (["--max-frames", "0"], "limited to 0 frames"),
    "no pixels wanted": (["--max-size", "0"], "cannot have 0 pixels"),
    "no window of frames": (["--opts", "MODEL.GVSEG.TEST.WINDOW", "0"], "WINDOW is 0; give 1"),
}
NEEDS_MODEL = {  # to be found out
    "missing weights",
    "URL as weights",
    "backbone alone",
    "classes of another dataset",
    "output in the way",
}


@pytest.fixture
def mistakes_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.mp4").write_text("not a video")
    save_file({"res2.0.conv1.weight": torch.zeros(1)}, tmp_path / "backbone.safetensors")
    with av.open(str(tmp_path / "zero.avi"), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        container.start_encoding()
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistake_is_told_in_one_line_before_the_model_is_loaded(
    demo, model, clip, mistakes_folder, tmp_path, capsys, monkeypatch, mistake
):
    if mistake not in NEEDS_MODEL:
        monkeypatch.delattr(demo, "VideoPredictor")
    arguments, message = MISTAKES[mistake]
    arguments = [argument.format(mistakes_folder) for argument in arguments]
    output = tmp_path / "result"
    usual = ["--input", str(clip), "--output", str(output), *model]
    assert demo.main([*usual, *arguments]) == 1
    line = error_line(capsys)
    assert re.search(message, line), line


@pytest.mark.parametrize("rate", ["0", "-5", "1/0", "fast"])
def test_frame_rate_that_is_none_is_refused(demo, rate, capsys):
    with pytest.raises(SystemExit, match="2"):
        demo.parse_arguments([f"--frame-rate={rate}"])
    assert f"'{rate}' is no number above 0" in capsys.readouterr().err


def test_gpu_that_is_not_there_is_told(demo, model, clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    arguments = ["--input", str(clip), "--output", str(tmp_path / "result"), *model]
    assert demo.main([*arguments, "--device", "cuda"]) == 1
    assert "MODEL.DEVICE is cuda but no GPU is available" in error_line(capsys)


def test_frames_before_an_unreadable_one_stay(demo, model, clip, tmp_path, capsys):
    damaged = (clip / "7.png").read_bytes()
    (clip / "7.png").write_bytes(damaged[: len(damaged) // 2])
    output = tmp_path / "result"
    assert demo.main(["--input", str(clip), "--output", str(output), *model]) == 1
    assert "7.png cannot be read" in error_line(capsys)
    assert len(frames_in(output)) == 7
    assert len(list((output / "frames").iterdir())) == 7
    assert len(list(VideoSource(output / "overlay.mp4"))) == 7


def test_frames_of_two_sizes_are_both_named(demo, model, clip, tmp_path, capsys):
    cv2.imwrite(str(clip / "3.png"), np.zeros((32, 32, 3), np.uint8))
    output = tmp_path / "result"
    assert demo.main(["--input", str(clip), "--output", str(output), *model]) == 1
    line = error_line(capsys)
    assert "3.png is 32x32 pixels" in line
    assert "0.png is 96x64" in line
    assert len(frames_in(output)) == 3


def test_debug_shows_the_traceback(demo, model, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        demo.main(["--input", str(tmp_path / "nowhere"), "--debug", *model])


def test_interrupted_run_keeps_its_files(demo, model, clip, tmp_path, capsys, monkeypatch):
    def interrupt(segmenter, frames, requests=()):
        segmenter.windows_seen.append(1)
        if len(segmenter.windows_seen) > 4:
            raise KeyboardInterrupt
        return ColorSegmenter.segment_clip(segmenter, frames)

    monkeypatch.setattr(PaintedSegmenter, "segment_clip", interrupt)
    output = tmp_path / "result"
    assert demo.main(["--input", str(clip), "--output", str(output), *model]) == 130
    assert f"what was written to {output} stays" in capsys.readouterr().err
    assert 0 < len(frames_in(output)) < 12


def test_several_inputs_have_a_folder_each(demo, model, clip, tmp_path, capsys):
    output, second = tmp_path / "result", tmp_path / "more" / "clip"
    second.mkdir(parents=True)
    for name in ("0.png", "1.png"):
        (second / name).write_bytes((clip / name).read_bytes())
    inputs = ["--input", str(clip), str(second), str(clip / "3.png")]
    assert demo.main([*inputs, "--output", str(output), "--formats", "json", *model]) == 0
    assert {path.name: len(frames_in(path)) for path in output.iterdir()} == {
        "clip": 12,
        "clip~2": 2,
        "3": 1,
    }
    assert capsys.readouterr().out.count("frames per second; ") == 3


def test_an_input_that_fails_does_not_stop_the_others(demo, model, clip, tmp_path, capsys):
    broken = tmp_path / "broken"
    broken.mkdir()
    for name in ("0.png", "1.png"):
        (broken / name).write_bytes((clip / name).read_bytes())
    (broken / "1.png").write_bytes(b"no image")
    output = tmp_path / "result"
    inputs = ["--input", str(broken), str(clip)]
    assert demo.main([*inputs, "--output", str(output), "--formats", "json", *model]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "1.png" in errors[0]
    assert errors[1] == "error: 1 of 2 inputs failed: broken."
    assert len(frames_in(output / "clip")) == 12


def test_an_input_that_does_not_open_does_not_stop_the_others(demo, model, clip, tmp_path, capsys):
    text = tmp_path / "text.mp4"
    text.write_text("no video")
    output = tmp_path / "result"
    options = ["--output", str(output), "--formats", "json", "--max-frames", "2", *model]
    assert demo.main(["--input", str(text), str(clip), *options]) == 1
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "text.mp4" in errors[0]
    assert errors[1] == f"error: 1 of 2 inputs failed: {text}."
    assert len(frames_in(output / "clip")) == 2  # as if the other had opened
    assert demo.main(["--input", str(text), str(tmp_path / "none"), *options]) == 1


def test_part_of_the_frames_and_smaller_ones(demo, model, clip, tmp_path):
    output = tmp_path / "result"
    part = ["--start", "2", "--end", "10", "--every", "3", "--max-size", "48"]
    options = ["--formats", "json,masks", *part, *model]
    assert demo.main(["--input", str(clip), "--output", str(output), *options]) == 0
    assert [frame["frame_index"] for frame in frames_in(output)] == [2, 5, 8]
    assert cv2.imread(str(output / "masks" / "00005.png")).shape == (32, 48, 3)


@pytest.mark.parametrize(
    ("policy", "expected"), [("skip", [*range(7), *range(8, 12)]), ("repeat", list(range(12)))]
)
def test_bad_frame_is_skipped_or_repeated(demo, model, clip, tmp_path, policy, expected):
    (clip / "7.png").write_bytes(b"no image")
    output = tmp_path / "result"
    options = ["--formats", "json", "--on-bad-frame", policy, *model]
    assert demo.main(["--input", str(clip), "--output", str(output), *options]) == 0
    assert [frame["frame_index"] for frame in frames_in(output)] == expected


def run_script(*arguments):
    return subprocess.run(
        [sys.executable, str(DEMO), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def test_script_tells_a_mistake_in_one_line_and_its_exit_status(tmp_path):
    finished = run_script(
        "--weights", str(tmp_path / "none.safetensors"), "--output", str(tmp_path / "result")
    )
    assert finished.returncode == 1
    (line,) = finished.stderr.splitlines()
    assert line == f"error: Weights {tmp_path}/none.safetensors do not exist."
    assert finished.stdout == ""


def test_help_explains_every_option(demo, capsys):
    with pytest.raises(SystemExit) as finished:
        demo.main(["--help"])
    assert finished.value.code == 0
    explained = capsys.readouterr().out
    for action in demo.build_parser(None, "", ["vis"])._actions:
        assert action.help
        assert action.option_strings[-1] in explained
