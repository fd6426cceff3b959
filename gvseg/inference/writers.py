"""Results of a video as files, frame by frame: the formats and their writers, by name.

Every file is valid up to the last frame flushed to it, even when the program is killed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from gvseg.inference.label_images import (
    MaskWriter,
    ObjectImageWriter,
    SemanticWriter,
    check_things,
)
from gvseg.inference.overlay import OverlayWriter
from gvseg.inference.pictures import (
    ContactSheet,
    PictureSink,
    PngFolder,
    VideoFile,
    check_encoder,
)
from gvseg.inference.segment_files import CsvWriter, JsonWriter, NpzWriter
from gvseg.inference.timeline import TimelineWriter
from gvseg.inference.track_files import (
    BurstLayout,
    CocoPanopticWriter,
    CocoVideoLayout,
    PanopticWriter,
    TrackFile,
    YouTubeVisLayout,
)
from gvseg.inference.video_info import Writer
from gvseg.visualization import ClassLegend

# What the formats beside those of pictures write into a folder.
WRITERS: dict[str, Callable[[Path], Writer]] = {
    "masks": MaskWriter,
    "json": lambda folder: JsonWriter(folder / "segments.json"),
    "csv": lambda folder: CsvWriter(folder / "tracks.csv"),
    "npz": lambda folder: NpzWriter(folder / "npz"),
    "semantic": lambda folder: SemanticWriter(folder / "semantic"),
    "panoptic": lambda folder: PanopticWriter(folder / "panoptic"),
    "coco_panoptic": lambda folder: CocoPanopticWriter(folder / "coco_panoptic"),
    "davis": lambda folder: ObjectImageWriter(folder / "davis"),
    "youtube_vis": lambda folder: TrackFile(folder, YouTubeVisLayout()),
    "burst": lambda folder: TrackFile(folder, BurstLayout()),
    "coco_video": lambda folder: TrackFile(folder, CocoVideoLayout()),
}
OBJECT_FORMATS = ("davis", "youtube_vis", "burst", "coco_video")
FORMATS = ("video", "frames", *WRITERS)
USUAL_FORMATS = ("video", "frames", "masks", "json")


def build_writers(
    folder: str | Path, formats: Iterable[str], *, view: str = "overlay", trail: int = 0
) -> list[Writer]:
    """Return writers of the formats named into one folder, and of `overview.png` and `tracks.png`.

    Args:
        folder: made where needed.
        formats: of `FORMATS`.
        view: of the pictures, of `VIEWS`.
        trail: frames of which the pictures show the way of each object, 0 for none.

    Raises:
        ValueError: a format or a view that does not exist.
        OSError: the folder cannot be made or written to.
    """
    chosen = set(formats)
    if unknown := chosen - set(FORMATS):
        raise ValueError(f"Unknown format {min(unknown)!r}; choose from {', '.join(FORMATS)}.")
    folder = Path(folder)
    _prepare(folder)
    sinks: list[PictureSink] = [ContactSheet(folder / "overview.png")]
    if "video" in chosen:
        sinks.append(VideoFile(folder / "overlay.mp4"))
    if "frames" in chosen:
        sinks.append(PngFolder(folder / "frames"))
    writers: list[Writer] = [
        OverlayWriter(sinks, view=view, trail=trail),
        TimelineWriter(folder / "tracks.png"),
    ]
    writers += [make(folder) for name, make in WRITERS.items() if name in chosen]
    return writers


def check_formats(formats: Iterable[str], legend: ClassLegend) -> None:
    """Refuse formats that cannot hold what is found, or cannot be written here.

    Raises:
        ValueError: a format of objects, and the model tells classes apart alone.
        OSError: PyAV has no encoder.
    """
    for name in formats:
        if name in OBJECT_FORMATS:
            check_things(name, legend)
        if name == "video":
            check_encoder()


def _prepare(folder: Path) -> None:
    """Make the folder where needed, and see that files can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(f"Output folder {folder} cannot be written: {error.strerror}.") from error
