"""JSON files that grow with a video and are whole at any time."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

from gvseg.data.whole_files import GrowingFile, whole_file, writing

LARGEST_STEP = 0.125  # of the frames so far, that may come before a file is joined again
SMALLEST_STEP = 25  # frames


class GrowingJson:
    """A JSON file that ends in a list; whole on disk at any time.

    Args:
        path: of the file, written anew.
        head: JSON up to the opening bracket of the list.
        tail: the brackets that close list and file.
    """

    def __init__(self, path: Path, *, head: str, tail: str) -> None:
        self._file = GrowingFile(path, head.encode(), tail=f"\n{tail}\n".encode())
        self._separator = "\n"

    def append(self, entry: object) -> None:
        """Add an entry to the list."""
        self._file.append(f"{self._separator}{json.dumps(entry)}".encode())
        self._separator = ",\n"

    def close(self) -> None:
        """Close the file, which is whole already."""
        self._file.close()


class LineStore:
    """Lists of JSON values on disk, by name, one value a line; memory holds their lengths alone.

    What is added becomes part of the lists with `commit`, so that they fit together.

    Args:
        folder: made for the first value, whatever was there before; removed by `remove`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.remove()
        self._lengths: dict[str, int] = {}
        self._new_lengths: dict[str, int] = {}  # of lists that were added to

    def append(self, name: str, value: object) -> None:
        """Add a value to a list, which is made where needed.

        Raises:
            OSError: it cannot be written; then do not commit.
        """
        path = self._path(name)
        self.folder.mkdir(exist_ok=True)
        with writing(path), path.open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(value)}\n")
        self._new_lengths[name] = self.length(name) + 1

    def length(self, name: str) -> int:
        """Return how many values a list has, with those that were added."""
        return self._new_lengths.get(name, self._lengths.get(name, 0))

    def commit(self) -> None:
        """Make what was added part of the lists."""
        self._lengths.update(self._new_lengths)
        self._new_lengths.clear()

    def lines(self, name: str) -> Iterator[str]:
        """Yield the values of a list as JSON; a list that nothing was added to has none."""
        if name not in self._lengths:
            return
        with self._path(name).open(encoding="utf-8") as file:
            for line in islice(file, self._lengths[name]):
                yield line.rstrip("\n")

    def remove(self) -> None:
        """Remove the lists from disk."""
        shutil.rmtree(self.folder, ignore_errors=True)  # it may not be there yet

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
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8") as file:
        file.writelines(_pieces(value))
        file.write("\n")


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
