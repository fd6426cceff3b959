"""The format of YouTube-VIS and OVIS: one JSON with all tracks of all videos.

    <folder>/results.json    a list of {video_id, category_id, score, segmentations}, the last with
                             run lengths for each frame, null where the object is not to be seen

A track has one class. An identity that is predicted under several is a track for each of them, as
scoring has it too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.mask_annotations import run_lengths
from gvseg.evaluation.overlaps import TrackScores
from gvseg.evaluation.submissions.json_parts import (
    RESULTS_FILE,
    Entry,
    JsonParts,
    class_index,
    entries_of,
    mask_of,
    read_predictions,
    score_of,
)
from gvseg.evaluation.submissions.submission import check_known
from gvseg.structures import FrameSegments


class TrackJsonWriter:
    """Write tracks with their scores over the whole video, the lowest identity of each first.

    Args:
        folder: made where needed.
        benchmark: that is submitted to.
    """

    def __init__(self, folder: Path, benchmark: Benchmark) -> None:
        self.folder = folder
        self._parts = JsonParts(folder)
        self._category_ids = benchmark.classes.ids
        self._scores = TrackScores()
        self._masks: dict[int, dict[int, Entry]] = defaultdict(dict)  # by identity and frame

    def write(self, record: Record, segments: FrameSegments) -> None:
        """Take in the next frame of a video.

        Raises:
            ValueError: an identity is listed twice under one class.
        """
        try:
            self._scores.update(segments)
        except ValueError as error:
            raise ValueError(f"Video {record['video_id']}: {error}") from None
        ids, positions = np.unique(segments.ids, return_index=True)
        masks = [segments.mask(position) for position in positions.tolist()]
        for id_, mask in zip(ids.tolist(), masks, strict=True):
            if mask.any():
                self._masks[id_][segments.frame_index] = run_lengths(mask)

    def end_video(self, record: Record) -> None:
        """Keep the tracks of the video."""
        frames = range(record["length"])
        entries = [
            {
                "video_id": record["video_id"],
                "category_id": self._category_ids[class_index],
                "score": score,
                "segmentations": [self._masks[id_].get(index) for index in frames],
            }
            for id_ in self._scores.ids
            for class_index, score in sorted(self._scores.of(id_).items())
        ]
        self._parts.add(record, entries)
        self._scores, self._masks = TrackScores(), defaultdict(dict)

    def finish(self, records: Sequence[Record]) -> None:
        """Write the JSON."""
        self._parts.join(self.folder / RESULTS_FILE, records, head="[", tail="]")


class TrackJsonReader:
    """Read tracks; identities count from 1 in the order that the file has them in of each video.

    A frame lists the tracks that are seen in it; one that is nowhere seen is listed, without
    pixels, in the first frame asked for, as it is a detection all the same.

    Args:
        path: the JSON, or the folder of results.json.
        benchmark: that it is for.
        records: all videos of the split.

    Raises:
        FileNotFoundError: there is no JSON.
        ValueError: it is damaged, or has videos or categories that the dataset does not have.
    """

    def __init__(self, path: Path, benchmark: Benchmark, records: Sequence[Record]) -> None:
        self.path = path / RESULTS_FILE if path.is_dir() else path
        required = ("video_id", "category_id", "score", "segmentations")
        entries = entries_of(read_predictions(self.path), required, self.path)
        check_known({entry["video_id"] for entry in entries}, records, f"Prediction {self.path}")
        self._class_of_category = benchmark.classes.index_of_id
        self._tracks: dict[Any, list[Entry]] = defaultdict(list)
        for position, entry in enumerate(entries):
            self._tracks[entry["video_id"]].append({**entry, "position": position})
            class_index(entry["category_id"], benchmark.classes, self._source(entry, position))
            score_of(entry["score"], self._source(entry, position))

    def frames(self, record: Record, frame_indices: Sequence[int]) -> Iterator[FrameSegments]:
        """Yield the predictions for some frames of a video."""
        tracks = self._tracks.get(record["video_id"], [])
        size = (record["height"], record["width"])
        for track in tracks:
            if len(track["segmentations"]) != record["length"]:
                raise ValueError(
                    f"{self._source(track, track['position'])} has "
                    f"{len(track['segmentations'])} masks, but the video has {record['length']} "
                    "frames."
                )
        is_unseen = [not any(track["segmentations"]) for track in tracks]
        for order, frame_index in enumerate(frame_indices):
            listed = [
                number
                for number, track in enumerate(tracks)
                if track["segmentations"][frame_index] or (order == 0 and is_unseen[number])
            ]
            masks = np.zeros((len(listed), *size), dtype=bool)
            for mask, number in zip(masks, listed, strict=True):
                if tracks[number]["segmentations"][frame_index]:
                    mask[:] = self._mask(tracks[number], frame_index, size)
            yield FrameSegments(
                frame_index=frame_index,
                ids=np.array(listed, dtype=np.int64) + 1,
                classes=np.array(
                    [self._class_of_category[tracks[number]["category_id"]] for number in listed],
                    dtype=np.int64,
                ),
                # Of as many digits as in the file, so that scores that differ do so here too.
                scores=np.array([tracks[number]["score"] for number in listed], dtype=np.float64),
                masks=masks,
            )

    def _mask(self, track: Entry, frame_index: int, size: tuple[int, int]) -> np.ndarray:
        source = f"{self._source(track, track['position'])} in frame {frame_index},"
        return mask_of(track["segmentations"][frame_index], size, source)

    def _source(self, entry: Entry, position: int) -> str:
        return f"Prediction {self.path}: entry {position}, of video {entry['video_id']},"
