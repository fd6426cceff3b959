"""Verbs that take a dataset's name find one that the PROJECTS of a config register."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from gvseg.cli import main
from tests.cli.own_data import own_dataset


def encode(mask: np.ndarray) -> dict:
    rle = coco_mask.encode(np.asfortranarray(mask))
    return {**rle, "counts": rle["counts"].decode()}


def write_perfect_predictions(folder: Path) -> Path:
    """Those that the masks of `own_dataset` are."""
    frames = [np.asarray(Image.open(path)) for path in sorted(folder.glob("masks/street/*.png"))]
    tracks = [
        {
            "video_id": "street",
            "category_id": 1,
            "score": 1.0,
            "segmentations": [encode(frame == object_id) for frame in frames],
        }
        for object_id in (1, 2)
    ]
    path = folder / "results.json"
    path.write_text(json.dumps(tracks))
    return path


def test_own_dataset_is_scored_and_drawn(tmp_path: Path, capsys):
    sheet = tmp_path / "sheet.png"
    with own_dataset(tmp_path, "scored_cars") as config:
        given = ["scored_cars", "--config-file", str(config)]
        predictions = ["--pred", str(write_perfect_predictions(tmp_path))]
        assert main(["eval", *given, *predictions, "--json", "--workers", "1"]) == 0
        scores = json.loads(capsys.readouterr().out)
        assert main(["show-predictions", *given, *predictions, "--output", str(sheet)]) == 0
        assert main(["make-clips", *given, "--output", str(tmp_path / "clips")]) == 1
    assert "street is a video; clips are made of still images" in capsys.readouterr().err
    assert scores["results"]["ap/youtube_vis"]["AP"] == pytest.approx(100)
    assert sheet.exists()
