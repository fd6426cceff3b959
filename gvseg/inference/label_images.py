"""Results as label images, one PNG for each frame.  (H, W) pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.frames import write_image
from gvseg.data.segments import front_map
from gvseg.evaluation.overlaps import take_segments
from gvseg.evaluation.submissions.object_images import object_image
from gvseg.inference.frames import Frame
from gvseg.inference.pictures import png_name, write_png
from gvseg.inference.video_info import VideoInfo
from gvseg.structures import FrameSegments
from gvseg.visualization import ClassLegend

LARGEST_LABEL = np.iinfo(np.uint16).max
VOID = 255


def check_things(name: str, legend: ClassLegend) -> None:
    """Raise a ValueError unless there are objects for a format, called by its name, to hold."""
    if not any(legend.is_thing):
        raise ValueError(
            f"{name} holds objects, but this model tells classes apart alone; choose semantic or "
            "panoptic among the formats."
        )


class MaskWriter:
    """Label images of 16 bits, one for each frame: `masks/00000.png` and `classes/00000.png`.

    `masks` has the identity at each pixel of an object, 0 elsewhere; it is left out where the
    classes are all stuff. `classes` has the class index plus 1, 0 where there is no segment. Where
    masks overlap the higher score wins.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        self._is_thing = np.array(video.legend.is_thing)
        kinds = ["masks", "classes"] if self._is_thing.any() else ["classes"]
        self.files = [self.folder / kind for kind in kinds]
        for folder in self.files:
            folder.mkdir(exist_ok=True)

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        front = front_map(segments)
        labels = {
            "masks": np.where(self._is_thing[segments.classes], segments.ids, 0),
            "classes": segments.classes + 1,
        }
        for folder in self.files:
            table = np.append(labels[folder.name], 0)  # the last entry serves void, -1
            if table.max() > LARGEST_LABEL:
                raise ValueError(
                    f"Frame {frame.index} has the identity {table.max()}, more than 16 bits hold; "
                    "choose json rather than masks."
                )
            write_png(folder / png_name(frame), table.astype(np.uint16)[front])

    def close(self) -> None:
        """Nothing is left to do: each file is complete as soon as it is written."""


class SemanticWriter:
    """The class index at each pixel in a palette of the classes' colours: `semantic/00000.png`.

    255 is void. With more classes than 8 bits hold, grey images of 16 bits, where 65535 is void.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        self.folder.mkdir(exist_ok=True)
        self.files = [self.folder]
        colors = video.legend.colors
        self._palette = None
        if len(colors) <= VOID:
            palette = np.zeros((VOID + 1, 3), dtype=np.uint8)
            palette[: len(colors)] = colors
            self._palette = palette.tobytes()

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        path = self.folder / png_name(frame)
        void = LARGEST_LABEL if self._palette is None else VOID
        # Position -1 is void and so reads the last entry.
        classes = np.append(segments.classes, void)[front_map(segments)]
        if self._palette is None:
            write_png(path, classes.astype(np.uint16))
            return
        image = Image.fromarray(classes.astype(np.uint8))
        image.putpalette(self._palette)
        write_image(path, image)

    def close(self) -> None:
        """Nothing is left to do: each file is complete as soon as it is written."""


class ObjectImageWriter:
    """DAVIS's palette images with the identity at each pixel: `davis/<video>/00000.png`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        check_things("davis", video.legend)
        self._is_thing = np.array(video.legend.is_thing)
        self._video_folder = self.folder / video.name
        self._video_folder.mkdir(parents=True, exist_ok=True)
        self.files = [self._video_folder]

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        things = take_segments(segments, np.flatnonzero(self._is_thing[segments.classes]))
        image = object_image(things, f"Frame {frame.index} in DAVIS's format")
        write_image(self._video_folder / png_name(frame), image)

    def close(self) -> None:
        """Nothing is left to do: each file is complete as soon as it is written."""
