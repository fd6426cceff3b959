"""Fail where a source file has grown past the length at which it should become two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MAX_LINES = 400
SUFFIXES = ("*.py", "*.cpp", "*.cu", "*.cuh", "*.h")


def main() -> int:
    """Print each file that is too long and return the exit code."""
    too_long = long_files(Path(__file__).resolve().parent.parent)
    for path, num_lines in too_long:
        print(f"{path}: {num_lines} lines, at most {MAX_LINES} are allowed; split it")
    return 1 if too_long else 0


def long_files(root: Path) -> list[tuple[str, int]]:
    """Path and length of every source in the repository at `root` that is longer than allowed."""
    command = ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard"]
    listing = subprocess.run([*command, *SUFFIXES], check=True, stdout=subprocess.PIPE, text=True)
    lengths = [(path, num_lines(root / path)) for path in sorted(set(listing.stdout.split("\n")))]
    return [(path, length) for path, length in lengths if length > MAX_LINES]


def num_lines(path: Path) -> int:
    """Count of lines; none for what git lists but is deleted in the working tree."""
    return len(path.read_text().splitlines()) if path.is_file() else 0


if __name__ == "__main__":
    sys.exit(main())
