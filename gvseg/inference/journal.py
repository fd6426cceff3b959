"""What a run found so far, on disk, so that a run that was stopped can go on.

Beside its results a run keeps a hidden folder: the segments of each frame, and from time to time
what the linker or the exemplars' tracker remembers. Going on replays the segments, so that files
become what they would have been, and segments only what is left.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from gvseg.data.whole_files import DirectFile, whole_file, writing
from gvseg.inference.json_files import write_json
from gvseg.inference.saved_state import State
from gvseg.structures import FrameSegments

SECONDS_BETWEEN_STATES = 2.0  # what is segmented again, at most, beside a window
_LENGTH = struct.Struct("<Q")  # before each record
_NUMBERED = re.compile(r"\d{5,}\.(png|npz)")  # what a run writes for each frame


class Journal:
    """The record of one run, beside its results.

    Args:
        folder: of the results; made where needed.
        about: whatever makes the results what they are, as JSON knows it; a run goes on only with
            what it began with.
        resume: go on with the run that was stopped, if there is one; otherwise begin anew.
        overwrite: begin anew even where a run was stopped that could go on.

    Raises:
        ValueError: a run was stopped there, and this is another, or is not to go on with it.
    """

    def __init__(
        self,
        folder: Path,
        about: Mapping[str, Any],
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> None:
        self.report = folder / "run.json"
        self._folder = folder / ".run"
        self._about = dict(about)
        self._file: DirectFile | None = None
        self._last_save = time.monotonic()
        self._resumes = resume
        self.state: State = {}  # that was saved last
        self.num_frames = self._size = 0  # of the records up to it, and how many bytes they have
        self.is_done = resume and self.report.exists()  # all of it, by an earlier run
        if resume:
            self._compare()
            self._read_state()
        elif (self._folder / "state.npz").exists() and not overwrite:
            raise ValueError(
                f"A run in {folder} was stopped and can go on: repeat its command with --resume, "
                "choose another --output, or begin anew with --overwrite."
            )

    def begin(self) -> None:
        """Make ready for a run; what an earlier one wrote goes, unless this one goes on with it.

        Raises:
            OSError: the folder cannot be written.
        """
        if not self._resumes:
            for path in self.earlier():
                _remove(path)
            self.report.unlink(missing_ok=True)
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)
        self.note([])

    def earlier(self) -> list[Path]:
        """Return what the run that was here before wrote, a folder for the numbered files in it."""
        folder = self.report.parent
        reports = [self.report, self._folder / "about.json"]
        names = [
            name
            for report in reports
            if report.exists()
            for name in json.loads(report.read_text(encoding="utf-8")).get("files", ())
        ]
        home = folder.resolve()  # no run writes elsewhere
        return [folder / name for name in names if (folder / name).resolve().is_relative_to(home)]

    def note(self, files: Iterable[Path]) -> None:
        """Keep what the run writes, a folder for the numbered files in it."""
        write_json(self._folder / "about.json", self._about | self._listed(files))

    def _listed(self, files: Iterable[Path]) -> dict[str, list[str]]:
        folder = self.report.parent
        inside = (path for path in files if path.is_relative_to(folder))
        return {"files": sorted(str(path.relative_to(folder)) for path in inside)}

    def _compare(self) -> None:
        """Refuse to go on with another run."""
        for path in (self.report, self._folder / "about.json"):
            if not path.exists():
                continue
            before = json.loads(path.read_text(encoding="utf-8"))
            for name, value in self._about.items():
                if before.get(name) != value:
                    raise ValueError(
                        f"The run in {self.report.parent} cannot be resumed: its "
                        f"{_difference(name, before.get(name), value)}. Repeat its command, or "
                        "begin anew with --overwrite in place of --resume."
                    )

    def _read_state(self) -> None:
        path = self._folder / "state.npz"
        if not path.exists():
            return
        with np.load(path) as arrays:
            state = dict(arrays)
        self.num_frames, self._size = state.pop("journal").tolist()
        if self._records.stat().st_size < self._size:
            raise ValueError(
                f"{self._records} is cut off; begin anew with --overwrite in place of --resume."
            )
        self.state = state

    @property
    def _records(self) -> Path:
        return self._folder / "frames.bin"

    def found(self) -> Iterator[FrameSegments]:
        """Yield the segments of the frames before the state that was saved last."""
        if not self.num_frames:
            return
        with self._records.open("rb") as file:
            for _ in range(self.num_frames):
                (length,) = _LENGTH.unpack(file.read(_LENGTH.size))
                yield decode_segments(file.read(length))

    def add(self, segments: FrameSegments) -> None:
        """Take in the next frame."""
        data = encode_segments(segments)
        with writing(self._records):
            if self._file is None:
                self._file = DirectFile(self._records, "a")
                self._file.truncate(self._size)  # what came after the state is found once more
            self._file.write(_LENGTH.pack(len(data)) + data)
        self._size += _LENGTH.size + len(data)
        self.num_frames += 1

    def is_due(self) -> bool:
        """Tell whether a state should be saved, now that one is at hand."""
        now = time.monotonic()
        if now - self._last_save < SECONDS_BETWEEN_STATES:
            return False
        self._last_save = now
        return True

    def save(self, state: State) -> None:
        """Keep what is remembered after the frames so far."""
        path = self._folder / "state.npz"
        with whole_file(path) as unfinished, unfinished.open("wb") as file:
            place = {"journal": np.array([self.num_frames, self._size])}
            np.savez(file, allow_pickle=False, **place, **state)

    def close(self) -> None:
        """Close the files; the run can be resumed."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def finish(self, summary: Mapping[str, Any], files: Iterable[Path] = ()) -> None:
        """Close the files and put a report in their place, for all frames are done.

        Args:
            summary: what else the report is to say.
            files: that the run wrote.
        """
        self.close()
        write_json(self.report, self._about | dict(summary) | self._listed(files))
        shutil.rmtree(self._folder)
        self.is_done = True


