"""BURST's format: the JSON of its annotations, with predicted masks.

    <folder>/results.json    sequences, each with `annotated_image_paths` and, for each of them,
                             `segmentations`: by track id, run lengths and a score

A track that has no pixel in a frame is left out of it, as BURST counts an empty mask as an error.
Where objects are given, track ids are those under which they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Benchmark, Record, annotated_frames
from gvseg.data.mask_annotations import decode_mask, run_lengths
from gvseg.evaluation.overlaps import TrackScores
from gvseg.evaluation.submissions.json_parts import (
    RESULTS_FILE,
    Entry,
    JsonParts,
    by_identity,
    class_index,
    entries_of,
    read_predictions,
    score_of,
)
from gvseg.evaluation.submissions.submission import check_known
from gvseg.structures import FrameSegments

_SEQUENCE_KEYS = ("id", "annotated_image_paths", "track_category_ids", "segmentations")


class BurstJsonWriter:
    """Write the tracks of the frames that are annotated.

    Args:
        folder: made where needed.
        benchmark: that is submitted to. Where it tells no classes apart, tracks have the categories
            of the objects that are given.
    """

    def __init__(self, folder: Path, benchmark: Benchmark) -> None:
        self.folder = folder
        self._parts = JsonParts(folder)
        self._classes = benchmark.classes
        self._scores = TrackScores()
        self._frames: dict[int, dict[str, Entry]] = {}

    def write(self, record: Record, segments: FrameSegments) -> None:
        """Take in the next frame of a video, if it is one that is annotated.

        Raises:
            ValueError: an identity is listed twice under one class.
        """
        if segments.frame_index not in annotated_frames(record):
            return
        try:
            self._scores.update(segments)
        except ValueError as error:
            raise ValueError(f"Video {record['video_id']}: {error}") from None
        self._frames[segments.frame_index] = frame_tracks(segments)

    def end_video(self, record: Record) -> None:
        """Keep the tracks of the video."""
        names = [Path(name).name for name in record["file_names"]]
        visible = {int(id_) for tracks in self._frames.values() for id_ in tracks}
        sequence = {
            "id": record["video_id"],
            "seq_name": record["sequence_name"],
            "dataset": record["source_dataset"],
            "height": record["height"],
            "width": record["width"],
            "all_image_paths": names,
            "annotated_image_paths": [names[index] for index in sorted(self._frames)],
            "neg_category_ids": record["neg_category_ids"],
            "not_exhaustive_category_ids": record["not_exhaustive_category_ids"],
            "track_category_ids": {
                str(id_): self._category(record, id_) for id_ in sorted(visible)
            },
            "segmentations": [self._frames[index] for index in sorted(self._frames)],
        }
        self._parts.add(record, [sequence])
        self._scores, self._frames = TrackScores(), {}

    def finish(self, records: Sequence[Record]) -> None:
        """Write the JSON."""
        self._parts.join(self.folder / RESULTS_FILE, records, head='{"sequences": [', tail="]}")

    def _category(self, record: Record, id_: int) -> int:
        if len(self._classes) > 1:
            return self._classes.ids[self._scores.best_class(id_)]
        if id_ not in record["category_ids"]:
            raise ValueError(
                f"Video {record['video_id']}: object {id_} is predicted, but not given; BURST's "
                "format needs its category."
            )
        category_id: int = record["category_ids"][id_]
        return category_id


def frame_tracks(segments: FrameSegments) -> dict[str, Entry]:
    """Return what the JSON has of one frame: run lengths and score by track id.

    An identity that is listed under several classes is one track, with the score of the first, as
    scoring has it too.
    """
    tracks: dict[str, Entry] = {}
    for position, (id_, score) in enumerate(
        zip(segments.ids.tolist(), segments.scores.tolist(), strict=True)
    ):
        mask = segments.mask(position)
        if str(id_) not in tracks and mask.any():
            tracks[str(id_)] = {"rle": run_lengths(mask)["counts"], "score": score}
    return tracks


class BurstJsonReader:
    """Read tracks; identities are their ids.

    Frames that are not annotated are no harm, those that do not exist are errors. A track of a
    benchmark that tells no classes apart is of its only class, whatever its category.

    Args:
        path: the JSON, or the folder of results.json.
        benchmark: that it is for.
        records: all videos of the split.

    Raises:
        FileNotFoundError: there is no JSON.
        ValueError: it is damaged, or has videos that the dataset does not have.
    """

    def __init__(self, path: Path, benchmark: Benchmark, records: Sequence[Record]) -> None:
        self.path = path / RESULTS_FILE if path.is_dir() else path
        self._classes = benchmark.classes
        content = read_predictions(self.path)
        if not isinstance(content, dict):
            raise ValueError(f"Prediction {self.path} holds no JSON object.")
        entries = entries_of(content.get("sequences"), _SEQUENCE_KEYS, self.path)
        self._sequences = by_identity(entries, "id", self.path)
        check_known(set(self._sequences), records, f"Prediction {self.path}")

    def frames(self, record: Record, frame_indices: Sequence[int]) -> Iterator[FrameSegments]:
        """Yield the predictions for some frames of a video."""
        source = f"Prediction {self.path}, video {record['video_id']},"
        if record["video_id"] not in self._sequences:
            raise ValueError(f"{source} is missing.")
        sequence = self._sequences[record["video_id"]]
        tracks_of_name = _tracks_by_frame(sequence, record, source)
        for frame_index in frame_indices:
            name = Path(record["file_names"][frame_index]).name
            if name not in tracks_of_name:
                raise ValueError(f"{source} lacks frame {name}.")
            yield self._segments(
                tracks_of_name[name], sequence, record, frame_index, f"{source} frame {name}:"
            )

    def _segments(
        self,
        tracks: dict[str, Entry],
        sequence: Entry,
        record: Record,
        frame_index: int,
        source: str,
    ) -> FrameSegments:
        size = (record["height"], record["width"])
        masks = np.zeros((len(tracks), *size), dtype=bool)
        for mask, (track_id, track) in zip(masks, tracks.items(), strict=True):
            if "rle" not in track:
                raise ValueError(f"{source} track {track_id} has no rle.")
            segmentation = {"size": list(size), "counts": track["rle"].encode()}
            mask[:] = decode_mask(segmentation, size, f"{source} track {track_id}")
        return FrameSegments(
            frame_index=frame_index,
            ids=np.array([int(track_id) for track_id in tracks], dtype=np.int64),
            classes=np.array(
                [
                    self._class_index(track_id, track, sequence, f"{source} track {track_id}")
                    for track_id, track in tracks.items()
                ],
                dtype=np.int64,
            ),
            scores=np.array(
                [
                    score_of(track.get("score", 1.0), f"{source} track {track_id}")
                    for track_id, track in tracks.items()
                ],
                dtype=np.float64,
            ),
            masks=masks,
        )

    def _class_index(self, track_id: str, track: Entry, sequence: Entry, source: str) -> int:
        if len(self._classes) == 1:
            return 0
        # BURST's evaluator prefers what a mask says to what the track does.
        of_mask = track.get("category_id")
        category_id = sequence["track_category_ids"].get(track_id, of_mask)
        if of_mask is not None and of_mask != category_id:
            raise ValueError(
                f"{source} has category {of_mask}, but {category_id} in track_category_ids; a "
                "track has one."
            )
        return class_index(category_id, self._classes, source)


def _tracks_by_frame(sequence: Entry, record: Record, source: str) -> dict[str, dict[str, Entry]]:
    """Return the tracks of each frame that a sequence has."""
    names, segmentations = sequence["annotated_image_paths"], sequence["segmentations"]
    if len(names) != len(segmentations):
        raise ValueError(
            f"{source} has masks for {len(segmentations)} frames, but names {len(names)}."
        )
    unknown = set(names) - {Path(name).name for name in record["file_names"]}
    if unknown:
        raise ValueError(f"{source} has frame {min(unknown)}, which is not in the dataset.")
    return dict(zip(names, segmentations, strict=True))
