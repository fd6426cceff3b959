"""What users call: a trained model, ready for videos and for single frames."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog
from detectron2.modeling import build_model

import gvseg.data.benchmarks  # registers the class names of every benchmark
import gvseg.modeling  # noqa: F401 - registers the segmenter with detectron2
from gvseg.checkpoint import checkpoint_file, load_weights
from gvseg.inference.linking import build_linker
from gvseg.inference.prefetch import Prefetcher
from gvseg.inference.sources import Frame, FrameSource, open_source
from gvseg.inference.stopwatch import Stopwatch
from gvseg.inference.video_runner import RunnerSettings, Segmenter, VideoRunner
from gvseg.inference.writers import VideoInfo, Writer
from gvseg.structures import FrameSegments
from gvseg.visualization import ClassLegend

FRAMES_READ_AHEAD = 4
STAGES = ("read", "network", "postprocess", "write")


@dataclass(frozen=True)
class RunSummary:
    """What a run over one video did and where its time went."""

    name: str
    num_frames: int
    num_tracks: int  # identities that were given out at least once
    seconds: float
    stage_seconds: dict[str, float]  # of `STAGES`; reading overlaps with the others
    files: list[Path]


class VideoPredictor:
    """Segment videos with a trained model.

    Args:
        cfg: names the model, its weights, the task, the linker and, as `DATASETS.TEST[0]`, the
            dataset whose classes the model knows.
        model: in place of the one that the config describes; it has its weights already.

    Raises:
        FileNotFoundError: the weights do not exist.
        ValueError: the weights do not fit, or a setting makes no sense.
    """

    def __init__(self, cfg: CfgNode, *, model: Segmenter | None = None) -> None:
        settings = dataclasses.replace(RunnerSettings.from_config(cfg), one_class_per_query=True)
        if not cfg.DATASETS.TEST:
            raise ValueError("DATASETS.TEST is empty; name the dataset whose classes are meant.")
        legend = ClassLegend.from_metadata(MetadataCatalog.get(cfg.DATASETS.TEST[0]))
        if not settings.task.has_instances:
            # The task decides: of things too only the class is told.
            legend = dataclasses.replace(legend, is_thing=(False,) * len(legend.names))
        self.legend = legend
        self._is_thing = np.array(legend.is_thing)
        self.stopwatch = Stopwatch()
        self.runner = VideoRunner(
            model=_load_model(cfg, legend) if model is None else model,
            settings=settings,
            linker=build_linker(cfg, self._is_thing) if settings.task.has_instances else None,
            is_thing=self._is_thing,
            stopwatch=self.stopwatch,
        )
        self._next_index = 0

    def reset(self) -> None:
        """Begin another video with the next `step`."""
        self.runner.reset()
        self._next_index = 0

    def step(self, frame: np.ndarray) -> FrameSegments:
        """Return the segments of the frame that follows those given before, live.

        Args:
            frame: (H, W, 3) uint8 RGB.

        Raises:
            ValueError: the model looks at more than one frame at a time.
        """
        window = self.runner.settings.window
        if window != 1:
            raise ValueError(
                f"step() gives one frame, but MODEL.GVSEG.TEST.WINDOW is {window}; set it to 1, "
                "or call run()."
            )
        (segments,) = self.runner.segment_window([Frame(self._next_index, None, frame)])
        self._next_index += 1
        return segments

    def run(
        self,
        source: str | Path | int | Iterable[np.ndarray] | FrameSource,
        writers: Sequence[Writer] = (),
    ) -> RunSummary:
        """Segment a whole video and hand each frame's result to the writers.

        Frames are read ahead in a thread. When a frame fails, what was written stays and the files
        are finished.

        Args:
            source: see `open_source`.
            writers: called in this order.
        """
        source = open_source(source)
        video = VideoInfo(
            source.name, source.size, source.num_frames, source.frame_rate, self.legend
        )
        self._next_index = 0
        self.stopwatch.seconds.clear()
        start = time.perf_counter()
        num_frames = 0
        identities: set[int] = set()
        with ExitStack() as opened:
            for writer in writers:
                writer.open(video)
                opened.callback(writer.close)
            ahead = Prefetcher(self.stopwatch.each("read", source), FRAMES_READ_AHEAD)
            for frame, segments in self.runner.run(opened.enter_context(ahead)):
                with self.stopwatch.stage("write"):
                    for writer in writers:
                        writer.write(frame, segments)
                num_frames += 1
                identities.update(segments.ids[self._is_thing[segments.classes]].tolist())
        return RunSummary(
            name=source.name,
            num_frames=num_frames,
            num_tracks=len(identities),
            seconds=time.perf_counter() - start,
            stage_seconds={stage: self.stopwatch.seconds[stage] for stage in STAGES},
            files=[file for writer in writers for file in writer.files],
        )


def _load_model(cfg: CfgNode, legend: ClassLegend) -> Segmenter:
    """Build the model with its weights, in evaluation mode."""
    if not cfg.MODEL.WEIGHTS:
        raise ValueError("MODEL.WEIGHTS is empty; name the checkpoint to run.")
    # Mistakes are told before the model is built, which takes a while.
    checkpoint_file(cfg.MODEL.WEIGHTS)
    num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    if num_classes != len(legend.names):
        raise ValueError(
            f"The model has {num_classes} classes (MODEL.SEM_SEG_HEAD.NUM_CLASSES), but "
            f"{cfg.DATASETS.TEST[0]} of DATASETS.TEST has {len(legend.names)}; name the dataset "
            "whose classes the model knows."
        )
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"MODEL.DEVICE is {cfg.MODEL.DEVICE} but no GPU is available; choose cpu.")
    model = build_model(cfg)
    load_weights(model, cfg.MODEL.WEIGHTS, allow_missing=False)
    return model.eval()
