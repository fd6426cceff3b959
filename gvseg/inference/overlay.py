"""Segments drawn over frames, for any number of pictures and videos."""

from __future__ import annotations

from collections import deque
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from gvseg.inference.frames import Frame
from gvseg.inference.pictures import PictureSink
from gvseg.inference.video_info import VideoInfo
from gvseg.structures import FrameSegments
from gvseg.visualization import ClassLegend, draw_segments, identity_color, paint_segments

VIEWS = ("overlay", "side-by-side", "masks")
TRAIL_LINES_PER_SIDE = 250  # width of a trail as a share of the frame's short side


class OverlayWriter:
    """Draw each frame's segments once, for any number of files.

    Args:
        sinks: where the pictures go.
        view: the segments over the frame, beside it, or alone on black.
        trail: of so many frames the way of each object's middle is drawn; 0 for none.

    Raises:
        ValueError: there is no such view, or the trail is negative.
    """

    def __init__(self, sinks: list[PictureSink], *, view: str = "overlay", trail: int = 0) -> None:
        if view not in VIEWS:
            raise ValueError(f"Unknown view {view!r}; choose from {', '.join(VIEWS)}.")
        if trail < 0:
            raise ValueError(f"A trail cannot be {trail} frames long; give 0 or more.")
        self.sinks = sinks
        self.view = view
        self.trail = trail

    @property
    def files(self) -> list[Path]:
        return [file for sink in self.sinks for file in sink.files]

    def open(self, video: VideoInfo) -> None:
        self._legend = video.legend
        self._trails = Trails(self.trail, video.legend)
        height, width = video.size
        for sink in self.sinks:
            sink.open((height, width * (1 + (self.view == "side-by-side"))), video.frame_rate)

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        picture = self._draw(frame.image, segments)
        if self.trail:
            self._trails.draw(picture, segments)
        if self.view == "side-by-side":
            picture = np.concatenate([frame.image, picture], axis=1)
        for sink in self.sinks:
            sink.write(frame, picture)

    def close(self) -> None:
        with ExitStack() as sinks:  # one that fails keeps no other from being closed
            for sink in self.sinks:
                sinks.callback(sink.close)

    def _draw(self, image: np.ndarray, segments: FrameSegments) -> np.ndarray:
        if self.view == "masks":
            return paint_segments(segments, self._legend)
        return draw_segments(image, segments, self._legend)


class Trails:
    """Where the middles of things have been of late.

    Args:
        length: frames that are remembered.
        legend: of the classes.
    """

    def __init__(self, length: int, legend: ClassLegend) -> None:
        self.length = length
        self._is_thing = legend.is_thing
        self._places: dict[int, deque[tuple[int, int, int]]] = {}  # frame number, x and y
        self._num_frames = 0

    def draw(self, picture: np.ndarray, segments: FrameSegments) -> None:
        """Take in a frame and draw the trails into its picture, (H, W, 3) uint8 RGB."""
        for position, class_index in enumerate(segments.classes.tolist()):
            if self._is_thing[class_index]:
                rows, columns = np.nonzero(segments.mask(position))
                if len(rows):
                    place = (self._num_frames, round(columns.mean()), round(rows.mean()))
                    self._places.setdefault(int(segments.ids[position]), deque()).append(place)
        self._num_frames += 1
        self._forget()
        width = max(round(min(picture.shape[:2]) / TRAIL_LINES_PER_SIDE), 1)
        for identity, places in self._places.items():
            points = np.array([place[1:] for place in places], dtype=np.int32)
            color = identity_color(identity)
            cv2.polylines(picture, [points], False, color, width, cv2.LINE_AA)

    def _forget(self) -> None:
        for identity, places in list(self._places.items()):
            while places and places[0][0] < self._num_frames - self.length:
                places.popleft()
            if not places:
                del self._places[identity]
