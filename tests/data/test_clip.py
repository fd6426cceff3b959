"""When the frames of a clip move, and that it makes no difference to where they end up."""

import numpy as np
import pytest
from fvcore.transforms.transform import CropTransform, HFlipTransform, Transform

from gvseg.data.clip import Clip, transform_labels
from gvseg.data.transforms import ExactResizeTransform
from gvseg.structures import FrameSegments
from tests.data.vps_benchmark import SIZE, paint, read_labels

RESIZE = ExactResizeTransform(*SIZE, 96, 128)
CROP = CropTransform(16, 8, 64, 48)


class Counted(HFlipTransform):
    """A flip that counts the frames it moves."""

    num_frames = 0

    def apply_image(self, img: np.ndarray) -> np.ndarray:
        self.num_frames += img.ndim == 3
        return super().apply_image(img)


def painted_clip() -> Clip:
    labels = [read_labels({}, index) for index in (0, 4, 7)]
    return Clip([paint(frame_labels.segments) for frame_labels in labels], labels)


def moved(clip: Clip, transforms: list[Transform]) -> Clip:
    for transform in transforms:
        clip = clip.apply([transform] * len(clip))
    return clip


def test_no_frame_moves_before_it_is_asked_for():
    flip = Counted(SIZE[1])
    clip = moved(painted_clip(), [flip])
    assert (len(clip), clip.size) == (3, SIZE)
    assert flip.num_frames == 0
    assert [frame.shape for frame in clip.frames] == [(*SIZE, 3)] * 3
    assert flip.num_frames == 3


def test_work_on_frames_is_done_once():
    flip = Counted(SIZE[1])
    clip = moved(painted_clip(), [flip])
    assert clip.frames is clip.frames
    again = moved(clip, [HFlipTransform(SIZE[1])])
    np.testing.assert_array_equal(np.stack(again.frames), np.stack(painted_clip().frames))
    assert flip.num_frames == 3


def test_frames_end_up_where_each_step_alone_would_take_them():
    steps = [HFlipTransform(SIZE[1]), RESIZE, CROP, HFlipTransform(64)]
    clip = moved(painted_clip(), steps)
    for frame, source in zip(clip.frames, painted_clip().frames, strict=True):
        for step in steps:
            source = step.apply_image(source)
        assert frame.shape == source.shape == (48, 64, 3)
        assert np.abs(frame.astype(int) - source).max() <= 2  # as of a resize and crop in one


def test_labels_move_with_the_frames():
    clip = moved(painted_clip(), [RESIZE, CROP])
    assert clip.size == clip.frames[0].shape[:2] == (48, 64)
    for labels, source in zip(clip.labels, painted_clip().labels, strict=True):
        twice = source.segments.index_map.repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(labels.segments.index_map, twice[8:56, 16:80])


def test_clip_without_labels_knows_its_size():
    clip = moved(Clip(painted_clip().frames, []), [RESIZE])
    assert clip.size == (96, 128)
    assert clip.labels == []


@pytest.mark.parametrize("is_moved", [False, True])
def test_part_of_a_clip_has_its_frames_and_labels(is_moved: bool):
    clip = moved(painted_clip(), [RESIZE, CROP])
    if is_moved:
        assert len(clip.frames) == 3
    part = clip.cut(1, 3)
    assert len(part) == 2
    np.testing.assert_array_equal(np.stack(part.frames), np.stack(clip.frames[1:]))
    assert [labels.segments.frame_index for labels in part.labels] == [4, 7]


def test_labels_of_a_frame_without_segments_take_the_new_size():
    labels = read_labels({}, 0)
    labels.segments = FrameSegments(
        frame_index=0,
        ids=np.zeros(0, int),
        classes=np.zeros(0, int),
        scores=np.zeros(0, np.float32),
        masks=np.zeros((0, *SIZE), bool),
    )
    assert transform_labels(RESIZE, labels).size == (96, 128)
