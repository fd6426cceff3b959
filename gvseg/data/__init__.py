"""Benchmarks, clips and loaders; importing the package registers every benchmark."""

from gvseg.data import benchmarks as _benchmarks  # noqa: F401  (registers them)
from gvseg.data.benchmark import Benchmark, get_benchmark
from gvseg.data.custom import register_subset, register_video_folder, register_ytvis_json
from gvseg.data.frames import read_frame
from gvseg.data.loader import build_test_loader, build_train_loader

__all__ = [
    "Benchmark",
    "build_test_loader",
    "build_train_loader",
    "get_benchmark",
    "read_frame",
    "register_subset",
    "register_video_folder",
    "register_ytvis_json",
]
