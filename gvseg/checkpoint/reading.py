"""Read the tensors of a checkpoint without running code that it may carry."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

HUGGING_FACE_FILES = ("model.safetensors", "pytorch_model.bin")
SUFFIXES = (".safetensors", ".pkl", ".pth", ".pt", ".bin")

# What a pickled dict of NumPy arrays refers to; modules moved from numpy.core to numpy._core.
_ALLOWED_GLOBALS = {
    ("collections", "OrderedDict"),
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy.core.multiarray", "scalar"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
}


class _ArrayUnpickler(pickle.Unpickler):
    """Unpickle containers of NumPy arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  as in the base class
        if (module, name) not in _ALLOWED_GLOBALS:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is not an array")
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        return super().find_class(module, name)


def read_checkpoint(path: str | Path) -> dict[str, Tensor]:
    """Return every tensor of a checkpoint by the name it has there.

    Args:
        path: a `.safetensors`, `.pkl` (arrays, as detectron2's model zoo), `.pth`, `.pt` or `.bin`
            file, or a folder as Hugging Face saves it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a checkpoint, is broken, or would have to run code to be read.
    """
    path = _checkpoint_file(Path(path))
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path} is not a readable safetensors file: {error}.") from None
    content = _read_arrays(path) if path.suffix == ".pkl" else _read_torch(path)
    for key in ("model", "state_dict", "model_state"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
            break
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, not a dict of tensors.")
    tensors = {name: _as_tensor(value) for name, value in content.items()}
    kept = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    if not kept:
        raise ValueError(f"{path} holds no tensors.")
    return kept


def _checkpoint_file(path: Path) -> Path:
    if path.is_dir():
        for name in HUGGING_FACE_FILES:
            if (path / name).is_file():
                return path / name
        raise FileNotFoundError(f"The folder {path} has none of {', '.join(HUGGING_FACE_FILES)}.")
    if not path.is_file():
        raise FileNotFoundError(f"Weights {path} do not exist.")
    if path.suffix not in SUFFIXES:
        raise ValueError(f"Weights {path} have an unknown ending; known: {', '.join(SUFFIXES)}.")
    return path


def _read_arrays(path: Path) -> object:
    try:
        with path.open("rb") as file:
            return _ArrayUnpickler(io.BytesIO(file.read()), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError) as error:
        raise ValueError(f"{path} is not a pickle of plain arrays: {error}.") from None


def _read_torch(path: Path) -> object:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{path} is not a PyTorch file of plain tensors: {reason}") from None


def _as_tensor(value: object) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.ascontiguousarray(value))
    return None
