"""Videos of a user's own: a folder of frames for each, and another of label images.

    <images>/<video>/<frame>.jpg    or .png, in natural order: frame2 comes before frame10
    <masks>/<video>/<frame>.png     grey of 8 or 16 bits, palette, or R + 256 G + 65536 B

Frames without a label image have no labels. Where the task tells objects apart and there is but
one class, the value of a pixel is the number of the object, its identity in the video; 0 is
background and 255 void. In all other cases the value is the id of the class or, for objects,
1000 * id + number; a thing's id alone marks a crowd; 0, unless it is the id of a class, and what
the class table calls void are no part of anything.

(H, W) pixels, V distinct values of an image.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Record, annotated_frames
from gvseg.data.class_table import ClassTable
from gvseg.data.exemplars import exemplar_from_mask
from gvseg.data.frame_folders import images_by_stem, label_file
from gvseg.data.frames import in_natural_order, open_image, size_of_frames, visible
from gvseg.data.panoptic_image import ValueMeanings, panoptic_labels, read_rgb_values
from gvseg.data.problems import Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels, read_id_image
from gvseg.structures import Exemplar
from gvseg.tasks import Task

OBJECTS_PER_CLASS = 1000
_NOT_OBJECTS = (0, 255)  # background, and void as in DAVIS
_FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
_LABEL_SUFFIXES = (".png",)


def load_folders(
    images: Path, masks: Path | None, *, report: Report = raise_problem
) -> list[Record]:
    """Return one record for each folder in `images`, in natural order.

    Args:
        images: the folder of folders of frames.
        masks: the folder of folders of label images; None where labels are hidden.
        report: told of each problem; where it returns, the video or label image is left out.

    Raises:
        FileNotFoundError: one of the folders does not exist.
    """
    for folder in (images, masks):
        if folder is not None and not folder.is_dir():
            raise FileNotFoundError(f"{folder} does not exist; it should hold a folder per video.")
    videos = in_natural_order(path for path in visible(images) if path.is_dir())
    if not videos:
        report(Problem(str(images), "holds no folders", "put the frames of each video into one"))
    if masks is not None:
        names = {video.name for video in videos}
        for folder in in_natural_order(visible(masks)):
            if folder.is_dir() and folder.name not in names:
                what = f"has label images of a video that {images} does not hold"
                report(Problem(str(folder), what, "add its frames or remove the folder"))
    records = [_record(video, masks, report) for video in videos]
    return [record for record in records if record is not None]


def read_labels(
    record: Record, frame_index: int, *, classes: ClassTable, task: Task
) -> FrameLabels:
    """Read the label image of one frame.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it holds a value that stands for no class or object.
    """
    path = label_file(record, frame_index)
    with open_image(path, "Annotation") as image:
        is_rgb = image.mode == "RGB"
    values = read_rgb_values(path) if is_rgb else read_id_image(path)
    return panoptic_labels(
        values, partial(meanings, classes=classes, task=task, path=path), frame_index
    )


def meanings(
    values: np.ndarray, *, classes: ClassTable, task: Task, path: str | Path
) -> ValueMeanings:
    """Return what the values, (V,), of a label image stand for.

    Raises:
        ValueError: a value that stands for nothing.
    """
    if task.has_instances and len(classes) == 1:
        is_void = np.isin(values, _NOT_OBJECTS)
        return ValueMeanings(np.where(is_void, -1, 0), values, np.zeros(len(values), dtype=bool))
    has_number = (values >= OBJECTS_PER_CLASS) & task.has_instances
    category_ids = np.where(has_number, values // OBJECTS_PER_CLASS, values)
    if 0 not in classes.ids:
        category_ids[category_ids == 0] = _VOID
    indices = _indices(category_ids, classes, path)
    is_thing = np.append(classes.is_thing, False)[indices] & task.has_instances
    is_wrong = has_number & ~is_thing
    if is_wrong.any():
        what = f"has values {values[is_wrong][:10].tolist()}, which number regions of stuff"
        raise_problem(Problem(str(path), what, "give stuff the id of its class alone"))
    return ValueMeanings(indices, np.where(has_number, values, indices + 1), is_thing & ~has_number)


def label_values(labels: FrameLabels, classes: ClassTable, task: Task) -> np.ndarray:
    """Return the label image that reads as these labels, (H, W) int64.

    Where masks overlap, a pixel is of the smallest. Objects are numbered by their order; those of
    a crowd have none.

    Args:
        labels: whose segments keep their positions from frame to frame, as identities.
        classes: of the benchmark.
        task: of the benchmark.

    Raises:
        ValueError: there are more objects than numbers, or ids that leave no value for them.
    """
    segments = labels.segments
    counts_things_from_zero = 0 in classes.ids and classes.is_thing[classes.index_of_id[0]]
    if task.has_instances and len(classes) > 1 and counts_things_from_zero:
        raise ValueError(
            f"The class table {classes.name} has things of id 0, under which label images number "
            "no objects."
        )
    if len(segments) >= OBJECTS_PER_CLASS:
        raise ValueError(f"{len(segments)} objects in a frame; label images number up to 999.")
    has_objects_alone = task.has_instances and len(classes) == 1
    is_free = has_objects_alone or 0 not in classes.ids
    if not is_free and not classes.void_ids:
        raise ValueError(f"The class table {classes.name} has id 0, and none that means void.")
    background = 0 if is_free else classes.void_ids[0]
    values = np.full(segments.size, background, dtype=np.int64)
    masks = [segments.mask(position) for position in range(len(segments))]
    for position in sorted(range(len(masks)), key=lambda index: -masks[index].sum()):
        class_index, number = segments.classes[position], position + 1
        value = classes.ids[class_index]
        is_object = task.has_instances and classes.is_thing[class_index]
        if has_objects_alone:
            value = _NOT_OBJECTS[1] if labels.is_crowd[position] else number
            # What is no object may not be numbered like one.
            value += value >= _NOT_OBJECTS[1] and not labels.is_crowd[position]
        elif is_object and not labels.is_crowd[position]:
            value = OBJECTS_PER_CLASS * value + number
        values[masks[position]] = value
    return values


def read_exemplars(record: Record, *, kind: str, classes: ClassTable) -> list[Exemplar]:
    """Return one exemplar of each object of a video, of the first frame that shows it.

    Args:
        record: the video.
        kind: `mask`, `box` or `point`.
        classes: the benchmark's.
    """
    exemplars: dict[int, Exemplar] = {}
    for frame_index in annotated_frames(record):
        segments = read_labels(record, frame_index, classes=classes, task=Task.EVS).segments
        for position, object_id in enumerate(segments.ids.tolist()):
            if object_id not in exemplars:
                exemplars[object_id] = exemplar_from_mask(
                    segments.mask(position), kind=kind, object_id=object_id, frame_index=frame_index
                )
    return list(exemplars.values())


_VOID = -1  # stands for void ids, which differ between tables


def _indices(category_ids: np.ndarray, classes: ClassTable, path: str | Path) -> np.ndarray:
    indices = np.full(len(category_ids), -1, dtype=np.int64)
    is_known = category_ids != _VOID
    indices[is_known] = classes.indices(category_ids[is_known], path)
    return indices


def _record(video: Path, masks: Path | None, report: Report) -> Record | None:
    frame_of_stem = images_by_stem(video, _FRAME_SUFFIXES, report=report)
    label_of_stem: dict[str, Path] = {}
    if masks is not None and (masks / video.name).is_dir():
        label_of_stem = images_by_stem(masks / video.name, _LABEL_SUFFIXES, report=report)
    for stem in sorted(label_of_stem.keys() - frame_of_stem.keys()):
        what = f"belongs to no frame: there is no {stem}.jpg or .png in {video}"
        report(Problem(str(label_of_stem[stem]), what, "add the frame or remove the label image"))
    frames = in_natural_order(frame_of_stem.values())
    size = size_of_frames(frames, report)
    if size is None:
        return None
    label_files = [label_of_stem.get(frame.stem) for frame in frames]
    return {
        "video_id": video.name,
        "height": size[0],
        "width": size[1],
        "length": len(frames),
        "file_names": [str(frame) for frame in frames],
        "label_files": [None if path is None else str(path) for path in label_files],
        "annotated_frames": [index for index, path in enumerate(label_files) if path is not None],
    }
