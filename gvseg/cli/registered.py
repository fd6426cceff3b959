"""The option that datasets of a user's own need, for verbs that take the name of a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from gvseg.config import load_config


def add_config_file(parser: argparse.ArgumentParser) -> None:
    """Add `--config-file`, see `register_projects`."""
    parser.add_argument("--config-file", type=Path, help="whose PROJECTS register the dataset, "
                        "where it is one of your own")  # fmt: skip


def register_projects(config_file: Path | None) -> None:
    """Register the datasets of a config's PROJECTS, where one is given.

    Raises:
        OSError: it, or a project, cannot be read.
        ValueError: it makes no sense.
    """
    if config_file is not None:
        load_config(config_file)


def after_projects(config_file: Path | None) -> str:
    """Return where to name a file that builds on a dataset, beside the PROJECTS of a config."""
    return "" if config_file is None else f", after those of {config_file}"
