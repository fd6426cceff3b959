"""Checks of a benchmark on disk: every file is opened, every pixel decoded, every problem named."""

from gvseg.data.checks.dataset import check_dataset
from gvseg.data.checks.findings import DatasetReport, Finding
from gvseg.data.checks.repairs import repair

__all__ = ["DatasetReport", "Finding", "check_dataset", "repair"]
