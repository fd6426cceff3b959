"""The verb `plot-training`."""

import json
from pathlib import Path

import pytest
from PIL import Image

from gvseg.cli import main
from gvseg.cli.plot_training import draw, read_curves


def write_log(folder: Path, lines: list[dict]) -> Path:
    folder.mkdir()
    (folder / "metrics.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.fixture
def training(tmp_path: Path) -> Path:
    """Return the output of a training that was evaluated twice."""
    lines: list[dict] = [
        {"iteration": step, "total_loss": 9.0 - step / 10} for step in range(19, 60, 20)
    ]
    lines[1] |= {"vss/vspw/mIoU": 30.0, "vss/vspw/mACC": 60.0}
    return write_log(tmp_path / "camvid", [*lines, {"iteration": 60, "vss/vspw/mIoU": 40.0}])


def test_losses_and_chosen_metrics_are_read(training: Path):
    curves = read_curves(training, ["mIoU"])
    assert curves.loss == [(20, 9.0 - 1.9), (40, 9.0 - 3.9), (60, 9.0 - 5.9)]
    assert curves.metrics == {"vss/vspw/mIoU": [(40, 30.0), (60, 40.0)]}


def test_what_was_logged_again_counts_and_nothing_that_came_after_it(training: Path):
    """A training was resumed, or another one began, before what the file already has."""
    with (training / "metrics.json").open("a") as file:
        file.write(json.dumps({"iteration": 39, "total_loss": 1.0}) + "\n")
    curves = read_curves(training, ["mIoU"])
    assert curves.loss == [(20, 9.0 - 1.9), (40, 1.0)]
    assert curves.metrics == {"vss/vspw/mIoU": [(40, 30.0)]}


def test_evaluation_between_two_losses_keeps_both(tmp_path: Path):
    """Where its period is no multiple of 20, its line comes behind that of the next loss."""
    lines: list[dict] = [{"iteration": step, "total_loss": 1.0} for step in (19, 39)]
    lines += [{"iteration": 29, "vss/vspw/mIoU": 30.0}, {"iteration": 59, "total_loss": 1.0}]
    curves = read_curves(write_log(tmp_path / "log", lines), ["mIoU"])
    assert [iteration for iteration, _ in curves.loss] == [20, 40, 60]
    assert curves.metrics == {"vss/vspw/mIoU": [(30, 30.0)]}


def test_every_training_has_a_row(training: Path, tmp_path: Path):
    other = write_log(tmp_path / "loss_alone", [{"iteration": 0, "total_loss": 1.0}])
    figure = draw({folder.name: read_curves(folder, ["mIoU"]) for folder in (training, other)})
    losses, metrics, *_, empty = figure.axes
    assert len(figure.axes) == 4
    assert losses.get_ylabel() == "camvid"
    assert metrics.get_lines()[0].get_xydata().tolist() == [[40, 30], [60, 40]]
    assert not empty.axison


def test_picture_is_written(training: Path, tmp_path: Path):
    picture = tmp_path / "curves.png"
    assert main(["plot-training", str(training), "--output", str(picture)]) == 0
    with Image.open(picture) as image:
        assert image.width > 500


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "metrics.json does not exist"),
        ('{"iteration": 3}\n', "has no losses"),
        ('{"iteration": 3, "total_loss": 1.0}\n{"iter', "line 2, is damaged"),
    ],
)
def test_what_is_no_training_is_refused(tmp_path: Path, capsys, text, message: str):
    if text is not None:
        (tmp_path / "metrics.json").write_text(text)
    assert main(["plot-training", str(tmp_path), "--output", str(tmp_path / "a.png")]) == 1
    assert message in capsys.readouterr().err
