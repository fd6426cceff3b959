"""What writers of JSON formats do alike.  (H, W) pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from gvseg.data.class_table import ClassTable
from gvseg.data.exemplars import tight_box
from gvseg.data.synthetic.files import check_absent


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a new file, in a folder that is made where it is missing.

    Raises:
        FileExistsError: it is there already.
    """
    check_absent(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def run_lengths(mask: np.ndarray) -> dict[str, Any]:
    """Return a mask, (H, W) bool, as COCO's run lengths in plain numbers, column by column."""
    pixels = mask.ravel(order="F")
    starts = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    counts = np.diff([0, *starts, pixels.size]).tolist()
    # The first count is of unset pixels.
    return {"size": list(mask.shape), "counts": [0, *counts] if pixels[0] else counts}


def box(mask: np.ndarray) -> list[int]:
    """Return left, top, width and height of what is set in a mask, (H, W) bool."""
    left, top, right, bottom = tight_box(mask).astype(int).tolist()
    return [left, top, right - left, bottom - top]


def category_entries(classes: ClassTable) -> list[dict[str, Any]]:
    """Return the list `categories` of instance formats."""
    return [
        {"id": id_, "name": name, "supercategory": "object"}
        for id_, name in zip(classes.ids, classes.names, strict=True)
    ]
