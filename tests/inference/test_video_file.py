import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from gvseg.inference.frames import OnBadFrame
from gvseg.inference.sources import VideoSource, open_source
from tests.inference.test_sources import brightness, picture, write_video

RATE = 25
DAMAGE = "Invalid data found when processing input"
KEY_FRAMES = (0, 12, 24)  # of a file with frames out of order
NUM_FRAMES = 36
DARKEST, STEP = 20, 6  # brightness of its first frame, and by how much the next is brighter
GRAIN = np.random.default_rng(0).integers(-14, 15, (200, 200))  # so that packets are long
B_FRAMES = {"crf": "12", "x264-params": "b-adapt=0:bframes=3:b-pyramid=2:scenecut=0:keyint=12"}


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


def grainy(index):
    """A frame whose mean brightness tells its index; its grain moves."""
    grain = np.roll(GRAIN, (3 * index, 2 * index), (0, 1))[:64, :96]
    gray = (DARKEST + STEP * index + grain).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def write_out_of_order(path, ticks=None, options=None):
    """Encode frames of which some are stored before others that are shown earlier.

    Between two that are predicted forwards lie three: the middle one is predicted from both, and
    the others from it, so that nothing depends on them.
    """
    time_base = Fraction(1, RATE) if ticks is None else Fraction(1, 1000)
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "yuv420p"
        stream.options = B_FRAMES
        stream.codec_context.time_base = time_base
        for index in range(NUM_FRAMES):
            frame = av.VideoFrame.from_ndarray(grainy(index), format="rgb24")
            frame.pts = index if ticks is None else ticks[index]
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def damage(path, index, begin=0.0):
    """Overwrite the packet of the frame that is shown as number `index`, from a part of it on."""
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    packet = sorted(packets, key=lambda packet: packet.pts)[index]
    start, end = packet.pos + round(begin * packet.size), packet.pos + packet.size
    data = bytearray(path.read_bytes())
    data[start:end] = bytes(end - start)
    path.write_bytes(data)
    return path


def read_up_to_the_error(path):
    """Return the frames before the error, and what the error says."""
    frames = []
    try:
        for frame in open_source(path):
            frames.append(frame)
    except OSError as error:
        return frames, str(error)
    return frames, "none"


def indices(frames):
    return [frame.index for frame in frames]


def assert_shown_as_filmed(frames):
    for frame in frames:
        assert np.abs(frame.image.astype(int) - grainy(frame.index)).mean() < 2, frame.index


def assert_on_time(frames, stamps=None):
    stamps = np.arange(NUM_FRAMES) / RATE if stamps is None else np.array(stamps)
    shown = [frame.timestamp for frame in frames]
    np.testing.assert_allclose(shown, stamps[indices(frames)], atol=1e-3)


def test_frames_stored_out_of_order_are_shown_in_order(tmp_path):
    path = write_out_of_order(tmp_path / "clip.mp4")
    with av.open(str(path)) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert times != sorted(times)
    frames = list(open_source(path))
    assert indices(frames) == list(range(NUM_FRAMES))
    assert_shown_as_filmed(frames)
    assert_on_time(frames)


# Nothing is predicted from the frames 13, 15 and 34; 14 and 16 are needed by others.
@pytest.mark.parametrize("bad", [13, 14, 15, 16, 34])
def test_damaged_frame_out_of_order_ends_the_video_with_its_index(tmp_path, bad):
    path = damage(write_out_of_order(tmp_path / "clip.mp4"), bad)
    shown, error = read_up_to_the_error(path)
    assert error == f"Frame {bad} of {path} is unreadable: {DAMAGE}."
    assert indices(shown) == list(range(bad))


@pytest.mark.parametrize("bad", [13, 15, 34])
def test_other_frames_keep_index_time_and_pixels(tmp_path, bad):
    path = damage(write_out_of_order(tmp_path / "clip.mp4"), bad)
    skipped = list(open_source(path, on_bad_frame=OnBadFrame.SKIP))
    assert indices(skipped) == [index for index in range(NUM_FRAMES) if index != bad]
    assert_shown_as_filmed(skipped)
    assert_on_time(skipped)
    repeated = list(open_source(path, on_bad_frame=OnBadFrame.REPEAT))
    assert indices(repeated) == list(range(NUM_FRAMES))
    assert_on_time(repeated)
    np.testing.assert_array_equal(repeated[bad].image, repeated[bad - 1].image)
    assert_shown_as_filmed(repeated[:bad] + repeated[bad + 1 :])


@pytest.mark.parametrize("bad", [14, 16])
def test_frames_predicted_from_a_damaged_one_show_traces_up_to_the_next_key_frame(tmp_path, bad):
    path = damage(write_out_of_order(tmp_path / "clip.mp4"), bad)
    frames = list(open_source(path, on_bad_frame=OnBadFrame.SKIP))
    assert indices(frames) == [index for index in range(NUM_FRAMES) if index != bad]
    assert_on_time(frames)
    assert_shown_as_filmed(frames[: KEY_FRAMES[1] + 1] + frames[KEY_FRAMES[2] - 1 :])


