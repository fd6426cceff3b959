"""A hold-out cut off a training set, by whole videos, such that every class keeps its share.

V videos.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Benchmark, Record, annotated_frames
from gvseg.data.json_files import Entry, read_json
from gvseg.data.video_lists import listed_videos, part_of

_NUM_LOOKS = 3  # frames of a video that are read to see which classes it has
_FIT, _HOLD_OUT = range(2)
_ANY = -1
NAMES = ("fit", "hold_out")  # endings of the two datasets


def stratify(
    classes_of_video: Sequence[Collection[int]], share: float, rng: np.random.Generator
) -> list[int]:
    """Return the positions of videos to hold out, in order.

    Iterative stratification (Sechidis et al. 2011): the rarest class that is left goes first, and
    each of its videos to the side that lacks most of it. Where less than half is held out, a class
    of one video stays in training.

    Args:
        classes_of_video: (V,) classes that each has.
        share: of videos to hold out, between 0 and 1.
        rng: the order in which videos of one class are taken.

    Raises:
        ValueError: one of the sides would have no video.
    """
    if not 0 < share < 1:
        raise ValueError(f"The share {share} is not between 0 and 1.")
    # A class that all have in common comes last, and keeps the share of the whole.
    classes = [{_ANY, *of_video} for of_video in classes_of_video]
    left = Counter(index for of_video in classes for index in of_video)
    lacking = [{index: part * num for index, num in left.items()} for part in (1 - share, share)]
    order = [int(position) for position in rng.permutation(len(classes))]
    sides: tuple[list[int], list[int]] = ([], [])
    while order:
        _, rarest = min((num, index) for index, num in left.items() if num)
        for position in [position for position in order if rarest in classes[position]]:
            wants = [(side[rarest], side[_ANY]) for side in lacking]
            side = _HOLD_OUT if wants[_HOLD_OUT] > wants[_FIT] else _FIT
            sides[side].append(position)
            for index in classes[position]:
                lacking[side][index] -= 1
                left[index] -= 1
        order = [position for position in order if rarest not in classes[position]]
    if not all(sides):
        raise ValueError(
            f"A share of {share} of {len(classes_of_video)} videos leaves none to "
            f"{'train on' if not sides[_FIT] else 'hold out'}."
        )
    return sorted(sides[_HOLD_OUT])


def classes_seen(record: Record, benchmark: Benchmark) -> set[int]:
    """Return the classes of a video: all that are listed, else those of a few of its frames.

    Raises:
        OSError: an annotation is missing or cannot be read.
        ValueError: an annotation is damaged, or the labels are hidden.
    """
    frames = annotated_frames(record)
    if not len(frames):
        raise ValueError(
            f"The labels of video {record['video_id']} are hidden; split a training set."
        )
    if "tracks" in record:
        return {track["class_index"] for track in record["tracks"]}
    if "annotations" in record:
        return {entry["class_index"] for frame in record["annotations"] for entry in frame}
    looks = np.linspace(0, len(frames) - 1, min(_NUM_LOOKS, len(frames))).round().astype(int)
    labels = [benchmark.read_labels(record, frames[int(position)]) for position in looks]
    return {int(index) for frame_labels in labels for index in frame_labels.segments.classes}


def write_split(
    dataset_name: str, records: Sequence[Record], held_out: Sequence[int], output: Path
) -> Path:
    """Write both sides of a split, and return the Python file that registers them.

    A benchmark with one JSON that lists all its videos gets two of that form; any other gets two
    lists of videos.

    Args:
        dataset_name: of the whole, as in detectron2's catalogs.
        records: of the whole.
        held_out: positions of the videos to hold out.
        output: the folder to write to, made where there is none.

    Raises:
        FileExistsError: a split of the dataset is there already.
    """
    is_held_out = np.isin(np.arange(len(records)), held_out)
    content = _annotations(records)
    suffix = ".txt" if content is None else ".json"
    lists = [output / f"{dataset_name}_{name}{suffix}" for name in NAMES]
    script = output / f"{dataset_name.replace('.', '_')}_split.py"
    for path in (*lists, script):
        if path.exists():
            raise FileExistsError(f"{path} exists; remove it or choose another folder.")
    output.mkdir(parents=True, exist_ok=True)
    for path, chosen in zip(lists, (~is_held_out, is_held_out), strict=True):
        video_ids = [
            record["video_id"] for record, is_in in zip(records, chosen, strict=True) if is_in
        ]
        if content is None:
            path.write_text("".join(f"{video_id}\n" for video_id in video_ids), encoding="utf-8")
        else:
            path.write_text(json.dumps(part_of(content, set(video_ids))), encoding="utf-8")
    script.write_text(_registration(dataset_name, lists), encoding="utf-8")
    return script


def _annotations(records: Sequence[Record]) -> Entry | None:
    """Return the JSON that lists the videos, None where there is none."""
    files = {record.get("annotation_file", "") for record in records}
    if len(files) > 1 or "" in files:
        return None
    content = read_json(Path(files.pop()))
    video_ids = {record["video_id"] for record in records}
    return content if video_ids <= listed_videos(content) else None


def _registration(dataset_name: str, lists: Sequence[Path]) -> str:
    names = [f"{dataset_name}_{name}" for name in NAMES]
    calls = [
        f'register_subset("{name}", of="{dataset_name}", videos=here / "{path.name}")\n'
        for name, path in zip(names, lists, strict=True)
    ]
    return (
        f'"""Registers {" and ".join(names)}; name this file under PROJECTS in a YAML."""\n\n'
        "from pathlib import Path\n\n"
        "from gvseg.data import register_subset\n\n"
        "here = Path(__file__).parent\n" + "".join(calls)
    )
