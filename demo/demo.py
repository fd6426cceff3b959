"""Segment a video, a folder of images or a camera, and write what was found.

    python demo/demo.py --input footage.mp4 --output result

Without arguments it segments the bundled clip with the bundled model of instances; `--task` chooses
another of the bundled models. `demo/README.md` says more.
"""

from __future__ import annotations

import argparse
import json
import logging
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

with warnings.catch_warnings():
    # detectron2 scripts functions while it is imported, which recent versions of torch warn of.
    warnings.filterwarnings("ignore", message=".*torch.jit", category=FutureWarning)
    from detectron2.config import CfgNode

    import gvseg
    from gvseg.config import load_config
    from gvseg.inference.command_line import build_parser
    from gvseg.inference.exemplar_options import (
        PointedOut,
        check_exemplars,
        parse_exemplar,
        point_out,
    )
    from gvseg.inference.frame_selection import first_frames, peek, select_frames, shrink_frames
    from gvseg.inference.frames import Frame, OnBadFrame
    from gvseg.inference.journal import Journal, fingerprint
    from gvseg.inference.output_places import check_apart, output_folders
    from gvseg.inference.picking import check_display, pick
    from gvseg.inference.predictor import RunSummary, VideoPredictor
    from gvseg.inference.raw_video import RawVideoSource
    from gvseg.inference.runner_settings import RunnerSettings
    from gvseg.inference.sources import FrameSource, open_source, title_of
    from gvseg.inference.video_info import VideoInfo
    from gvseg.inference.writers import build_writers, check_formats
    from gvseg.structures import FrameSegments
    from gvseg.tasks import Task

ROOT = Path(__file__).resolve().parent.parent
CLIP = ROOT / "demo/data/pedestrians.mp4"
STAGE_TITLES = {
    "read": "read (beside the rest)",
    "network": "network",
    "postprocess": "post-processing",
    "write": "write (beside the rest)",
}


class BundledModel(NamedTuple):
    """A small model that comes with the project."""

    config: Path
    weights: Path
    objects: Sequence[PointedOut] = ()  # to follow in the bundled clip, where no other is named


BUNDLED = {
    Task.VIS: BundledModel(
        ROOT / "configs/coco128/demo.yaml",
        ROOT / "demo/data/gvseg_coco128_effnet_lite0.safetensors",
    ),
    Task.VSS: BundledModel(
        ROOT / "configs/camvid/gvseg_effnet_lite0.yaml",
        ROOT / "demo/data/gvseg_camvid_effnet_lite0.safetensors",
    ),
    Task.VPS: BundledModel(
        ROOT / "configs/camvid/vps_demo.yaml",
        ROOT / "demo/data/gvseg_camvid_vps_effnet_lite0.safetensors",
    ),
    Task.EVS: BundledModel(
        ROOT / "configs/coco128/gvseg_evs_effnet_lite0.yaml",
        ROOT / "demo/data/gvseg_coco128_evs_effnet_lite0.safetensors",
        [
            parse_exemplar("point", "262,430"),
            parse_exemplar("box", "284,374,336,514"),
            parse_exemplar("point", "656,325"),
            parse_exemplar("box", "154,166,190,238"),
        ],
    ),
}


class ProgressBar:
    """Show how far all runs are and how fast; silent where standard error is no terminal.

    Args:
        sources: of all runs.
    """

    def __init__(self, sources: Sequence[FrameSource]) -> None:
        self.files: list[Path] = []
        self._num_videos = len(sources)
        self._num_opened = 0
        lengths = [source.num_frames for source in sources]
        known = [length for length in lengths if length is not None]
        total = sum(known) if len(known) == len(lengths) else None
        self._bar = tqdm(total=total, unit=" frames", disable=None)

    def open(self, video: VideoInfo) -> None:
        self._num_opened += 1
        place = f" ({self._num_opened} of {self._num_videos})" if self._num_videos > 1 else ""
        self._bar.set_description(f"{video.name}{place}")

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        self._bar.update()

    def close(self) -> None:
        if self._num_opened == self._num_videos:
            self._bar.close()


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = build_parser(__doc__, str(CLIP), [task.value for task in BUNDLED])
    options = parser.parse_args(arguments)
    if options.task is not None and options.config_file is not None:
        parser.error("--task chooses a bundled model; leave it out beside --config-file")
    folder = Path("output/demo")
    if options.config_file is None:
        options.task = Task(options.task or Task.VIS)
        folder /= options.task.value
        paths = [Path(name).resolve() for name in options.input]
        is_bundled_clip = paths == [CLIP] and not options.start
        if is_bundled_clip and not options.exemplars and not options.interactive:
            options.exemplars = list(BUNDLED[options.task].objects)
    options.output = options.output or folder
    return options


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
    config_file, weights = options.config_file, options.weights
    if config_file is None:
        config_file, bundled = BUNDLED[options.task][:2]
        weights = weights or str(bundled)
    if weights is not None:
        overrides += ["MODEL.WEIGHTS", weights]
    # Read with the user's own keys alone first, so that an error speaks of nothing else.
    cfg = load_config(config_file, options.opts)
    cfg.defrost()
    cfg.merge_from_list(overrides)
    cfg.merge_from_list(options.opts)
    cfg.freeze()
    return cfg


