"""Image files on disk, read the same way everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from gvseg.data.problems import RESTORE, Report, problem_of
from gvseg.data.whole_files import whole_file


def read_frame(path: str | Path) -> np.ndarray:
    """Return an image file as (H, W, 3) uint8 RGB, turned upright by its EXIF orientation.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file is truncated or is no image.
        ValueError: its pixels have more than 8 bits, of which nobody says what is black and white.
    """
    with open_image(path, "Frame") as image:
        if image.mode.startswith(("I", "F")):
            raise ValueError(
                f"Frame {path} has grey values of 16 bits or more; convert it to 8 bits, with the "
                "range that matters from black to white."
            )
        ImageOps.exif_transpose(image, in_place=True)
        # A conversion copies even what is RGB already.
        return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def frame_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) of an upright image file from its header alone.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the header is no image's.
    """
    with open_image(path, "Frame") as image:
        width, height = image.size
        is_turned = image.getexif().get(_EXIF_ORIENTATION, 1) in _QUARTER_TURNS
    return (width, height) if is_turned else (height, width)


def write_image(path: Path, image: Image.Image) -> None:
    """Write a PNG; the file appears when it is complete."""
    with whole_file(path) as unfinished:
        image.save(unfinished, format="PNG")


def size_of_frames(paths: Sequence[str | Path], report: Report) -> tuple[int, int] | None:
    """Return (height, width) of the first frame whose header can be read, None where none can.

    Args:
        paths: frames of one video.
        report: told of each frame that comes before.
    """
    first = first_readable(paths, report)
    return None if first == len(paths) else frame_size(paths[first])


def first_readable(paths: Sequence[str | Path], report: Report) -> int:
    """Return the index of the first frame whose header can be read, or how many there are.

    Args:
        paths: frames of one video.
        report: told of each frame that comes before.
    """
    for index, path in enumerate(paths):
        try:
            frame_size(path)
        except OSError as error:
            report(problem_of(error, path, RESTORE))
        else:
            return index
    return len(paths)


def visible(folder: Path) -> Iterator[Path]:
    """Yield what a folder holds, in no order, without what systems hide there by a first dot."""
    return (path for path in folder.iterdir() if not path.name.startswith("."))


def in_natural_order(paths: Iterable[Path]) -> list[Path]:
    """Return paths sorted by the numbers in them: frame2 comes before frame10."""
    return sorted(paths, key=_natural_key)


def _natural_key(path: Path) -> list[tuple[int, int, str]]:
    parts = re.split(r"(\d+)", str(path))
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts if part]


_EXIF_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)  # orientations that swap height and width


@contextmanager
def open_image(path: str | Path, kind: str) -> Iterator[Image.Image]:
    """Open an image file; whatever fails until it is closed becomes one error that names it.

    Args:
        path: the file.
        kind: what the file is to the user, such as `Frame`.

    Raises:
        FileNotFoundError: there is no such file.
        OSError: the file is truncated or is no image.
    """
    try:
        with Image.open(path) as image:
            yield image
    except FileNotFoundError:
        raise FileNotFoundError(f"{kind} {path} does not exist.") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow reports damaged files by either of two, and by the third sizes beyond belief.
        raise OSError(f"{kind} {path} cannot be read: {error}.") from None
