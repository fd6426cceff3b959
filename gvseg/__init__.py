"""Universal video segmentation on detectron2."""

__version__ = "0.1.0"
