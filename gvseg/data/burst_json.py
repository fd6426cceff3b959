"""The JSON of BURST: `sequences`, each with masks by frame and track.

A sequence names all frames of a video and the annotated ones; `segmentations` has for each of those
a dict from track id to `{"rle": counts, ...}`, COCO's compressed run lengths for the size of the
video. Files of first frames have only the first mask of each track, with its `bbox` (left, top,
width, height) and a `point` (x, y) on it, in pixels counted from 0.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pycocotools import mask as coco_mask

from gvseg.data.benchmark import Record
from gvseg.data.json_files import Entry, listed, read_json
from gvseg.data.problems import Problem, Report, raise_problem

_REQUIRED = (
    *("seq_name", "dataset", "height", "width", "all_image_paths", "annotated_image_paths"),
    *("track_category_ids", "segmentations"),
)


def load_burst_json(
    json_file: Path, images: Path, *, report: Report = raise_problem
) -> list[Record]:
    """Return one record for each sequence, in the order of the file.

    Args:
        json_file: what the module describes.
        images: the folder of the split, which has one for each source and sequence.
        report: told of each problem; where it returns, the sequence, frame or mask is left out.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: it is no JSON.
    """
    content = read_json(json_file)
    records = []
    for sequence in _sequences(content, json_file, report):
        if not sequence["all_image_paths"]:
            report(_problem(json_file, sequence, "has no frames", "remove the sequence"))
            continue
        folder = images / sequence["dataset"] / sequence["seq_name"]
        masks = _masks(sequence, json_file, report)
        record = {
            "video_id": sequence["id"],
            "height": sequence["height"],
            "width": sequence["width"],
            "length": len(sequence["all_image_paths"]),
            "file_names": [str(folder / name) for name in sequence["all_image_paths"]],
            "annotated_frames": sorted(masks),
            "segmentations": {
                frame_index: {
                    track_id: _run_lengths(given, sequence) for track_id, given in tracks.items()
                }
                for frame_index, tracks in masks.items()
            },
            "category_ids": {
                int(track_id): category_id
                for track_id, category_id in sequence["track_category_ids"].items()
            },
            "neg_category_ids": sequence.get("neg_category_ids", []),
            "not_exhaustive_category_ids": sequence.get("not_exhaustive_category_ids", []),
            "sequence_name": sequence["seq_name"],
            "source_dataset": sequence["dataset"],
            "annotation_file": str(json_file),
        }
        records.append(record)
    return records


def load_first_frames(
    json_file: Path, records: list[Record], *, report: Report = raise_problem
) -> None:
    """Give each record `exemplars`: by track id, the frame index and what the file says there.

    Args:
        json_file: a file of first frames.
        records: of all annotations of the same split.
        report: told of each track without a whole exemplar and of whatever else is wrong.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: it is no JSON.
    """
    content = read_json(json_file)
    sequences = {sequence["id"]: sequence for sequence in _sequences(content, json_file, report)}
    for record in records:
        sequence = sequences.get(record["video_id"], {"id": record["video_id"]})
        record["exemplar_file"] = str(json_file)
        record["exemplars"] = _exemplars(sequence, json_file, report)
        for track_id in _visible_tracks(record):
            if track_id not in record["exemplars"]:
                what = f"has no exemplar of track {track_id}"
                report(_problem(json_file, sequence, what, "get the whole file"))


def visible_masks(record: Record, frame_index: int) -> dict[int, dict[str, Any]]:
    """Return the run lengths of a frame by track id, without those of no pixels."""
    masks = record["segmentations"][frame_index]
    return {track_id: mask for track_id, mask in masks.items() if not _is_null(mask)}


def find_null_mask(record: Record, frame_index: int) -> Problem | None:
    """Return what is wrong with a frame in which a track has a mask of no pixels."""
    masks = record["segmentations"][frame_index]
    null = [str(track_id) for track_id, mask in masks.items() if _is_null(mask)]
    if not null:
        return None
    return Problem(
        record["annotation_file"],
        f"says that video {record['video_id']} has masks of no pixels in frame {frame_index}, of "
        f"tracks {', '.join(null)}",
        "leave them out, as predictions have to",
    )


def drop_null_masks(json_file: Path) -> None:
    """Rewrite a file without masks of no pixels."""
    content = read_json(json_file)
    for sequence in content["sequences"]:
        sequence["segmentations"] = [
            {
                track_id: given
                for track_id, given in tracks.items()
                if not _is_null(_run_lengths(given, sequence))
            }
            for tracks in sequence["segmentations"]
        ]
    json_file.write_text(json.dumps(content), encoding="utf-8")


def _sequences(content: Entry, json_file: Path, report: Report) -> list[Entry]:
    """Return the sequences of a file, after the report of tracks of categories it lacks."""
    sequences = listed(content, "sequences", _REQUIRED, json_file, report=report)
    known = {category["id"] for category in content.get("categories", [])}
    for sequence in sequences if known else []:
        categories = sequence["track_category_ids"]
        unknown = {id_: category for id_, category in categories.items() if category not in known}
        for track_id, category in unknown.items():
            what = f"has track {track_id} of category {category}, which is not listed"
            report(_problem(json_file, sequence, what, "get the file of this benchmark"))
    return sequences


def _masks(sequence: Entry, json_file: Path, report: Report) -> dict[int, dict[int, Entry]]:
    """Return what a sequence says of each track, by frame index and track id."""
    names, tracks = sequence["annotated_image_paths"], sequence["segmentations"]
    if len(names) != len(tracks):
        what = f"has masks for {len(tracks)} frames, but names {len(names)} annotated ones"
        report(_problem(json_file, sequence, what, "get the whole file"))
        return {}
    index_of_name = {name: index for index, name in enumerate(sequence["all_image_paths"])}
    masks: dict[int, dict[int, Entry]] = {}
    for name, given in zip(names, tracks, strict=True):
        frame_index = index_of_name.get(name)
        if frame_index is None or frame_index in masks:
            what = f"has {name} among the annotated frames, but not once among all of them"
            report(_problem(json_file, sequence, what, "correct all_image_paths"))
            continue
        masks[frame_index] = {}
        for track_id, entry in given.items():
            if track_id in sequence["track_category_ids"]:
                masks[frame_index][int(track_id)] = entry
            else:
                what = f"has a track {track_id} without a category"
                report(_problem(json_file, sequence, what, "add it to track_category_ids"))
    return masks


def _exemplars(sequence: Entry, json_file: Path, report: Report) -> dict[int, Entry]:
    exemplars: dict[int, Entry] = {}
    masks = _masks(sequence, json_file, report) if "segmentations" in sequence else {}
    for frame_index in sorted(masks):
        for track_id, given in masks[frame_index].items():
            lacking = [key for key in ("rle", "bbox", "point") if not given.get(key)]
            if lacking:
                what = f"has a track {track_id} without {', '.join(lacking)}"
                report(_problem(json_file, sequence, what, "complete the entry"))
            elif track_id not in exemplars:
                exemplars[track_id] = {
                    "frame_index": frame_index,
                    "mask": _run_lengths(given, sequence),
                    "bbox": given["bbox"],
                    "point": given["point"],
                }
    return exemplars


def _visible_tracks(record: Record) -> list[int]:
    return sorted(
        {
            track_id
            for frame_index in record["annotated_frames"]
            for track_id in visible_masks(record, frame_index)
        }
    )


def _run_lengths(given: Entry, sequence: Entry) -> dict[str, Any] | None:
    if not given.get("rle"):
        return None
    return {"size": [sequence["height"], sequence["width"]], "counts": given["rle"].encode()}


def _is_null(mask: dict[str, Any] | None) -> bool:
    return mask is None or int(coco_mask.area(mask)) == 0


def _problem(json_file: Path, sequence: Entry, what: str, fix: str) -> Problem:
    return Problem(str(json_file), f"says that video {sequence['id']} {what}", fix)
