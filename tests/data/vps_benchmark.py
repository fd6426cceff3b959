"""A panoptic benchmark in memory: moving things over stuff, for what no real set here exercises."""

from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.class_table import ClassTable
from gvseg.data.segments import FrameLabels
from gvseg.structures import FrameSegments
from gvseg.tasks import Task

SIZE = (48, 64)
LENGTH = 8
CLASSES = ClassTable(
    name="small panoptic",
    source="made up",
    ids=(10, 20, 30, 40),
    names=("sky", "cat", "grass", "dog"),
    is_thing=(False, True, False, True),
    colors=((0, 0, 255), (255, 0, 0), (0, 255, 0), (255, 255, 0)),
)
# Colours in general position: no mix of some of them is another one.
_COLOR_OF_POSITION = np.array(
    [[17, 40, 201], [60, 220, 13], [230, 30, 77], [250, 190, 8], [120, 121, 122], [0, 0, 0]]
)


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Paint sky over grass; a cat that walks in late, a dog that leaves, a crowd of dogs, void."""
    index_map = np.zeros(SIZE, dtype=np.int16)
    index_map[24:] = 1
    index_map[10:30, 6 * frame_index : 6 * frame_index + 12] = 2
    if frame_index >= 4:
        index_map[26:40, 30:44] = 3
    index_map[40:, :10] = 4
    index_map[:, 60:] = -1
    segments = FrameSegments(
        frame_index=frame_index,
        ids=np.array([1, 3, 41, 7, 50]),
        classes=np.array([0, 2, 3, 1, 3]),
        scores=np.ones(5, dtype=np.float32),
        index_map=index_map,
    )
    is_crowd = np.array([False, False, False, False, True])
    areas = np.bincount(index_map.ravel() + 1, minlength=6)[1:].astype(float)
    return FrameLabels(segments, is_crowd, areas)


def vps_benchmark(root: Path) -> Benchmark:
    """Write the frames, each pixel in the colour of its segment, and return the benchmark."""
    record: Record = {
        "video_id": "walk",
        "height": SIZE[0],
        "width": SIZE[1],
        "length": LENGTH,
        "file_names": [str(root / f"{index}.png") for index in range(LENGTH)],
    }
    for index, path in enumerate(record["file_names"]):
        Image.fromarray(paint(read_labels(record, index).segments)).save(path)
    return Benchmark(
        name="small_vps",
        task=Task.VPS,
        classes=CLASSES,
        splits=("train",),
        load_records=lambda root, split: [record],
        read_labels=read_labels,
        metrics=(),
    )


def paint(segments: FrameSegments) -> np.ndarray:
    """Return the frame in which every segment has a colour of its own, (H, W, 3) uint8."""
    assert segments.index_map is not None
    return _COLOR_OF_POSITION[segments.index_map].astype(np.uint8)


def position_of_color(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the segment whose colour each pixel has exactly, and where a pixel has one at all."""
    is_color = (frame[..., None, :] == _COLOR_OF_POSITION).all(axis=-1)
    positions = is_color.argmax(axis=-1)
    return np.where(positions == 5, -1, positions), is_color.any(axis=-1)
