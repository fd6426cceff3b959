"""Metrics with named protocols, and the evaluator that feeds them."""

from gvseg.evaluation.video_evaluator import METRICS, VideoEvaluator, VideoMetric, build_evaluator

__all__ = ["METRICS", "VideoEvaluator", "VideoMetric", "build_evaluator"]
