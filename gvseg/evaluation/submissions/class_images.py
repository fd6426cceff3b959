"""VSPW's format: one grey image of 8 bits for each frame, with the class index of every pixel.

    <folder>/<video>/<frame>.png    0..K-1, where annotations have the class ids 1..K

VSPW's own evaluation needs a class for every pixel: one of 255 silently counts as another class.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.class_table import ClassTable
from gvseg.data.panoptic_image import ValueMeanings, panoptic_labels
from gvseg.data.segments import front_map, read_id_image
from gvseg.evaluation.submissions.image_folders import ImageFolderReader, write_frame_image
from gvseg.structures import FrameSegments

_VOID = 255


class ClassImageWriter:
    """Write the class of every pixel.

    Args:
        folder: made where needed.
        benchmark: that is submitted to.
    """

    def __init__(self, folder: Path, benchmark: Benchmark) -> None:
        self.folder = folder
        if len(benchmark.classes) > _VOID:
            raise ValueError(
                f"{benchmark.name} has {len(benchmark.classes)} classes, more than images of 8 "
                "bits hold."
            )

    def write(self, record: Record, segments: FrameSegments) -> None:
        """Write the next frame of a video.

        Raises:
            ValueError: a pixel has no class.
        """
        front = front_map(segments)
        if (front < 0).any():
            raise ValueError(
                f"Video {record['video_id']}, frame {record['file_names'][segments.frame_index]}: "
                f"{np.count_nonzero(front < 0)} pixels are predicted to be of no class, which "
                "VSPW's format cannot hold."
            )
        image = Image.fromarray(segments.classes.astype(np.uint8)[front])
        write_frame_image(self.folder, record, segments.frame_index, image)

    def end_video(self, record: Record) -> None:
        """Do nothing: each image is complete."""

    def finish(self, records: Sequence[Record]) -> None:
        """Do nothing: videos share nothing."""


def open_class_images(
    folder: Path, benchmark: Benchmark, records: Sequence[Record]
) -> ImageFolderReader:
    """Return the reader of a folder; pixels of 255 are void.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it has videos that the dataset does not have.
    """
    return ImageFolderReader(folder, records, partial(_decode, classes=benchmark.classes))


def _decode(path: Path, frame_index: int, classes: ClassTable) -> FrameSegments:
    values = read_id_image(path, "Prediction")
    meanings = partial(_meanings, classes=classes, path=path)
    return panoptic_labels(values, meanings, frame_index).segments


def _meanings(values: np.ndarray, classes: ClassTable, path: Path) -> ValueMeanings:
    is_class = values < len(classes)
    outside = values[~is_class & (values != _VOID)]
    if len(outside):
        raise ValueError(
            f"Prediction {path} has the classes {outside[:10].tolist()}; those of {classes.name} "
            f"are 0 to {len(classes) - 1}."
        )
    indices = np.where(is_class, values, -1).astype(np.int64)
    return ValueMeanings(indices, indices + 1, np.zeros(len(values), dtype=bool))