def test_lost_key_frame_takes_others_with_it_but_moves_none(tmp_path, caplog):
    path = damage(write_out_of_order(tmp_path / "clip.mp4"), KEY_FRAMES[1])
    frames = list(open_source(path, on_bad_frame=OnBadFrame.SKIP))
    assert indices(frames) == sorted(set(indices(frames)))
    missing = sorted(set(range(NUM_FRAMES)) - set(indices(frames)))
    assert KEY_FRAMES[1] in missing
    assert [f"Frame {index} of" in caplog.text for index in range(NUM_FRAMES)] == [
        index in missing for index in range(NUM_FRAMES)
    ]
    assert set(range(KEY_FRAMES[1] - 1)) <= set(indices(frames))
    assert set(range(KEY_FRAMES[2], NUM_FRAMES)) <= set(indices(frames))
    assert_shown_as_filmed(frames)
    assert_on_time(frames)


def test_lost_beginning_leaves_the_rest_in_place(tmp_path):
    path = damage(write_out_of_order(tmp_path / "clip.mp4"), 0)
    with pytest.raises(OSError, match=r"Frame 0 of .*clip\.mp4 is unreadable"):
        open_source(path)
    frames = list(open_source(path, on_bad_frame=OnBadFrame.SKIP))
    assert set(range(KEY_FRAMES[1], NUM_FRAMES)) <= set(indices(frames))
    assert_shown_as_filmed(frames)
    assert_on_time(frames)


def test_frame_that_the_decoder_patches_up_is_bad_too(tmp_path):
    """Half of its packet is there: the decoder guesses the rest and raises no error."""
    path = damage(write_out_of_order(tmp_path / "clip.mp4"), 13, begin=0.5)
    with pytest.raises(OSError, match=r"Frame 13 of .*clip\.mp4 is damaged"):
        list(open_source(path))
    frames = list(open_source(path, on_bad_frame=OnBadFrame.SKIP))
    assert indices(frames) == [index for index in range(NUM_FRAMES) if index != 13]
    assert_shown_as_filmed(frames)


def test_damaged_frame_of_variable_rate_keeps_its_time(tmp_path):
    gaps = np.random.default_rng(0).integers(5, 200, NUM_FRAMES)
    ticks = (1000 + np.cumsum(gaps)).tolist()
    stamps = (np.array(ticks) - ticks[0]) / 1000
    path = damage(write_out_of_order(tmp_path / "phone.mp4", ticks), 13)
    for policy in (OnBadFrame.SKIP, OnBadFrame.REPEAT):
        frames = list(open_source(path, on_bad_frame=policy))
        assert len(frames) == NUM_FRAMES - (policy is OnBadFrame.SKIP)
        assert_on_time(frames, stamps)


@pytest.mark.parametrize("share", [0.3, 0.45, 0.6, 0.75, 0.95])
def test_cut_file_with_frames_out_of_order_ends_before_the_first_that_may_be_missing(
    tmp_path, share
):
    path = write_out_of_order(tmp_path / "cut.mp4", options={"movflags": "+faststart"})
    size = round(share * path.stat().st_size)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    num_whole = sum(packet.pos + packet.size <= size for packet in packets)
    path.write_bytes(path.read_bytes()[:size])
    shown, error = read_up_to_the_error(path)
    lost = f"Frame {len(shown)} of {path} or one soon after it"
    assert error == f"{lost} is missing: the file is cut off there."
    assert num_whole - 2 <= len(shown) <= num_whole  # two are stored early for others
    assert indices(shown) == list(range(len(shown)))
    assert_shown_as_filmed(shown)
    assert_on_time(shown)
    assert indices(open_source(path, on_bad_frame=OnBadFrame.SKIP)) == indices(shown)


@pytest.mark.parametrize("suffix", [".h264", ".avi"])
def test_frames_out_of_order_without_times_of_showing_have_those_of_the_rate(tmp_path, suffix):
    frames = list(open_source(write_out_of_order(tmp_path / f"clip{suffix}")))
    assert indices(frames) == list(range(NUM_FRAMES))
    assert_shown_as_filmed(frames)
    assert_on_time(frames)


def test_damage_without_times_of_showing_is_counted_where_it_is_met(tmp_path):
    path = damage(write_out_of_order(tmp_path / "clip.avi"), 15)  # stored there is frame 13
    frames = list(open_source(path, on_bad_frame=OnBadFrame.SKIP))
    assert len(frames) == NUM_FRAMES - 1
    shown = [round((frame.image.mean() - DARKEST) / STEP) for frame in frames]
    assert shown == [index for index in range(NUM_FRAMES) if index != 13]
    moved = [a for a, b in zip(indices(frames), shown, strict=True) if a != b]
    assert len(moved) <= 2  # as many as the decoder held back
