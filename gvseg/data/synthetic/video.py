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
    frame, so that `ids` and `classes` are equal throughout, whether it is visible or not. Void is
    -1. Of a benchmark without stuff the background is void.
    """

    name: str
    frames: list[np.ndarray]  # T of (H, W, 3) uint8 RGB
    labels: list[FrameLabels]  # T, of the format's class table


class Writer(Protocol):
    """Write a split in the layout that a benchmark's authors publish."""

    def __call__(self, root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
        """Write below `root`, what DETECTRON2_DATASETS names, one video at a time.

        Raises:
            FileExistsError: the split is there already.
        """
