"""Segments drawn over a frame: a tint, a crisp outline and a label for each.

Objects are coloured by identity, so a colour stays with its object for the whole video; stuff has
the colour of its class. Line widths and letters grow with the frame. N segments, (H, W) pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from detectron2.data.catalog import Metadata

from gvseg.structures import FrameSegments

Color = tuple[int, int, int]  # RGB
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels, the last two exclusive

THING_OPACITY = 0.45
STUFF_OPACITY = 0.55
SMALLEST_LETTER = 11  # pixels; smaller ones cannot be read
LETTERS_PER_SIDE = 34  # height of a letter as a share of the frame's short side
LINES_PER_SIDE = 300  # width of an outline, likewise
SMALLEST_STUFF = 0.004  # share of the frame below which a stuff region gets no label
LARGEST_OVERLAP = 0.1  # share of a label that others may hide
CROWD = 12  # segments; with more, labels larger than their object shrink to the identity
BLACK, WHITE = (0, 0, 0), (255, 255, 255)
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue, ITU-R BT.601
DARK_INK_ABOVE = 140  # luma of a plate on which black letters read better than white ones
# Colours of successive identities in OKLCh. A search over steps and orders found these: any two
# of nine successive identities are at least 0.10 apart in OKLab, any two of 24 at least 0.05. Those
# of two classes numbered as 1000 * id + number differ too, so the step is no round number.
FIRST_HUE = 0.70  # of a turn: blue
HUE_STEP = 0.3061
LIGHTNESS_AND_CHROMA = ((0.78, 0.15), (0.66, 0.19), (0.86, 0.14), (0.60, 0.20))  # in turns


@dataclass(frozen=True)
class ClassLegend:
    """What the K classes are called and which colours they have."""

    names: tuple[str, ...]
    is_thing: tuple[bool, ...]  # whether segments of the class have an identity of their own
    colors: tuple[Color, ...]
    category_ids: tuple[int, ...] = ()  # as in the dataset's files; by default counted from 1

    def __post_init__(self) -> None:
        if not self.category_ids:
            object.__setattr__(self, "category_ids", tuple(range(1, len(self.names) + 1)))

    @classmethod
    def from_metadata(cls, metadata: Metadata) -> ClassLegend:
        """Read the legend of a dataset from detectron2's catalog.

        Lists of names hold every class in contiguous order, and the id maps tell things from
        stuff. A dataset with `thing_classes` alone has only things.

        Raises:
            ValueError: the dataset has no class names.
        """
        kind = "thing" if "thing_classes" in metadata.as_dict() else "stuff"
        names = metadata.get(f"{kind}_classes", None)
        if not names:
            raise ValueError(
                f"Dataset {metadata.name!r} has no class names; register it, or set thing_classes "
                "or stuff_classes in detectron2's MetadataCatalog."
            )
        indices = range(len(names))
        thing_ids = metadata.get("thing_dataset_id_to_contiguous_id", None)
        things = set(thing_ids.values()) if thing_ids is not None else set(indices)
        colors = metadata.get(f"{kind}_colors", None) or [identity_color(i + 1) for i in indices]
        index_of_id = (thing_ids or {}) | (
            metadata.get("stuff_dataset_id_to_contiguous_id", None) or {}
        )
        id_of_index = {index: id_ for id_, index in index_of_id.items()}
        return cls(
            names=tuple(names),
            is_thing=tuple(kind == "thing" and index in things for index in indices),
            colors=tuple((int(r), int(g), int(b)) for r, g, b in colors),
            category_ids=tuple(id_of_index.get(index, index + 1) for index in indices),
        )


def identity_color(identity: int) -> Color:
    """Return the colour of an identity, the same in every frame and every run."""
    lightness, chroma = LIGHTNESS_AND_CHROMA[(identity - 1) % len(LIGHTNESS_AND_CHROMA)]
    return _oklch_to_rgb(lightness, chroma, FIRST_HUE + HUE_STEP * (identity - 1))


def draw_segments(
    image: np.ndarray,
    segments: FrameSegments,
    legend: ClassLegend,
    *,
    with_labels: bool = True,
    with_scores: bool = True,
) -> np.ndarray:
    """Return a copy of the frame with its segments drawn over it.

    Args:
        image: (H, W, 3) uint8 RGB.
        segments: of the frame, at its size.
        legend: of the classes in `segments`.
        with_labels: write class, identity and score beside each segment.
        with_scores: write the score too, which annotations do not have.
    """
    if segments.size != image.shape[:2]:
        raise ValueError(f"Segments of {segments.size} pixels cannot be drawn on {image.shape}.")
    if not len(segments):
        return image.copy()
    is_thing = np.array(legend.is_thing)[segments.classes]
    colors = _colors(segments, legend)
    picture = _tint(image, _topmost(segments), colors, is_thing)
    _outline(picture, segments, colors, is_thing)
    if with_labels:
        picture = label_segments(picture, segments, legend, with_scores=with_scores)
    return picture


def paint_segments(segments: FrameSegments, legend: ClassLegend) -> np.ndarray:
    """Return the segments alone on black, in their colours: (H, W, 3) uint8 RGB."""
    # The last row of the table serves pixels without segment, -1.
    return np.append(_colors(segments, legend), [BLACK], axis=0).astype(np.uint8)[
        _topmost(segments)
    ]


def label_segments(
    picture: np.ndarray,
    segments: FrameSegments,
    legend: ClassLegend,
    *,
    with_scores: bool = True,
) -> np.ndarray:
    """Return a copy of the frame with the labels of its segments, the surest first.

    Args:
        picture: (H, W, 3) uint8 RGB.
        segments: of the frame, at its size.
        legend: of the classes in `segments`.
        with_scores: write the score too, which annotations do not have.
    """
    canvas = Image.fromarray(picture)
    colors = _colors(segments, legend)
    labels = _Labels(canvas, is_crowded=len(segments) > CROWD)
    for position in np.argsort(-segments.scores, kind="stable"):
        class_index = int(segments.classes[position])
        name = legend.names[class_index]
        mask = segments.mask(position)
        box = _bounding_box(mask)
        if box is None:
            continue
        if legend.is_thing[class_index]:
            identity = str(segments.ids[position])
            named = f"{name} {identity}"
            scored = [f"{named}  {segments.scores[position]:.2f}"] if with_scores else []
            labels.tag([*scored, named, identity], box, tuple(colors[position].tolist()))
        elif mask.mean() >= SMALLEST_STUFF:
            labels.name(name, box, mask)
    return np.array(canvas)


def _colors(segments: FrameSegments, legend: ClassLegend) -> np.ndarray:
    """Return the colour of each segment, (N, 3) uint8: a thing's by identity, stuff's by class."""
    colors = [
        identity_color(int(identity)) if legend.is_thing[index] else legend.colors[index]
        for identity, index in zip(segments.ids, segments.classes, strict=True)
    ]
    return np.array(colors, dtype=np.uint8).reshape(-1, 3)


def _topmost(segments: FrameSegments) -> np.ndarray:
    """Return which segment is seen at each pixel, (H, W) int16, -1 for none.

    Of overlapping masks the smaller lies in front, or it could not be seen at all.
    """
    if segments.index_map is not None:
        return segments.index_map
    assert segments.masks is not None
    topmost = np.full(segments.size, -1, dtype=np.int16)
    areas = np.count_nonzero(segments.masks, axis=(1, 2))
    for position in np.argsort(-areas, kind="stable"):
        topmost[segments.masks[position]] = position
    return topmost


def _tint(
    image: np.ndarray, topmost: np.ndarray, colors: np.ndarray, is_thing: np.ndarray
) -> np.ndarray:
    """Blend each segment's colour into the frame."""
    # The last row of each table serves pixels without segment, -1.
    opacity = np.append(np.where(is_thing, THING_OPACITY, STUFF_OPACITY), 0).astype(np.float32)
    paint = np.append(colors, [[0, 0, 0]], axis=0).astype(np.float32) * opacity[:, None]
    blended = image * (1 - opacity)[topmost][:, :, None]
    blended += paint[topmost]
    # OpenCV draws into rows only, whatever the layout that the frame or the map came in.
    return np.rint(blended, out=blended).astype(np.uint8, order="C")


