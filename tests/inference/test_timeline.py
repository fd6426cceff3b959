import numpy as np
from PIL import Image

from gvseg.inference.sources import Frame
from gvseg.inference.timeline import (
    CHART_WIDTH,
    MARGIN,
    MOST_ROWS,
    MOST_SPANS,
    ROW,
    TimelineWriter,
)
from gvseg.inference.video_info import VideoInfo
from gvseg.structures import FrameSegments
from gvseg.visualization import identity_color
from tests.inference.painted_video import COLORS, LEGEND

VIDEO = VideoInfo("walk", (4, 4), None, None, LEGEND)
IMAGE = np.zeros((4, 4, 3), np.uint8)


def write(path, frames):
    """Each frame is a dict of class by identity."""
    writer = TimelineWriter(path)
    writer.open(VIDEO)
    for index, seen in enumerate(frames):
        writer.write(Frame(index, None, IMAGE), segments(index, seen))
    writer.close()
    return writer


def segments(index, seen):
    return FrameSegments(
        index,
        np.array(list(seen), dtype=np.int64),
        np.array(list(seen.values()), dtype=np.int64),
        np.full(len(seen), 0.9, np.float32),
        masks=np.zeros((len(seen), 4, 4), bool),
    )


def row_colors(path, row, num_frames):
    """The colour at the middle of each frame's place in a row, a bit below the middle line."""
    picture = np.array(Image.open(path))
    y = MARGIN + ROW + 4 + ROW * row + ROW // 2 + 3
    left = picture.shape[1] - 3 * MARGIN - CHART_WIDTH
    xs = left + (np.arange(num_frames) + 0.5) * CHART_WIDTH / num_frames
    return [tuple(color) for color in picture[y, xs.astype(int)].tolist()]


def test_rows_show_gaps_and_changes_of_class(tmp_path):
    path = tmp_path / "tracks.png"
    frames = [{1: 0}, {1: 0, 7: 1}, {7: 1}, {1: 2, 7: 1}, {1: 0}]
    assert write(path, frames).files == [path]
    red, green, blue = COLORS[:3]
    white = (255, 255, 255)
    assert row_colors(path, 0, 5) == [red, red, white, blue, red]
    assert row_colors(path, 1, 5) == [white, green, green, green, white]
    swatch = tuple(np.array(Image.open(path))[MARGIN + ROW + 4 + ROW + ROW // 2, MARGIN + 2])
    assert swatch == identity_color(7)


def test_stuff_has_a_row_for_each_class_below_the_things(tmp_path):
    path = tmp_path / "tracks.png"
    write(path, [{4: 3}, {4: 3, 5: 1}])  # identity 4 is that of the class yellow
    assert row_colors(path, 0, 2) == [(255, 255, 255), COLORS[1]]
    assert row_colors(path, 1, 2) == [COLORS[3], COLORS[3]]


def test_of_many_identities_those_seen_longest_are_drawn(tmp_path):
    path = tmp_path / "tracks.png"
    write(path, [dict.fromkeys(range(1, 2 + frame), 0) for frame in range(80)])
    height = Image.open(path).size[1]
    assert (height - 2 * MARGIN - 3 * ROW) // ROW == MOST_ROWS
    assert row_colors(path, 0, 80)[0] == COLORS[0]  # identity 1, the longest


def test_what_is_kept_of_a_flickering_identity_is_bounded(tmp_path):
    writer = write(tmp_path / "tracks.png", [{1: 0} if t % 2 else {} for t in range(4000)])
    (track,) = writer._tracks.values()
    assert len(track.spans) <= MOST_SPANS
    assert (track.num_frames, track.spans[0].first, track.spans[-1].last) == (2000, 1, 3999)


def test_video_without_objects_has_an_empty_chart(tmp_path):
    write(tmp_path / "tracks.png", [{}, {}])
    assert Image.open(tmp_path / "tracks.png").size[1] < 100


def test_things_and_classes_are_counted_apart(tmp_path):
    things, stuff = {1: 0, 2: 0}, {4: 3}
    for frames, expected in (
        ([things], "2 tracks"),
        ([stuff], "1 class"),
        ([things | stuff, {}], "2 tracks and 1 class"),
    ):
        assert write(tmp_path / "tracks.png", frames)._count_rows() == expected
