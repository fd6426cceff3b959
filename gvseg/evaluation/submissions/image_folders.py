"""Predictions as images, `<folder>/<video>/<frame>.png`, one for each frame.  (H, W) pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.benchmark import Record
from gvseg.data.frames import write_image
from gvseg.evaluation.submissions.submission import (
    check_folder,
    check_known,
    check_prediction_size,
    frame_stem,
)
from gvseg.structures import FrameSegments

Decode = Callable[[Path, int], FrameSegments]  # of a file and the index of its frame


class ImageFolderReader:
    """Read one image for each frame.

    Files of frames that nothing is asked about are no harm, as some benchmarks label few frames;
    those of frames and videos that do not exist are errors.

    Args:
        folder: with a folder for each video.
        records: all videos of the split.
        decode: makes segments of one image.
        needs_first: whether the first frame has to be there. Where its objects are given nothing
            is predicted for it, and it reads as empty where it is left out.
    """

    def __init__(
        self, folder: Path, records: Sequence[Record], decode: Decode, *, needs_first: bool = True
    ) -> None:
        self.folder = check_folder(folder)
        self._decode = decode
        self._needs_first = needs_first
        names = {path.name for path in folder.iterdir() if path.is_dir()}
        id_of_name = {str(record["video_id"]): record["video_id"] for record in records}
        video_ids = {id_of_name.get(name, name) for name in names if not name.startswith(".")}
        check_known(video_ids, records, folder)

    def frames(self, record: Record, frame_indices: Sequence[int]) -> Iterator[FrameSegments]:
        """Yield the predictions for some frames of a video."""
        folder = self.folder / str(record["video_id"])
        self._check_names(folder, record)
        for frame_index in frame_indices:
            path = folder / f"{frame_stem(record, frame_index)}.png"
            if frame_index == 0 and not self._needs_first and not path.exists():
                yield _empty(record)
                continue
            if not path.exists():
                raise FileNotFoundError(
                    f"Video {record['video_id']}: there is no prediction {path}."
                )
            segments = self._decode(path, frame_index)
            check_prediction_size(segments, record, path)
            yield segments

    def _check_names(self, folder: Path, record: Record) -> None:
        if not folder.is_dir():
            raise FileNotFoundError(
                f"Video {record['video_id']} has no predictions: {folder} does not exist."
            )
        stems = {Path(name).stem for name in record["file_names"]}
        for path in sorted(folder.glob("*.png")):
            if path.stem not in stems and not path.name.startswith("."):
                raise ValueError(
                    f"Video {record['video_id']}: there is a prediction {path}, but no such frame."
                )


def write_frame_image(folder: Path, record: Record, frame_index: int, image: Image.Image) -> None:
    """Write what is predicted for one frame."""
    path = folder / str(record["video_id"]) / f"{frame_stem(record, frame_index)}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(path, image)


def _empty(record: Record) -> FrameSegments:
    nothing = np.zeros(0, dtype=np.int64)
    return FrameSegments(
        frame_index=0,
        ids=nothing,
        classes=nothing,
        scores=np.zeros(0, dtype=np.float32),
        index_map=np.full((record["height"], record["width"]), -1, dtype=np.int16),
    )
