import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from gvseg.inference.frames import OnBadFrame
from gvseg.inference.sources import VideoSource, open_source
from tests.inference.test_sources import brightness, picture, write_video


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(10)])
def test_video_has_its_true_rate_and_time_stamps(tmp_path, rate):
    source = open_source(write_video(tmp_path / "walk.mp4", rate=rate))
    frames = list(source)
    assert (source.name, source.num_frames, source.frame_rate) == ("walk", 6, rate)
    assert source.size == (48, 64)
    assert brightness(frames) == list(range(6))
    expected = [float(index / rate) for index in range(6)]
    np.testing.assert_allclose([frame.timestamp for frame in frames], expected, atol=1e-6)


def test_video_of_variable_rate_keeps_each_time_stamp(tmp_path):
    ticks = [100, 140, 300, 310, 320, 1000]
    frames = list(VideoSource(write_video(tmp_path / "phone.mp4", ticks=ticks)))
    expected = [(tick - ticks[0]) / 1000 for tick in ticks]  # from the first frame on
    np.testing.assert_allclose([frame.timestamp for frame in frames], expected, atol=1e-3)


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_video_comes_out_upright(tmp_path, degrees):
    path = write_video(tmp_path / "phone.mp4")
    turn_clockwise(path, degrees)
    source = VideoSource(path)
    image = next(iter(source)).image
    expected = np.rot90(picture(0), -degrees // 90)
    assert source.size == expected.shape[:2]
    assert np.abs(image.astype(int) - expected).max() < 8


def turn_clockwise(path, degrees):
    """Set the display matrix of an mp4's track, as a phone does that was held sideways."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    matrix = struct.pack(">9i", cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30)
    data = bytearray(path.read_bytes())
    start = data.index(b"tkhd") + 44  # ISO 14496-12, 8.3.2: where the matrix of version 0 begins
    data[start : start + len(matrix)] = matrix
    path.write_bytes(data)


def test_file_that_is_no_video_is_named(tmp_path):
    path = tmp_path / "notes.mp4"
    path.write_text("not a video, whatever its name says")
    with pytest.raises(ValueError, match=r"notes\.mp4 is not a video"):
        open_source(path)


def test_file_with_sound_only_is_named(tmp_path):
    path = tmp_path / "song.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(
            np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
        )
        sound.rate = 44100
        container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    with pytest.raises(ValueError, match=r"song\.mp4 has no video stream"):
        open_source(path)


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [("empty.mp4", "libx264", "yuv420p"), ("empty.avi", "mjpeg", "yuvj420p")],
)
def test_video_with_zero_frames_is_named(tmp_path, name, codec, pixels):
    path = tmp_path / name
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, pixels
        container.start_encoding()
    with pytest.raises(ValueError, match=rf"{name} has no (frames|video stream)"):
        open_source(path)


def test_damaged_frame_of_a_video_is_told_by_its_index(tmp_path):
    path = write_video(tmp_path / "broken.avi", codec="mjpeg", pixels="yuvj420p")
    with av.open(str(path)) as container:
        fourth = [packet for packet in container.demux(video=0) if packet.size][4]
    data = bytearray(path.read_bytes())
    data[fourth.pos : fourth.pos + fourth.size] = bytes(fourth.size)
    path.write_bytes(data)
    frames = iter(open_source(path))
    assert [next(frames).index for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(OSError, match=r"Frame 4 of .*broken\.avi is unreadable"):
        next(frames)
    skipped = list(open_source(path, on_bad_frame=OnBadFrame.SKIP))
    assert [frame.index for frame in skipped] == [0, 1, 2, 3, 5]
    assert brightness(skipped) == [0, 1, 2, 3, 5]
    repeated = list(open_source(path, on_bad_frame=OnBadFrame.REPEAT))
    assert [frame.index for frame in repeated] == [0, 1, 2, 3, 4, 5]
    assert brightness(repeated) == [0, 1, 2, 3, 3, 5]
    assert repeated[4].timestamp == pytest.approx(4 / 25)


def test_truncated_video_is_told_where_it_ends(tmp_path):
    path = write_video(tmp_path / "cut.mp4", num_frames=12, options={"movflags": "+faststart"})
    path.write_bytes(path.read_bytes()[:-80])  # the last five frames or so
    # Of the last packet a part is left, which decoders on several threads do not get to see.
    with pytest.raises(OSError, match=r"Frame \d+ of .*cut\.mp4 is (missing|unreadable)"):
        list(open_source(path))
    whole = list(open_source(path, on_bad_frame=OnBadFrame.SKIP))
    assert 0 < len(whole) < 12
    shown = brightness(whole)
    assert shown == sorted(set(shown))
    assert shown[:4] == [frame.index for frame in whole[:4]] == [0, 1, 2, 3]
