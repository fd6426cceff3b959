"""Made-up videos in the benchmarks' own formats, for tests, quick trainings and ablations."""

from gvseg.data.synthetic.video import SyntheticVideo, Writer

__all__ = ["SyntheticVideo", "Writer"]
