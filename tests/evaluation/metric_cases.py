"""Cases with the numbers of the official evaluators, which are not part of this repository.

`GVSEG_METRIC_CASES` names the folder that has them: `expected.json`, and `<family>/<case>/` with
files in the format of a benchmark.
"""

import json
import os
from pathlib import Path

import numpy as np

ROOT = Path(os.environ.get("GVSEG_METRIC_CASES", "metric_cases"))


def cases(family: str) -> list[str]:
    """Return the names of the cases of a family, none without the folder."""
    folder = ROOT / family
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def expected(family: str, case: str) -> dict:
    """Return what the official evaluators give, by evaluator."""
    return json.loads((ROOT / "expected.json").read_text())[family][case]


def read_arrays(family: str, case: str) -> tuple[dict, dict[str, np.ndarray]]:
    """Return `meta` and the arrays of a case."""
    with np.load(ROOT / family / case / "neutral.npz") as arrays:
        meta = json.loads(str(arrays["meta"]))
        return meta, {name: arrays[name] for name in arrays.files if name != "meta"}
