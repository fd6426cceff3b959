"""The command `gvseg`: one verb for each tool beside training and the demo."""

from __future__ import annotations

import argparse
import logging
import sys

from gvseg.cli import convert_weights

VERBS = (convert_weights,)


def main(argv: list[str] | None = None) -> int:
    """Run one verb; return 0, or 1 after an error that one line explains."""
    parser = argparse.ArgumentParser(prog="gvseg", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in VERBS:
        module.add_parser(verbs)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        args.run(args)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"gvseg {args.verb}: {error}\n")
        return 1
    return 0
