"""Annotation files in JSON: read whole, entry by entry checked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gvseg.data.class_table import ClassTable
from gvseg.data.problems import RESTORE, Problem, Report, raise_problem

Entry = dict[str, Any]


def read_json(path: Path) -> Entry:
    """Return the object that a JSON file holds.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: it is not JSON, or not an object, or has a key twice in one object.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist.")
    try:
        content = json.loads(path.read_bytes(), object_pairs_hook=_with_unique_keys)
    except _RepeatedKeyError as error:
        what = f"has {error.args[0]!r} several times in one object, of which readers take one"
        raise_problem(Problem(str(path), what, "give each its own"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise_problem(Problem(str(path), f"is not valid JSON: {error}", RESTORE))
    if not isinstance(content, dict):
        raise_problem(Problem(str(path), "holds no JSON object", RESTORE))
    return content


class _RepeatedKeyError(Exception):
    """Carries the key."""


def _with_unique_keys(pairs: list[tuple[str, Any]]) -> Entry:
    entry = dict(pairs)
    if len(entry) < len(pairs):
        times = Counter(key for key, _ in pairs)
        raise _RepeatedKeyError(max(times, key=times.__getitem__))
    return entry


def first_existing(candidates: Sequence[Path]) -> Path:
    """Return the first path that exists, of those where a file or folder may lie.

    Raises:
        FileNotFoundError: none does; all are named.
    """
    for path in candidates:
        if path.exists():
            return path
    others = "".join(f", nor does {path}" for path in candidates[1:])
    raise FileNotFoundError(
        f"{candidates[0]} does not exist{others}; unpack the benchmark there, or set "
        "DETECTRON2_DATASETS to the folder of all benchmarks."
    )


def listed(
    content: Entry,
    key: str,
    required: Sequence[str],
    path: Path,
    *,
    identity: str = "id",
    report: Report = raise_problem,
) -> list[Entry]:
    """Return the entries of a list that have what they need, each identity once.

    Args:
        content: what the file holds.
        key: name of the list.
        required: what each entry needs besides its identity.
        path: the file.
        identity: the key by which entries are told apart.
        report: told of each entry that is left out, and of a missing list.
    """
    entries = content.get(key)
    if not isinstance(entries, list):
        report(Problem(str(path), f"has no list {key!r}", "get the file of this benchmark"))
        return []
    kept: dict[Any, Entry] = {}
    for position, entry in enumerate(entries):
        needed = (identity, *required)
        lacking = [name for name in needed if not isinstance(entry, dict) or name not in entry]
        if lacking:
            what = f"lacks {', '.join(lacking)} in entry {position} of {key!r}"
            report(Problem(str(path), what, "complete the entry or remove it"))
        elif entry[identity] in kept:
            what = f"has several entries of {key!r} with {identity} {entry[identity]}"
            report(Problem(str(path), what, "give each its own"))
        else:
            kept[entry[identity]] = entry
    return list(kept.values())


def check_categories(
    content: Entry, classes: ClassTable, path: Path, *, report: Report = raise_problem
) -> None:
    """Report the first category that has the name of one class and the id of another.

    That is a file of another benchmark, or of another year of this one. Ids that no annotation uses
    and other spellings are no harm.
    """
    id_of_name = {_plain(name): id_ for id_, name in zip(classes.ids, classes.names, strict=True)}
    for category in content.get("categories", []):
        expected = id_of_name.get(_plain(str(category.get("name"))))
        if expected is not None and expected != category.get("id"):
            what = (
                f"has {category['name']} as category {category.get('id')}, but in {classes.name} "
                f"it is {expected}"
            )
            report(Problem(str(path), what, f"get the file of {classes.name}"))
            return


def class_index_of(
    category_id: int, classes: ClassTable, what: str, path: Path, *, report: Report = raise_problem
) -> int | None:
    """Return the contiguous index of a category, None after the report of one that is unknown.

    Args:
        category_id: as in the file.
        classes: the benchmark's.
        what: whose category it is, such as `annotation 7`.
        path: the file.
        report: told of an unknown category.
    """
    if category_id not in classes.index_of_id:
        clause = (
            f"says that {what} has category id {category_id}, which is not among the "
            f"{len(classes)} of {classes.name}"
        )
        report(Problem(str(path), clause, f"get the file of {classes.name}"))
        return None
    return classes.index_of_id[category_id]


def _plain(name: str) -> str:
    return name.lower().replace("_", " ").replace("-", " ")
