"""What a run remembers, as named arrays, so that another run can go on from it."""

from __future__ import annotations

import numpy as np

State = dict[str, np.ndarray]


def within(name: str, state: State) -> State:
    """Return a state as a part of a larger one."""
    return {f"{name}.{key}": array for key, array in state.items()}


def part(state: State, name: str) -> State:
    """Return the state that `within` has put into a larger one under a name."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
