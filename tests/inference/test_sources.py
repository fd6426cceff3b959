from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from gvseg.inference.frames import OnBadFrame
from gvseg.inference.sources import (
    ArraySource,
    CameraSource,
    ImageSource,
    open_source,
    title_of,
)


def picture(index, size=(48, 64)):
    """A frame whose brightness tells its index, brighter on the left half."""
    image = np.full((*size, 3), 20 + 8 * index, dtype=np.uint8)
    image[:, : size[1] // 2] += 100
    return image


def write_images(folder, names, size=(48, 64)):
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        cv2.imwrite(str(folder / name), picture(index, size))
    return folder


def write_video(
    path,
    num_frames=6,
    rate=Fraction(25),
    ticks=None,
    codec="libx264",
    pixels="yuv420p",
    options=None,
):
    """Encode frames at their `ticks` of 1/1000 s, by default at a constant rate."""
    with av.open(str(path), "w", options=options or {}) as container:
        stream = container.add_stream(codec, rate=rate)
        stream.height, stream.width = 48, 64
        stream.pix_fmt = pixels
        if codec == "libx264":
            stream.options = {"crf": "1"}
        time_base = 1 / rate if ticks is None else Fraction(1, 1000)
        stream.codec_context.time_base = time_base
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(picture(index), format="rgb24")
            frame.pts = index if ticks is None else ticks[index]
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def brightness(frames):
    return [round((int(frame.image[0, -1].mean()) - 20) / 8) for frame in frames]


def test_folder_is_read_in_natural_order(tmp_path):
    names = ["f2.png", "f10.png", "f1.jpg"]
    source = open_source(write_images(tmp_path / "clip", names))
    (tmp_path / "clip" / "notes.txt").write_text("no image")
    frames = list(source)
    assert brightness(frames) == [2, 0, 1]  # f1, f2, f10
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert [frame.timestamp for frame in frames] == [None] * 3
    assert (source.name, source.num_frames, source.frame_rate, source.size) == (
        "clip",
        3,
        None,
        (48, 64),
    )


def test_glob_is_read_in_natural_order(tmp_path):
    write_images(tmp_path / "clip", ["a9.png", "a10.png", "b1.png"])
    source = open_source(str(tmp_path / "clip" / "a*.png"), frame_rate=Fraction(10))
    frames = list(source)
    assert brightness(frames) == [0, 1]
    assert [frame.timestamp for frame in frames] == [0.0, 0.1]
    assert source.name == "clip"


def test_single_image_is_a_video_of_one_frame(tmp_path):
    folder = write_images(tmp_path / "clip", ["still.png"])
    source = open_source(folder / "still.png")
    assert (source.num_frames, source.name, len(list(source))) == (1, "still", 1)


def test_source_can_be_read_twice(tmp_path):
    for source in (
        open_source(write_images(tmp_path / "clip", ["1.png", "2.png"])),
        open_source(write_video(tmp_path / "v.mp4", num_frames=2)),
        open_source([picture(0), picture(1)]),
    ):
        assert brightness(source) == brightness(source) == [0, 1]


def test_arrays_from_a_list_or_an_iterator():
    images = [picture(index) for index in range(3)]
    known = open_source(images)
    unknown = open_source(iter(images))
    assert (known.num_frames, unknown.num_frames) == (3, None)
    assert brightness(known) == brightness(unknown) == [0, 1, 2]
    assert brightness(open_source(np.stack(images))) == [0, 1, 2]
    assert unknown.size == (48, 64)


def test_source_is_passed_through():
    source = ArraySource([picture(0)])
    assert open_source(source) is source


class FakeCapture:
    """Stands in for OpenCV's access to a camera: three frames, then unplugged."""

    def __init__(self, number, is_open=True):
        self.number = number
        self.is_open = is_open
        self.is_released = False
        self.num_read = 0

    def isOpened(self):
        return self.is_open

    def get(self, what):
        return {
            cv2.CAP_PROP_FPS: 29.97002997,
            cv2.CAP_PROP_FRAME_WIDTH: 64.0,
            cv2.CAP_PROP_FRAME_HEIGHT: 48.0,
        }[what]

    def read(self):
        self.num_read += 1
        blue_first = picture(self.num_read - 1)
        blue_first[..., 0] = 255
        return (True, blue_first) if self.num_read <= 3 else (False, None)

    def release(self):
        self.is_released = True


def test_camera_by_number_gives_frames_until_it_is_unplugged(monkeypatch):
    captures = []
    monkeypatch.setattr(
        cv2, "VideoCapture", lambda number: captures.append(FakeCapture(number)) or captures[-1]
    )
    source = open_source("2")
    assert isinstance(source, CameraSource)
    frames = list(source)
    assert captures[0].number == 2
    assert (source.frame_rate, source.num_frames) == (Fraction(30000, 1001), None)
    assert source.size == frames[0].image.shape[:2]
    assert [frame.index for frame in frames] == [0, 1, 2]
    assert (frames[0].image[..., 2] == 255).all()  # red first
    stamps = [frame.timestamp for frame in frames]
    assert stamps == sorted(stamps)
    assert stamps[0] == 0
    assert captures[0].is_released


def test_what_has_a_frame_rate_is_given_none(tmp_path):
    (tmp_path / "clip.mp4").write_bytes(b"")
    for source in (tmp_path / "clip.mp4", "2", 2):
        with pytest.raises(ValueError, match=r"A frame rate of 10 is given for .*, which has"):
            open_source(source, frame_rate=Fraction(10))


def test_camera_that_does_not_answer_is_an_error(monkeypatch):
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: FakeCapture(number, is_open=False))
    with pytest.raises(OSError, match="Camera 7 does not answer"):
        open_source(7)


