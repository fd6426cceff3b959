"""Files that are whole at any time: while they grow, when the disk is full, after a kill."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name the file, and what to do where the disk is full, in errors of the block.

    Raises:
        OSError: one came up.
    """
    try:
        yield
    except OSError as error:
        advice = "; make room or choose another folder" if error.errno in _FULL else ""
        reason = error.strerror or error
        raise OSError(f"{path} cannot be written: {reason}{advice}.") from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Give the block a path to write to; what it writes gets its name when it is complete.

    Raises:
        OSError: it cannot be written; what was there before stays.
    """
    unfinished = path.with_name(f".{path.name}.part")
    with writing(path):
        try:
            yield unfinished
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise


class DirectFile(io.FileIO):
    """A file in which all that is written has reached the system when `write` returns."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        rest = memoryview(data)
        while rest:
            rest = rest[super().write(rest) :]
        return len(data)


class GrowingFile:
    """A file that grows by pieces; an error leaves none of the piece that was being written.

    Args:
        path: of the file, written anew.
        head: the first piece.
        tail: stands behind the last piece.

    Raises:
        OSError: the file cannot be written, here and in `append`.
    """

    def __init__(self, path: Path, head: bytes, tail: bytes = b"") -> None:
        self.path = path
        self._tail = tail
        self._end = 0  # where the tail begins
        with writing(path):
            self._file = DirectFile(path, "w")
        self.append(head)

    def append(self, piece: bytes) -> None:
        """Write a piece, and the tail behind it."""
        with writing(self.path):
            try:
                self._file.seek(self._end)
                self._file.write(piece + self._tail)
            except BaseException:
                self._undo()
                raise
        self._end += len(piece)

    def close(self) -> None:
        """Close the file, which is whole already."""
        self._file.close()

    def _undo(self) -> None:
        """Put the tail where it was; there is room for what was there before."""
        if not self._end:
            self._file.close()
            self.path.unlink()
            return
        self._file.seek(self._end)
        self._file.write(self._tail)
        self._file.truncate()
