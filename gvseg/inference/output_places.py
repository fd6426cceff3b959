"""Where the results of a run go, and what must not lie there."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

# Images and videos below the folder of the results; formats that are not here write neither.
_EVERYWHERE = ("overview.png", "tracks.png")
_PLACES = {
    "video": ("overlay.mp4",),
    "frames": ("frames",),
    "masks": ("masks", "classes"),
    "semantic": ("semantic",),
    "panoptic": ("panoptic",),
    "coco_panoptic": ("coco_panoptic",),
    "davis": ("davis",),
}


def output_folders(folder: Path, names: Sequence[str]) -> list[Path]:
    """Return where the results of each input go: one folder, or one below it for each."""
    if len(names) == 1:
        return [folder]
    num_alike: Counter[str] = Counter()
    folders = []
    for name in names:
        num_alike[name] += 1
        number = num_alike[name]
        folders.append(folder / (name if number == 1 else f"{name}~{number}"))
    return folders


def check_apart(
    inputs: Iterable[str | Path], folder: Path, formats: Iterable[str], earlier: Iterable[Path] = ()
) -> None:
    """Refuse to read what the run would write over, or would remove first.

    Args:
        inputs: files, folders of images, and patterns of them; others are not looked at.
        folder: of the results.
        formats: that are written there.
        earlier: results of another run, which go before this one begins.

    Raises:
        ValueError: an input lies where results go.
    """
    names = [*_EVERYWHERE, *(name for kind in formats for name in _PLACES.get(kind, ()))]
    places = {path.resolve() for path in (*(folder / name for name in names), *earlier)}
    for name in inputs:
        matches = map(Path, glob.glob(str(name), recursive=True))
        # A pattern takes files alone.
        files = [name] if Path(name).exists() else [file for file in matches if file.is_file()]
        for file in files:
            path = Path(file).resolve()
            # All images of a folder are frames, so also those that a run puts into it.
            if path == folder.resolve() or not places.isdisjoint((path, *path.parents)):
                raise ValueError(
                    f"Input {file} lies where results go, in {folder}; choose another --output."
                )
