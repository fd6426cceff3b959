"""What writers of several formats do alike: folders, pictures, value images.  (H, W) pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.segments import FrameLabels

_JPEG_QUALITY = 95  # little is lost, and files are a fifth of lossless ones


def create_folder(path: Path) -> Path:
    """Make a new folder and those above it, and return it.

    Raises:
        FileExistsError: it is there already.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists already; remove it or choose another root.")
    path.mkdir(parents=True)
    return path


def write_jpeg(path: Path, frame: np.ndarray) -> None:
    """Write a frame, (H, W, 3) uint8 RGB, with colour at full resolution."""
    Image.fromarray(frame).save(path, quality=_JPEG_QUALITY, subsampling=0)


def write_palette_png(path: Path, values: np.ndarray, palette: np.ndarray) -> None:
    """Write (H, W) values below 256 as a PNG that viewers show in colours.

    Args:
        path: the file.
        values: one of the palette's indices for each pixel.
        palette: (C, 3) uint8 RGB.
    """
    image = Image.fromarray(values.astype(np.uint8), mode="P")
    image.putpalette(palette.astype(np.uint8).tobytes())
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