def formats_of(options: argparse.Namespace) -> list[str]:
    """Return the formats that are asked for."""
    return [name.strip() for name in options.formats.split(",") if name.strip()]


def open_input(name: str, options: argparse.Namespace) -> FrameSource:
    """Return the frames of an input that the options ask for, at their original size."""
    source: FrameSource
    if name == "-":
        if options.raw_size is None:
            raise ValueError("Raw video on standard input needs its size, --raw-size 1280x720.")
        source = RawVideoSource(sys.stdin.buffer, options.raw_size, frame_rate=options.frame_rate)
    else:
        source = open_source(
            name, frame_rate=options.frame_rate, on_bad_frame=OnBadFrame(options.on_bad_frame)
        )
    source = select_frames(source, start=options.start, end=options.end, every=options.every)
    return source if options.max_frames is None else first_frames(source, options.max_frames)


def check_objects(options: argparse.Namespace, source: FrameSource, task: Task) -> None:
    """Raise an error unless objects are pointed out where they can be, and the task follows them.

    It comes before the model is loaded and anything is written.
    """
    is_asked = bool(options.exemplars) or options.interactive
    if is_asked and task is not Task.EVS:
        raise ValueError(
            f"Only a model of the task evs follows objects that are pointed out, and "
            f"MODEL.GVSEG.TASK is {task.value}; choose --task evs, or its --config-file and "
            "--weights."
        )
    if not is_asked and task is Task.EVS:
        raise ValueError("No object is pointed out; give --point, --box, --mask or --interactive.")
    num_frames = sys.maxsize if source.num_frames is None else source.num_frames
    stop = min(options.start + num_frames * options.every, sys.maxsize)
    for exemplar in options.exemplars:
        if exemplar.frame_index not in range(options.start, stop, options.every):
            raise ValueError(
                f"An object is pointed out in frame {exemplar.frame_index}, which is not among "
                "those that --start, --end, --every and --max-frames take."
            )
    check_exemplars(options.exemplars, source.size)


def run(options: argparse.Namespace) -> Iterator[RunSummary]:
    """Segment each input and write the results; of several, one that fails does not stop the rest.

    Raises:
        ValueError: an option makes no sense, or inputs failed.
        OSError: an input cannot be read, or a result written.
    """
    cfg = build_config(options)
    if options.interactive:
        check_display()
    if (options.exemplars or options.interactive) and len(options.input) > 1:
        raise ValueError("Objects are pointed out in one input; give the others runs of their own.")
    names, sources, folders, failed = open_inputs(options)
    check_objects(options, sources[0], RunnerSettings.from_config(cfg).task)
    originals = [source.size for source in sources]
    if options.max_size is not None:
        sources = [shrink_frames(source, options.max_size) for source in sources]
    formats = formats_of(options)
    journals = [
        open_journal(name, source, folder, options, cfg)
        for name, source, folder in zip(names, sources, folders, strict=True)
    ]
    masks = [exemplar.mask_file for exemplar in options.exemplars if exemplar.mask_file]
    for folder, journal in zip(folders, journals, strict=True):
        earlier = () if journal is None else journal.earlier()
        check_apart([*options.input, *masks], folder, formats, earlier)
    prepared = [
        build_writers(folder, formats, view=options.view, trail=options.trail) for folder in folders
    ]
    predictor = VideoPredictor(cfg)
    check_formats(formats, predictor.legend)
    progress = ProgressBar(sources)
    for source, original, writers, journal in zip(
        sources, originals, prepared, journals, strict=True
    ):
        if journal is not None and journal.is_done:
            say(f"{source.name} is done already; see {journal.report}.")
            continue
        length = "" if source.num_frames is None else f", {source.num_frames} frames"
        height, width = original
        say(f"Segmenting {source.name}: {width}x{height} pixels{length}, on {cfg.MODEL.DEVICE}.")
        predictor.reset()
        is_new = journal is None or not journal.num_frames
        try:
            point_out(predictor, options.exemplars, original=original, size=source.size)
            frames = ask(source, predictor) if options.interactive and is_new else source
            yield predictor.run(frames, [*writers, progress], journal=journal)
        except (ValueError, OSError) as error:
            if options.debug or len(options.input) == 1:
                raise
            tell(error)
            failed.append(source.name)
    if failed:
        raise ValueError(
            f"{len(failed)} of {len(options.input)} inputs failed: {', '.join(failed)}."
        )


