"""What writers of videos in folders, named in a text file for each split, do alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.files import check_absent, create_folder, write_jpeg
from gvseg.data.synthetic.video import SyntheticVideo

# Says how labels become an image file: path, labels.
WriteLabels = Callable[[Path, FrameLabels], None]


def write_listed_videos(
    list_file: Path,
    videos: Iterable[SyntheticVideo],
    *,
    frames: str,
    labels: str,
    write_labels: WriteLabels | None,
) -> None:
    """Write the videos beside those of other splits, and the list of their names.

    Args:
        list_file: the split's.
        videos: each with a name of its own.
        frames: folder of frames beside the list, with `{name}` for the video's.
        labels: folder of label images.
        write_labels: None where the labels of the split are hidden.

    Raises:
        FileExistsError: the split is there already.
    """
    check_absent(list_file)
    names = []
    for video in videos:
        frame_folder = create_folder(list_file.parent / frames.format(name=video.name))
        for index, frame in enumerate(video.frames):
            write_jpeg(frame_folder / f"{index:08d}.jpg", frame)
        if write_labels is not None:
            label_folder = create_folder(list_file.parent / labels.format(name=video.name))
            for index, frame_labels in enumerate(video.labels):
                write_labels(label_folder / f"{index:08d}.png", frame_labels)
        names.append(video.name)
    list_file.parent.mkdir(parents=True, exist_ok=True)
    list_file.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
