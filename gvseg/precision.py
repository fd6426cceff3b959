"""Names of number formats in configs, and what autocast is to make of them."""

from __future__ import annotations

import torch

PRECISIONS = {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast_type(name: str, *, key: str) -> torch.dtype | None:
    """Return the type for autocast, None for float32, which needs none.

    Args:
        name: one of `PRECISIONS`.
        key: of the config that holds the name, for the error.

    Raises:
        ValueError: the name is unknown.
    """
    if name not in PRECISIONS:
        raise ValueError(f"{key} is {name!r}; choose one of {', '.join(PRECISIONS)}.")
    return PRECISIONS[name]
