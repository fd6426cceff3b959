"""Videos made of still images with annotations: each image turned, zoomed and shifted over time.

They are written as `register_video_folder` reads them. What the image leaves open at the borders of
a frame is grey, and of no object or class.  (H, W) pixels.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.augmentation import PseudoMotion
from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.clip import Clip
from gvseg.data.clip_mapper import read_clip
from gvseg.data.panoptic_image import write_rgb_values
from gvseg.data.transforms import ExactResizeTransform
from gvseg.data.video_folder import label_values
from gvseg.data.whole_files import whole_file

JPEG_QUALITY = 95


def pseudo_video(
    rng: np.random.Generator,
    record: Record,
    benchmark: Benchmark,
    *,
    motion: PseudoMotion,
    num_frames: int,
    max_side: int | None = None,
) -> Clip:
    """Return a still image as a clip in which it moves.

    Args:
        rng: the source of all randomness.
        record: of an image.
        benchmark: of the record.
        motion: says how far it turns, zooms and drifts, and whether evenly.
        num_frames: T.
        max_side: make it smaller where its longer side has more pixels.

    Raises:
        OSError: the image or its annotation is missing or cannot be read.
        ValueError: the image has another size than its annotation.
    """
    clip = read_clip(record, [0] * num_frames, benchmark)
    height, width = clip.size
    transforms = motion.draw(rng, clip)
    clip = clip.apply(transforms)
    if max_side is not None and max(height, width) > max_side:
        scale = max_side / max(height, width)
        new_size = max(round(height * scale), 1), max(round(width * scale), 1)
        clip = clip.apply([ExactResizeTransform(height, width, *new_size)] * num_frames)
    return clip


def write_video(folder: Path, name: str, clip: Clip, benchmark: Benchmark) -> None:
    """Write frames and label images of one clip.

    Args:
        folder: that gets `frames/<name>/` and `masks/<name>/`.
        name: of the video.
        clip: with labels.
        benchmark: whose classes and task they are of.

    Raises:
        ValueError: a frame with labels that no label image can hold, see `label_values`.
    """
    # All of it first, so that a class table that cannot be written leaves no files.
    images = [label_values(labels, benchmark.classes, benchmark.task) for labels in clip.labels]
    frames, masks = folder / "frames" / name, folder / "masks" / name
    frames.mkdir(parents=True)
    masks.mkdir(parents=True)
    for index, (frame, values) in enumerate(zip(clip.frames, images, strict=True)):
        with whole_file(frames / f"{index:05d}.jpg") as unfinished:
            Image.fromarray(frame).save(unfinished, format="JPEG", quality=JPEG_QUALITY)
        write_rgb_values(masks / f"{index:05d}.png", values)


def write_registration(folder: Path, name: str, dataset: str, benchmark: Benchmark) -> Path:
    """Write the Python file that registers the videos, and return its path.

    Args:
        folder: that the videos are in.
        name: of the new dataset.
        dataset: that the images are of.
        benchmark: of the images.
    """
    script = folder / f"{name}.py"
    script.write_text(
        f'"""Registers {name}; name this file under PROJECTS in a YAML."""\n\n'
        "from pathlib import Path\n\n"
        "from gvseg.data import get_benchmark, register_video_folder\n\n"
        "here = Path(__file__).parent\n"
        "register_video_folder(\n"
        f'    "{name}",\n'
        '    images=here / "frames",\n'
        '    masks=here / "masks",\n'
        f'    classes=get_benchmark("{dataset}").classes,\n'
        f'    task="{benchmark.task.value}",\n'
        ")\n",
        encoding="utf-8",
    )
    return script
