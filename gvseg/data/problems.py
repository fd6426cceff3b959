"""What can be wrong with a benchmark on disk, said once for the loader and for the checker.

A reader of annotations hands each problem to a `Report`. The loader's raises, so that nothing is
left out in silence; the checker's collects, so that one run names them all, and the reader goes on
without the entry in question.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

# What to do about a file that is not as it was made, be it of a benchmark or of one's own.
RESTORE = "restore it, or unpack or download the archive again"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one file."""

    file: str
    what: str  # a clause: "has 12 frames, but its video has 20"
    fix: str  # an instruction: "unpack the archive again"

    def __str__(self) -> str:
        return f"{self.file} {self.what}; {self.fix}."


class AnnotationError(ValueError):
    """A problem that stops the reading of a benchmark."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem

    def __reduce__(self) -> tuple[type[AnnotationError], tuple[Problem]]:
        return type(self), (self.problem,)  # loader workers send their errors home as pickles


Report = Callable[[Problem], None]


def raise_problem(problem: Problem) -> NoReturn:
    """Raise the problem as an `AnnotationError`: the report of every loader."""
    raise AnnotationError(problem)


def problem_of(error: OSError | ValueError, file: str | Path, fix: str) -> Problem:
    """Return the problem that an error tells of; `file` and `fix` serve where it knows none."""
    if isinstance(error, AnnotationError):
        return error.problem
    # Most messages name the file first, which a problem names apart.
    _, _, clause = str(error).partition(str(file))
    return Problem(str(file), clause.strip(" :.") or f"cannot be used: {error}".rstrip("."), fix)
