import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.cli import main, show_predictions
from tests.data.checks.made_up_sets import write_set
from tests.evaluation.submissions.made_up import make, perfect

DATASET = "davis2017_train"
TITLE, LINE = 44, 22  # pixels of the heading and of a line of text


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    """Those that are the annotations."""
    assert write_set("davis", tmp_path) == DATASET
    (labels,) = tmp_path.glob("**/Annotations/480p")
    return Path(shutil.copytree(labels, tmp_path / "predictions"))


def show(folder: Path, *arguments: str) -> int:
    paths = ["--root", str(folder), "--pred", str(folder / "predictions")]
    output = ["--output", str(folder / "new" / "sheet.png")]
    return main(["show-predictions", DATASET, *paths, *output, *arguments])


def halves(folder: Path) -> list[np.ndarray]:
    """The pictures of one row of annotations and of the row of predictions below it."""
    with Image.open(folder / "new" / "sheet.png") as image:
        sheet = np.asarray(image)[TITLE:]
    return [half[LINE:-LINE] for half in np.split(sheet, 2)]


def test_perfect_predictions_look_like_annotations(predictions: Path):
    assert show(predictions.parent, "--frames", "3") == 0
    truth, guess = halves(predictions.parent)
    np.testing.assert_array_equal(truth, guess)


def test_what_was_not_found_is_not_drawn(predictions: Path):
    for path in predictions.rglob("*.png"):
        with Image.open(path) as image:
            Image.new("P", image.size).save(path)
    assert show(predictions.parent, "--frames", "3") == 0
    truth, guess = halves(predictions.parent)
    assert (truth != guess).any(-1).mean() > 0.01


def test_the_seed_chooses_frames(predictions: Path):
    sheets = []
    for seed in ("1", "1", "2"):
        assert show(predictions.parent, "--frames", "2", "--seed", seed) == 0
        sheets.append(halves(predictions.parent)[0].tobytes())
    assert sheets[0] == sheets[1] != sheets[2]


def test_more_frames_take_more_rows_and_all_are_enough(predictions: Path):
    heights = []
    for num_frames in ("5", "6", "1000"):
        assert show(predictions.parent, "--frames", num_frames) == 0
        with Image.open(predictions.parent / "new" / "sheet.png") as sheet:
            heights.append(sheet.height)
    assert heights[0] < heights[1] <= heights[2]


def test_identities_are_the_numbers_that_were_written(tmp_path: Path, monkeypatch):
    made = make(tmp_path, "vipseg_val", num_videos=1)
    predictions = made.submit(tmp_path / "predictions", perfect)
    seen: list[int] = []

    def draw(frame, labels, benchmark):
        seen.extend(labels.segments.ids.tolist())
        return frame

    monkeypatch.setattr(show_predictions, "draw_annotations", draw)
    arguments = ["--root", str(tmp_path), "--pred", str(predictions), "--frames", "1"]
    arguments += ["--output", str(tmp_path / "sheet.png")]
    assert main(["show-predictions", made.dataset_name, *arguments]) == 0
    (written,) = json.loads((predictions / "pred.json").read_text())["annotations"]
    numbers = {part["id"] for frame in written["annotations"] for part in frame["segments_info"]}
    num_predicted = len(seen) // 2
    assert num_predicted > 1
    assert set(seen[num_predicted:]) <= numbers


def test_objects_that_are_all_unsure_are_told_of(tmp_path: Path, caplog):
    made = make(tmp_path, "coco_val2017")
    predictions = made.submit(tmp_path / "predictions", perfect)
    arguments = ["--root", str(tmp_path), "--pred", str(predictions)]
    arguments += ["--output", str(tmp_path / "sheet.png")]
    assert main(["show-predictions", made.dataset_name, *arguments]) == 0
    assert "--score-threshold" not in caplog.text
    assert main(["show-predictions", made.dataset_name, *arguments, "--score-threshold", "2"]) == 0
    assert "predicted in these frames has a score of 2; --score-threshold 0 draws" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--frames", "0"], "--frames is 0; give 1 or more."),
        (["--output", "sheet.jpg"], "sheet.jpg must end in .png."),
        (["--pred", "nowhere"], "nowhere"),
    ],
)
def test_mistakes_are_told(predictions: Path, capsys, arguments: list[str], message: str):
    assert show(predictions.parent, *arguments) == 1
    assert message in capsys.readouterr().err
