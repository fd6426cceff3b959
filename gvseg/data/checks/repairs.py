"""Repairs of known bugs: the file is rewritten, and a copy of what it was stays beside it."""

from __future__ import annotations

import shutil
from pathlib import Path

from gvseg.data.benchmark import get_benchmark
from gvseg.data.checks.findings import DatasetReport, Repair

BACKUP_SUFFIX = ".original"


def repair(report: DatasetReport) -> None:
    """Rewrite the files whose known bug has a repair; its notes give way to what was done.

    Raises:
        FileExistsError: the copy of an earlier repair is in the way.
        OSError: a file cannot be written.
    """
    bugs = {bug.name: bug for bug in get_benchmark(report.dataset_name).known_bugs}
    done: set[tuple[str, str]] = set()
    for finding in report.notes:
        bug, file = bugs.get(finding.kind), finding.problem.file
        if bug is None or bug.repair is None or (bug.name, file) in done:
            continue
        backup = Path(file + BACKUP_SUFFIX)
        is_first = not any(file == repaired for _, repaired in done)
        if is_first and backup.exists():
            raise FileExistsError(
                f"{backup} exists from an earlier repair; move it away, or back over {file}."
            )
        if is_first:
            shutil.copy2(file, backup)
        bug.repair(Path(file))
        done.add((bug.name, file))
        report.repairs.append(Repair(file, str(backup), bug.name))
    report.findings = [
        finding for finding in report.findings if (finding.kind, finding.problem.file) not in done
    ]
