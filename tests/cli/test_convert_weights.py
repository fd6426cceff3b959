from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from gvseg.checkpoint import read_checkpoint
from gvseg.cli import main

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture
def official(tmp_path):
    """A checkpoint as the authors of Mask2Former publish it, but narrow."""
    arrays = np.load(DATA / "image_r50.npz")
    weights = {key[2:]: torch.from_numpy(arrays[key]) for key in arrays if key.startswith("w/")}
    path = tmp_path / "model_final.pth"
    torch.save({"model": weights, "iteration": 3}, path)
    return path


def test_official_weights_become_ours(official, tmp_path, caplog):
    destination = tmp_path / "new" / "ours.safetensors"
    with caplog.at_level("INFO"):
        assert main(["convert-weights", str(official), str(destination)]) == 0
    assert "Mask2Former" in caplog.text
    ours, theirs = load_file(destination), read_checkpoint(official)
    torch.testing.assert_close(
        ours["query_decoder.head.classes.weight"],
        theirs["sem_seg_head.predictor.class_embed.weight"],
    )
    assert not any(name.startswith(("sem_seg_head", "criterion")) for name in ours)


def test_half_stores_half_the_bytes(official, tmp_path):
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    assert main(["convert-weights", str(official), str(full)]) == 0
    assert main(["convert-weights", str(official), str(half), "--half"]) == 0
    assert half.stat().st_size < 0.6 * full.stat().st_size
    for name, tensor in load_file(half).items():
        torch.testing.assert_close(tensor.float(), load_file(full)[name], rtol=1e-3, atol=1e-4)


def test_result_is_checked_against_a_config(official, tmp_path, capsys):
    """The narrow weights do not fit the full-size model, and the message says which tensor."""
    destination = tmp_path / "ours.safetensors"
    config = Path(__file__).parents[2] / "configs" / "base" / "mask2former_r50.yaml"
    arguments = ["convert-weights", str(official), str(destination), "--config-file", str(config)]
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert "backbone.res2.0.conv2.weight: (4, 4, 3, 3) in the file, (64, 64, 3, 3)" in error


def test_existing_file_is_kept_unless_forced(official, tmp_path, capsys):
    destination = tmp_path / "ours.safetensors"
    destination.write_text("precious")
    assert main(["convert-weights", str(official), str(destination)]) == 1
    assert destination.read_text() == "precious"
    assert "--force" in capsys.readouterr().err
    assert main(["convert-weights", str(official), str(destination), "--force"]) == 0


def test_missing_source_is_one_line(tmp_path, capsys):
    missing = tmp_path / "nothing.pth"
    assert main(["convert-weights", str(missing), str(tmp_path / "o.safetensors")]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert str(missing) in error
