"""A video in, its segments out: windows of frames through a segmenter, one after the other.

T frames of a window, Q queries, (H, W) pixels.

What is held at a time is one window of frames and logits, and the linker's live tracks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from detectron2.data.transforms import ResizeTransform
from detectron2.data.transforms.augmentation_impl import ResizeShortestEdge

from gvseg.data.exemplars import fit_exemplar
from gvseg.inference.exemplar_tracking import ExemplarTracker
from gvseg.inference.linking import Linker
from gvseg.inference.mask_parts import without_far_parts
from gvseg.inference.postprocess import (
    FrameGeometry,
    FrameLogits,
    exemplar_segments,
    instance_segments,
    panoptic_segments,
    semantic_segments,
)
from gvseg.inference.repeats import LEAST_SCORE, pool_repeats
from gvseg.inference.runner_settings import RunnerSettings
from gvseg.inference.saved_state import State
from gvseg.inference.sources import Frame
from gvseg.inference.stopwatch import Stopwatch
from gvseg.inference.transfer import to_host
from gvseg.modeling.requests import ClipRequest
from gvseg.structures import FrameSegments, TubePrediction
from gvseg.tasks import Task


class Segmenter(Protocol):
    """What the runner asks of a model."""

    @property
    def device(self) -> torch.device: ...

    def preprocess(self, clips: list[list[Tensor]]) -> Tensor:
        """Return B clips of T frames (3, H, W) uint8, normalised and padded: (B, T, 3, H', W')."""
        ...

    def segment_clip(self, frames: Tensor, requests: Sequence[ClipRequest] = ()) -> TubePrediction:
        """Segment preprocessed frames (B, T, 3, H', W'), of each clip what is asked of it."""
        ...


def segment_video(
    model: Segmenter,
    frames: Iterable[Frame],
    settings: RunnerSettings,
    *,
    linker: Linker | None = None,
    exemplars: ExemplarTracker | None = None,
    is_thing: np.ndarray | None = None,
) -> Iterator[FrameSegments]:
    """Yield the segments of each frame of a video, with a model that is already built.

    Args:
        model: in evaluation mode.
        frames: a source of `gvseg.inference.sources`, or anything that yields such frames.
        settings: from `RunnerSettings.from_config(cfg)`.
        linker: gives identities; without one the queries of each window count from 1 anew.
        exemplars: knows the objects to segment, for EVS.
        is_thing: (K,) bool, needed for panoptic segments only.
    """
    runner = VideoRunner(
        model=model, settings=settings, linker=linker, exemplars=exemplars, is_thing=is_thing
    )
    for _, segments in runner.run(frames):
        yield segments


class VideoRunner:
    """Cut a video into windows, segment, link and post-process each.

    Args:
        model: in evaluation mode.
        settings: of the model and of post-processing.
        linker: gives identities, and is reset when a video begins; without one the queries of each
            window count from 1 anew.
        exemplars: knows the objects to segment, for EVS, and gives them their identities.
        is_thing: (K,) bool, needed for panoptic segments; where given, the model must tell K
            classes apart.
        stopwatch: where to count the time of "network" and "postprocess".
    """

    def __init__(
        self,
        *,
        model: Segmenter,
        settings: RunnerSettings,
        linker: Linker | None = None,
        exemplars: ExemplarTracker | None = None,
        is_thing: np.ndarray | None = None,
        stopwatch: Stopwatch | None = None,
    ) -> None:
        if settings.task is Task.VPS and is_thing is None:
            raise ValueError("Panoptic segments need to know which classes are things: is_thing.")
        if (settings.task is Task.EVS) != (exemplars is not None):
            raise ValueError("Exemplars belong to the task evs, and that to exemplars.")
        self.model = model
        self.settings = settings
        self.linker = linker
        self.exemplars = exemplars
        self.is_thing = is_thing
        self.stopwatch = stopwatch or Stopwatch()
        self._size: tuple[int, int] | None = None  # of the frames of the video
        self._begin_window([])

    def reset(self) -> None:
        """Begin another video."""
        self._size = None
        self._begin_window([])
        if self.linker is not None:
            self.linker.reset()
        if self.exemplars is not None:
            self.exemplars.reset()

    def state(self) -> State:
        """Return what is remembered of the video, a copy; to be asked for between windows."""
        if self.exemplars is not None:
            state = self.exemplars.state()
        else:
            state = {} if self.linker is None else self.linker.state()
        return {name: array.copy() for name, array in state.items()}

    def restore(self, state: State, shared: list[Frame]) -> None:
        """Go on in a video where another runner of the same settings was.

        Args:
            state: that it returned.
            shared: the last frames that it took, as many as windows share.
        """
        self._begin_window(shared)
        if self.exemplars is not None:
            self.exemplars.restore(state, self.model.device)
        elif self.linker is not None:
            self.linker.restore(state)

    def run(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, FrameSegments]]:
        """Segment a video from its beginning; yield each frame with its segments."""
        self.reset()
        for frame in frames:
            yield from self.take(frame)
        yield from self.finish()

    def take(self, frame: Frame) -> Iterator[tuple[Frame, FrameSegments]]:
        """Yield the frames that the next frame of the video makes ready, with their segments.

        They are those of a window that it fills, none where it fills none.

        Raises:
            ValueError: its size is not that of the other frames of the video.
        """
        self.check_size(frame)
        self._size = frame.image.shape[:2]
        self._window.append(frame)
        if len(self._window) == self.settings.window:
            window, num_done = self._window, self._num_done
            self._begin_window(window[len(window) - self.settings.overlap :])
            yield from self._segment_window(window, num_done)

    def check_size(self, frame: Frame) -> None:
        """Refuse a frame of another size than those before it.

        Raises:
            ValueError: what is remembered of the video has the size of the others.
        """
        size = frame.image.shape[:2]
        if self._size not in (None, size):
            raise ValueError(
                f"Frame {frame.index} is {size[1]}x{size[0]}, but those before are "
                f"{self._size[1]}x{self._size[0]}; the frames of a video have one size."
            )

    def finish(self) -> Iterator[tuple[Frame, FrameSegments]]:
        """Yield the frames at the end of a video that fill no window, with their segments."""
        window, num_done, self._size = self._window, self._num_done, None
        self._begin_window([])
        if len(window) > num_done:
            yield from self._segment_window(window, num_done)
        if self.exemplars is not None:
            self.exemplars.warn_of_waiting()

    def _begin_window(self, shared: list[Frame]) -> None:
        """Begin a window with the frames that it shares with the one before."""
        self._window = shared
        self._num_done = len(shared)

    def _segment_window(
        self, window: list[Frame], num_done: int
    ) -> Iterator[tuple[Frame, FrameSegments]]:
        """Yield frames and segments of up to T frames, less the first, which are done already.

        A window of fewer frames, at the end of a video, is filled up with its last frame.
        """
        images = [self._resized(frame.image) for frame in window]
        images += images[-1:] * (self.settings.window - len(window))
        with self.stopwatch.stage("network"):
            prediction, padded_size = self._predict(images, window)
        geometry = FrameGeometry(
            original=window[0].image.shape[:2],
            resized=(images[0].shape[-2], images[0].shape[-1]),
            padded=padded_size,
        )
        new = slice(num_done, len(window))
        if self.exemplars is not None:
            found = self._exemplar_segments(self.exemplars, window, num_done, prediction, geometry)
            yield from zip(window[new], found, strict=True)
            return
        with self.stopwatch.stage("postprocess"):
            logits = self._frame_logits(window, prediction, geometry)
        for frame, frame_logits in zip(window[new], logits[new], strict=True):
            with self.stopwatch.stage("postprocess"):
                segments = self._postprocess(frame_logits)
            yield frame, segments

    @torch.inference_mode()
    def _predict(
        self, images: list[Tensor], window: list[Frame]
    ) -> tuple[TubePrediction, tuple[int, int]]:
        device = self.model.device
        dtype = self.settings.autocast
        frames = self.model.preprocess([images])
        padded_size = (frames.shape[-2], frames.shape[-1])
        resized = (images[0].shape[-2], images[0].shape[-1])
        request = ClipRequest(self.settings.task, self.settings.label_set, size=resized)
        if self.exemplars is not None:
            original = window[0].image.shape[:2]
            request = self.exemplars.ask(
                request,
                [frame.index for frame in window],
                lambda exemplar: fit_exemplar(exemplar, original, resized),
                padded_size,
                device,
            )
        with torch.autocast(device.type, dtype, enabled=dtype is not None):
            prediction = self.model.segment_clip(frames, [request])
        self._check_classes(prediction)
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # else its time would count as post-processing
        return prediction, padded_size

    def _exemplar_segments(
        self,
        exemplars: ExemplarTracker,
        window: list[Frame],
        num_done: int,
        prediction: TubePrediction,
        geometry: FrameGeometry,
    ) -> Iterator[FrameSegments]:
        """Yield the segments of the objects that exemplars point out, whose queries come first.

        They are those of the new frames of a window, without the first, which are done already.
        """
        num_clips, _, num_frames = prediction.mask_logits.shape[:3]
        assert num_clips * num_frames == self.settings.window
        num_objects = len(exemplars.identities)
        for position, frame in enumerate(window[num_done:], start=num_done):
            with self.stopwatch.stage("postprocess"), torch.inference_mode():
                clip, t = divmod(position, num_frames)
                class_logits = prediction.class_logits[clip, :num_objects]
                probs = class_logits.float().softmax(-1)[:, :-1].sum(-1)
                (scores,) = to_host(probs)
                mask_logits = prediction.mask_logits[clip, :num_objects, t]
                sizes = prediction.frame_sizes
                size = None if sizes is None else sizes[clip]
                logits = FrameLogits(
                    frame_index=frame.index,
                    class_logits=class_logits,
                    mask_logits=exemplars.apart(mask_logits, scores, position, size),
                    identities=exemplars.identities,
                    geometry=geometry,
                )
                if position == len(window) - 1:
                    exemplars.take_in(prediction, logits.mask_logits, probs, position)
                segments = exemplar_segments(
                    logits,
                    visible=exemplars.visible(position, scores),
                    scores=scores,
                    given=exemplars.given(frame.index),
                )
            yield segments

    def _check_classes(self, prediction: TubePrediction) -> None:
        num_classes = prediction.class_logits.shape[-1] - 1
        if self.is_thing is not None and num_classes != len(self.is_thing):
            raise ValueError(
                f"The model has {num_classes} classes, but the dataset has {len(self.is_thing)}; "
                "choose the dataset whose classes the model knows."
            )

    def _frame_logits(
        self, window: list[Frame], prediction: TubePrediction, geometry: FrameGeometry
    ) -> list[FrameLogits]:
        """Link the clips of a prediction and take them apart into the frames of the window.

        A segmenter that folds frames into the batch returns T clips of one frame, any other
        one clip of T frames.
        """
        num_clips, _, num_frames = prediction.mask_logits.shape[:3]
        assert num_clips * num_frames == self.settings.window
        frames = []
        for start in range(0, len(window), num_frames):
            clip = prediction.clip(start // num_frames)
            if self.settings.task.has_instances:
                clip = self._told_apart(clip)
            identities = self._identities(clip)
            frames += [
                FrameLogits(
                    frame_index=frame.index,
                    class_logits=clip.class_logits[0],
                    mask_logits=clip.mask_logits[0, :, t],
                    identities=identities,
                    geometry=geometry,
                )
                for t, frame in enumerate(window[start : start + num_frames])
            ]
        return frames

    def _told_apart(self, clip: TubePrediction) -> TubePrediction:
        """Return a clip whose queries keep to one object, and of which one shows each."""
        settings = self.settings
        pools = settings.pool_overlap < 1
        if settings.max_gap > 0:
            min_score = LEAST_SCORE if pools else 0.1
            clip = without_far_parts(clip, settings.max_gap, self.is_thing, min_score=min_score)
        return pool_repeats(clip, settings.pool_overlap, self.is_thing) if pools else clip

    def _identities(self, clip: TubePrediction) -> np.ndarray:
        if self.linker is None:
            return np.arange(1, clip.class_logits.shape[1] + 1)
        return self.linker.link(clip)

    @torch.inference_mode()
    def _postprocess(self, logits: FrameLogits) -> FrameSegments:
        settings = self.settings
        if not settings.task.has_instances:
            return semantic_segments(logits)
        if settings.task.has_stuff:
            assert self.is_thing is not None
            return panoptic_segments(
                logits,
                is_thing=self.is_thing,
                object_mask_threshold=settings.object_mask_threshold,
                overlap_threshold=settings.overlap_threshold,
            )
        return instance_segments(
            logits,
            max_instances=settings.max_instances,
            score_threshold=settings.score_threshold,
            one_class_per_query=settings.one_class_per_query,
        )

    def _resized(self, image: np.ndarray) -> Tensor:
        """Return a frame as the network is to see it: (H, W, 3) -> (3, H', W') uint8."""
        if self.settings.min_size > 0:
            height, width = image.shape[:2]
            size = ResizeShortestEdge.get_output_shape(
                height, width, self.settings.min_size, self.settings.max_size
            )
            image = ResizeTransform(height, width, *size).apply_image(image)
        if self.settings.is_bgr:
            image = image[:, :, ::-1]
        return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
