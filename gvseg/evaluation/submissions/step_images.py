"""KITTI-STEP's format: one colour image for each frame, like its annotations.

<folder>/<sequence>/<frame>.png    red is the class id (255 is void), green * 256 + blue the
                                   number of an object, 0 for stuff
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.class_table import ClassTable
from gvseg.data.panoptic_image import ValueMeanings, panoptic_labels, read_rgb_values
from gvseg.data.segments import front_map
from gvseg.evaluation.submissions.image_folders import ImageFolderReader, write_frame_image
from gvseg.structures import FrameSegments

_VOID = 255
_LARGEST_NUMBER = (1 << 16) - 1


class StepImageWriter:
    """Write class and number of every pixel; objects of a video are numbered as they appear.

    Args:
        folder: made where needed.
        benchmark: that is submitted to.
    """

    def __init__(self, folder: Path, benchmark: Benchmark) -> None:
        self.folder = folder
        self._class_ids = np.array(benchmark.classes.ids)
        self._is_thing = np.array(benchmark.classes.is_thing)
        self._number_of_id: dict[int, int] = {}

    def write(self, record: Record, segments: FrameSegments) -> None:
        """Write the next frame of a video.

        Raises:
            ValueError: the video has more objects than there are numbers.
        """
        is_thing = self._is_thing[segments.classes]
        numbers = np.zeros(len(segments), dtype=np.int64)
        for position in np.flatnonzero(is_thing):
            new = len(self._number_of_id) + 1
            numbers[position] = self._number_of_id.setdefault(int(segments.ids[position]), new)
        if len(self._number_of_id) > _LARGEST_NUMBER:
            raise ValueError(
                f"Video {record['video_id']} has more than {_LARGEST_NUMBER} predicted objects, "
                "which KITTI-STEP's format cannot hold."
            )
        colors = np.stack([self._class_ids[segments.classes], numbers >> 8, numbers & 255], axis=1)
        # Position -1 is void and so reads the last row.
        colors = np.concatenate([colors, [[_VOID, 0, 0]]]).astype(np.uint8)
        image = Image.fromarray(colors[front_map(segments)])
        write_frame_image(self.folder, record, segments.frame_index, image)

    def end_video(self, record: Record) -> None:
        """Number the objects of the next video anew."""
        self._number_of_id = {}

    def finish(self, records: Sequence[Record]) -> None:
        """Do nothing: videos share nothing."""


def open_step_images(
    folder: Path, benchmark: Benchmark, records: Sequence[Record]
) -> ImageFolderReader:
    """Return the reader of a folder.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it has videos that the dataset does not have.
    """
    return ImageFolderReader(folder, records, partial(_decode, classes=benchmark.classes))


def _decode(path: Path, frame_index: int, classes: ClassTable) -> FrameSegments:
    values = read_rgb_values(path, "Prediction")
    meanings = partial(_meanings, classes=classes, path=path)
    return panoptic_labels(values, meanings, frame_index).segments


def _meanings(values: np.ndarray, classes: ClassTable, path: Path) -> ValueMeanings:
    """Tell what RGB values, (V,), stand for.

    Objects of two classes are two objects whatever their numbers. All of a thing's class that has
    no number is one object, which only annotations take for a crowd.

    Raises:
        ValueError: a class that the benchmark does not have.
    """
    class_ids, numbers = values & 255, ((values >> 8 & 255) << 8) + (values >> 16)
    indices = classes.indices(class_ids, f"Prediction {path}")
    has_number = np.array([*classes.is_thing, False])[indices] & (numbers > 0)
    return ValueMeanings(
        classes=indices,
        ids=np.where(has_number, (class_ids.astype(np.int64) << 16) + numbers, indices + 1),
        is_crowd=np.zeros(len(values), dtype=bool),
    )
