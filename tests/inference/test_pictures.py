from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from gvseg.inference.pictures import ContactSheet, PngFolder, VideoFile, write_png
from gvseg.inference.sources import Frame, VideoSource


def picture(index, size=(48, 64)):
    image = np.zeros((*size, 3), dtype=np.uint8)
    image[:, : size[1] // 2] = (200, 30, 40)
    image[size[0] // 2 :, size[1] // 2 :] = (30, 60, 220)
    image[: size[0] // 2, size[1] // 2 :] = 10 * (index % 20)
    return image


def write_all(sink, num_frames, size=(48, 64), rate=None, timestamps=None):
    sink.open(size, rate)
    for index in range(num_frames):
        timestamp = None if timestamps is None else timestamps[index]
        sink.write(Frame(index, timestamp, picture(index, size)), picture(index, size))
    sink.close()


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(30000, 1001), Fraction(10), Fraction(7)])
@pytest.mark.parametrize("has_clock", [True, False])
def test_video_has_the_rate_of_its_source(tmp_path, rate, has_clock):
    sink = VideoFile(tmp_path / "out.mp4")
    stamps = [float(index / rate) for index in range(30)] if has_clock else None
    write_all(sink, 30, rate=rate, timestamps=stamps)
    source = VideoSource(tmp_path / "out.mp4")
    frames = list(source)
    assert source.frame_rate == rate
    assert len(frames) == 30
    expected = [float(index / rate) for index in range(30)]
    np.testing.assert_allclose([frame.timestamp for frame in frames], expected, atol=1e-4)
    assert sink.files == [tmp_path / "out.mp4"]


def test_video_keeps_variable_time_stamps(tmp_path):
    stamps = [0.0, 0.04, 0.2, 0.21, 0.2101, 1.5]
    write_all(VideoFile(tmp_path / "out.mp4"), 6, rate=Fraction(25), timestamps=stamps)
    read = [frame.timestamp for frame in VideoSource(tmp_path / "out.mp4")]
    np.testing.assert_allclose(read, stamps, atol=1e-4)


@pytest.mark.parametrize("start", [0.0, 0.5])
def test_video_begins_at_once(tmp_path, start):
    """Also one that shows the part of a source from some seconds on."""
    stamps = [start, start + 0.1, start + 0.3, start + 0.4]
    write_all(VideoFile(tmp_path / "out.mp4"), 4, timestamps=stamps)
    with av.open(str(tmp_path / "out.mp4")) as container:
        stamps = [frame.time for frame in container.decode(video=0)]
    np.testing.assert_allclose(stamps, [0.0, 0.1, 0.3, 0.4], atol=1e-4)


def test_video_can_be_played_after_every_frame_while_it_is_written(tmp_path):
    sink = VideoFile(tmp_path / "out.mp4")
    sink.open((48, 64), None)
    for index in range(30):
        sink.write(Frame(index, None, picture(index)), picture(index))
        if index in (1, 2, 7, 29):
            with av.open(str(tmp_path / "out.mp4")) as container:
                assert sum(1 for _ in container.decode(video=0)) >= index
    sink.close()


def test_time_stamps_that_stand_still_move_on_by_a_tick(tmp_path):
    write_all(VideoFile(tmp_path / "out.mp4"), 4, rate=Fraction(25), timestamps=[0, 0, 0, 0.04])
    stamps = [frame.timestamp for frame in VideoSource(tmp_path / "out.mp4")]
    assert len(stamps) == 4
    assert (np.diff(stamps) > 0).all()


def test_source_without_clock_plays_at_25(tmp_path):
    write_all(VideoFile(tmp_path / "out.mp4"), 5)
    assert VideoSource(tmp_path / "out.mp4").frame_rate == 25


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (47, 63)])
def test_video_shows_the_picture_also_at_odd_sizes(tmp_path, size):
    write_all(VideoFile(tmp_path / "out.mp4", quality=5), 3, size=size)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec.name == "h264"
        assert container.streams.video[0].pix_fmt == "yuv420p"
    first = next(iter(VideoSource(tmp_path / "out.mp4"))).image
    assert first.shape[:2] == (48, 64)
    expected = picture(0, size)
    # Colours are halved in resolution, so compare inside the plain areas.
    for row, column in [(10, 10), (40, 10), (40, 50), (10, 50)]:
        assert np.abs(first[row, column].astype(int) - expected[row, column]).max() <= 6
    assert np.abs(first[-1, -1].astype(int) - expected[-1, -1]).max() <= 12


def test_missing_encoder_is_explained(tmp_path, monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(OSError, match=r"cannot encode H\.264 \(libx264 is missing\)"):
        VideoFile(tmp_path / "out.mp4").open((48, 64), None)


def test_video_without_frames_is_no_file(tmp_path):
    sink = VideoFile(tmp_path / "out.mp4")
    write_all(sink, 0)
    assert sink.files == list(tmp_path.iterdir()) == []


def test_png_folder_has_one_exact_file_for_each_frame(tmp_path):
    sink = PngFolder(tmp_path / "frames")
    write_all(sink, 3)
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == ["00000.png", "00001.png", "00002.png"]
    for index, name in enumerate(names):
        bgr = cv2.imread(str(tmp_path / "frames" / name))
        np.testing.assert_array_equal(bgr[..., ::-1], picture(index))


def test_png_of_16_bits_is_exact(tmp_path):
    labels = np.array([[0, 1], [300, 65535]], dtype=np.uint16)
    write_png(tmp_path / "labels.png", labels)
    read = cv2.imread(str(tmp_path / "labels.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read, labels)
    assert read.dtype == np.uint16


@pytest.mark.parametrize(("num_frames", "cells"), [(1, 1), (2, 2), (6, 6), (7, 6), (200, 6)])
def test_contact_sheet_shows_the_whole_video(tmp_path, num_frames, cells):
    path = tmp_path / "overview.png"
    sheet = ContactSheet(path)
    sheet.open((48, 64), None)
    for index in range(num_frames):
        tone = np.full((48, 64, 3), 20 + index, dtype=np.uint8)
        sheet.write(Frame(index, None, tone), tone)
        assert len(sheet._thumbnails) <= 12
    sheet.close()
    image = cv2.imread(str(path))[..., 0].astype(int)
    columns, rows = min(cells, 3), -(-cells // 3)
    assert image.shape == (rows * (48 + 8) + 8, columns * (64 + 8) + 8)
    tones = [image[8 + 56 * (n // 3) + 20, 8 + 72 * (n % 3) + 20] - 20 for n in range(cells)]
    assert tones[0] == 0
    assert tones == sorted(set(tones))
    assert tones[-1] >= 0.85 * (num_frames - 1)
    if num_frames > 2:
        steps = np.diff(tones)
        assert steps.max() <= 2 * steps.min()


def test_contact_sheet_of_nothing_is_no_file(tmp_path):
    sheet = ContactSheet(tmp_path / "overview.png")
    write_all(sheet, 0)
    assert sheet.files == list(tmp_path.iterdir()) == []


def test_contact_sheet_shrinks_large_pictures(tmp_path):
    write_all(ContactSheet(tmp_path / "overview.png"), 1, size=(720, 1280))
    assert cv2.imread(str(tmp_path / "overview.png")).shape == (270 + 16, 480 + 16, 3)
