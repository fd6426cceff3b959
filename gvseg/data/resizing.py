"""Videos at another height, as the authors of VIPSeg and VSPW make theirs.  (H, W) pixels.

Their scripts give every frame one height, also where the frame is taller than wide, cut the width
off to whole pixels, and resize with Pillow: frames bilinearly, written as JPEG of Pillow's quality,
and label images to the nearest pixel. The same is done here, so that training and scores are on the
same pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.frames import open_image
from gvseg.data.whole_files import whole_file


def resized_size(size: tuple[int, int], height: int) -> tuple[int, int]:
    """Return (height, width) of a frame of `size`, (height, width), at another height."""
    return height, int(height * size[1] / size[0])


def resize_frame(source: str | Path, destination: Path, height: int) -> tuple[int, int]:
    """Write a frame file at another height, and return the (height, width) that it had.

    Raises:
        OSError: the source cannot be read, or the file not be written.
    """
    with open_image(source, "Frame") as image:
        size = image.height, image.width
        new_height, new_width = resized_size(size, height)
        resized = image.resize((new_width, new_height), Image.Resampling.BILINEAR)
    with whole_file(destination) as unfinished:
        resized.save(unfinished, Image.registered_extensions()[destination.suffix.lower()])
    return size


def resize_labels(values: np.ndarray, height: int) -> np.ndarray:
    """Return a label image, (H, W) int32, at another height."""
    new_height, new_width = resized_size(values.shape, height)
    image = Image.fromarray(values).resize((new_width, new_height), Image.Resampling.NEAREST)
    return np.array(image)


def check_label_size(frame: str | Path, size: tuple[int, int], labels: np.ndarray) -> None:
    """Raise a ValueError that names the frame unless its labels, (H, W), have its size."""
    if labels.shape != size:
        raise ValueError(
            f"Frame {frame} has {size[0]}x{size[1]} pixels, but its label image has "
            f"{labels.shape[0]}x{labels.shape[1]} (height x width)."
        )
