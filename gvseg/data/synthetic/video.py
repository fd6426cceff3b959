"""What a generator of videos makes and a writer of a format takes.  (H, W) pixels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from gvseg.data.segments import FrameLabels


@dataclass
class SyntheticVideo:
    """One video with what is to be seen in every frame of it.

    Labels are index maps over all segments of the video: position p is the same segment in every
    frame, so that `ids` and `classes` are equal throughout, whether it is visible or not; each is
    visible in one frame at least. Void is -1. Objects and crowd regions count their ids from 1.

    What the task does not tell apart is one segment: of a class of stuff there is one with id
    class + 1, and so there is of every class where the task has no instances. Where it has no
    stuff the background is void.
    """

    name: str  # letters, digits, `_`, not that of a video of another split; sorts in order
    frames: list[np.ndarray]  # T of (H, W, 3) uint8 RGB
    labels: list[FrameLabels]  # T, of the format's class table


class Writer(Protocol):
    """Write a split in the layout that a benchmark's authors publish.

    Its records, read back, come in the order of the videos.
    """

    def __call__(self, root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
        """Write below `root`, what DETECTRON2_DATASETS names, one video at a time.

        Raises:
            FileExistsError: the split is there already.
            ValueError: a video has something that the format cannot hold.
        """
