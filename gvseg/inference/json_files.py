"""JSON files that grow with a video and are whole at any time."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

LARGEST_STEP = 0.125  # of the frames so far, that may come before a file is joined again
SMALLEST_STEP = 25  # frames


class GrowingJson:
    """A JSON file that ends in a list; whole on disk after each entry.

    Args:
        path: of the file, written anew.
        head: JSON up to the opening bracket of the list.
        tail: the brackets that close list and file.
    """

    def __init__(self, path: Path, *, head: str, tail: str) -> None:
        self._file: BinaryIO = path.open("wb")
        self._tail = f"\n{tail}\n".encode()
        self._end = 0  # where the closing brackets begin
        self._separator = "\n"
        self._write(head)

    def append(self, entry: object) -> None:
        """Add an entry to the list."""
        self._write(self._separator + json.dumps(entry))
        self._separator = ",\n"

    def close(self) -> None:
        """Close the file, which is whole already."""
        self._file.close()

    def _write(self, text: str) -> None:
        """Write over the closing brackets and close again."""
        data = text.encode("utf-8")
        self._file.seek(self._end)
        self._file.write(data + self._tail)
        self._file.flush()
        self._end += len(data)


class LineStore:
    """Lists of JSON values on disk, by name, one value a line; memory holds their lengths alone.

    Args:
        folder: made anew; removed by `remove`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self._lengths: dict[str, int] = {}

    def append(self, name: str, value: object) -> None:
        """Add a value to a list, which is made where needed."""
        with self._path(name).open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(value)}\n")
        self._lengths[name] = self.length(name) + 1

    def length(self, name: str) -> int:
        """Return how many values a list has."""
        return self._lengths.get(name, 0)

    def lines(self, name: str) -> Iterator[str]:
        """Yield the values of a list as JSON; a list that nothing was added to has none."""
        if not self.length(name):
            return
        with self._path(name).open(encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\n")

    def remove(self) -> None:
        """Remove the lists from disk."""
        shutil.rmtree(self.folder)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"


class JoinSchedule:
    """When a file that has to be written as a whole is written again.

    The steps grow with the video, so that the work stays in proportion to its length.
    """

    def __init__(self) -> None:
        self.num_frames = 0
        self._next = 1

    def count_frame(self) -> bool:
        """Count one more frame and tell whether the file is due."""
        self.num_frames += 1
        if self.num_frames < self._next:
            return False
        self._next = self.num_frames + max(int(self.num_frames * LARGEST_STEP), SMALLEST_STEP)
        return True


def write_json(path: Path, value: object) -> None:
    """Write a JSON file piece by piece; it appears when it is complete.

    Args:
        path: of the file.
        value: of mappings, lists and what JSON knows; an iterator stands for a list and gives the
            JSON of each of its entries.
    """
    unfinished = path.with_suffix(".part")
    with unfinished.open("w", encoding="utf-8") as file:
        file.writelines(_pieces(value))
        file.write("\n")
    os.replace(unfinished, path)


def _pieces(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        separator = "{"
        for name, member in value.items():
            yield f"{separator}{json.dumps(name)}: "
            yield from _pieces(member)
            separator = ",\n"
        yield "}" if value else "{}"
    elif isinstance(value, (Iterator, list)):
        separator = "\n"
        yield "["
        for entry in value:
            yield separator
            yield from [entry] if isinstance(value, Iterator) else _pieces(entry)
            separator = ",\n"
        yield "\n]"
    else:
        yield json.dumps(value)
