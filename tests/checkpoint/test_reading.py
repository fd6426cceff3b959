import os
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gvseg.checkpoint import read_checkpoint

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2])}


def write_pickle(path):
    arrays = {name: tensor.numpy() for name, tensor in TENSORS.items()}
    path.write_bytes(pickle.dumps({"model": arrays, "__author__": "someone", "step": np.int64(3)}))


WRITERS = {
    "w.safetensors": lambda path: save_file(TENSORS, path),
    "w.pth": lambda path: torch.save({"model": TENSORS, "iteration": 5}, path),
    "w.pt": lambda path: torch.save(TENSORS, path),
    "w.bin": lambda path: torch.save({"state_dict": TENSORS}, path),
    "w.pkl": write_pickle,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_tensors(name, tmp_path):
    WRITERS[name](tmp_path / name)
    tensors = read_checkpoint(tmp_path / name)
    assert set(tensors) == set(TENSORS)
    for key, tensor in TENSORS.items():
        assert torch.equal(tensors[key], tensor)


def test_folder_of_hugging_face(tmp_path):
    save_file(TENSORS, tmp_path / "model.safetensors")
    assert torch.equal(read_checkpoint(tmp_path)["a"], TENSORS["a"])


class Malicious:
    """Unpickling it would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("suffix", [".pkl", ".pth"])
def test_code_in_a_checkpoint_is_not_run(suffix, tmp_path):
    evidence, path = tmp_path / "evidence", tmp_path / f"bad{suffix}"
    content = {"model": {"a": Malicious(evidence)}}
    if suffix == ".pkl":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path)
    with pytest.raises(ValueError, match="bad"):
        read_checkpoint(path)
    assert not evidence.exists()


@pytest.mark.parametrize("name", ["w.pth", "w.pkl", "w.safetensors"])
def test_truncated_file_is_named(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=str(path)):
        read_checkpoint(path)


def test_missing_file_and_unknown_ending_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.pth"):
        read_checkpoint(tmp_path / "no.pth")
    (tmp_path / "weights.tar").write_text("")
    with pytest.raises(ValueError, match="unknown ending"):
        read_checkpoint(tmp_path / "weights.tar")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"none of model\.safetensors"):
        read_checkpoint(tmp_path / "empty")


def test_file_without_tensors_is_refused(tmp_path):
    torch.save({"model": {"name": "nothing"}}, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="no tensors"):
        read_checkpoint(tmp_path / "w.pth")
