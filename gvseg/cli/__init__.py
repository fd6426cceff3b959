"""The command `gvseg`: one verb for each tool beside training and the demo."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings

with warnings.catch_warnings():
    # detectron2 scripts functions while it is imported, which recent versions of torch warn of.
    warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
    from gvseg.cli import (
        check_data,
        convert_vipseg,
        convert_vspw,
        convert_weights,
        evaluate,
        make_clips,
        make_synthetic,
        plot_training,
        show_data,
        show_predictions,
        split,
    )

VERBS = (
    check_data,
    convert_vipseg,
    convert_vspw,
    convert_weights,
    evaluate,
    make_clips,
    make_synthetic,
    plot_training,
    show_data,
    show_predictions,
    split,
)


def main(argv: list[str] | None = None) -> int:
    """Run one verb and return its exit code: 0, or 1 after an error that one line explains.

    A verb whose result is a code of its own returns it, and sets another `error_code`.
    """
    parser = argparse.ArgumentParser(prog="gvseg", description=__doc__)
    parser.set_defaults(error_code=1)
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for module in VERBS:
        module.add_parser(verbs)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return args.run(args) or 0
    except (OSError, ValueError) as error:
        sys.stderr.write(f"gvseg {args.verb}: {error}\n")
        return args.error_code
