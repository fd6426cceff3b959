"""What users call: a trained model, ready for videos and for single frames."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

import gvseg.data.benchmarks  # noqa: F401  registers the class names of every benchmark
from gvseg.checkpoint import checkpoint_file, load_weights
from gvseg.data.exemplars import check_exemplar
from gvseg.inference.association import build_association
from gvseg.inference.background import BackgroundWork
from gvseg.inference.exemplar_tracking import ExemplarTracker
from gvseg.inference.frames import Frame, check_array
from gvseg.inference.journal import Journal
from gvseg.inference.prefetch import Prefetcher
from gvseg.inference.runner_settings import RunnerSettings
from gvseg.inference.sources import FrameSource, open_source
from gvseg.inference.stopwatch import Stopwatch
from gvseg.inference.video_info import VideoInfo, Writer
from gvseg.inference.video_runner import Segmenter, VideoRunner
from gvseg.modeling.build import build_segmenter
from gvseg.structures import Exemplar, FrameSegments
from gvseg.visualization import ClassLegend

logger = logging.getLogger(__name__)

FRAMES_READ_AHEAD = 4
FRAMES_WRITTEN_BEHIND = 2  # each holds the masks of its objects at full size
STAGES = ("read", "network", "postprocess", "write")


@dataclass(frozen=True)
class RunSummary:
    """What a run over one video did and where its time went."""

    name: str
    num_frames: int
    num_resumed: int  # of these, found by a run before
    num_tracks: int  # identities that were given out at least once
    seconds: float
    stage_seconds: dict[str, float]  # of `STAGES`; reading and writing overlap with the others
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
        linker, self._exemplars = build_association(cfg, settings.task, self._is_thing)
        self.runner = VideoRunner(
            model=_load_model(cfg, legend) if model is None else model,
            settings=settings,
            linker=linker,
            exemplars=self._exemplars,
            is_thing=self._is_thing,
            stopwatch=self.stopwatch,
        )
        self._is_broken = False  # by an error in the middle of a window
        self._begin_video()

    def reset(self) -> None:
        """Begin another video with the next `step`, without the exemplars given so far."""
        if self._exemplars is not None:
            self._exemplars.clear()
        self._begin_video()

    def add_exemplar(
        self,
        *,
        mask: np.ndarray | None = None,
        box: Sequence[float] | None = None,
        point: Sequence[float] | None = None,
        frame_index: int | None = None,
        object_id: int | None = None,
    ) -> int:
        """Point out an object to be segmented from a frame on, and return its identity.

        Give one of mask, box and point, in pixels of the original frame.

        Args:
            mask: (H, W) bool.
            box: left, top, right and bottom edge; the box of a whole frame is (0, 0, W, H).
            point: x and y; the pixel in column x covers x to x + 1.
            frame_index: in which it is pointed out; by default the one that `step` comes to next.
            object_id: of an object that is known, to point it out anew; by default the next free.

        Raises:
            ValueError: the task is not evs, not exactly one of the three is given, nothing is in
                it, or the frame is segmented already.
        """
        tracker = self._exemplar_tracker()
        given = [value for value in (mask, box, point) if value is not None]
        if len(given) != 1:
            raise ValueError(f"An exemplar is one of mask, box and point; {len(given)} are given.")
        if object_id is None:
            object_id = tracker.exemplars.next_id
        exemplar = Exemplar(
            object_id=object_id,
            frame_index=self._next_index if frame_index is None else frame_index,
            mask=None if mask is None else np.asarray(mask, dtype=bool),
            box=None if box is None else np.array(box, dtype=np.float32),
            point=None if point is None else np.array(point, dtype=np.float32),
        )
        check_exemplar(exemplar)
        tracker.add(exemplar)
        return object_id

    def remove_object(self, object_id: int) -> None:
        """Stop looking for an object that was pointed out.

        Raises:
            ValueError: the task is not evs, or there is no such object.
        """
        self._exemplar_tracker().remove(object_id)

    def _exemplar_tracker(self) -> ExemplarTracker:
        if self._exemplars is None:
            task = self.runner.settings.task.value
            raise ValueError(f"Exemplars are for the task evs, but MODEL.GVSEG.TASK is {task}.")
        return self._exemplars

    def step(self, frame: np.ndarray) -> FrameSegments | None:
        """Take the frame that follows those given before, live, and return the segments of one.

        With `MODEL.GVSEG.TEST.WINDOW` 1 they are those of this frame. A model that looks at T
        frames at a time is T - 1 frames behind: the first T - 1 calls return None, each call after
        them the segments of the next frame in turn, and `flush` those of the last T - 1.

        Args:
            frame: (H, W, 3) uint8 RGB.

        Raises:
            ValueError: the frame is no such array, an exemplar does not fit it, or an earlier step
                of the video failed.
        """
        check_array(frame, f"Frame {self._next_index}")
        if self._is_broken:
            raise ValueError("An earlier step of this video failed; call reset() to begin another.")
        next_frame = Frame(self._next_index, None, frame)
        self.runner.check_size(next_frame)
        self._is_broken = True
        taken = self.runner.take(next_frame)
        self._ready.extend(segments for _, segments in taken)
        self._is_broken = False
        self._next_index += 1
        return self._ready.popleft() if self._next_index >= self.runner.settings.window else None

    def flush(self) -> list[FrameSegments]:
        """Return the segments that `step` still owes, which ends the video.

        The next `step` begins another video, with the exemplars given so far.
        """
        self._ready.extend(segments for _, segments in self.runner.finish())
        owed = list(self._ready)
        self._begin_video()
        return owed

    def _begin_video(self) -> None:
        self.runner.reset()
        self._ready: deque[FrameSegments] = deque()  # segmented, but not returned by `step` yet
        self._next_index = 0
        self._is_broken = False

    def run(
        self,
        source: str | Path | int | Iterable[np.ndarray] | FrameSource,
        writers: Sequence[Writer] = (),
        *,
        journal: Journal | None = None,
    ) -> RunSummary:
        """Segment a whole video and hand each frame's result to the writers.

        Frames are read ahead in a thread and written in another. When a frame fails, what was
        written stays and the files are finished.

        Args:
            source: see `open_source`.
            writers: called in this order.
            journal: keeps what was found; where it comes from a run that was stopped, this one goes
                on there, and its files become what that run's would have been.

        Raises:
            ValueError: the task is evs, and no exemplar was given; or the video has no frame, or is
                not that of the journal.
        """
        is_resumed = journal is not None and journal.num_frames > 0  # with the objects it had
        exemplars = self._exemplars
        if exemplars is not None and not exemplars.exemplars.object_ids and not is_resumed:
            raise ValueError("No object is pointed out; call add_exemplar() first.")
        source = open_source(source)
        video = VideoInfo(
            source.name, source.size, source.num_frames, source.frame_rate, self.legend
        )
        self._begin_video()
        self.stopwatch.seconds.clear()
        start = time.perf_counter()
        num_frames = num_resumed = 0
        identities: set[int] = set()
        with ExitStack() as opened:
            opened.callback(self._begin_video)
            if journal is not None:
                journal.begin()
            for writer in writers:
                writer.open(video)
                opened.push(_closing(writer.close))
            if journal is not None:
                journal.note(file for writer in writers for file in writer.files)
                opened.push(_closing(journal.close))
                num_resumed = journal.num_frames
            background = opened.enter_context(BackgroundWork(FRAMES_WRITTEN_BEHIND))
            ahead = Prefetcher(self.stopwatch.each("read", source), FRAMES_READ_AHEAD)
            frames = opened.enter_context(ahead)
            for frame, segments in self._segmented(frames, journal, background):
                background.do(partial(self._write, writers, frame, segments))
                num_frames += 1
                identities.update(segments.ids[self._is_thing[segments.classes]].tolist())
            if self._exemplars is not None:
                self._exemplars.warn_of_lost(identities)
        if not num_frames:
            raise ValueError(f"{source.name} gave no frame that can be used.")
        summary = RunSummary(
            name=source.name,
            num_frames=num_frames,
            num_resumed=num_resumed,
            num_tracks=len(identities),
            seconds=time.perf_counter() - start,
            stage_seconds={stage: self.stopwatch.seconds[stage] for stage in STAGES},
            files=[file for writer in writers for file in writer.files],
        )
        if journal is not None:
            counts = {"frames": num_frames, "tracks": summary.num_tracks}
            journal.finish(counts, summary.files)
        return summary

    def _segmented(
        self, frames: Iterator[Frame], journal: Journal | None, background: BackgroundWork
    ) -> Iterator[tuple[Frame, FrameSegments]]:
        """Yield each frame with its segments, found earlier or now."""
        if journal is not None and journal.num_frames:
            recent: deque[Frame] = deque(maxlen=self.runner.settings.overlap)
            for segments in journal.found():
                frame = next(frames, None)
                if frame is None or frame.index != segments.frame_index:
                    raise ValueError(
                        f"The video ends or has gaps before frame {segments.frame_index}, which "
                        "the run to be resumed had; begin anew with --overwrite instead."
                    )
                recent.append(frame)
                yield frame, segments
            self.runner.restore(journal.state, list(recent))
        for frame in frames:
            found = 0
            for item in self.runner.take(frame):
                found += 1
                yield item
                if journal is not None:
                    background.do(partial(journal.add, item[1]))
            if found and journal is not None and journal.is_due():
                background.do(partial(journal.save, self.runner.state()))
        yield from self.runner.finish()

    def _write(self, writers: Sequence[Writer], frame: Frame, segments: FrameSegments) -> None:
        with self.stopwatch.stage("write"):
            for writer in writers:
                writer.write(frame, segments)


def _closing(close: Callable[[], None]) -> Callable[..., None]:
    """Return the end of a `with` block that closes something.

    Where the block fails already, as on a full disk, what fails here too is logged: the first error
    is the one that tells why.
    """

    def end(kind: object, error: BaseException | None, trace: object) -> None:
        try:
            close()
        except Exception as later:
            if error is None:
                raise
            logger.warning("%s", later)

    return end


def _load_model(cfg: CfgNode, legend: ClassLegend) -> Segmenter:
    """Build the model with its weights, in evaluation mode."""
    if not cfg.MODEL.WEIGHTS:
        raise ValueError("MODEL.WEIGHTS is empty; name the checkpoint to run.")
    # Mistakes are told before the model is built, which takes a while.
    checkpoint_file(cfg.MODEL.WEIGHTS)
    num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
    if num_classes != len(legend.names) and not cfg.MODEL.GVSEG.LABEL_SETS:
        raise ValueError(
            f"The model has {num_classes} classes (MODEL.SEM_SEG_HEAD.NUM_CLASSES), but "
            f"{cfg.DATASETS.TEST[0]} of DATASETS.TEST has {len(legend.names)}; name the dataset "
            "whose classes the model knows."
        )
    if cfg.MODEL.DEVICE.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"MODEL.DEVICE is {cfg.MODEL.DEVICE} but no GPU is available; choose cpu.")
    model = build_segmenter(cfg)
    load_weights(model, cfg.MODEL.WEIGHTS, allow_missing=False)
    return cast(Segmenter, model.eval())  # every meta-architecture is one
