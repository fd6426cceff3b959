"""What writers of several formats do alike: folders, pictures, value images.  (H, W) pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.object_video import VOID_ID, object_palette
from gvseg.data.segments import FrameLabels

_JPEG_QUALITY = 95  # little is lost, and files are a fifth of lossless ones


def check_absent(*paths: Path) -> None:
    """Refuse to write made-up videos among what is there, which may be the real benchmark.

    Raises:
        FileExistsError: one of the paths is there already.
    """
    for path in paths:
        if path.exists():
            raise FileExistsError(
                f"{path} exists already; choose another root, or remove the split if it is made up."
            )


def create_folder(path: Path) -> Path:
    """Make a new folder and those above it, and return it.

    Raises:
        FileExistsError: it is there already.
    """
    check_absent(path)
    path.mkdir(parents=True)
    return path


def write_jpeg(path: Path, frame: np.ndarray) -> None:
    """Write a frame, (H, W, 3) uint8 RGB, with colour at full resolution."""
    Image.fromarray(frame).save(path, quality=_JPEG_QUALITY, subsampling=0)


def write_object_png(path: Path, labels: FrameLabels, is_written: np.ndarray | None = None) -> None:
    """Write the ids of objects, 0 elsewhere, in the palette of DAVIS and YouTube-VOS.

    Args:
        path: the file.
        labels: of a made-up video, N objects.
        is_written: (N,) bool, the others are left out; all are written where None.

    Raises:
        ValueError: ids of more than 8 bits, of which 255 means void, or a crowd region.
    """
    check_no_crowd(labels, "of object id images")
    segments = labels.segments
    if len(segments) and segments.ids.max() >= VOID_ID:
        raise ValueError(f"Object {segments.ids.max()} is too many; ids end at {VOID_ID - 1}.")
    ids = segments.ids if is_written is None else np.where(is_written, segments.ids, 0)
    image = Image.fromarray(value_image(labels, ids, 0).astype(np.uint8))
    image.putpalette(object_palette().tobytes())
    image.save(path)


def value_image(labels: FrameLabels, values: np.ndarray, background: int) -> np.ndarray:
    """Return (H, W) int64 with `values[p]` where segment p is seen and `background` elsewhere.

    Args:
        labels: of a made-up video, as an index map of N segments.
        values: (N,) what the format stores for each of them.
        background: what it stores for pixels without a label.
    """
    assert labels.segments.index_map is not None, "made-up labels are index maps"
    # Position -1 is void and so reads the last entry.
    return np.append(values, background)[labels.segments.index_map]


def check_no_crowd(labels: FrameLabels, format_name: str) -> None:
    """Raise a ValueError if there are crowd regions, which not every format can hold."""
    if labels.is_crowd.any():
        raise ValueError(f"The format {format_name} has no crowd regions, but the video has some.")
