"""Read pickles of NumPy arrays without NumPy's own unpickling, which trusts what the file says.

`dtype.__setstate__` and `ndarray.__setstate__` take flags and pointers from the file as they are,
so a crafted file makes them follow pointers of its choice. Here the unpickler meets stand-ins that
only record what they are given; arrays are made from the records once these have been checked.
"""

from __future__ import annotations

import io
import math
import pickle
import re
from typing import Any

import numpy as np

_NUMBER = re.compile(r"([fiu][1248]|b1)")


class _Record:
    """The arguments of a call that the file asks for, and the state that it wants to set.

    Every stand-in has a `__setstate__`, so that no file can set attributes of its own choice.
    """

    args: tuple = ()
    state: object = None

    def __init__(self, *args: object) -> None:
        self.args = args

    def __setstate__(self, state: object) -> None:
        self.state = state


class _ArrayType(_Record):
    """`numpy.ndarray`, named in each `_reconstruct`."""


class _Dtype(_Record):
    """`numpy.dtype(name, align, copy)` with the state (version, byte order, ...)."""

    def number_type(self) -> np.dtype:
        """Return the type of numbers that was recorded, in the byte order of the file."""
        match self.args, self.state:
            case (str(name), _, _), (int(), str(order), *details) if (
                _NUMBER.fullmatch(name) and order in ("<", ">", "|", "=") and not any(details[:3])
            ):
                return np.dtype(name if order in ("|", "=") else order + name)
        raise ValueError(f"an array has a type other than plain numbers: {str(self.args)[:80]}")


class RecordedArray(_Record):
    """`_reconstruct(ndarray, shape, typecode)` with the state of the array."""

    def to_numpy(self) -> np.ndarray:
        """Return the array, read-only.

        Raises:
            ValueError: the record is no array of plain numbers, or its parts do not agree.
        """
        match self.state:
            case (int(), tuple(shape), _Dtype() as dtype, int(is_fortran), str() | bytes() as data):
                return _array(data, dtype, shape, "F" if is_fortran else "C")
        raise ValueError("an array has a state that NumPy does not write")


class BufferArray(_Record):
    """`_frombuffer(data, dtype, shape, order)`, which pickles of protocol 5 use."""

    def to_numpy(self) -> np.ndarray:
        """Return the array, read-only; see `RecordedArray`."""
        match self.args:
            case (bytes() | bytearray() as data, _Dtype() as dtype, tuple(shape), order) if (
                order in ("C", "F")
            ):
                return _array(bytes(data), dtype, shape, order)
        raise ValueError("an array has arguments that NumPy does not write")


class _Scalar(_Record):
    """`scalar(dtype, data)`: no tensor, so nobody asks what it holds."""


class _Dict(dict):
    """An `OrderedDict`, without the attributes that a state dict of PyTorch carries along."""

    def __setstate__(self, state: object) -> None:
        """Drop the attributes."""


class _Encoded(_Record):
    """`_codecs.encode(text, "latin1")`, or `bytes()`: how Python 3 writes bytes in protocol 2."""

    def __new__(cls, text: object = "", encoding: object = "latin1") -> Any:  # noqa: ANN401  it is bytes
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise pickle.UnpicklingError("it encodes what is not bytes")
        return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], type] = {
    ("collections", "OrderedDict"): _Dict,
    ("_codecs", "encode"): _Encoded,
    ("__builtin__", "bytes"): _Encoded,
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _ArrayType,
}
for _package in ("numpy.core", "numpy._core"):  # NumPy 2 moved them
    _STAND_INS[f"{_package}.multiarray", "_reconstruct"] = RecordedArray
    _STAND_INS[f"{_package}.multiarray", "scalar"] = _Scalar
    _STAND_INS[f"{_package}.numeric", "_frombuffer"] = BufferArray


# The one in C makes room for as many objects as the file says, were it billions; this one does not.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str) -> type:
        if (module, name) not in _STAND_INS:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}, which is not an array")
        return _STAND_INS[module, name]


def load_records(data: bytes) -> object:
    """Return what a pickle holds, with `RecordedArray` or `BufferArray` in place of each array.

    Raises:
        Exception: of many kinds, where the pickle is broken or refers to anything but arrays.
    """
    return _Unpickler(io.BytesIO(data), encoding="latin1").load()


def _array(data: str | bytes, dtype: _Dtype, shape: tuple, order: str) -> np.ndarray:
    number_type = dtype.number_type()
    if isinstance(data, str):  # Python 2 wrote bytes as its strings
        data = data.encode("latin1")
    if not all(type(length) is int and length >= 0 for length in shape):
        raise ValueError("an array has a shape that is no tuple of lengths")
    if len(data) != math.prod(shape) * number_type.itemsize:
        raise ValueError(f"an array of shape {str(shape)[:80]} has {len(data)} bytes")
    flat = np.frombuffer(data, number_type)
    if number_type.kind == "b":
        flat = np.frombuffer(data, np.uint8) != 0  # a byte of a bool is 0 or 1, but not in any file
    return flat.reshape(shape, order="F" if order == "F" else "C")
