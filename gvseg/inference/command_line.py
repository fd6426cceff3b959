"""The command line of the demo."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from gvseg.inference.exemplar_options import PointedOut, parse_exemplar
from gvseg.inference.frames import OnBadFrame
from gvseg.inference.overlay import VIEWS
from gvseg.inference.raw_video import parse_size
from gvseg.inference.writers import FORMATS, USUAL_FORMATS


def build_parser(
    description: str | None, default_input: str, bundled_tasks: Sequence[str]
) -> argparse.ArgumentParser:
    """Return the parser of all options.

    Args:
        description: for the help.
        default_input: where no input is named.
        bundled_tasks: that there are bundled models for, the usual one first.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    _add_input(parser, default_input)
    _add_exemplars(parser)
    _add_output(parser)
    _add_model(parser, bundled_tasks)
    return parser


def _add_input(parser: argparse.ArgumentParser, default_input: str) -> None:
    add = parser.add_argument_group("input").add_argument
    add(
        "--input",
        nargs="+",
        default=[default_input],
        help="video files, folders of images, globs in quotes, images, the number of a camera, or "
        "- for raw video on standard input (default: the bundled clip)",
    )
    add(
        "--raw-size",
        type=raw_size,
        metavar="WIDTHxHEIGHT",
        help="of the frames on standard input, which are RGB bytes and nothing else",
    )
    add("--start", type=int, default=0, help="first frame, counted from 0 (default: %(default)s)")
    add("--end", type=int, help="frame to stop before (default: the end)")
    add("--every", type=int, default=1, help="take every n-th frame (default: %(default)s)")
    add("--max-frames", type=int, help="stop after this many")
    add("--max-size", type=int, help="make frames smaller whose long side has more pixels")
    add(
        "--frame-rate",
        type=frame_rate,
        help="frames per second of a folder or glob, such as 10 or 30000/1001 (default: 25)",
    )
    add(
        "--on-bad-frame",
        choices=[policy.value for policy in OnBadFrame],
        default=OnBadFrame.ERROR.value,
        help="what to do about a frame that cannot be read: stop there, leave it out, or take the "
        "one before it once more (default: %(default)s)",
    )


def _add_exemplars(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(
        "objects to follow",
        "For a model of the task evs. Each may be given several times; objects are numbered from "
        "1 on in the order of the command line. Without @FRAME it is frame 0.",
    )
    parser.set_defaults(exemplars=[])
    for kind, form, what in (
        ("point", "X,Y@FRAME", "a pixel of an object"),
        ("box", "LEFT,TOP,RIGHT,BOTTOM@FRAME", "a box around it"),
        ("mask", "FILE.png@FRAME", "an image with a value for each object, 0 elsewhere"),
    ):
        group.add_argument(
            f"--{kind}", action=_AddExemplar, dest="exemplars", metavar=form, help=what
        )
    group.add_argument(
        "--interactive", action="store_true", help="point out objects in a window, with the mouse"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("output").add_argument
    add(
        "--output",
        type=Path,
        help="folder; several inputs have a folder each below it (default: output/demo, or a "
        "folder of it that is named after the task of the bundled model)",
    )
    add(
        "--resume",
        action="store_true",
        help="go on with the run of the same command that was stopped; where there is none, begin",
    )
    add(
        "--overwrite",
        action="store_true",
        help="begin anew where a run was stopped that --resume could go on with",
    )
    add(
        "--formats",
        default=",".join(USUAL_FORMATS),
        help=f"which of {', '.join(FORMATS)} to write, separated by commas (default: %(default)s)",
    )
    add(
        "--view",
        choices=VIEWS,
        default=VIEWS[0],
        help="segments over the frame, beside it, or alone on black (default: %(default)s)",
    )
    add(
        "--trail",
        type=int,
        default=0,
        help="draw the way of each object over so many frames (default: %(default)s)",
    )


def _add_model(parser: argparse.ArgumentParser, bundled_tasks: Sequence[str]) -> None:
    add = parser.add_argument_group("model").add_argument
    add(
        "--task",
        choices=bundled_tasks,
        help=f"which of the bundled models to take (default: {bundled_tasks[0]})",
    )
    add("--config-file", type=Path, help="YAML of the model (default: that of the bundled model)")
    add("--weights", help="checkpoint (default: MODEL.WEIGHTS of --config-file, or the bundled)")
    add(
        "--score-threshold",
        type=float,
        default=0.5,
        help="objects below are neither shown nor written, 0 to 1 (default: %(default)s)",
    )
    add("--device", choices=("cpu", "cuda"), help="default: cuda where there is a GPU")
    add("--debug", action="store_true", help="show the traceback of an error")
    add(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY VALUE",
        help="config keys and values, at the end of the line",
    )


class _AddExemplar(argparse.Action):
    """Collect exemplars of all kinds in the order in which they are given."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        kind = self.option_strings[0].removeprefix("--")
        try:
            exemplar = parse_exemplar(kind, str(values))
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from None
        known: list[PointedOut] = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [*known, exemplar])


def raw_size(text: str) -> tuple[int, int]:
    """Return height and width of a text such as 1280x720."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def frame_rate(text: str) -> Fraction:
    """Return the rate that a text such as 25, 12.5 or 30000/1001 gives, in frames per second."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0, such as 30000/1001")
    return rate
