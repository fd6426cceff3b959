"""Random transforms of clips: each is drawn once for a clip and replayed on its T frames.

Every augmentation has `draw(rng, clip)`, which returns one transform for each frame. They do the
same to all frames, but for `PseudoMotion`, whose whole point is that they differ.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Protocol

import cv2
import numpy as np
from fvcore.transforms.transform import (
    BlendTransform,
    CropTransform,
    HFlipTransform,
    NoOpTransform,
    PadTransform,
    Transform,
    TransformList,
    VFlipTransform,
)

from detectron2.data.transforms import ResizeShortestEdge

from gvseg.data.clip import Clip
from gvseg.data.segments import IGNORE_LABEL, class_map
from gvseg.data.transforms import (
    PAD_VALUE,
    AffineTransform,
    ExactResizeTransform,
    PhotometricTransform,
    Photometry,
)


class ClipAugmentation(Protocol):
    """Draws one transform for each frame of a clip."""

    def draw(self, rng: np.random.Generator, clip: Clip) -> list[Transform]: ...


def augment(
    rng: np.random.Generator, clip: Clip, augmentations: Sequence[ClipAugmentation]
) -> Clip:
    """Return the clip after each augmentation in turn, each seeing what the last one left."""
    for augmentation in augmentations:
        clip = clip.apply(augmentation.draw(rng, clip))
    return clip


class Sometimes:
    """Take some steps one after the other, or none of them.

    Args:
        steps: in this order.
        probability: of taking them.
    """

    def __init__(self, steps: Sequence[ClipAugmentation], *, probability: float) -> None:
        self.steps = tuple(steps)
        self.probability = probability

    def draw(self, rng: np.random.Generator, clip: Clip) -> list[Transform]:
        taken: list[list[Transform]] = [[] for _ in range(len(clip))]
        if rng.random() < self.probability:
            for step in self.steps:
                transforms = step.draw(rng, clip)
                clip = clip.apply(transforms)
                for of_frame, transform in zip(taken, transforms, strict=True):
                    of_frame.append(transform)
        return [TransformList(of_frame) for of_frame in taken]


class RandomFlip:
    """Mirror the clip.

    Args:
        direction: `horizontal` or `vertical`.
        probability: of mirroring at all.
    """

    def __init__(self, *, direction: str = "horizontal", probability: float = 0.5) -> None:
        if direction not in ("horizontal", "vertical"):
            raise ValueError(f"Flip direction {direction!r} is neither horizontal nor vertical.")
        self.direction = direction
        self.probability = probability

    def draw(self, rng: np.random.Generator, clip: Clip) -> list[Transform]:
        height, width = clip.size
        transform: Transform = NoOpTransform()
        if rng.random() < self.probability:
            is_horizontal = self.direction == "horizontal"
            transform = HFlipTransform(width) if is_horizontal else VFlipTransform(height)
        return [transform] * len(clip)


class RandomShortestEdge:
    """Resize so that the shorter edge has one of several lengths, or one from a range.

    Args:
        lengths: of the shorter edge in pixels; the two ends where `sample_range`. 0 leaves clips as
            they are.
        max_size: the longer edge is kept to this.
        sample_range: draw from all lengths between the two given.
    """

    def __init__(
        self, *, lengths: Sequence[int], max_size: int, sample_range: bool = False
    ) -> None:
        if sample_range and len(lengths) != 2:
            raise ValueError(f"A range of edge lengths has two ends, not {list(lengths)}.")
        self.lengths = tuple(lengths)
        self.max_size = max_size
        self.sample_range = sample_range

    def draw(self, rng: np.random.Generator, clip: Clip) -> list[Transform]:
        if self.sample_range:
            length = int(rng.integers(self.lengths[0], self.lengths[1] + 1))
        else:
            length = int(rng.choice(self.lengths))
        if length == 0:
            return [NoOpTransform()] * len(clip)
        new_size = ResizeShortestEdge.get_output_shape(*clip.size, length, self.max_size)
        return [ExactResizeTransform(*clip.size, *new_size)] * len(clip)


class RandomCrop:
    """Crop the clip to a window placed uniformly.

    Args:
        kind: what `size` means, as in detectron2. `absolute`: height and width; `absolute_range`:
            each side lies between the two numbers; `relative`: share of height and width;
            `relative_range`: the shares lie between these and 1.
        size: two numbers.
        max_class_share: windows in which one class covers more of the labelled pixels than this are
            redrawn, up to ten times; 1 accepts every window.
        min_kept_share: so are windows that keep a smaller share of the segments of the clip, whole
            or in part; 0 accepts every window.
    """

    _num_attempts = 10  # as in detectron2's crop with a category constraint

    def __init__(
        self,
        *,
        kind: str,
        size: tuple[float, float],
        max_class_share: float = 1.0,
        min_kept_share: float = 0.0,
    ) -> None:
        if kind not in ("absolute", "absolute_range", "relative", "relative_range"):
            raise ValueError(
                f"Unknown crop type {kind!r}; choose absolute, absolute_range, relative or "
                "relative_range."
            )
        self.kind = kind
        self.crop_size = size
        self.max_class_share = max_class_share
        self.min_kept_share = min_kept_share

    def draw(self, rng: np.random.Generator, clip: Clip) -> list[Transform]:
        window = self._draw_window(rng, clip.size)
        is_good = self._demands(clip)
        for _ in range(self._num_attempts - 1):
            if all(holds(window) for holds in is_good):
                break
            window = self._draw_window(rng, clip.size)
        return [window] * len(clip)

    def _demands(self, clip: Clip) -> list[Callable[[CropTransform], bool]]:
        """Return what has to hold of a window."""
        demands: list[Callable[[CropTransform], bool]] = []
        if self.max_class_share < 1 and clip.labels:
            classes = class_map(clip.labels[0].segments)
            demands.append(lambda window: self._is_mixed(window.apply_segmentation(classes)))
        if self.min_kept_share > 0 and clip.labels:
            num_wanted = self.min_kept_share * len(_visible_ids(clip))
            demands.append(
                lambda window: len(_visible_ids(clip.apply([window] * len(clip)))) >= num_wanted
            )
        return demands

    def _draw_window(self, rng: np.random.Generator, size: tuple[int, int]) -> CropTransform:
        crop_height, crop_width = self._draw_size(rng, size)
        top = int(rng.integers(size[0] - crop_height + 1))
        left = int(rng.integers(size[1] - crop_width + 1))
        return CropTransform(left, top, crop_width, crop_height, size[1], size[0])

    def _draw_size(self, rng: np.random.Generator, size: tuple[int, int]) -> tuple[int, int]:
        frame_size, crop_size = np.array(size), np.array(self.crop_size)
        if self.kind == "absolute":
            wanted = crop_size
        elif self.kind == "absolute_range":
            # A side of the frame may be shorter than the range.
            lowest, highest = np.minimum(frame_size[:, None], crop_size.astype(int)).T
            wanted = rng.integers(lowest, highest + 1)
        else:
            if self.kind == "relative_range":
                crop_size = crop_size + rng.random(2) * (1 - crop_size)
            wanted = frame_size * crop_size + 0.5
        height, width = np.minimum(wanted.astype(int), frame_size)
        return int(height), int(width)

    def _is_mixed(self, classes: np.ndarray) -> bool:
        counts = np.unique(classes[classes != IGNORE_LABEL], return_counts=True)[1]
        return len(counts) > 1 and counts.max() < counts.sum() * self.max_class_share


def _visible_ids(clip: Clip) -> set[int]:
    """Return the identities of the segments that any frame of a clip shows."""
    visible: set[int] = set()
    for segments in (labels.segments for labels in clip.labels):
        if segments.masks is not None:
            shown = np.flatnonzero(segments.masks.any(axis=(1, 2)))
        else:
            assert segments.index_map is not None
            shown = np.setdiff1d(segments.index_map, [-1])
        visible.update(segments.ids[shown].tolist())
    return visible


class LargeScaleJitter:
    """Resize by a wide range of scales, then crop and pad to a square (arXiv:2012.07177).

    Args:
        min_scale: smallest size of the frame inside the square, as a share of `image_size`.
        max_scale: the largest.
        image_size: side of the square in pixels.
    """

    def __init__(self, *, min_scale: float, max_scale: float, image_size: int) -> None:
        self.min_scale = min_scale
        self.max_scale = max_scale
        self.image_size = image_size

    def draw(self, rng: np.random.Generator, clip: Clip) -> list[Transform]:
        height, width = clip.size
        scale = rng.uniform(self.min_scale, self.max_scale) * self.image_size / max(height, width)
        new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
        steps: list[Transform] = [ExactResizeTransform(height, width, new_height, new_width)]
        crop_height, crop_width = min(new_height, self.image_size), min(new_width, self.image_size)
        top = int(rng.integers(new_height - crop_height + 1))
        left = int(rng.integers(new_width - crop_width + 1))
        steps.append(CropTransform(left, top, crop_width, crop_height, new_width, new_height))
        steps.append(pad_to((crop_height, crop_width), (self.image_size, self.image_size)))
        return [TransformList(steps)] * len(clip)


def pad_to(size: tuple[int, int], new_size: tuple[int, int]) -> PadTransform:
    """Return the transform that pads (height, width) at the bottom and on the right."""
    below, right = new_size[0] - size[0], new_size[1] - size[1]
    return PadTransform(0, 0, right, below, size[1], size[0], PAD_VALUE)


class RandomPhotometry:
    """Change brightness, contrast, saturation and hue, each with probability one half, as in SSD.

    Args:
        brightness: largest offset, of 255.
        contrast: gain lies within 1 +- this.
        saturation: factor lies within 1 +- this.
        hue: largest turn, in degrees.
        probability: of each of the four.
    """

    def __init__(
        self,
        *,
        brightness: float = 32.0,
        contrast: float = 0.5,
        saturation: float = 0.5,
        hue: float = 36.0,
        probability: float = 0.5,
    ) -> None:
        self.brightness = brightness
        self.contrast = contrast
        self.saturation = saturation
        self.hue = hue
        self.probability = probability

    def draw(self, rng: np.random.Generator, clip: Clip) -> list[Transform]:
        ranges = np.array([self.brightness, self.contrast, self.saturation, self.hue])
        changes = rng.uniform(-ranges, ranges) * (rng.random(4) < self.probability)
        photometry = Photometry(
            offset=changes[0], gain=1 + changes[1], saturation=1 + changes[2], hue=changes[3]
        )
        return [PhotometricTransform(photometry)] * len(clip)


_LUMA = np.array([[0.299], [0.587], [0.114]])  # of red, green and blue (ITU-R BT.601)


class RandomBlend:
    """Blend each frame with something plain, or away from it, by one weight for the clip.

    These are what the image transforms of detectron2 call brightness, contrast and saturation.

    Args:
        partner: `black` for brightness, `mean`, the mean value of the frame, for contrast, or
            `grey`, the frame without colour, for saturation.
        max_change: weight of the frame lies within 1 +- this.
    """

    _partners: ClassVar[dict[str, Callable[[np.ndarray], np.ndarray | float]]] = {
        "black": lambda frame: 0.0,
        "mean": lambda frame: float(frame.mean()),
        "grey": lambda frame: frame @ _LUMA,
    }

    def __init__(self, *, partner: str, max_change: float) -> None:
        if partner not in self._partners:
            raise ValueError(
                f"Frames blend with {', '.join(self._partners)}, not with {partner!r}."
            )
        self.partner = partner
        self.max_change = max_change

    def draw(self, rng: np.random.Generator, clip: Clip) -> list[Transform]:
        weight = 1 + rng.uniform(-self.max_change, self.max_change)
        plain = self._partners[self.partner]
        return [BlendTransform(plain(frame), 1 - weight, weight) for frame in clip.frames]


class RandomRotation:
    """Turn the clip about a point near its middle, keeping its size.

    Args:
        max_degrees: angles lie within +- this.
    """

    def __init__(self, *, max_degrees: float) -> None:
        self.max_degrees = max_degrees

    def draw(self, rng: np.random.Generator, clip: Clip) -> list[Transform]:
        angle = rng.uniform(-self.max_degrees, self.max_degrees)
        matrix = _motion(_draw_centre(rng, clip.size), angle, 1.0, np.zeros(2))
        return [AffineTransform(matrix)] * len(clip)


class PseudoMotion:
    """Make copies of a still image look like a video: turn, zoom and drift monotonically in time.

    The values of each parameter are drawn uniformly, sorted, and reversed half of the time; the
    centre is common to all frames. VITA and its successors do so for the angle alone.

    Args:
        max_degrees: angles lie within +- this.
        max_zoom: scales lie between 1 / (1 + this) and 1 + this.
        max_shift: shifts lie within +- this share of height and width.
        is_even: the first and the last value are drawn, and those between lie evenly.
    """

    def __init__(
        self, *, max_degrees: float, max_zoom: float, max_shift: float, is_even: bool = False
    ) -> None:
        self.max_degrees = max_degrees
        self.max_zoom = max_zoom
        self.max_shift = max_shift
        self.is_even = is_even

    def draw(self, rng: np.random.Generator, clip: Clip) -> list[Transform]:
        num_frames = len(clip)
        centre = _draw_centre(rng, clip.size)
        largest_shift = self.max_shift * np.array([clip.size[1], clip.size[0]])
        draw = _draw_even if self.is_even else _draw_monotone
        angles = draw(rng, num_frames) * self.max_degrees
        scales = (1 + self.max_zoom) ** draw(rng, num_frames)
        shifts = np.stack([draw(rng, num_frames) for _ in range(2)], axis=1)
        return [
            AffineTransform(_motion(centre, angle, scale, shift * largest_shift))
            for angle, scale, shift in zip(angles, scales, shifts, strict=True)
        ]


def _draw_monotone(rng: np.random.Generator, num_values: int) -> np.ndarray:
    """Draw values of -1..1 that rise or, half of the time, fall: (num_values,)."""
    values = np.sort(rng.uniform(-1, 1, num_values))
    return values[::-1] if rng.random() < 0.5 else values


def _draw_even(rng: np.random.Generator, num_values: int) -> np.ndarray:
    """Draw two values of -1..1 and return others evenly from one to the other: (num_values,)."""
    first, last = rng.uniform(-1, 1, 2)
    return np.linspace(first, last, num_values)


def _draw_centre(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Draw a point (x, y) from the middle fifth of the frame."""
    return rng.uniform(0.4, 0.6, 2) * np.array([size[1], size[0]])


def _motion(centre: np.ndarray, angle: float, scale: float, shift: np.ndarray) -> np.ndarray:
    """Return the (2, 3) matrix that turns by degrees and zooms about a centre, then shifts."""
    matrix = cv2.getRotationMatrix2D((float(centre[0]), float(centre[1])), angle, scale)
    matrix[:, 2] += shift
    return matrix
