"""A contact sheet: a row for each video, a column for each frame, with what is annotated in it.

Objects have the colour of their identity and stuff that of its class, as in all our pictures. What
belongs to no class is hatched in grey where the task has stuff, crowd regions are crossed in white,
exemplars are outlined in white and in the colour of their object.  (H, W) pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from PIL import Image, ImageDraw

from gvseg.data.benchmark import Benchmark, Record, annotated_frames
from gvseg.data.clip import Clip
from gvseg.data.exemplars import resize_exemplar
from gvseg.data.frames import read_frame
from gvseg.data.sample import Sample
from gvseg.data.segments import IGNORE_LABEL, FrameLabels
from gvseg.data.transforms import ExactResizeTransform
from gvseg.structures import Exemplar, FrameSegments
from gvseg.tasks import Task
from gvseg.visualization import (
    ClassLegend,
    bold_font,
    draw_segments,
    identity_color,
    label_segments,
)

_CELL = (300, 400)  # largest height and width of a picture
_GAP = 8  # pixels between pictures
_LETTER = 14  # pixels
_LINE = _LETTER + _GAP  # height of a line of text
_INK, _PAPER = (30, 30, 30), (255, 255, 255)
_HATCH = 10  # pixels from one line to the next
_VOID_LEVEL = 160  # grey that shows on dark frames, on bright ones and on padding


@dataclass
class Row:
    """One video of the sheet."""

    title: str
    pictures: list[np.ndarray]  # (H, W, 3) uint8 RGB
    captions: list[str]


def video_row(record: Record, benchmark: Benchmark, num_frames: int) -> Row:
    """Return frames spread over a video, the ones with exemplars among them, as they are on disk.

    Raises:
        OSError: a frame or its annotation is missing or cannot be read.
        ValueError: an annotation makes no sense.
    """
    exemplars = benchmark.read_exemplars(record) if benchmark.read_exemplars is not None else []
    has_labels = set(annotated_frames(record))
    row = Row(_title(record, "" if has_labels else ", labels hidden"), [], [])
    for index in _spread(record, exemplars, num_frames):
        labels = benchmark.read_labels(record, index) if index in has_labels else None
        shown = [exemplar for exemplar in exemplars if exemplar.frame_index == index]
        frame = read_frame(record["file_names"][index])
        row.pictures.append(draw_annotations(frame, labels, benchmark, shown))
        row.captions.append(f"frame {index}")
    return row


def sample_row(record: Record, sample: Sample, benchmark: Benchmark, *, is_bgr: bool) -> Row:
    """Return the frames of a training sample and the extra ones, as the model is given them.

    Args:
        record: of the video.
        sample: what `ClipMapper` made of it.
        benchmark: of both.
        is_bgr: the sample has blue first.
    """
    row = Row(_title(record, ", as trained on"), [], [])
    for part, name in ((sample, "frame"), (sample.get("extra", {}), "extra frame")):
        for position, index in enumerate(part.get("frame_indices", [])):
            frame = part["images"][position].numpy().transpose(1, 2, 0)
            frame = np.ascontiguousarray(frame[..., ::-1] if is_bgr else frame)
            exemplars = part.get("exemplars", [])
            shown = [exemplar for exemplar in exemplars if exemplar.frame_index == position]
            labels = _labels_of_sample(part, position, benchmark.task)
            row.pictures.append(draw_annotations(frame, labels, benchmark, shown))
            row.captions.append(f"{name} {index}, {frame.shape[0]}x{frame.shape[1]}")
    return row


def draw_annotations(
    frame: np.ndarray,
    labels: FrameLabels | None,
    benchmark: Benchmark,
    exemplars: Sequence[Exemplar] = (),
) -> np.ndarray:
    """Return a frame at the size of the sheet with its annotations drawn over it.

    Args:
        frame: (H, W, 3) uint8 RGB.
        labels: of the frame, at its size; None where they are hidden.
        benchmark: whose classes they are of.
        exemplars: drawn in this frame, at its size.
    """
    size = (frame.shape[0], frame.shape[1])
    scale = min(_CELL[0] / size[0], _CELL[1] / size[1])
    new_size = max(round(size[0] * scale), 1), max(round(size[1] * scale), 1)
    # Letters and lines should have the size of the sheet, so everything shrinks before it is drawn.
    resize = ExactResizeTransform(*size, *new_size)
    clip = Clip([frame], [] if labels is None else [labels]).apply([resize])
    picture = clip.frames[0].copy()
    if clip.labels:
        picture = _draw_segments(picture, clip.labels[0], benchmark)
    for exemplar in exemplars:
        _draw_exemplar(picture, resize_exemplar(exemplar, size, new_size))
    if clip.labels:  # names over all else, to be read
        segments = _with_crowds_apart(clip.labels[0], benchmark)
        picture = label_segments(picture, segments, _legend(benchmark), with_scores=False)
    return picture


def join_stills(rows: Sequence[Row], num_columns: int) -> list[Row]:
    """Return the rows with those of one picture side by side, each titled by its caption."""
    stills = [row for row in rows if len(row.pictures) == 1]
    joined = [row for row in rows if len(row.pictures) > 1]
    for start in range(0, len(stills), num_columns):
        some = stills[start : start + num_columns]
        joined.append(Row("", [row.pictures[0] for row in some], [row.title for row in some]))
    return joined


def lay_out(rows: Sequence[Row], title: str) -> np.ndarray:
    """Return the sheet, (H, W, 3) uint8 RGB."""
    cells = [picture.shape for row in rows for picture in row.pictures]
    num_columns = max((len(row.pictures) for row in rows), default=0)
    width = _GAP + num_columns * (max((cell[1] for cell in cells), default=_CELL[1]) + _GAP)
    heights = [max(picture.shape[0] for picture in row.pictures) + 3 * _LINE for row in rows]
    sheet = Image.new("RGB", (max(width, _CELL[1]), 2 * _LINE + sum(heights)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, _LINE // 2), title, _INK, bold_font(_LETTER + 2))
    top = 2 * _LINE
    for row, height in zip(rows, heights, strict=True):
        draw.text((_GAP, top), row.title, _INK, bold_font(_LETTER))
        left = _GAP
        for picture, caption in zip(row.pictures, row.captions, strict=True):
            sheet.paste(Image.fromarray(picture), (left, top + _LINE))
            draw.text((left, top + _LINE + picture.shape[0]), caption, _INK, bold_font(_LETTER - 2))
            left += picture.shape[1] + _GAP
        top += height
    return np.asarray(sheet)


def _title(record: Record, remark: str) -> str:
    kind = "image" if record["length"] == 1 else f"{record['length']} frames"
    return f"{record['video_id']}: {kind} of {record['height']}x{record['width']}{remark}"


def _spread(record: Record, exemplars: Sequence[Exemplar], num_frames: int) -> list[int]:
    """Choose frames evenly among those that have labels, but the ones with exemplars first."""
    candidates = list(annotated_frames(record)) or range(record["length"])
    num_chosen = min(num_frames, len(candidates))
    positions = np.linspace(0, len(candidates) - 1, num_chosen).round().astype(int)
    chosen = {candidates[position] for position in positions}
    pointed_at = sorted({exemplar.frame_index for exemplar in exemplars})[:num_frames]
    for frame_index in pointed_at:
        others = chosen.difference(pointed_at)
        if frame_index not in chosen and others:
            _, nearest = min((abs(other - frame_index), other) for other in others)
            chosen.remove(nearest)
        chosen.add(frame_index)
    return sorted(chosen)


def _draw_segments(picture: np.ndarray, labels: FrameLabels, benchmark: Benchmark) -> np.ndarray:
    segments = labels.segments
    rows, columns = np.indices(picture.shape[:2])
    rising, falling = (rows + columns) % _HATCH, (rows - columns) % _HATCH
    for position in np.flatnonzero(labels.is_crowd).tolist():
        picture = _paint(picture, segments.mask(position) & ((rising == 0) | (falling == 0)), 255)
    if benchmark.task.has_stuff and segments.index_map is not None:
        picture = _paint(picture, (segments.index_map < 0) & (rising < _HATCH // 2), _VOID_LEVEL)
    segments = _with_crowds_apart(labels, benchmark)
    return draw_segments(picture, segments, _legend(benchmark), with_labels=False)


def _with_crowds_apart(labels: FrameLabels, benchmark: Benchmark) -> FrameSegments:
    """Return the segments with crowd regions in the classes that `_legend` has for them."""
    crowd_classes = labels.segments.classes + len(benchmark.classes)
    classes = np.where(labels.is_crowd, crowd_classes, labels.segments.classes)
    return replace(labels.segments, classes=classes)


def _legend(benchmark: Benchmark) -> ClassLegend:
    """Return names and colours in which each class has a twin for its crowd regions.

    These have no identity.
    """
    classes = benchmark.classes
    has_identity = [thing and benchmark.task.has_instances for thing in classes.is_thing]
    return ClassLegend(
        names=(*classes.names, *(f"{name} (crowd)" for name in classes.names)),
        is_thing=(*has_identity, *[False] * len(classes)),
        colors=classes.colors * 2,
    )


def _paint(picture: np.ndarray, mask: np.ndarray, level: int) -> np.ndarray:
    return np.where(mask[..., None], np.uint8(level), picture)


def _draw_exemplar(picture: np.ndarray, exemplar: Exemplar) -> None:
    """Draw into the picture what points out an object, white below its colour."""
    for color, width in ((_PAPER, 5), (identity_color(exemplar.object_id), 2)):
        if exemplar.mask is not None:
            contours, _ = cv2.findContours(
                exemplar.mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
            )
            cv2.drawContours(picture, contours, -1, color, width, cv2.LINE_AA)
        elif exemplar.box is not None:
            left, top, right, bottom = exemplar.box.round().astype(int).tolist()
            cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), color, width)
        elif exemplar.point is not None:
            x, y = exemplar.point.astype(int).tolist()
            cv2.drawMarker(picture, (x, y), color, cv2.MARKER_CROSS, 14 + width, width)


def _labels_of_sample(sample: Sample, position: int, task: Task) -> FrameLabels:
    """Return the targets of one frame of a sample in the form that annotations have."""
    ids, classes = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    masks = np.empty((0, *sample["images"][position].shape[1:]), dtype=bool)
    if task.has_instances:
        instances = sample["instances"][position]
        ids, classes = instances.gt_ids.numpy(), instances.gt_classes.numpy()
        masks = instances.gt_masks.tensor.numpy()
    if not task.has_stuff:
        return _labels(ids, classes, masks=masks)
    class_map = sample["sem_seg"][position].numpy()
    stuff = np.setdiff1d(class_map, [IGNORE_LABEL])
    index_map = np.full(class_map.shape, -1, dtype=np.int16)
    for index, mask in enumerate([*masks, *(class_map == class_index for class_index in stuff)]):
        index_map[mask] = index
    return _labels(np.append(ids, stuff + 1), np.append(classes, stuff), index_map=index_map)


def _labels(
    ids: np.ndarray,
    classes: np.ndarray,
    *,
    masks: np.ndarray | None = None,
    index_map: np.ndarray | None = None,
) -> FrameLabels:
    scores = np.ones(len(ids), dtype=np.float32)
    segments = FrameSegments(0, ids, classes, scores, masks=masks, index_map=index_map)
    return FrameLabels(segments, np.zeros(len(ids), dtype=bool), np.zeros(len(ids)))
