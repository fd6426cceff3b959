import io
from fractions import Fraction

import numpy as np
import pytest

from gvseg.inference.raw_video import RawVideoSource, parse_size
from gvseg.inference.sources import open_source
from tests.inference.painted_video import crossing_video


def test_piped_frames_come_out_as_they_went_in():
    images = crossing_video(3)
    stream = io.BytesIO(b"".join(image.tobytes() for image in images))
    source = open_source(RawVideoSource(stream, (64, 96), frame_rate=Fraction(10)))
    assert (source.name, source.num_frames, source.size) == ("stdin", None, (64, 96))
    frames = list(source)
    assert [frame.timestamp for frame in frames] == [0, 0.1, 0.2]
    for index, (image, frame) in enumerate(zip(images, frames, strict=True)):
        assert frame.index == index
        np.testing.assert_array_equal(frame.image, image)


def test_stream_that_ends_within_a_frame_is_told_after_those_before():
    frames = iter(RawVideoSource(io.BytesIO(bytes(2 * 4 * 3 + 5)), (2, 4)))
    assert next(frames).image.shape == (2, 4, 3)
    with pytest.raises(OSError, match=r"Frame 1 of stdin has 5 bytes, but 4x2 .* have 24"):
        next(frames)


@pytest.mark.parametrize("text", ["1280", "0x5", "5x-1", "axb", "5x5x5"])
def test_size_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=f"'{text}' is no size"):
        parse_size(text)


def test_size_has_the_width_first():
    assert parse_size("1280x720") == (720, 1280)
