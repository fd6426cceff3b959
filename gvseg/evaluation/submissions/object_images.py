"""The formats of YouTube-VOS and DAVIS: one image for each frame, with the number of each object.

    <folder>/<video>/<frame>.png    palette of object numbers 1..254, 0 is background
    <folder>/<video>/<frame>.png    in DAVIS 2016, grey: 255 is the object, 0 is background

Numbers are those under which the benchmark gives the objects. Where masks overlap the one with the
higher score is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.object_video import VOID_ID, object_palette
from gvseg.data.panoptic_image import ValueMeanings, panoptic_labels
from gvseg.data.segments import front_map, read_id_image
from gvseg.evaluation.submissions.image_folders import ImageFolderReader, write_frame_image
from gvseg.structures import FrameSegments


class ObjectImageWriter:
    """Write the number of the object at every pixel.

    Args:
        folder: made where needed.
        benchmark: that is submitted to.
        is_single: write all objects as one, as DAVIS 2016 has it.
    """

    def __init__(self, folder: Path, benchmark: Benchmark, *, is_single: bool = False) -> None:
        self.folder = folder
        self.is_single = is_single

    def write(self, record: Record, segments: FrameSegments) -> None:
        """Write the next frame of a video.

        Raises:
            ValueError: a number that the image cannot hold.
        """
        if self.is_single:
            front = front_map(segments)
            image = Image.fromarray(np.where(front >= 0, 255, 0).astype(np.uint8))
        else:
            name = record["file_names"][segments.frame_index]
            image = object_image(segments, f"Video {record['video_id']}, frame {name}")
        write_frame_image(self.folder, record, segments.frame_index, image)

    def end_video(self, record: Record) -> None:
        """Do nothing: each image is complete."""

    def finish(self, records: Sequence[Record]) -> None:
        """Do nothing: videos share nothing."""


def object_image(segments: FrameSegments, source: str) -> Image.Image:
    """Return the palette image with the number of the object at every pixel, 0 elsewhere.

    Raises:
        ValueError: a number that the image cannot hold; `source` says where.
    """
    outside = segments.ids[(segments.ids < 1) | (segments.ids >= VOID_ID)]
    if len(outside):
        raise ValueError(
            f"{source}: object {outside[0]} is predicted, but numbers of objects are 1 to "
            f"{VOID_ID - 1}."
        )
    # Position -1 is the background and so reads the last entry.
    image = Image.fromarray(np.append(segments.ids, 0).astype(np.uint8)[front_map(segments)])
    image.putpalette(object_palette().tobytes())
    return image


def open_object_images(
    folder: Path, benchmark: Benchmark, records: Sequence[Record], *, is_single: bool = False
) -> ImageFolderReader:
    """Return the reader of a folder, which may lack first frames.

    Args:
        folder: of the predictions.
        benchmark: that they are for.
        records: all videos of the split.
        is_single: all that is not 0 is object 1.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it has videos that the dataset does not have.
    """
    decode = partial(_decode, is_single=is_single)
    return ImageFolderReader(folder, records, decode, needs_first=False)


def _decode(path: Path, frame_index: int, is_single: bool) -> FrameSegments:
    values = read_id_image(path, "Prediction")
    meanings = partial(_meanings, is_single=is_single)
    return panoptic_labels(values, meanings, frame_index).segments


def _meanings(values: np.ndarray, is_single: bool) -> ValueMeanings:
    is_object = values > 0
    return ValueMeanings(
        classes=np.where(is_object, 0, -1),
        ids=is_object.astype(np.int64) if is_single else values.astype(np.int64),
        is_crowd=np.zeros(len(values), dtype=bool),
    )
