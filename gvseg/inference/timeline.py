"""When each identity was seen, as one picture: switches and gaps show at a glance."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from gvseg.data.frames import write_image
from gvseg.inference.frames import Frame
from gvseg.inference.json_files import JoinSchedule
from gvseg.inference.video_info import VideoInfo
from gvseg.structures import FrameSegments
from gvseg.visualization import ClassLegend, Color, bold_font, identity_color

CHART_WIDTH = 1200  # pixels that the time spans
MOST_ROWS = 60
MOST_SPANS = 256  # of one identity; where there are more the shortest gaps are closed
ROW, BAR, LETTER, MARGIN = 22, 14, 13, 14  # pixels
NUM_TICKS = 8  # on the axis, about
INK, FAINT, PAPER = (40, 40, 40), (228, 228, 228), (255, 255, 255)

Key = tuple[bool, int]  # of a thing, its identity; of stuff, its class


@dataclass
class _Span:
    """An unbroken stay under one class; frames are counted as they were written."""

    first: int
    last: int
    class_index: int


@dataclass
class _Track:
    """What is known of one identity."""

    spans: list[_Span] = field(default_factory=list)
    num_frames: int = 0

    def see(self, frame: int, class_index: int) -> None:
        """Take in a frame that it is seen in."""
        self.num_frames += 1
        last = self.spans[-1] if self.spans else None
        if last is not None and last.last >= frame - 1 and last.class_index == class_index:
            last.last = frame
            return
        self.spans.append(_Span(frame, frame, class_index))
        if len(self.spans) > MOST_SPANS:
            self.spans = _coarser(self.spans)


class TimelineWriter:
    """Draw `tracks.png`: a row for each identity over time, in the colour of its class.

    The square before a row has the colour that the identity has in the overlay. Stuff has a row for
    each class. Of more identities than fit, those seen longest are drawn.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: list[Path] = []

    def open(self, video: VideoInfo) -> None:
        self._video = video
        self._tracks: dict[Key, _Track] = {}
        self._schedule = JoinSchedule()
        self._first_index = self._last_index = 0

    def write(self, frame: Frame, segments: FrameSegments) -> None:
        position = self._schedule.num_frames
        if not position:
            self._first_index = frame.index
        self._last_index = frame.index
        # Under several classes in a frame, an identity is of the surest.
        for place in np.argsort(-segments.scores, kind="stable"):
            class_index = int(segments.classes[place])
            is_thing = self._video.legend.is_thing[class_index]
            key = (is_thing, int(segments.ids[place]) if is_thing else class_index)
            track = self._tracks.setdefault(key, _Track())
            if not track.spans or track.spans[-1].last < position:
                track.see(position, class_index)
        if self._schedule.count_frame():
            self._draw()

    def close(self) -> None:
        if self._schedule.num_frames:
            self._draw()

    def _draw(self) -> None:
        shown = sorted(self._tracks, key=lambda key: -self._tracks[key].num_frames)[:MOST_ROWS]
        # Things before stuff, each in the order of their coming.
        shown.sort(key=lambda key: (not key[0], self._tracks[key].spans[0].first, key[1]))
        rows = [(key, self._tracks[key]) for key in shown]
        num_hidden = len(self._tracks) - len(shown)
        frames = (self._first_index, self._last_index, self._schedule.num_frames)
        title = f"{self._video.name}: {frames[2]} frames, {self._count_rows()}"
        if num_hidden:
            title += f", of which the {len(shown)} seen longest"
        write_image(self.path, draw_timeline(title, rows, frames, self._video.legend))
        self.files = [self.path]

    def _count_rows(self) -> str:
        """Say how many things there were, and how many classes of stuff."""
        num_tracks = sum(is_thing for is_thing, _ in self._tracks)
        num_classes = len(self._tracks) - num_tracks
        tracks = f"{num_tracks} track{'s' * (num_tracks != 1)}"
        if not num_classes:
            return tracks
        classes = f"{num_classes} class{'es' * (num_classes != 1)}"
        return f"{tracks} and {classes}" if num_tracks else classes


