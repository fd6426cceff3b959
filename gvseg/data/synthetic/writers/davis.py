"""The layout of DAVIS 2017, as `gvseg.data.benchmarks.davis` describes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from gvseg.data.synthetic.files import (
    check_absent,
    create_folder,
    write_jpeg,
    write_object_png,
)
from gvseg.data.synthetic.video import SyntheticVideo


def write(root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write the videos beside those of other splits, and the list of their names.

    Raises:
        FileExistsError: the split is there already.
        ValueError: a video has crowd regions, more than 254 objects or some that come later.
    """
    folder = root / "DAVIS"
    names_file = folder / "ImageSets" / "2017" / f"{split}.txt"
    check_absent(names_file)
    names = []
    for video in videos:
        if not (video.labels[0].areas > 0).all():
            raise ValueError(f"Video {video.name} has objects that its first frame does not show.")
        images = create_folder(folder / "JPEGImages" / "480p" / video.name)
        masks = create_folder(folder / "Annotations" / "480p" / video.name)
        for index, (frame, labels) in enumerate(zip(video.frames, video.labels, strict=True)):
            write_jpeg(images / f"{index:05d}.jpg", frame)
            write_object_png(masks / f"{index:05d}.png", labels)
        names.append(video.name)
    names_file.parent.mkdir(parents=True, exist_ok=True)
    names_file.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
