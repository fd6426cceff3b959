from fractions import Fraction

import numpy as np
import pytest

from gvseg.inference.frame_selection import first_frames, select_frames, shrink_frames
from gvseg.inference.sources import ArraySource, open_source
from tests.inference.test_sources import brightness, picture, write_images, write_video


def test_first_frames_ends_early():
    source = first_frames(ArraySource([picture(index) for index in range(5)]), 3)
    assert (source.num_frames, source.size) == (3, (48, 64))
    assert brightness(source) == [0, 1, 2]
    assert first_frames(ArraySource([picture(0)]), 9).num_frames == 1
    with pytest.raises(ValueError, match="limited to 0 frames"):
        first_frames(source, 0)


def sources(folder):
    """The same ten frames as images, as a video file, in memory and from an iterator."""
    images = [picture(index) for index in range(10)]
    names = [f"{index}.png" for index in range(10)]
    return {
        "images": open_source(write_images(folder / "clip", names), frame_rate=Fraction(25)),
        "video": open_source(write_video(folder / "v.mp4", num_frames=10)),
        "arrays": ArraySource(images, frame_rate=Fraction(25)),
        "iterator": ArraySource(iter(images), frame_rate=Fraction(25)),
    }


@pytest.mark.parametrize("kind", ["images", "video", "arrays", "iterator"])
def test_frames_of_a_part_keep_their_indices_and_times(tmp_path, kind):
    source = sources(tmp_path)[kind]
    part = select_frames(source, start=2, end=9, every=3)
    assert (part.num_frames, part.frame_rate, part.size) == (3, Fraction(25, 3), (48, 64))
    frames = list(part)
    assert [frame.index for frame in frames] == brightness(frames) == [2, 5, 8]
    np.testing.assert_allclose([frame.timestamp for frame in frames], [0.08, 0.2, 0.32])


def test_length_of_a_part_is_known_only_where_that_of_the_video_is(tmp_path):
    every = sources(tmp_path)
    assert select_frames(every["iterator"], every=4).num_frames is None
    assert select_frames(every["video"], every=4).num_frames == 3
    assert select_frames(every["arrays"], start=4, end=99).num_frames == 6
    assert select_frames(every["arrays"]) is every["arrays"]


def test_images_that_are_not_wanted_are_not_read(tmp_path):
    folder = write_images(tmp_path / "clip", [f"{index}.png" for index in range(6)])
    for index in (1, 3, 5):
        (folder / f"{index}.png").write_bytes(b"no image")
    assert brightness(select_frames(open_source(folder), every=2)) == [0, 2, 4]


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"every": 0}, "Every 0th frame"),
        ({"start": -1}, "no frame from -1"),
        ({"start": 4, "end": 4}, "no frame from 4 to before 4"),
        ({"start": 5}, "has 5 frames, so none is frame 5"),
    ],
)
def test_parts_without_frames_are_refused(part, message):
    with pytest.raises(ValueError, match=message):
        select_frames(ArraySource([picture(index) for index in range(5)]), **part)


def test_large_frames_are_made_smaller_and_small_ones_left():
    source = ArraySource([picture(0), picture(1)], frame_rate=Fraction(5))
    smaller = shrink_frames(source, 32)
    assert (smaller.size, smaller.num_frames, smaller.frame_rate) == ((24, 32), 2, 5)
    frames = list(smaller)
    assert [frame.image.shape for frame in frames] == [(24, 32, 3)] * 2
    assert brightness(frames) == [0, 1]
    assert shrink_frames(source, 64) is source
    with pytest.raises(ValueError, match="cannot have 0 pixels"):
        shrink_frames(source, 0)


@pytest.mark.parametrize("flags", ["frag_every_frame", "frag_every_frame+empty_moov"])
def test_part_of_a_fragmented_video_is_whole(tmp_path, flags):
    path = write_video(tmp_path / "cut.mp4", num_frames=20, options={"movflags": flags})
    source = open_source(path)
    assert source.num_frames is None  # its head counts the first fragment alone
    assert [frame.index for frame in select_frames(source, every=3)] == list(range(0, 20, 3))
    assert [frame.index for frame in select_frames(source, start=8, end=11)] == [8, 9, 10]


def test_damage_behind_a_whole_video_makes_it_no_fragmented_one(tmp_path):
    path = write_video(tmp_path / "whole.mp4", num_frames=20)
    with path.open("ab") as file:
        file.write(b"\0\0\0\3moof")  # no box is so short
    assert open_source(path).num_frames == 20