def draw_timeline(
    title: str,
    rows: list[tuple[Key, _Track]],
    frames: tuple[int, int, int],
    legend: ClassLegend,
) -> Image.Image:
    """Return the picture.

    Args:
        title: above the rows.
        rows: from top to bottom.
        frames: index of the first and of the last frame, and how many there are.
        legend: of the classes.
    """
    font = bold_font(LETTER)
    labels = [_label(key, track, legend) for key, track in rows]
    measure = ImageDraw.Draw(Image.new("RGB", (1, 1)))
    widest = max((round(measure.textlength(label, font)) for label in labels), default=0)
    left = MARGIN + BAR + 6 + widest + MARGIN
    top = MARGIN + ROW + 4
    bottom = top + ROW * len(rows)
    size = (left + CHART_WIDTH + 3 * MARGIN, bottom + 2 * ROW + MARGIN)
    canvas = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((MARGIN, MARGIN), title, INK, font)
    draw.text((left + CHART_WIDTH / 2, bottom + ROW + 6), "frame", INK, font, anchor="ma")
    num_frames = frames[2]
    for tick in _ticks(num_frames):
        x = left + tick * CHART_WIDTH / num_frames
        index = frames[0] + tick * (frames[1] - frames[0]) / max(num_frames - 1, 1)
        draw.line((x, top, x, bottom + 4), FAINT)
        draw.text((x, bottom + 6), f"{index:.0f}", INK, font, anchor="ma")
    for number, ((key, track), label) in enumerate(zip(rows, labels, strict=True)):
        y = top + ROW * number + (ROW - BAR) // 2
        color = identity_color(key[1]) if key[0] else legend.colors[key[1]]
        draw.rectangle((MARGIN, y, MARGIN + BAR - 1, y + BAR - 1), color)
        draw.text((MARGIN + BAR + 6, y + BAR / 2), label, INK, font, anchor="lm")
        draw.line((left, y + BAR / 2, left + CHART_WIDTH, y + BAR / 2), FAINT)
        for span in track.spans:
            start = left + span.first * CHART_WIDTH / num_frames
            end = left + (span.last + 1) * CHART_WIDTH / num_frames
            bar = (round(start), y, max(round(end) - 1, round(start)), y + BAR - 1)
            fill = legend.colors[span.class_index]
            draw.rectangle(bar, fill, outline=_darker(fill) if bar[2] - bar[0] > 2 else None)
    return canvas


def _label(key: Key, track: _Track, legend: ClassLegend) -> str:
    """Name a row by the class that it was longest."""
    if not key[0]:
        return legend.names[key[1]]
    seen: dict[int, int] = {}
    for span in track.spans:
        seen[span.class_index] = seen.get(span.class_index, 0) + span.last - span.first + 1
    return f"{legend.names[max(seen, key=seen.__getitem__)]} {key[1]}"


def _coarser(spans: list[_Span]) -> list[_Span]:
    """Close the shorter half of the gaps between spans of one class."""
    gaps = [after.first - before.last for before, after in pairwise(spans)]
    limit = sorted(gaps)[len(gaps) // 2]
    joined = [spans[0]]
    for span, gap in zip(spans[1:], gaps, strict=True):
        if gap <= limit and span.class_index == joined[-1].class_index:
            joined[-1] = _Span(joined[-1].first, span.last, span.class_index)
        else:
            joined.append(span)
    # A class that changes with every frame leaves nothing to close: the oldest give way.
    return joined[-MOST_SPANS:]


def _ticks(num_frames: int) -> range:
    """Return places for marks on the axis, a round number of frames apart."""
    for magnitude in (10**power for power in range(12)):
        for factor in (1, 2, 5):
            if num_frames <= factor * magnitude * NUM_TICKS:
                return range(0, num_frames, factor * magnitude)
    raise AssertionError("no video has so many frames")


def _darker(color: Color) -> Color:
    red, green, blue = (round(0.7 * part) for part in color)
    return red, green, blue