def open_inputs(
    options: argparse.Namespace,
) -> tuple[list[str], list[FrameSource], list[Path], list[str]]:
    """Return names, sources and folders of the inputs that open, one at least; the other names."""
    opened: dict[int, FrameSource] = {}
    failed, titles = [], []
    for position, name in enumerate(options.input):
        try:
            opened[position] = open_input(name, options)
            titles.append(opened[position].name)
        except (ValueError, OSError) as error:
            failed.append(name)
            titles.append(title_of(name))
            if options.debug or len(failed) == len(options.input):
                raise
            tell(error)
    folders = output_folders(options.output, titles)  # as if all had opened
    names = [options.input[position] for position in opened]
    return names, list(opened.values()), [folders[position] for position in opened], failed


def comes_once(name: str) -> bool:
    """Tell whether an input is standard input or a camera."""
    return name == "-" or (name.isdecimal() and not Path(name).exists())


def open_journal(
    name: str, source: FrameSource, folder: Path, options: argparse.Namespace, cfg: CfgNode
) -> Journal | None:
    """Return the record of the run of one input, None where its frames come only once."""
    if comes_once(name):
        if options.resume:
            raise ValueError("A camera or standard input does not come twice; leave out --resume.")
        return None
    taken = ("start", "end", "every", "max_frames", "max_size", "on_bad_frame", "view", "trail")
    same = cfg.clone()
    same.defrost()
    same.MODEL.DEVICE = ""  # a run may go on on another
    about = {
        "version": gvseg.__version__,
        **{option: getattr(options, option) for option in taken},
        "frame_rate": None if options.frame_rate is None else str(options.frame_rate),
        "formats": sorted(formats_of(options)),
        "input": f"{fingerprint(Path(name))}, {source.num_frames} frames",
        "objects": [
            f"{exemplar}, {fingerprint(exemplar.mask_file)}"
            if exemplar.mask_file
            else str(exemplar)
            for exemplar in options.exemplars
        ],
        "weights": fingerprint(Path(cfg.MODEL.WEIGHTS)),
        "config": entries(same),
    }
    return Journal(folder, about, resume=options.resume, overwrite=options.overwrite)


def entries(cfg: CfgNode, prefix: str = "") -> dict[str, object]:
    """Return the values of a config by their whole key, as JSON has them."""
    found: dict[str, object] = {}
    for key, value in cfg.items():
        if isinstance(value, CfgNode):
            found |= entries(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = json.loads(json.dumps(value))
    return found


def ask(source: FrameSource, predictor: VideoPredictor) -> FrameSource:
    """Let the user pick objects in the first frame, tell the predictor, and return all frames."""
    first, source = peek(source)
    point_out(predictor, pick(first), original=source.size, size=source.size)
    return source


def describe(summary: RunSummary) -> str:
    """Return the summary as lines for a reader."""
    num_new = summary.num_frames - summary.num_resumed
    before = f" and {summary.num_resumed} from the run before" if summary.num_resumed else ""
    lines = [
        f"{num_new} frames{before} in {summary.seconds:.1f} s, "
        f"{num_new / summary.seconds:.1f} frames per second; "
        f"{summary.num_tracks} track{'s' * (summary.num_tracks != 1)}"
    ]
    for stage, title in STAGE_TITLES.items():
        seconds = summary.stage_seconds[stage]
        num_passed = num_new if stage in ("network", "postprocess") else summary.num_frames
        each = 1000 * seconds / max(num_passed, 1)
        alone = num_passed / max(seconds, 1e-9)
        lines.append(f"  {title:<25}{each:8.1f} ms a frame{alone:10.1f} frames per second")
    return "\n".join([*lines, "Written:", *(f"  {file}" for file in summary.files)])


def say(text: str) -> None:
    """Write a line to standard output at once."""
    tqdm.write(text, file=sys.stdout)  # above the bar
    sys.stdout.flush()


def tell(error: Exception) -> None:
    """Write what went wrong to standard error, in one line."""
    tqdm.write(f"error: {' '.join(str(error).split())}", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo and return the exit status: 0, 1 after an error, 130 when it is stopped."""
    options = parse_arguments(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # Schedulers and containers stop programs so: files are to be finished as after Ctrl-C.
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        for summary in run(options):
            say(describe(summary))
    except KeyboardInterrupt:
        hint = "" if any(map(comes_once, options.input)) else ", and --resume goes on"
        sys.stderr.write(f"Stopped; what was written to {options.output} stays{hint}.\n")
        return 130
    except (ValueError, OSError) as error:
        if options.debug:
            raise
        tell(error)
        return 1
    finally:
        signal.signal(signal.SIGTERM, previous)
    return 0


if __name__ == "__main__":
    sys.exit(main())
