"""What a check finds, and the report that it adds up to."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gvseg.data.problems import Problem


@dataclass(frozen=True)
class Finding:
    """One problem, or a note: something odd that is read as it is meant."""

    kind: str  # a noun by which findings are counted: "damaged frame"
    problem: Problem
    is_note: bool = False

    @classmethod
    def wrong(cls, kind: str, file: str, what: str, fix: str) -> Finding:
        """Return a problem."""
        return cls(kind, Problem(file, what, fix))

    @classmethod
    def note(cls, kind: str, file: str, what: str, fix: str) -> Finding:
        """Return a note."""
        return cls(kind, Problem(file, what, fix), is_note=True)


@dataclass(frozen=True)
class Repair:
    """One file that was rewritten."""

    file: str
    backup: str  # the file as it was
    kind: str  # of the findings that are gone


@dataclass
class DatasetReport:
    """All that is known of a dataset after a check."""

    dataset_name: str
    root: Path
    num_videos: int = 0
    num_frames: int = 0  # with labels, or of all videos where no frame has any
    num_objects: int = 0  # identities over all videos, of tasks that tell objects apart
    findings: list[Finding] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)

    @property
    def problems(self) -> list[Finding]:
        """What training or evaluation would stumble over or silently miss."""
        return [finding for finding in self.findings if not finding.is_note]

    @property
    def notes(self) -> list[Finding]:
        """What is odd and yet read as it is meant."""
        return [finding for finding in self.findings if finding.is_note]

    def as_dict(self) -> dict[str, Any]:
        """Return everything in types that JSON has."""
        return {
            "dataset": self.dataset_name,
            "root": str(self.root),
            "num_videos": self.num_videos,
            "num_frames": self.num_frames,
            "num_objects": self.num_objects,
            "problems": [_as_dict(finding) for finding in self.problems],
            "notes": [_as_dict(finding) for finding in self.notes],
            "repairs": [asdict(done) for done in self.repairs],
        }


def group_alike(findings: list[Finding]) -> list[list[Finding]]:
    """Return findings in groups that say the same of other files, in order of appearance."""
    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        # What is left of a clause without numbers and names is the same for all of a group.
        shape = re.sub(r"'[^']*'|\S*\d\S*", "", finding.problem.what)
        groups.setdefault((finding.kind, shape), []).append(finding)
    return list(groups.values())


def _as_dict(finding: Finding) -> dict[str, str]:
    return {"kind": finding.kind, **asdict(finding.problem)}
