"""Repairs of known bugs: the file is rewritten, and a copy of what it was stays beside it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from gvseg.data.benchmark import get_benchmark
from gvseg.data.checks.findings import DatasetReport, Repair

BACKUP_SUFFIX = ".original"


def repair(report: DatasetReport) -> None:
    """Rewrite the files whose known bug has a repair; its notes give way to what was done.

    Raises:
        FileExistsError: the copy of an earlier repair is in the way; nothing is rewritten.
        OSError: a file cannot be written; the report has what was repaired before.
    """
    bugs = {bug.name: bug for bug in get_benchmark(report.dataset_name).known_bugs}
    to_do: dict[str, dict[str, Callable[[Path], None]]] = {}  # by file and by kind of bug
    for finding in report.notes:
        bug = bugs.get(finding.kind)
        if bug is not None and bug.repair is not None:
            to_do.setdefault(finding.problem.file, {})[bug.name] = bug.repair
    for file in to_do:
        if _backup(file).exists():
            raise FileExistsError(
                f"{_backup(file)} exists from an earlier repair; move it away, or back over {file}."
            )
    try:
        for file, repairs in to_do.items():
            shutil.copy2(file, _backup(file))
            for kind, rewrite in repairs.items():
                rewrite(Path(file))
                report.repairs.append(Repair(file, str(_backup(file)), kind))
    finally:
        done = {(repaired.kind, repaired.file) for repaired in report.repairs}
        report.findings = [
            finding
            for finding in report.findings
            if (finding.kind, finding.problem.file) not in done
        ]


def _backup(file: str) -> Path:
    return Path(file + BACKUP_SUFFIX)
