"""BURST's layout, as `gvseg.data.benchmarks.burst` describes it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gvseg.data.class_table import read_class_table
from gvseg.data.exemplars import exemplar_from_mask
from gvseg.data.segments import FrameLabels, encode_masks
from gvseg.data.synthetic.files import check_absent, check_no_crowd, create_folder, write_jpeg
from gvseg.data.synthetic.json_entries import box, write_json
from gvseg.data.synthetic.video import SyntheticVideo

_SOURCE = "Synthetic"  # stands where BURST names the dataset that a video comes from
_FPS = 5  # of which BURST annotates one a second in val and test

Masks = list[dict[str, dict[str, Any]]]  # of each annotated frame, by track id


def write(root: Path, split: str, videos: Iterable[SyntheticVideo]) -> None:
    """Write the frames of each video into its folder, and the JSON files of the split.

    All frames of train are annotated, and every fifth of the others. Identities are track ids.

    Raises:
        FileExistsError: the split is there already.
        ValueError: a video has crowd regions.
    """
    annotations = root / "burst" / "annotations" / split
    all_file = annotations / "all_classes.json"
    first_file = annotations / "first_frame_annotations.json"
    check_absent(all_file, first_file)
    images = create_folder(root / "burst" / "images" / split / _SOURCE)
    classes = read_class_table("object")
    step = 1 if split == "train" else _FPS
    all_sequences, first_sequences = [], []
    for video_index, video in enumerate(videos):
        folder = create_folder(images / video.name)
        names = [f"frame{index:04d}.jpg" for index in range(len(video.frames))]
        for name, frame in zip(names, video.frames, strict=True):
            write_jpeg(folder / name, frame)
        segments = video.labels[0].segments
        height, width = segments.size
        sequence = {
            "id": video_index,
            "seq_name": video.name,
            "dataset": _SOURCE,
            "height": height,
            "width": width,
            "fps": _FPS,
            "all_image_paths": names,
            "annotated_image_paths": names[::step],
            "neg_category_ids": [],
            "not_exhaustive_category_ids": [],
            "track_category_ids": {
                str(id_): classes.ids[class_index]
                for id_, class_index in zip(segments.ids, segments.classes, strict=True)
            },
        }
        every, first = _masks(video.labels[::step])
        all_sequences.append({**sequence, "segmentations": every})
        first_sequences.append({**sequence, "segmentations": first})
    categories = [
        {"id": id_, "name": name, "synset": f"{name}.n.01", "def": "", "synonyms": [name]}
        for id_, name in zip(classes.ids, classes.names, strict=True)
    ]
    content = {"split": split, "categories": categories}
    write_json(all_file, {**content, "sequences": all_sequences})
    if split != "train":
        write_json(first_file, {**content, "sequences": first_sequences})


def _masks(labels_of_frames: list[FrameLabels]) -> tuple[Masks, Masks]:
    """Return the masks of all annotated frames, and those in which a track is new."""
    every: Masks = []
    first: Masks = []
    seen: set[str] = set()
    for labels in labels_of_frames:
        check_no_crowd(labels, "burst")
        every.append({})
        first.append({})
        for position, object_id in enumerate(labels.segments.ids.tolist()):
            mask = labels.segments.mask(position)
            if not mask.any():
                continue
            (run_length,) = encode_masks(mask[None])
            track_id, entry = str(object_id), {"rle": run_length["counts"].decode(), "is_gt": True}
            every[-1][track_id] = entry
            if track_id in seen:
                continue
            seen.add(track_id)
            exemplar = exemplar_from_mask(mask, kind="point", object_id=object_id, frame_index=0)
            assert exemplar.point is not None
            # The file counts pixels.
            point = exemplar.point.astype(int).tolist()
            first[-1][track_id] = {**entry, "bbox": box(mask), "point": point}
    return every, first
