from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gvseg.checkpoint import read_checkpoint
from gvseg.checkpoint.loading import read_as_ours
from gvseg.cli import main
from tests.tiny_model import FIVE_CLASSES, build_tiny, tiny_config

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


def test_result_can_be_read_by_whom_any_new_file_can(official, tmp_path):
    destination, other = tmp_path / "ours.safetensors", tmp_path / "other"
    assert main(["convert-weights", str(official), str(destination)]) == 0
    other.touch()
    assert destination.stat().st_mode == other.stat().st_mode


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
    assert list(tmp_path.glob("**/*safetensors*")) == []


def write_config(folder):
    """The config of `build_tiny()`, with weights below it that do not exist."""
    cfg = tiny_config(*FIVE_CLASSES)
    cfg.defrost()
    cfg.MODEL.TIMM.WEIGHTS = str(folder / "no_imagenet_weights.pth")
    path = folder / "tiny.yaml"
    path.write_text(cfg.dump())
    return path


def test_eight_bits_are_read_again_to_a_part_of_the_greatest_in_each_row(official, tmp_path):
    half, small = tmp_path / "half.safetensors", tmp_path / "small.safetensors"
    assert main(["convert-weights", str(official), str(half), "--half"]) == 0
    assert main(["convert-weights", str(official), str(small), "--int8"]) == 0
    assert small.stat().st_size < 0.7 * half.stat().st_size  # names count in a narrow model
    expected, read = read_checkpoint(half), read_checkpoint(small)
    assert read.keys() == expected.keys()
    for name, tensor in read.items():
        assert tensor.shape == expected[name].shape
        if tensor.ndim < 2:
            assert torch.equal(tensor, expected[name])
            continue
        assert tensor.dtype == torch.float32
        rows, wanted = tensor.flatten(1), expected[name].float().flatten(1)
        greatest = wanted.abs().amax(1, keepdim=True)
        assert ((rows - wanted).abs() <= greatest * (1 / 254 + 1e-3)).all(), name


@pytest.mark.parametrize("half", [[], ["--half"]])
def test_weights_that_fit_the_config_are_written(half, tmp_path, caplog):
    source, destination = tmp_path / "source.pth", tmp_path / "ours.safetensors"
    state = build_tiny().state_dict()
    torch.save({"model": state}, source)
    arguments = ["convert-weights", str(source), str(destination), *half]
    with caplog.at_level("INFO"):
        assert main([*arguments, "--config-file", str(write_config(tmp_path))]) == 0
    assert f"{len(state)} tensors loaded, 0 missing, 0 unexpected" in caplog.text
    for name, tensor in load_file(destination).items():
        torch.testing.assert_close(tensor.float(), state[name].float(), rtol=1e-3, atol=1e-4)


def test_misfit_leaves_the_old_file_as_it_was(official, tmp_path):
    destination = tmp_path / "ours.safetensors"
    destination.write_text("precious")
    arguments = ["convert-weights", str(official), str(destination), "--force"]
    assert main([*arguments, "--config-file", str(write_config(tmp_path))]) == 1
    assert destination.read_text() == "precious"


def test_tensors_that_share_memory_are_written(tmp_path):
    """PyTorch saves tied weights as one; the format of the result knows no such thing."""
    base = torch.arange(8.0)
    tied = {"query_decoder.a": base, "query_decoder.b": base, "query_decoder.c": base[::2]}
    torch.save(tied, tmp_path / "w.pth")
    destination = tmp_path / "ours.safetensors"
    assert main(["convert-weights", str(tmp_path / "w.pth"), str(destination)]) == 0
    for name, tensor in load_file(destination).items():
        assert torch.equal(tensor, tied[name])


def test_destination_that_cannot_be_written_is_one_line(official, tmp_path, capsys, monkeypatch):
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "file").write_text("")

    def fail(tensors, path):
        Path(path).write_bytes(b"half a file")
        raise SafetensorError("Error while serializing: No space left on device")

    monkeypatch.setattr("gvseg.cli.convert_weights.save_file", fail)
    for name in ("folder.safetensors", "file/ours.safetensors", "full.safetensors"):
        assert main(["convert-weights", str(official), str(tmp_path / name), "--force"]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert str((tmp_path / name).parent) in error
    assert "full.safetensors cannot be written: Error while serializing: No space" in error
    assert {path.name for path in tmp_path.iterdir()} == {
        official.name,
        "folder.safetensors",
        "file",
    }


def test_unwritable_folder_is_one_line(official, capsys):
    """A folder where nobody may write, root included."""
    assert main(["convert-weights", str(official), "/proc/ours.safetensors"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("gvseg convert-weights: /proc/ours.safetensors cannot be written: ")
    assert error.count("\n") == 1


def test_url_as_source_is_one_line(tmp_path, capsys):
    url = "https://example.com/model_final.pkl"
    assert main(["convert-weights", url, str(tmp_path / "ours.safetensors")]) == 1
    assert f"Weights {url} are a URL" in capsys.readouterr().err


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


@pytest.mark.parametrize("name", ["layer1.0.conv1.weight", "res2.0.conv1.weight"])
def test_converted_backbone_can_be_read(name, tmp_path):
    save_file({name: torch.ones(2)}, tmp_path / "theirs.safetensors")
    ours = tmp_path / "ours.safetensors"
    assert main(["convert-weights", str(tmp_path / "theirs.safetensors"), str(ours)]) == 0
    assert list(read_as_ours(ours)[0]) == ["backbone.res2.0.conv1.weight"]
