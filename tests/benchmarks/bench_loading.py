"""Time our reading of a training clip beside a pipeline in detectron2's habit, in one process.

    OMP_NUM_THREADS=1 python -m tests.benchmarks.bench_loading

A clip of three frames at 720p with 15 segments each is read from disk, resized to a shorter edge of
480, 640 or 800, cropped or not, flipped half of the time, and turned into tensors. A round reads
one clip at each of the sizes by either way, with its own random windows; rounds alternate, and the
minima are compared: on a shared machine the mean measures the neighbours. Writes
`results/loading_cpu.json` beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from datetime import date
from pathlib import Path

import cv2
import numpy as np
import PIL
import torch
from PIL import Image, features
from rich.console import Console
from rich.table import Table

from detectron2.data import detection_utils
from detectron2.data import transforms as T
from detectron2.structures import BitMasks, Instances

from gvseg.config import load_config
from gvseg.data.benchmarks.vipseg_raw import VIPSEG_RAW
from gvseg.data.clip_mapper import ClipMapper
from tests.benchmarks.bench_network import measure, processor

BASE = Path(__file__).parents[2] / "configs" / "base" / "mask2former_r50.yaml"
RESULT = Path(__file__).parent / "results" / "loading_cpu.json"
SIZE = (720, 1280)
NUM_FRAMES = 3
LENGTHS = (480, 640, 800)  # of the shorter edge
CROP = ("absolute_range", (384, 600))
NUM_THINGS, NUM_STUFF = 8, 7


def write_video(root: Path) -> dict:
    """Write a video of blobs in VIPSeg's layout and return its record."""
    rng = np.random.default_rng(0)
    frames, labels = (root / "VIPSeg" / folder / "blobs" for folder in ("imgs", "panomasks"))
    for folder in (frames, labels):
        folder.mkdir(parents=True)
    (root / "VIPSeg" / "train.txt").write_text("blobs\n")
    things = np.flatnonzero(VIPSEG_RAW.classes.is_thing)[:NUM_THINGS]
    stuff = np.flatnonzero(~np.array(VIPSEG_RAW.classes.is_thing))[:NUM_STUFF]
    values = np.concatenate([(things + 1) * 100 + 1, stuff + 1]).astype(np.uint16)
    centres = rng.random((len(values), 2)) * SIZE
    colors = rng.integers(30, 226, (len(values), 3))
    grid = np.stack(np.mgrid[: SIZE[0], : SIZE[1]], axis=-1)
    for index in range(NUM_FRAMES):
        ripple = 20 * np.sin(grid[..., ::-1] / 40)  # edges are no straight lines
        distances = [np.square(grid + ripple - centre).sum(axis=-1) for centre in centres]
        segments = np.argmin(distances, axis=0)
        Image.fromarray(values[segments]).save(labels / f"{index:05d}.png")
        grain = cv2.resize(rng.normal(0, 30, (180, 320)), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        frame = colors[segments] + grain[..., None] + rng.normal(0, 4, (*SIZE, 3))
        Image.fromarray(frame.clip(0, 255).astype(np.uint8)).save(
            frames / f"{index:05d}.jpg", quality=90
        )
        centres += rng.normal(0, 10, centres.shape)
    (record,) = VIPSEG_RAW.load_records(root, "train")
    return record | {"dataset_name": "vipseg_raw_train", "segments": values.tolist()}


def read_as_detectron2(record: dict, augmentations: T.AugmentationList) -> dict:
    """Read a clip as mappers written around `detection_utils` and `AugmentationList` do."""
    images, instances, transforms = [], [], None
    for image_file, label_file in zip(record["file_names"], record["label_files"], strict=True):
        image = detection_utils.read_image(image_file, format="RGB")
        detection_utils.check_image_size({"height": SIZE[0], "width": SIZE[1]}, image)
        if transforms is None:
            augmented = T.AugInput(image)
            transforms = augmentations(augmented)
            image = augmented.image
        else:
            image = transforms.apply_image(image)
        images.append(torch.as_tensor(np.ascontiguousarray(image.transpose(2, 0, 1))))
        with Image.open(label_file) as label_image:
            # detectron2 resizes labels wider than 8 bits as tensors, which have to be floats.
            values = transforms.apply_segmentation(np.array(label_image).astype(np.float32))
        masks = [
            torch.from_numpy(np.ascontiguousarray(values == value)) for value in record["segments"]
        ]
        frame = Instances(image.shape[:2])
        frame.gt_ids = torch.arange(len(masks))
        frame.gt_masks = BitMasks(torch.stack(masks))
        instances.append(frame)
    return {"images": images, "instances": instances}


def detectron2_reader(record: dict, crop: bool) -> Callable[[], object]:
    """Return what reads a clip at each of the sizes, the augmentations ready-made."""
    lists = []
    for length in LENGTHS:
        steps = [T.ResizeShortestEdge([length], 1333, sample_style="choice")]
        steps += [T.RandomCrop(*CROP)] if crop else []
        lists.append(T.AugmentationList([*steps, T.RandomFlip()]))
    return lambda: [read_as_detectron2(record, augmentations) for augmentations in lists]


def our_reader(record: dict, crop: bool) -> Callable[[], object]:
    """Return the same of ours, by the mappers of a config."""
    mappers = []
    for length in LENGTHS:
        options = ["INPUT.MIN_SIZE_TRAIN", (length,), "INPUT.MAX_SIZE_TRAIN", 1333,
                   "INPUT.SAMPLING_FRAME_NUM", NUM_FRAMES, "INPUT.CROP.ENABLED", crop,
                   "INPUT.CROP.TYPE", CROP[0], "INPUT.CROP.SIZE", CROP[1],
                   "INPUT.MIN_SIZE_TRAIN_SAMPLING", "choice"]  # fmt: skip
        mappers.append(ClipMapper(load_config(BASE, list(map(str, options))), VIPSEG_RAW))
    rng = np.random.default_rng(0)
    return lambda: [mapper(record, rng) for mapper in mappers]


def main() -> None:
    """Measure, print a table, write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    args = parser.parse_args()
    cv2.setNumThreads(0)  # as in a worker of a loader
    np.random.seed(0)  # noqa: NPY002  detectron2 draws from NumPy's global generator
    with tempfile.TemporaryDirectory() as folder:
        record = write_video(Path(folder))
        seconds = {}
        for crop in (True, False):
            runs = {
                "detectron2": detectron2_reader(record, crop),
                "gvseg": our_reader(record, crop),
            }
            seconds["resize, crop, flip" if crop else "resize, flip"] = measure(runs, args.rounds)
    report(seconds)


def report(seconds: dict[str, dict[str, list[float]]]) -> None:
    """Print the table and write the JSON."""
    title = f"Training clip of {NUM_FRAMES} frames of {SIZE[0]}x{SIZE[1]}, one process"
    table = Table(title=title)
    for column in ("augmentations", "pipeline", "minimum ms", "median ms", "detectron2 / this"):
        table.add_column(column)
    for name, values_of in seconds.items():
        peer = min(values_of["detectron2"])
        for pipeline, values in values_of.items():
            clip = [1000 * value / len(LENGTHS) for value in values]
            table.add_row(
                name, pipeline, f"{min(clip):.1f}", f"{statistics.median(clip):.1f}",
                f"{peer / min(values):.2f}",
            )  # fmt: skip
    Console().print(table)
    result = {
        "what": f"{len(LENGTHS)} training clips of {NUM_FRAMES} frames with 15 segments, from disk "
        "to tensors",
        "size": list(SIZE),
        "shorter edges": list(LENGTHS),
        "crop": [CROP[0], list(CROP[1])],
        "threads": torch.get_num_threads(),
        "seconds": {
            name: {pipeline: [round(v, 4) for v in values] for pipeline, values in runs.items()}
            for name, runs in seconds.items()
        },
        "peer_over_ours": {
            name: round(min(runs["detectron2"]) / min(runs["gvseg"]), 3)
            for name, runs in seconds.items()
        },
        "date": date.today().isoformat(),
        "processor": processor(),
        "pillow": f"{PIL.__version__}, libjpeg-turbo {features.version('libjpeg_turbo')}",
        "opencv": cv2.__version__,
        "torch": torch.__version__,
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
