import os
import pickle
import random
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from gvseg.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[2]
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


def run_read(path):
    """Read in a process of its own, so that a crash of the interpreter is a failed test."""
    code = (
        "import sys\nfrom gvseg.checkpoint import read_checkpoint\n"
        "try:\n    read_checkpoint(sys.argv[1])\n"
        "except ValueError as error:\n    sys.exit(f'refused: {error}')\n"
    )
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def text(value):
    return b"X" + len(value).to_bytes(4, "little") + value.encode()


def number(value):
    return b"J" + value.to_bytes(4, "little", signed=True)


def dtype(name):
    return b"cnumpy\ndtype\n(" + text(name) + b"\x89\x88tR"


def dtype_state(flags):
    return b"(" + number(3) + text("|") + b"NNN" + number(-1) + number(-1) + number(flags) + b"t"


EMPTY_ARRAY = (
    b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + number(0) + b"tU\x01btR"
)
# An object dtype that denies holding objects reads raw bytes as pointers; the flag set again,
# NumPy follows them when it frees the array.
POINTERS_FROM_BYTES = (
    b"\x80\x02}" + text("model") + b"}" + text("a") + EMPTY_ARRAY
    + b"(" + number(1) + b"(" + number(1) + b"t" + dtype("O8") + b"q\x01" + dtype_state(0) + b"b"
    + b"\x89U\x08AAAAAAAAtbs" + text("d") + b"h\x01" + dtype_state(63) + b"bss."
)  # fmt: skip
# A structure of which one field, an object, lies a megabyte behind the array.
FIELD_OUTSIDE = (
    b"\x80\x02}" + text("a") + EMPTY_ARRAY + b"(" + number(1) + b"(" + number(2) + b"t"
    + dtype("V16") + b"(" + number(3) + text("|") + b"N(" + text("x") + b"t}" + text("x")
    + b"(" + dtype("O8") + number(1 << 20) + b"ts" + number(16) + number(1) + number(0)
    + b"tb\x89U\x20" + b"A" * 32 + b"tbs."
)  # fmt: skip


@pytest.mark.parametrize("content", [POINTERS_FROM_BYTES, FIELD_OUTSIDE])
def test_crafted_arrays_are_refused_without_a_crash(content, tmp_path):
    path = tmp_path / "crafted.pkl"
    path.write_bytes(content)
    done = run_read(path)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"refused: {path} ")
    assert "type other than plain numbers" in done.stderr


def test_flipped_byte_in_a_dtype_does_not_crash(tmp_path):
    """Each byte of the pickle of one array in turn: NumPy's own unpickling dies of some."""
    good = pickle.dumps({"a": np.arange(3.0)}, protocol=2)
    script = tmp_path / "flip.py"
    script.write_text(
        "import pathlib, sys\nfrom gvseg.checkpoint import read_checkpoint\n"
        "path = pathlib.Path(sys.argv[1])\ngood = path.read_bytes()\n"
        "for place in range(len(good)):\n"
        "    for change in (0x01, 0x20, 0xFF):\n"
        "        bad = bytearray(good)\n        bad[place] ^= change\n"
        "        path.write_bytes(bad)\n"
        "        try:\n            read_checkpoint(path)\n"
        "        except ValueError as error:\n            assert str(path) in str(error)\n"
    )
    path = tmp_path / "w.pkl"
    path.write_bytes(good)
    done = subprocess.run(
        [sys.executable, str(script), str(path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == 0, done.stderr


ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "float16": np.arange(4, dtype=np.float16),
    "big_endian": np.arange(6, dtype=">f8").reshape(3, 2),
    "fortran": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
    "bool": np.array([[True, False]]),
    "no_axis": np.array(7, dtype=np.int64),
    "empty": np.empty((0, 4), dtype=np.uint8),
}


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_layout_and_protocol(protocol, tmp_path):
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps(OrderedDict(ARRAYS), protocol=protocol))
    tensors = read_checkpoint(path)
    assert list(tensors) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(tensors[name].numpy(), array)
        assert tensors[name].numpy().dtype == array.dtype.newbyteorder("=")


def test_array_of_python_2(tmp_path):
    """Its strings are bytes, and NumPy 1 kept its functions elsewhere."""
    values = np.array([1.5, -2.0], dtype="<f4")
    state = b"(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    content = (
        b"\x80\x02}U\x01acnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R" + state
        + b"\x89U\x08" + values.tobytes() + b"tbs."
    )  # fmt: skip
    path = tmp_path / "w.pkl"
    path.write_bytes(content)
    np.testing.assert_array_equal(read_checkpoint(path)["a"].numpy(), values)


@pytest.mark.parametrize(
    "array", [np.array([None]), np.array(["text"]), np.zeros(2, "f4,i4"), np.zeros(2, complex)]
)
def test_arrays_of_anything_but_numbers_are_refused(array, tmp_path):
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps({"a": array}, protocol=4))
    with pytest.raises(ValueError, match=r"w\.pkl .*(other than plain numbers|does not write)"):
        read_checkpoint(path)


@pytest.mark.parametrize("suffix", [".pkl", ".pth", ".bin", ".safetensors"])
@pytest.mark.parametrize(
    "content", [b"", b"just some text\n" * 9, b"<!DOCTYPE html>", b"\x80\x02."]
)
def test_file_that_is_no_checkpoint_is_named(suffix, content, tmp_path):
    path = tmp_path / f"w{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=str(path)):
        read_checkpoint(path)


@pytest.mark.parametrize("name", WRITERS)
def test_damaged_files_are_read_or_refused(name, tmp_path):
    path = tmp_path / name
    WRITERS[name](path)
    good = path.read_bytes()
    generator = random.Random(0)
    errors = []
    for _ in range(200):
        bad = bytearray(good)
        bad[generator.randrange(len(bad))] ^= generator.randrange(1, 256)
        path.write_bytes(bad)
        try:
            read_checkpoint(path)
        except ValueError as error:
            errors.append(str(error))
    assert errors
    assert all(error.startswith(f"{path} ") and "\n" not in error for error in errors)


def test_memo_of_a_damaged_pickle_takes_no_memory(tmp_path):
    """An index of a few billions would make the unpickler of C reserve tens of gigabytes."""
    path = tmp_path / "w.pkl"
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")
    with pytest.raises(ValueError, match="holds no tensors"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    "url",
    [
        "detectron2://ImageNetPretrained/torchvision/R-50.pkl",
        "https://example.com/model_final.pkl",
        Path("https://example.com/model_final.pkl"),
    ],
)
def test_url_is_not_a_missing_file(url):
    with pytest.raises(ValueError, match=r"URLs are not fetched: download the file"):
        read_checkpoint(url)


def test_names_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "w.pth"
    torch.save({3: torch.zeros(1)}, path)
    with pytest.raises(ValueError, match=r"w\.pth .*have no names"):
        read_checkpoint(path)
