"""Read the tensors of a checkpoint without running code that it may carry."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors.torch import load_file
from torch import Tensor

from gvseg.checkpoint.array_pickle import BufferArray, RecordedArray, load_records
from gvseg.checkpoint.eight_bits import from_eight_bits

HUGGING_FACE_FILES = ("model.safetensors", "pytorch_model.bin")
SUFFIXES = (".safetensors", ".pkl", ".pth", ".pt", ".bin")

_URL = re.compile(r"[A-Za-z][\w+.-]+:/")


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Return every tensor of a checkpoint by the name it has there.

    Args:
        path: a `.safetensors`, `.pkl` (arrays, as detectron2's model zoo), `.pth`, `.pt` or `.bin`
            file, or a folder as Hugging Face saves it.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file may not be read.
        ValueError: the file is not a checkpoint, is broken, or would have to run code to be read;
            or `path` is a URL.
    """
    path = checkpoint_file(path)
    with path.open("rb") as file:  # a file that may not be read is an error of its own
        try:
            content = _READERS.get(path.suffix, _read_torch)(path, file)
            tensors = _tensors(content)
        # Damaged files fail in the parsers in every way there is; each means the same to the user.
        except Exception as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
            raise ValueError(
                f"{path} is no readable checkpoint of plain tensors: {reason}. It may be damaged "
                "or incomplete; copy it again."
            ) from None
    if not tensors:
        raise ValueError(f"{path} holds no tensors.")
    return tensors


def checkpoint_file(path: str | Path) -> Path:
    """Return the file that `path` means: itself, or the one with the weights in a folder.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is a URL, or of an unknown kind.
    """
    name, path = str(path), Path(path)
    if path.is_dir():
        for name in HUGGING_FACE_FILES:
            if (path / name).is_file():
                return path / name
        raise FileNotFoundError(f"The folder {path} has none of {', '.join(HUGGING_FACE_FILES)}.")
    if not path.is_file():
        if _URL.match(name):
            raise ValueError(
                f"Weights {name} are a URL, and URLs are not fetched: download the file and give "
                "its path."
            )
        start = "" if path.is_absolute() else f"; a relative path starts in {Path.cwd()}"
        raise FileNotFoundError(f"Weights {path} do not exist{start}.")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"Weights {path} have an unknown ending; known: {', '.join(SUFFIXES)}.")
    return path


def _read_safetensors(path: Path, _: BinaryIO) -> object:
    return from_eight_bits(load_file(path))


def _read_arrays(_: Path, file: BinaryIO) -> object:
    return load_records(file.read())


def _read_torch(_: Path, file: BinaryIO) -> object:
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:  # whose message advises to run what the file says
        raise ValueError("it holds more than tensors, or no checkpoint at all") from None


_READERS = {".safetensors": _read_safetensors, ".pkl": _read_arrays}


def _tensors(content: object) -> dict[str, Tensor]:
    for key in ("model", "state_dict", "model_state"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, not a dict of tensors")
    tensors = {name: _as_tensor(value) for name, value in content.items()}
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    if not all(isinstance(name, str) for name in kept):
        raise ValueError("its tensors have no names")
    return kept


def _as_tensor(value: object) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, RecordedArray | BufferArray):
        array = value.to_numpy()
        # PyTorch knows the byte order of this machine alone.
        return torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
    return None
