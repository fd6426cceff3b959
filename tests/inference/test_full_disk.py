"""Files that must not grow beyond a limit fail as on a full disk, early and late in a run."""

import numpy as np
import pytest

from gvseg.inference.overlay import OverlayWriter
from gvseg.inference.pictures import ContactSheet, PngFolder, VideoFile
from gvseg.inference.timeline import TimelineWriter
from gvseg.inference.writers import FORMATS, WRITERS
from tests.inference.output_files import num_frames_in
from tests.inference.painted_video import COLORS
from tests.inference.test_predictor import dataset, make_predictor  # noqa: F401
from tests.limited_files import files_limited_to

NUM_FRAMES = 40
CELL = 4  # pixels


def growing_video():
    """Frames of coloured cells, more and more of them, so that later files are larger."""
    random = np.random.default_rng(0)
    for index in range(NUM_FRAMES):
        cells = np.zeros((64 // CELL, 96 // CELL, 3), np.uint8)
        share = 0.02 + 0.5 * index / NUM_FRAMES
        for color in COLORS:
            cells[random.random(cells.shape[:2]) < share / len(COLORS)] = color
        yield cells.repeat(CELL, axis=0).repeat(CELL, axis=1)


def writer_of(name, folder):
    """One writer alone, where `build_writers` adds some."""
    if name == "video":
        return OverlayWriter([VideoFile(folder / "overlay.mp4")])
    if name == "frames":
        return OverlayWriter([PngFolder(folder / "frames")])
    return WRITERS[name](folder)


def run_within(num_bytes, writer):
    with files_limited_to(num_bytes):
        make_predictor().run(growing_video(), [writer])


def sizes_in(folder):
    """Bytes of the files, in ascending order."""
    return sorted(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("name", FORMATS)
def test_full_disk_is_told_and_what_was_written_is_whole(tmp_path, name):
    for run in ("unlimited", "half", "almost all"):
        (tmp_path / run).mkdir()
    make_predictor().run(growing_video(), [writer_of(name, tmp_path / "unlimited")])
    assert set(num_frames_in(tmp_path / "unlimited").values()) == {NUM_FRAMES}
    sizes = sizes_in(tmp_path / "unlimited")
    # Two runs of the encoder differ by some bytes.
    middle = sizes[-1] // 2 if len(sizes) == 1 else sizes[3 * len(sizes) // 4]
    for run, limit in (("half", middle), ("almost all", round(0.98 * sizes[-1]))):
        folder = tmp_path / run
        with pytest.raises(
            OSError,
            match=rf"^{folder}/.* cannot be written: File too large; make room or choose another",
        ):
            run_within(limit, writer_of(name, folder))
        for file, num_frames in num_frames_in(folder).items():
            assert 0 < num_frames < NUM_FRAMES, file


@pytest.mark.parametrize("name", ["overview.png", "tracks.png"])
def test_picture_of_the_whole_is_left_out_or_old_when_the_disk_is_full(tmp_path, name):
    path = tmp_path / name
    writer = OverlayWriter([ContactSheet(path)]) if name[0] == "o" else TimelineWriter(path)
    make_predictor().run(growing_video(), [writer])
    limit = sizes_in(tmp_path)[-1] - 1
    path.unlink()
    with pytest.raises(OSError, match=f"^{path} cannot be written: File too large"):
        run_within(limit, writer)
    num_frames_in(tmp_path)


@pytest.mark.parametrize("name", FORMATS)
def test_disk_that_is_full_from_the_beginning_leaves_no_broken_file(tmp_path, name):
    with pytest.raises(OSError, match=f"^{tmp_path}/.* cannot be written: File too large"):
        run_within(10, writer_of(name, tmp_path))
    assert set(num_frames_in(tmp_path).values()) <= {0}