def _difference(name: str, before: object, now: object) -> str:
    """Say what was otherwise; of mappings, the first entry that differs."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        unset = "not set"
        pairs = ((key, before.get(key, unset), now.get(key, unset)) for key in (*before, *now))
        return _difference(*next(pair for pair in pairs if pair[1] != pair[2]))
    return f"{name} was {before}, now it is {now}"


def _remove(path: Path) -> None:
    """Remove a file, or the files directly in a folder that have names as runs give to frames."""
    if not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for file in path.iterdir():
        if _NUMBERED.fullmatch(file.name):
            file.unlink()


def encode_segments(segments: FrameSegments) -> bytes:
    """Return the segments of a frame as few bytes, from which they come back to the bit."""
    arrays = {"ids": segments.ids, "classes": segments.classes, "scores": segments.scores}
    if segments.masks is not None:
        coded = coco_mask.encode(np.asfortranarray(segments.masks.transpose(1, 2, 0), np.uint8))
        runs = [entry["counts"] for entry in coded]
        arrays["runs"] = np.frombuffer(b"".join(runs), np.uint8)
        arrays["lengths"] = np.array([len(run) for run in runs], np.int64)
    else:
        assert segments.index_map is not None
        # Images know no negative values: void, -1, is 65535.
        _, arrays["map"] = cv2.imencode(".png", segments.index_map.view(np.uint16))
    arrays["frame"] = np.array([segments.frame_index, *segments.size])
    data = io.BytesIO()
    np.savez(data, allow_pickle=False, **arrays)
    return data.getvalue()


def decode_segments(data: bytes) -> FrameSegments:
    """Return what `encode_segments` was given."""
    with np.load(io.BytesIO(data)) as file:
        arrays = dict(file)
    frame_index, height, width = arrays["frame"].tolist()
    masks = index_map = None
    if "map" in arrays:
        image = cv2.imdecode(arrays["map"], cv2.IMREAD_UNCHANGED)
        assert image is not None, "records are whole up to the state"
        index_map = image.view(np.int16)
    else:
        lengths = arrays["lengths"]
        ends = np.cumsum(lengths)
        runs = arrays["runs"].tobytes()
        coded = [
            {"size": [height, width], "counts": runs[start:end]}
            for start, end in zip(ends - lengths, ends, strict=True)
        ]
        masks = np.zeros((0, height, width), dtype=bool)
        if coded:
            masks = np.ascontiguousarray(coco_mask.decode(coded).transpose(2, 0, 1)).view(bool)
    return FrameSegments(
        frame_index=frame_index,
        ids=arrays["ids"],
        classes=arrays["classes"],
        scores=arrays["scores"],
        masks=masks,
        index_map=index_map,
    )


def fingerprint(path: Path) -> str:
    """Return what tells a file from another one that is put in its place later."""
    if not path.is_file():
        return str(path.absolute())
    about = path.stat()
    return f"{path.absolute()}, {about.st_size} bytes of {about.st_mtime:.0f}"
