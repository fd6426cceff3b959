"""Videos as folders of frames, with label images of the same names in folders beside them."""

from __future__ import annotations

from pathlib import Path

from gvseg.data.benchmark import Record
from gvseg.data.frames import size_of_frames, visible
from gvseg.data.problems import RESTORE, Problem, Report, raise_problem

_FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")
_LABEL_SUFFIXES = (".png",)


def read_video_list(list_file: Path, *, report: Report = raise_problem) -> list[str]:
    """Return the names of videos in a text file, one a line.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not list_file.is_file():
        raise FileNotFoundError(f"{list_file} does not exist.")
    names = [
        name
        for line in list_file.read_text(encoding="utf-8-sig").splitlines()
        if (name := line.strip())
    ]
    if not names:
        report(Problem(str(list_file), "names no video", RESTORE))
    unique = dict.fromkeys(names)
    for name in unique:
        if names.count(name) > 1:
            what = f"names video {name} {names.count(name)} times"
            report(Problem(str(list_file), what, "leave it there once"))
    return list(unique)


def folder_record(
    video_id: str, frames: Path, labels: Path | None, *, report: Report = raise_problem
) -> Record | None:
    """Return the record of one video, None after the report of one that has no frames.

    Args:
        video_id: the name of the video.
        frames: the folder of its frames.
        labels: the folder of their label images, None where labels are hidden.
        report: told of each problem; where it returns, the frame or label image is left out.
    """
    frame_of_stem = images_by_stem(frames, _FRAME_SUFFIXES, report=report)
    label_of_stem = {}
    if labels is not None:
        label_of_stem = images_by_stem(labels, _LABEL_SUFFIXES, report=report)
        for stem, path in frame_of_stem.items():
            if label_of_stem and stem not in label_of_stem:
                report(Problem(str(path), f"has no label image in {labels}", RESTORE))
        for stem, path in label_of_stem.items():
            if frame_of_stem and stem not in frame_of_stem:
                report(Problem(str(path), f"has no frame in {frames}", RESTORE))
        frame_of_stem = {
            stem: path for stem, path in frame_of_stem.items() if stem in label_of_stem
        }
    paths = list(frame_of_stem.values())
    size = size_of_frames(paths, report)
    if size is None:
        return None
    record: Record = {
        "video_id": video_id,
        "height": size[0],
        "width": size[1],
        "length": len(paths),
        "file_names": [str(path) for path in paths],
        "label_files": [
            str(label_of_stem[stem]) if labels is not None else None for stem in frame_of_stem
        ],
    }
    return record if labels is not None else record | {"annotated_frames": []}


def images_by_stem(
    folder: Path, suffixes: tuple[str, ...], *, report: Report = raise_problem
) -> dict[str, Path]:
    """Return the images in a folder by their names without suffix, in the order of names.

    Args:
        folder: one video's; none or an empty one is reported.
        suffixes: what an image may end in, in lower case.
        report: told of each problem.
    """
    if not folder.is_dir():
        report(Problem(str(folder), "does not exist", RESTORE))
        return {}
    images: dict[str, Path] = {}
    for path in sorted(visible(folder)):
        if path.suffix.lower() not in suffixes:
            continue
        if path.stem in images:
            what = f"has the name of {images[path.stem].name}"
            report(Problem(str(path), what, "remove one of the two"))
        else:
            images[path.stem] = path
    if not images:
        report(Problem(str(folder), f"has no images ({', '.join(suffixes)})", RESTORE))
    return images


def label_file(record: Record, frame_index: int) -> str:
    """Return the label image of a frame, or raise an AnnotationError if it has none."""
    path = record["label_files"][frame_index]
    if path is None:
        frame = record["file_names"][frame_index]
        raise_problem(Problem(frame, "has no labels", "choose a frame or split that has"))
    return path
