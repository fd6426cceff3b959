"""Checkpoints of every origin, read safely and mapped to our names."""

from gvseg.checkpoint.loading import MappingReport, load_weights, read_as_ours
from gvseg.checkpoint.reading import read_checkpoint

__all__ = ["MappingReport", "load_weights", "read_as_ours", "read_checkpoint"]
