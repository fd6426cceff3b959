"""What writers are told of a video, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from gvseg.inference.frames import Frame
from gvseg.structures import FrameSegments
from gvseg.visualization import ClassLegend


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before its first frame."""

    name: str
    size: tuple[int, int]  # height and width in pixels
    num_frames: int | None
    frame_rate: Fraction | None
    legend: ClassLegend  # of the classes that segments may have


class Writer(Protocol):
    """Whatever takes the result of each frame: open, write for every frame, close."""

    @property
    def files(self) -> list[Path]:
        """What was written so far; a folder stands for the files in it."""
        ...

    def open(self, video: VideoInfo) -> None:
        """Make ready for a video; fails here, before any work, where nothing can be written."""
        ...

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        """Add one frame."""
        ...

    def close(self) -> None:
        """Finish the files."""
        ...
