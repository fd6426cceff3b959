"""CamVid: driving video with semantic labels of 11 classes, in SegNet's layout.

    camvid/{train,val,test}/<sequence>_[f]<frame>.{jpg,png}
    camvid/{train,val,test}annot/<same name>.png    class index 0..10, 11 is void

Frames of one sequence form a video; where a split skips more than two seconds a new one starts.
"""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from gvseg.data.benchmark import Benchmark, Record, require_directory
from gvseg.data.class_table import read_class_table
from gvseg.data.frames import size_of_frames, visible
from gvseg.data.problems import RESTORE, Problem, Report, raise_problem
from gvseg.data.segments import FrameLabels, read_id_image, semantic_labels
from gvseg.tasks import Task

_FRAME_NAME = re.compile(r"(?P<sequence>.+?)_f?(?P<frame>\d+)\.(jpg|png)$")
_LONGEST_GAP = 60  # frames, two seconds: the training lists step by 30, evaluation clips by 2 or 30


def load_records(root: Path, split: str, *, report: Report = raise_problem) -> list[Record]:
    """Read the file names of a split and cut them into videos.

    Raises:
        FileNotFoundError: the folders are missing or empty.
    """
    images = require_directory(root / "camvid" / split, "CamVid")
    labels = require_directory(root / "camvid" / f"{split}annot", "CamVid")
    paths = sorted(path for path in visible(images) if path.suffix in (".jpg", ".png"))
    frames = sorted(frame for path in paths if (frame := _parse(path, report)) is not None)
    if not frames:
        raise FileNotFoundError(f"{images} has no .jpg or .png frames.")
    stems = {path.stem for path in paths}
    for path in sorted(visible(labels)):
        if path.suffix == ".png" and path.stem not in stems:
            what = f"has labels of a frame that {images} does not have"
            report(Problem(str(path), what, RESTORE))
    starts = [0]
    for index, (previous, current) in enumerate(itertools.pairwise(frames), start=1):
        is_next = previous[0] == current[0] and current[1] - previous[1] <= _LONGEST_GAP
        if not is_next:
            starts.append(index)
    records = [
        _record(frames[start:end], labels, report)
        for start, end in itertools.pairwise([*starts, len(frames)])
    ]
    return [record for record in records if record is not None]


def read_labels(record: Record, frame_index: int) -> FrameLabels:
    """Read the label image of one frame."""
    path = record["label_files"][frame_index]
    return semantic_labels(read_id_image(path), CAMVID.classes, frame_index, path)


def _parse(path: Path, report: Report) -> tuple[str, int, Path] | None:
    match = _FRAME_NAME.match(path.name)
    if match is None:
        report(Problem(str(path), "is not named <sequence>_<frame number>", "rename or remove it"))
        return None
    return match["sequence"], int(match["frame"]), path


def _record(frames: list[tuple[str, int, Path]], labels: Path, report: Report) -> Record | None:
    sequence, first_frame, _ = frames[0]
    size = size_of_frames([path for _, _, path in frames], report)
    if size is None:
        return None
    return {
        "video_id": f"{sequence}_{first_frame:05d}",
        "height": size[0],
        "width": size[1],
        "length": len(frames),
        "file_names": [str(path) for _, _, path in frames],
        "label_files": [str(labels / f"{path.stem}.png") for _, _, path in frames],
    }


CAMVID = Benchmark(
    name="camvid",
    task=Task.VSS,
    classes=read_class_table("camvid"),
    splits=("train", "val", "test"),
    load_records=load_records,
    read_labels=read_labels,
    metrics=("vss/vspw",),
    submission="class_images",
)
