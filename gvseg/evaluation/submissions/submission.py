"""What formats of predictions have in common: the contracts of writers and readers.

A format is what a benchmark's organisers take: folders of images, or one JSON. Writers take one
frame after the other, as they are predicted; readers give them back. N segments, (H, W) pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from gvseg.data.benchmark import Record
from gvseg.structures import FrameSegments


class SubmissionWriter(Protocol):
    """Writes predictions frame by frame, in memory of one video.

    Each process of an evaluation may write its own videos with its own writer on the same folder.
    """

    def write(self, record: Record, segments: FrameSegments) -> None:
        """Add the next frame of a video.

        Raises:
            ValueError: the format cannot hold what is predicted.
            OSError: a file cannot be written.
        """
        ...

    def end_video(self, record: Record) -> None:
        """Complete a video."""
        ...

    def finish(self, records: Sequence[Record]) -> None:
        """Complete what videos share, once, after all of them have ended in all processes.

        Args:
            records: all videos, in the order of the benchmark.

        Raises:
            FileNotFoundError: a video was not written.
        """
        ...


class SubmissionReader(Protocol):
    """Reads predictions; made for all videos of a split, so that strangers among them are found."""

    def frames(self, record: Record, frame_indices: Sequence[int]) -> Iterator[FrameSegments]:
        """Yield the predictions for some frames of a video, in the order asked for.

        Raises:
            OSError: a file is missing or cannot be read.
            ValueError: what is predicted has another size than the frame, or does not fit the
                benchmark; video and file are named.
        """
        ...


def submitted_frames(record: Record) -> Sequence[int]:
    """Return the indices of the frames that the organisers want predictions for: all, or some."""
    frames: Sequence[int] = record.get("submitted_frames", range(record["length"]))
    return frames


def frame_stem(record: Record, frame_index: int) -> str:
    """Return the name of a frame without suffix, which is that of its prediction too."""
    return Path(record["file_names"][frame_index]).stem


def check_folder(folder: Path) -> Path:
    """Return the folder, or raise a FileNotFoundError if there is none."""
    if not folder.is_dir():
        raise FileNotFoundError(f"There are no predictions: {folder} is no folder.")
    return folder


def check_known(video_ids: set[str | int], records: Sequence[Record], source: str | Path) -> None:
    """Raise a ValueError that names `source` if it has videos that the dataset does not have."""
    unknown = sorted(map(str, video_ids - {record["video_id"] for record in records}))
    if unknown:
        raise ValueError(
            f"{source} has predictions for {', '.join(unknown[:5])}: {len(unknown)} videos that "
            "are not in the dataset."
        )


def check_prediction_size(segments: FrameSegments, record: Record, source: str | Path) -> None:
    """Raise a ValueError naming `source` unless segments have the size of their frame."""
    size = (record["height"], record["width"])
    if segments.size != size:
        predicted, expected = (f"{height}x{width}" for height, width in (segments.size, size))
        raise ValueError(
            f"Video {record['video_id']}: prediction {source} has {predicted} pixels, but the "
            f"frame has {expected} (height x width)."
        )
