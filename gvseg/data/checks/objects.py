"""Checks of the objects of one video: identities, classes, visibility and exemplars."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.checks.findings import Finding
from gvseg.data.problems import problem_of
from gvseg.data.sample import visible_objects
from gvseg.data.segments import FrameLabels
from gvseg.structures import Exemplar

_CORRECT = "correct the annotation"


class ObjectCheck:
    """Follows the objects of one video through the labels of its frames.

    Stuff has no identity, and crowd regions need none.

    Args:
        benchmark: whose labels are shown.
        record: of the video; one with `tracks` lists its objects.
    """

    def __init__(self, benchmark: Benchmark, record: Record) -> None:
        self.class_names = benchmark.classes.names
        self.is_object = np.array(benchmark.classes.is_thing) & benchmark.task.has_instances
        self.class_of_id: dict[int, int] = {
            track["id"]: track["class_index"]
            for track in record.get("tracks", [])
            if not track["iscrowd"]
        }
        self.visible_ids: set[int] = set()

    @property
    def num_objects(self) -> int:
        """How many identities there are so far."""
        return len(self.class_of_id)

    def findings_of_frame(self, labels: FrameLabels, place: str) -> Iterator[Finding]:
        """Check the labels of one frame, and keep what the next frames are compared with."""
        segments = labels.segments
        shown = visible_objects(labels, self.is_object)
        for position in np.flatnonzero(self.is_object[segments.classes] & ~labels.is_crowd):
            object_id, class_index = int(segments.ids[position]), int(segments.classes[position])
            if object_id < 1:
                what = f"has an object of identity {object_id}"
                yield Finding.wrong("identity", place, what, "count identities from 1")
            first_class = self.class_of_id.setdefault(object_id, class_index)
            if first_class != class_index:
                names = self.class_names[first_class], self.class_names[class_index]
                what = f"has object {object_id} as {names[1]!r}, but earlier it was {names[0]!r}"
                yield Finding.wrong("identity of two classes", place, what, _CORRECT)
            # A map holds what it shows; only a mask of its own can be there and be empty.
            if object_id not in shown and segments.masks is not None:
                what = f"has an empty mask of object {object_id}"
                yield Finding.note("empty mask", place, what, "leave the mask out")
        self.visible_ids.update(shown)
        yield from self._twice_in_frame(labels, place)

    def findings(self, place: str) -> Iterator[Finding]:
        """Return what only the whole video shows."""
        for object_id in sorted(self.class_of_id.keys() - self.visible_ids):
            what = f"has object {object_id}, which no labelled frame shows"
            yield Finding.note("object never visible", place, what, "leave the object out")

    def _twice_in_frame(self, labels: FrameLabels, place: str) -> Iterator[Finding]:
        segments = labels.segments
        is_object = self.is_object[segments.classes] & ~labels.is_crowd
        ids, times = np.unique(segments.ids[is_object], return_counts=True)
        for object_id in ids[times > 1].tolist():
            what = f"has several segments of object {object_id}"
            yield Finding.wrong("identity twice in a frame", place, what, "give each an identity")


def exemplar_findings(
    record: Record, read_exemplars: Callable[[Record], list[Exemplar]], place: str
) -> Iterator[Finding]:
    """Check that the exemplars of a video point at something inside it."""
    try:
        exemplars = read_exemplars(record)
    except (OSError, ValueError) as error:
        yield Finding("exemplar", problem_of(error, place, "unpack the annotations again"))
        return
    if not exemplars:
        yield Finding.wrong("exemplar", place, "has no exemplar", "leave the video out of the list")
    ids = [exemplar.object_id for exemplar in exemplars]
    for object_id in sorted({id_ for id_ in ids if ids.count(id_) > 1}):
        what = f"points out object {object_id} {ids.count(object_id)} times"
        yield Finding.wrong("exemplar", place, what, "give one exemplar for each object")
    for exemplar in exemplars:
        fault = _fault(exemplar, record)
        if fault is not None:
            what = f"has a {exemplar.kind} of object {exemplar.object_id} that {fault}"
            yield Finding.wrong("exemplar", place, what, _CORRECT)


def _fault(exemplar: Exemplar, record: Record) -> str | None:
    """Return why nothing can be found at an exemplar, None where something can."""
    height, width = record["height"], record["width"]
    if not 0 <= exemplar.frame_index < record["length"]:
        return f"lies in frame {exemplar.frame_index} of {record['length']}"
    if exemplar.mask is not None:
        if exemplar.mask.shape != (height, width):
            found = "x".join(map(str, exemplar.mask.shape))
            return f"has {found} pixels, not the {height}x{width} of the video"
        return None if exemplar.mask.any() else "is empty"
    if exemplar.box is not None:
        left, top, right, bottom = exemplar.box.tolist()
        if min(right, width) <= max(left, 0) or min(bottom, height) <= max(top, 0):
            return f"covers nothing of the frame: {exemplar.box.tolist()}"
        return None
    assert exemplar.point is not None
    x, y = exemplar.point.tolist()
    return None if 0 <= x <= width and 0 <= y <= height else f"lies outside the frame: {[x, y]}"
