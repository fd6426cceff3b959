"""Segments drawn over frames, for any number of pictures and videos."""

from __future__ import annotations

from pathlib import Path

from gvseg.inference.pictures import PictureSink
from gvseg.inference.sources import Frame
from gvseg.inference.video_info import VideoInfo
from gvseg.structures import FrameSegments
from gvseg.visualization import draw_segments


class OverlayWriter:
    """Draw each frame's segments over it once, for any number of files."""

    def __init__(self, sinks: list[PictureSink]) -> None:
        self.sinks = sinks

    @property
    def files(self) -> list[Path]:
        return [file for sink in self.sinks for file in sink.files]

    def open(self, video: VideoInfo) -> None:
        self._legend = video.legend
        for sink in self.sinks:
            sink.open(video.size, video.frame_rate)

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        picture = draw_segments(frame.image, segments, self._legend)
        for sink in self.sinks:
            sink.write(frame, picture)

    def close(self) -> None:
        for sink in self.sinks:
            sink.close()
