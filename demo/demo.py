"""Segment a video, a folder of images or a camera, and write what was found.

    python demo/demo.py --input footage.mp4 --output result

Without arguments it segments the bundled clip with the bundled model. `demo/README.md` says more.
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import torch
from tqdm import tqdm

with warnings.catch_warnings():
    # detectron2 scripts functions while it is imported, which recent versions of torch warn of.
    warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
    from detectron2.config import CfgNode

    from gvseg.config import load_config
    from gvseg.inference.frame_selection import first_frames
    from gvseg.inference.frames import Frame
    from gvseg.inference.predictor import RunSummary, VideoPredictor
    from gvseg.inference.sources import open_source
    from gvseg.inference.video_info import VideoInfo
    from gvseg.inference.writers import FORMATS, USUAL_FORMATS, build_writers
    from gvseg.structures import FrameSegments

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "demo/data/pedestrians.mp4"
CONFIG = ROOT / "configs/coco128/demo.yaml"
WEIGHTS = ROOT / "demo/data/gvseg_coco128_effnet_lite0.safetensors"
STAGE_TITLES = {
    "read": "read (beside the rest)",
    "network": "network",
    "postprocess": "post-processing",
    "write": "write",
}


class ProgressBar:
    """Show how far a run is and how fast; silent where standard error is no terminal."""

    def __init__(self) -> None:
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        self._bar = tqdm(desc=video.name, total=video.num_frames, unit="frame", disable=None)

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        self._bar.update()

    def close(self) -> None:
        self._bar.close()


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--input",
        default=str(CLIP),
        help="video file, folder of images, glob in quotes, image, or number of a camera "
        "(default: the bundled clip)",
    )
    add("--output", type=Path, default=Path("output/demo"), help="folder (default: %(default)s)")
    add("--config-file", type=Path, help="YAML of the model (default: that of the bundled model)")
    add("--weights", help="checkpoint (default: MODEL.WEIGHTS of --config-file, or the bundled)")
    add(
        "--score-threshold",
        type=float,
        default=0.5,
        help="objects below are neither shown nor written, 0 to 1 (default: %(default)s)",
    )
    add("--device", choices=("cpu", "cuda"), help="default: cuda where there is a GPU")
    add("--max-frames", type=int, help="stop after this many")
    add(
        "--frame-rate",
        type=frame_rate,
        help="frames per second of a folder or glob, such as 10 or 30000/1001 (default: 25)",
    )
    add(
        "--formats",
        default=",".join(USUAL_FORMATS),
        help=f"which of {', '.join(FORMATS)} to write, separated by commas (default: %(default)s)",
    )
    add("--debug", action="store_true", help="show the traceback of an error")
    add(
        "--opts",
        nargs=argparse.REMAINDER,
        default=[],
        metavar="KEY VALUE",
        help="config keys and values, at the end of the line",
    )
    return parser.parse_args(arguments)


def frame_rate(text: str) -> Fraction:
    """Return the rate that a text such as 25, 12.5 or 30000/1001 gives, in frames per second."""
    try:
        rate = Fraction(text)
    except (ValueError, ZeroDivisionError):
        rate = Fraction(0)
    if rate <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number above 0, such as 30000/1001")
    return rate


def build_config(options: argparse.Namespace) -> CfgNode:
    """Return the config that the options ask for."""
    if not 0 <= options.score_threshold <= 1:
        raise ValueError(f"--score-threshold is {options.score_threshold}; give 0 to 1.")
    overrides = [
        *("MODEL.DEVICE", options.device or ("cuda" if torch.cuda.is_available() else "cpu")),
        *("MODEL.GVSEG.TEST.SCORE_THRESHOLD", options.score_threshold),
        # An object that is never shown should not use up a number.
        *("MODEL.LINKER.BIRTH_SCORE", options.score_threshold),
    ]
    if options.weights is not None:
        overrides += ["MODEL.WEIGHTS", options.weights]
    elif options.config_file is None:
        overrides += ["MODEL.WEIGHTS", str(WEIGHTS)]
    # Read with the user's own keys alone first, so that an error speaks of nothing else.
    cfg = load_config(options.config_file or CONFIG, options.opts)
    cfg.defrost()
    cfg.merge_from_list(overrides)
    cfg.merge_from_list(options.opts)
    cfg.freeze()
    return cfg


def run(options: argparse.Namespace) -> RunSummary:
    """Segment the input and write the results."""
    cfg = build_config(options)
    source = open_source(options.input, frame_rate=options.frame_rate)
    if options.max_frames is not None:
        source = first_frames(source, options.max_frames)
    formats = [name.strip() for name in options.formats.split(",") if name.strip()]
    writers = build_writers(options.output, formats)
    predictor = VideoPredictor(cfg)
    length = "" if source.num_frames is None else f", {source.num_frames} frames"
    height, width = source.size
    say(f"Segmenting {source.name}: {width}x{height} pixels{length}, on {cfg.MODEL.DEVICE}.")
    return predictor.run(source, [*writers, ProgressBar()])


def describe(summary: RunSummary) -> str:
    """Return the summary as lines for a reader."""
    rate = summary.num_frames / summary.seconds
    lines = [
        f"{summary.num_frames} frames in {summary.seconds:.1f} s, {rate:.1f} frames per second; "
        f"{summary.num_tracks} tracks"
    ]
    for stage, title in STAGE_TITLES.items():
        seconds = summary.stage_seconds[stage]
        each = 1000 * seconds / max(summary.num_frames, 1)
        lines.append(f"  {title:<23}{each:8.1f} ms a frame")
    return "\n".join([*lines, "Written:", *(f"  {file}" for file in summary.files)])


def say(text: str) -> None:
    """Write a line to standard output at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status: 0, 1 after an error, 130 after Ctrl-C."""
    options = parse_arguments(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        say(describe(run(options)))
    except KeyboardInterrupt:
        sys.stderr.write(f"Stopped; what was written to {options.output} stays.\n")
        return 130
    except (ValueError, OSError) as error:
        if options.debug:
            raise
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