@pytest.mark.parametrize("given", ["nowhere", "nowhere/clip.mp4"])
def test_missing_input_is_named(tmp_path, given):
    with pytest.raises(FileNotFoundError, match=f"{given} does not exist"):
        open_source(tmp_path / given)


def test_empty_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=f"Folder {tmp_path} has no images"):
        open_source(tmp_path)


def test_pattern_without_match_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"No file matches .*\*\.png"):
        open_source(f"{tmp_path}/*.png")


def test_unreadable_image_is_named_after_the_frames_before_it(tmp_path):
    folder = write_images(tmp_path / "clip", ["1.png", "2.png", "3.png"])
    data = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(data[: len(data) // 2])
    frames = iter(open_source(folder))
    assert next(frames).index == 0
    with pytest.raises(OSError, match=r"2\.png cannot be read"):
        next(frames)


def test_images_of_two_sizes_are_both_named(tmp_path):
    write_images(tmp_path / "clip", ["1.png"], size=(48, 64))
    write_images(tmp_path / "clip", ["2.png"], size=(32, 80))
    with pytest.raises(ValueError, match=r"2\.png is 80x32 pixels but .*1\.png is 64x48"):
        list(open_source(tmp_path / "clip"))


def test_arrays_of_two_sizes_are_both_named():
    with pytest.raises(ValueError, match="Frame 1 is 80x32 pixels but frame 0 is 64x48"):
        list(ArraySource([picture(0), picture(1, size=(32, 80))]))


@pytest.mark.parametrize("wrong", [np.zeros((48, 64), np.uint8), np.zeros((48, 64, 3))])
def test_array_of_another_kind_is_refused(wrong):
    with pytest.raises(ValueError, match=r"Frame 0 .* give \(H, W, 3\) uint8 RGB"):
        list(ArraySource([wrong]))


@pytest.mark.parametrize("images", [[], iter([])])
def test_no_arrays_are_refused(images):
    with pytest.raises(ValueError, match="has no frames"):
        ArraySource(images)


def test_no_image_files_are_refused():
    with pytest.raises(FileNotFoundError, match="Video v7 has no frames"):
        ImageSource([], name="v7")


def test_bad_images_are_skipped_or_repeated_if_that_is_wanted(tmp_path, caplog):
    folder = write_images(tmp_path / "clip", [f"{index}.png" for index in range(5)])
    for index in (0, 3):
        (folder / f"{index}.png").write_bytes(b"no image")
    skipped = list(open_source(folder, on_bad_frame=OnBadFrame.SKIP))
    assert [frame.index for frame in skipped] == brightness(skipped) == [1, 2, 4]
    assert "3.png cannot be read" in caplog.text
    rate = Fraction(10)
    repeated = list(open_source(folder, frame_rate=rate, on_bad_frame=OnBadFrame.REPEAT))
    assert [frame.index for frame in repeated] == [1, 2, 3, 4]  # before 1 there is none to repeat
    assert brightness(repeated) == [1, 2, 2, 4]
    assert [frame.timestamp for frame in repeated] == [0.1, 0.2, 0.3, 0.4]
    with pytest.raises(OSError, match=r"0\.png cannot be read"):
        open_source(folder)


def test_folder_of_nothing_but_bad_images_is_told(tmp_path):
    (tmp_path / "0.png").write_bytes(b"no image")
    with pytest.raises(OSError, match=r"No image of .* can be read, .*0\.png to begin with"):
        open_source(tmp_path, on_bad_frame=OnBadFrame.SKIP)


def test_what_does_not_open_is_called_as_if_it_did(tmp_path):
    folder = tmp_path / "night.v2"
    folder.mkdir()
    (folder / "0.png").write_bytes(b"no image")
    video = write_video(tmp_path / "walk.v2.mp4")
    assert title_of(str(video)) == open_source(video).name == "walk.v2"
    assert title_of(str(folder)) == title_of(str(folder / "*.png")) == "night.v2"
    write_images(folder, ["0.png"])
    assert open_source(folder).name == open_source(str(folder / "*.png")).name == "night.v2"
