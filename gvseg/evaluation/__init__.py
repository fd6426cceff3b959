"""Metrics with named protocols, and the evaluator that feeds them.

VPQ, STQ and VSS need NumPy alone, so the evaluator, which needs detectron2, is imported on demand.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gvseg.evaluation.protocols import METRICS, VideoMetric
    from gvseg.evaluation.video_evaluator import VideoEvaluator, build_evaluator

_MODULES = {
    "METRICS": "protocols",
    "VideoEvaluator": "video_evaluator",
    "VideoMetric": "protocols",
    "build_evaluator": "video_evaluator",
}
__all__ = ["METRICS", "VideoEvaluator", "VideoMetric", "build_evaluator"]


def __getattr__(name: str) -> Any:  # noqa: ANN401  (classes, a function and a table)
    if name in _MODULES:
        return getattr(import_module(f"gvseg.evaluation.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