def _outline(
    picture: np.ndarray, segments: FrameSegments, colors: np.ndarray, is_thing: np.ndarray
) -> None:
    """Draw the contour of each segment into the picture: strong for things, fine for stuff."""
    width = _scaled(min(picture.shape[:2]), LINES_PER_SIDE, smallest=1)
    for position in np.argsort(is_thing, kind="stable"):  # things over stuff
        box = _bounding_box(segments.mask(position))
        if box is None:
            continue
        left, top, right, bottom = box
        part = segments.mask(position)[top:bottom, left:right].astype(np.uint8)
        contours, _ = cv2.findContours(
            part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(left, top)
        )
        thickness = width if is_thing[position] else max(width // 2, 1)
        color = colors[position] if is_thing[position] else colors[position] * 0.6
        cv2.drawContours(picture, contours, -1, color.tolist(), thickness, cv2.LINE_AA)


class _Labels:
    """Writes labels into a picture so that none hides another.

    Args:
        canvas: the picture.
        is_crowded: shorten the labels of things that are smaller than their label.
    """

    def __init__(self, canvas: Image.Image, *, is_crowded: bool) -> None:
        self.draw = ImageDraw.Draw(canvas)
        self.frame = canvas.size  # width and height
        self.letter = _scaled(min(self.frame), LETTERS_PER_SIDE, SMALLEST_LETTER)
        self.font = bold_font(self.letter)
        self.is_crowded = is_crowded
        self.taken: list[Box] = []

    def tag(self, texts: list[str], box: Box, color: Color) -> None:
        """Write a thing's label on a plate of its colour at its box.

        Args:
            texts: the label and shorter forms of it; the first that finds room is written.
            box: of the thing.
            color: of the plate.
        """
        padding = max(self.letter // 4, 2)
        height = self.letter + 2 * padding
        left, top, right, bottom = box
        for text in texts:
            width = round(self.draw.textlength(text, self.font)) + 2 * padding
            if self.is_crowded and width > right - left and text != texts[-1]:
                continue
            corners = [
                (left, top - height),  # above
                (left, bottom),  # below
                (left, top),  # inside
                (right, top),  # beside
                (left - width, top),
                (left, (top + bottom - height) // 2),
            ]
            plate = self.take_room(corners, (width, height))
            if plate is not None:
                corner = (plate[2] - 1, plate[3] - 1)
                self.draw.rounded_rectangle((plate[:2], corner), radius=padding, fill=color)
                ink = BLACK if np.dot(color, LUMA) > DARK_INK_ABOVE else WHITE
                start = (plate[0] + padding, (plate[1] + plate[3]) / 2)
                self.draw.text(start, text, ink, self.font, anchor="lm")
                return

    def name(self, text: str, box: Box, mask: np.ndarray) -> None:
        """Write the name of a stuff region where the region is widest."""
        left, top, right, bottom = box
        # A margin of one pixel, for the region ends where the frame does.
        part = np.pad(mask[top:bottom, left:right].astype(np.uint8), 1)
        distance = cv2.distanceTransform(part, cv2.DIST_L2, 3)
        row, column = np.unravel_index(distance.argmax(), distance.shape)
        stroke = max(self.letter // 7, 1)
        width = round(self.draw.textlength(text, self.font)) + 2 * stroke
        height = self.letter + 2 * stroke
        x, y = left + int(column) - width // 2, top + int(row) - height // 2
        plate = self.take_room([(x, y), (x, y - height), (x, y + height)], (width, height))
        if plate is not None:
            middle = ((plate[0] + plate[2]) / 2, (plate[1] + plate[3]) / 2)
            self.draw.text(
                middle,
                text,
                WHITE,
                self.font,
                anchor="mm",
                stroke_width=stroke,
                stroke_fill=BLACK,
            )

    def take_room(self, corners: list[tuple[int, int]], size: tuple[int, int]) -> Box | None:
        """Return the place for a label of (width, height) that hides the least of others.

        Of equal places the first is best; each is moved into the frame where it juts out. None
        where even the best would hide too much.
        """
        width, height = size
        boxes = []
        for corner_x, corner_y in corners:
            x = max(min(corner_x, self.frame[0] - width), 0)
            y = max(min(corner_y, self.frame[1] - height), 0)
            boxes.append((x, y, x + width, y + height))
        best = min(boxes, key=lambda box: _shared_area(box, self.taken))
        if _shared_area(best, self.taken) > LARGEST_OVERLAP * width * height:
            return None
        self.taken.append(best)
        return best


def _shared_area(box: Box, others: list[Box]) -> int:
    """Return how many pixels of a box others cover."""
    shared = 0
    for other in others:
        width = min(box[2], other[2]) - max(box[0], other[0])
        height = min(box[3], other[3]) - max(box[1], other[1])
        shared += max(width, 0) * max(height, 0)
    return shared


def _bounding_box(mask: np.ndarray) -> Box | None:
    """Return the box of a mask (H, W) bool, None where the mask is empty."""
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _scaled(short_side: int, parts: int, smallest: int) -> int:
    return max(round(short_side / parts), smallest)


@lru_cache
def bold_font(letter: int) -> ImageFont.FreeTypeFont:
    """Return a font whose letters are so many pixels high."""
    # detectron2 draws with matplotlib, so its font is always there and knows most alphabets.
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    return ImageFont.truetype(str(path), letter)


def _oklch_to_rgb(lightness: float, chroma: float, hue: float) -> Color:
    """Return sRGB of a colour in OKLCh, where equal steps look equal.

    B. Ottosson, "A perceptual color space for image processing", 2020, gives the matrices.

    Args:
        lightness: 0 (black) to 1 (white).
        chroma: 0 (grey) to about 0.3.
        hue: in turns.
    """
    angle = 2 * np.pi * hue
    lab = np.array([lightness, chroma * np.cos(angle), chroma * np.sin(angle)])
    cone_roots = _LAB_TO_CONES @ lab
    linear = np.clip(_CONES_TO_LINEAR @ cone_roots**3, 0, 1)
    # The transfer curve of sRGB, IEC 61966-2-1.
    rgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = np.rint(rgb * 255).astype(int).tolist()
    return red, green, blue


_LAB_TO_CONES = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_CONES_TO_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
