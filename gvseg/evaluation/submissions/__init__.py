"""Predictions in the formats that the organisers of benchmarks take: writers and readers."""

from gvseg.evaluation.submissions.formats import FORMATS, SubmissionFormat, submission_format
from gvseg.evaluation.submissions.submission import SubmissionReader, SubmissionWriter

__all__ = [
    "FORMATS",
    "SubmissionFormat",
    "SubmissionReader",
    "SubmissionWriter",
    "submission_format",
]
