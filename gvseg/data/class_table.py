"""Class tables: what a benchmark calls its classes, and the contiguous index of each.

A table is data, `categories/<name>.json`: `name`, `source`, `void_ids` (ids that mean "no label")
and `categories`, each with `id`, `name`, `isthing` and `color`. Position in the list is the index
that models, samples and metrics use; the id is what the benchmark's files hold.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class ClassTable:
    """The classes of one benchmark, K of them, in contiguous order."""

    name: str
    source: str
    ids: tuple[int, ...]  # (K,) as in the benchmark's files
    names: tuple[str, ...]
    is_thing: tuple[bool, ...]
    colors: tuple[tuple[int, int, int], ...]  # RGB
    void_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        both = sorted(set(self.ids) & set(self.void_ids))
        if both:
            raise ValueError(f"In the class table {self.name}, {both} are ids of classes and void.")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def index_of_id(self) -> dict[int, int]:
        """Contiguous index by the benchmark's id."""
        return {id_: index for index, id_ in enumerate(self.ids)}

    def indices(self, category_ids: np.ndarray, source: str | Path) -> np.ndarray:
        """Return the contiguous index of each id, -1 for void.

        Args:
            category_ids: (N,) ids as read from `source`.
            source: the file they come from, for the error.

        Raises:
            ValueError: an id that the table does not know.
        """
        known = self.index_of_id | dict.fromkeys(self.void_ids, -1)
        unknown = sorted({int(id_) for id_ in category_ids} - known.keys())
        if unknown:
            raise ValueError(
                f"{source} has category ids {unknown[:10]}, which are not among the {len(self)} "
                f"of {self.name}."
            )
        return np.array([known[int(id_)] for id_ in category_ids], dtype=np.int64)


def read_class_table(table: str | Path) -> ClassTable:
    """Read a table: a JSON file, or by name one that ships with the package in `categories/`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not JSON, or not what the module describes.
    """
    path = Path(table)
    if path.suffix != ".json":
        path = Path(__file__).parent / "categories" / f"{table}.json"
    if not path.is_file():
        raise FileNotFoundError(f"Class table {path} does not exist.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        categories = content["categories"]
        return ClassTable(
            name=content["name"],
            source=content["source"],
            ids=tuple(category["id"] for category in categories),
            names=tuple(category["name"] for category in categories),
            is_thing=tuple(bool(category["isthing"]) for category in categories),
            colors=tuple(tuple(category["color"]) for category in categories),
            void_ids=tuple(content["void_ids"]),
        )
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"Class table {path} is not valid JSON: {error}.") from None
    except KeyError as error:
        raise ValueError(
            f"Class table {path} lacks {error}; it needs name, source, void_ids and categories, "
            "each with id, name, isthing and color."
        ) from None
