"""Reads what writers left behind, strictly: every file must be whole, known and fit its fellows."""

import csv
import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from gvseg.inference.segment_files import CSV_COLUMNS
from gvseg.inference.sources import VideoSource


def num_frames_in(folder: Path, *, was_killed: bool = False) -> dict[str, int | None]:
    """Check each file of a folder of results; return how many frames it has, by name.

    Args:
        folder: of one video.
        was_killed: then what was being written may lie beside the files.
    """
    for path in folder.rglob("*"):
        is_left_over = path.suffix == ".part" or any(
            part.startswith(".") and part != ".run" for part in path.relative_to(folder).parts
        )
        assert was_killed or not is_left_over, path
    visible = [path for path in folder.iterdir() if path.suffix != ".part" and path.name[0] != "."]
    return {path.name: 0 if is_empty(path) else READERS[path.name](path) for path in visible}


def is_empty(path):
    return path.is_dir() and not any(inner.is_file() for inner in path.rglob("*"))


def read_video(path):
    frames = list(VideoSource(path))
    assert [frame.index for frame in frames] == list(range(len(frames)))
    return len(frames)


def read_picture(path):
    with Image.open(path) as image:
        image.load()


def read_images(folder):
    """PNGs of consecutive frames, in the folder or in the one of the video below it."""
    inner = [path for path in folder.iterdir() if path.is_dir() and path.name[0] != "."]
    files = sorted((inner[0] if inner else folder).glob("*.png"))
    assert [file.name for file in files] == [f"{index:05d}.png" for index in range(len(files))]
    for file in files:
        read_picture(file)
    return len(files)


def read_arrays(folder):
    files = sorted(folder.glob("*.npz"))
    assert [file.name for file in files] == [f"{index:05d}.npz" for index in range(len(files))]
    for file in files:
        with np.load(file) as arrays:
            assert all(len(arrays["ids"]) == len(arrays[name]) for name in ("classes", "masks"))
    return len(files)


def read_segments(path):
    content = json.loads(path.read_text())
    assert [frame["frame_index"] for frame in content["frames"]] == list(
        range(len(content["frames"]))
    )
    for frame in content["frames"]:
        for segment in frame["segments"]:
            assert coco_mask.area(segment["segmentation"]) == segment["area"]
    return len(content["frames"])


def read_table(path):
    text = path.read_bytes().decode()
    assert text.endswith("\r\n")
    header, *rows = csv.reader(text.splitlines())
    assert tuple(header) == CSV_COLUMNS
    assert all(len(row) == len(header) for row in rows)
    frames = sorted({int(row[0]) for row in rows})
    assert frames == list(range(len(frames)))
    return len(frames)


def read_youtube_vis(path):
    tracks = json.loads(path.read_text())
    lengths = {len(track["segmentations"]) for track in tracks}
    assert len(lengths) <= 1
    for track in tracks:
        assert all(coco_mask.area(mask) > 0 for mask in track["segmentations"] if mask)
    return lengths.pop() if lengths else 0


def read_burst(path):
    (sequence,) = json.loads(path.read_text())["sequences"]
    assert len(sequence["segmentations"]) == len(sequence["annotated_image_paths"])
    ids = {id_ for frame in sequence["segmentations"] for id_ in frame}
    assert ids == set(sequence["track_category_ids"])
    return len(sequence["segmentations"])


def read_coco_video(path):
    content = json.loads(path.read_text())
    images = [image["id"] for image in content["images"]]
    assert images == list(range(1, len(images) + 1))
    assert {annotation["image_id"] for annotation in content["annotations"]} <= set(images)
    return len(images)


def read_panoptic(folder):
    content = json.loads((folder / "pred.json").read_text())
    (video,) = content["annotations"]
    num_images = read_images(folder / "pan_pred")
    assert num_images - 1 <= len(video["annotations"]) <= num_images
    return len(video["annotations"])


def read_coco_panoptic(folder):
    content = json.loads((folder / "panoptic.json").read_text())
    for image, annotation in zip(content["images"], content["annotations"], strict=True):
        assert image["id"] == annotation["image_id"]
    assert len(content["images"]) <= read_images(folder)
    return len(content["images"])


def read_report(path):
    return json.loads(path.read_text())["frames"]


READERS = {
    "overlay.mp4": read_video,
    "overview.png": read_picture,
    "tracks.png": read_picture,
    **dict.fromkeys(("frames", "masks", "classes", "semantic", "davis"), read_images),
    "npz": read_arrays,
    "segments.json": read_segments,
    "tracks.csv": read_table,
    "youtube_vis.json": read_youtube_vis,
    "burst.json": read_burst,
    "coco_video.json": read_coco_video,
    "panoptic": read_panoptic,
    "coco_panoptic": read_coco_panoptic,
    "run.json": read_report,
}
