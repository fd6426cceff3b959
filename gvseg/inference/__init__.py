"""Frames in, segments with identities out."""

from gvseg.inference.predictor import RunSummary, VideoPredictor
from gvseg.inference.runner_settings import RunnerSettings
from gvseg.inference.sources import open_source
from gvseg.inference.video_runner import segment_video
from gvseg.inference.writers import build_writers

__all__ = [
    "RunSummary",
    "RunnerSettings",
    "VideoPredictor",
    "build_writers",
    "open_source",
    "segment_video",
]
