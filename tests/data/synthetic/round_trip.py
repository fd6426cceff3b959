"""Made-up videos written in a format and read back by its benchmark, for tests of writers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.formats import get_format
from gvseg.data.synthetic.scene import make_videos
from gvseg.data.synthetic.video import SyntheticVideo


def write_and_read(
    root: Path, format_name: str, split: str, *, num_frames: int | None = None
) -> tuple[list[SyntheticVideo], list[Record], Benchmark]:
    """Write three small videos; return them, their records and the benchmark that read them."""
    chosen = get_format(format_name)
    scene = chosen.scene(split, size=(48, 64), num_frames=num_frames, num_classes=None)
    videos = list(make_videos(scene, num_videos=3, seed=1, split=split))
    chosen.write(root, split, iter(videos))
    benchmark = chosen.benchmark(split)
    records = benchmark.load_records(root, split)
    assert len(records) == len(videos)
    for record, video in zip(records, videos, strict=True):
        assert record["length"] == len(record["file_names"]) == len(video.frames)
        assert (record["height"], record["width"]) == video.labels[0].size
    return videos, records, benchmark


def visible(labels: FrameLabels) -> Iterator[int]:
    """Give the positions of segments that have a pixel in the frame."""
    return (p for p in range(len(labels.segments)) if labels.segments.mask(p).any())


def identities_read(made: FrameLabels, read: FrameLabels) -> dict[int, int]:
    """Return the identity read for each position made, having found that all else is equal."""
    assert read.size == made.size
    identity_of_position = {}
    left = list(visible(read))
    assert len(left) == len(read.segments), "an absent object has no segment"
    for position in visible(made):
        mask = made.segments.mask(position)
        (match,) = (p for p in left if np.array_equal(read.segments.mask(p), mask))
        left.remove(match)
        assert read.segments.classes[match] == made.segments.classes[position]
        assert read.is_crowd[match] == made.is_crowd[position]
        assert read.areas[match] == mask.sum()
        identity_of_position[position] = int(read.segments.ids[match])
    assert not left, "what is read was made"
    return identity_of_position


def check_video(
    benchmark: Benchmark, record: Record, video: SyntheticVideo, frames: list[int]
) -> dict[int, int]:
    """Check the labels of some frames; return the identity read for each position made."""
    identities: dict[int, int] = {}
    for frame_index in frames:
        read = benchmark.read_labels(record, frame_index)
        assert read.segments.frame_index == frame_index
        for position, identity in identities_read(video.labels[frame_index], read).items():
            assert identities.setdefault(position, identity) == identity
    classes = video.labels[0].segments.classes
    told_apart = {(classes[position], identity) for position, identity in identities.items()}
    assert len(told_apart) == len(identities), "no two objects share an identity"
    return identities
