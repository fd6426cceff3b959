"""One JSON of all videos, written video by video.

Each video is a file of its own, under `.parts` in the folder, until all are there. So a process
holds one video, several processes do not get in each other's way, and the result is in the order
of the benchmark.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from gvseg.data.benchmark import Record
from gvseg.data.class_table import ClassTable
from gvseg.data.mask_annotations import compact, decode_mask

Entry = dict[str, Any]

RESULTS_FILE = "results.json"  # of formats that are one JSON alone


class JsonParts:
    """Lists of entries, one for each video, that become one list.

    Args:
        folder: of the submission, made where needed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".parts"
        self.folder.mkdir(parents=True, exist_ok=True)

    def add(self, record: Record, entries: Sequence[Entry]) -> None:
        """Keep the entries of one video."""
        self._path(record).write_text(json.dumps(entries), encoding="utf-8")

    def join(self, path: Path, records: Sequence[Record], *, head: str, tail: str) -> None:
        """Write all entries between `head` and `tail`, and remove the parts.

        Raises:
            FileNotFoundError: there are none of some video.
        """
        for record in records:
            if not self._path(record).exists():
                raise FileNotFoundError(
                    f"Video {record['video_id']} was not written: {self._path(record)} does not "
                    "exist."
                )
        separator = "\n"
        with path.open("w", encoding="utf-8") as file:
            file.write(head)
            for entry in self._entries(records):
                file.write(separator + json.dumps(entry))
                separator = ",\n"
            file.write(f"\n{tail}\n")
        for record in records:
            self._path(record).unlink()
        if not any(self.folder.iterdir()):
            self.folder.rmdir()

    def _entries(self, records: Sequence[Record]) -> Iterator[Entry]:
        for record in records:
            yield from json.loads(self._path(record).read_text(encoding="utf-8"))

    def _path(self, record: Record) -> Path:
        return self.folder / f"{quote(str(record['video_id']), safe='')}.json"


def read_predictions(path: Path) -> Any:  # noqa: ANN401  (whatever a JSON holds)
    """Return what a JSON of predictions holds.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no JSON.
    """
    if not path.is_file():
        raise FileNotFoundError(f"There are no predictions: {path} is no file.")
    try:
        return json.loads(path.read_bytes())
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"Prediction {path} is not valid JSON: {error}.") from None


def entries_of(
    value: Any,  # noqa: ANN401  (whatever a JSON holds)
    required: Sequence[str],
    source: str | Path,
) -> list[Entry]:
    """Return a list of objects that all have what they need.

    Raises:
        ValueError: it is something else; `source` is named.
    """
    if not isinstance(value, list):
        raise ValueError(f"Prediction {source} holds no list where one is expected.")
    for position, entry in enumerate(value):
        lacking = [key for key in required if not isinstance(entry, dict) or key not in entry]
        if lacking:
            raise ValueError(f"Prediction {source}: entry {position} lacks {', '.join(lacking)}.")
    return value


def by_identity(entries: Sequence[Entry], key: str, source: str | Path) -> dict[Any, Entry]:
    """Return entries by what tells them apart.

    Raises:
        ValueError: two are alike; `source` is named.
    """
    found: dict[Any, Entry] = {}
    for entry in entries:
        if entry[key] in found:
            raise ValueError(f"Prediction {source} has several entries with {key} {entry[key]}.")
        found[entry[key]] = entry
    return found


def class_index(
    category_id: Any,  # noqa: ANN401  (whatever a JSON holds)
    classes: ClassTable,
    source: str,
) -> int:
    """Return the index of a category.

    Raises:
        ValueError: it is none of the classes; `source` says whose it is.
    """
    if category_id not in classes.index_of_id:
        raise ValueError(
            f"{source} has category {category_id}, which is none of the {len(classes)} of "
            f"{classes.name}."
        )
    return classes.index_of_id[category_id]


def score_of(
    score: Any,  # noqa: ANN401  (whatever a JSON holds)
    source: str,
) -> float:
    """Return a score.

    Raises:
        ValueError: it is no finite number; `source` says whose it is.
    """
    is_number = isinstance(score, (int, float)) and not isinstance(score, bool)
    if not is_number or not math.isfinite(score):
        raise ValueError(f"{source} has the score {json.dumps(score)}, which is no finite number.")
    return float(score)


def mask_of(
    segmentation: Any,  # noqa: ANN401  (whatever a JSON holds)
    size: tuple[int, int],
    source: str,
) -> np.ndarray:
    """Return a mask, (H, W) bool, as COCO's JSONs have it.

    Raises:
        ValueError: it is of another size or damaged; `source` says whose it is.
    """
    try:
        known = compact(segmentation, size)
    except ValueError as error:
        raise ValueError(f"{source} {error}.") from None
    return decode_mask(known, size, source)
