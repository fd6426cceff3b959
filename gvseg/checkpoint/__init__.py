"""Checkpoints of every origin, read safely and mapped to our names."""

from gvseg.checkpoint.loading import MappingReport, load_tensors, load_weights, read_as_ours
from gvseg.checkpoint.reading import checkpoint_file, read_checkpoint

__all__ = [
    "MappingReport",
    "checkpoint_file",
    "load_tensors",
    "load_weights",
    "read_as_ours",
    "read_checkpoint",
]
