"""Panoptic videos as label files hold them: numbers in images, and a list of what each stands for.

Made at random, drawn by hand, or read from files in the formats of VIPSeg and Cityscapes-VPS.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from gvseg.data.panoptic_image import read_rgb_values
from gvseg.data.segments import FrameLabels
from gvseg.structures import FrameSegments

STUFF, THINGS = (0, 1, 2), (3, 4)
IS_THING = (False, False, False, True, True)
NAMES = ("sky", "road", "grass", "cat", "dog")


@dataclass(frozen=True)
class Listed:
    """One segment in the list of a frame."""

    number: int
    class_index: int
    area: int
    is_crowd: bool = False


@dataclass(frozen=True)
class PanopticFrame:
    """Numbers of pixels, 0 being void, and segments in the order of the list."""

    numbers: np.ndarray  # (H, W)
    segments: tuple[Listed, ...]

    def labels(self, frame_index: int = 0) -> FrameLabels:
        """Return the frame as an annotation."""
        return FrameLabels(
            self.prediction(frame_index),
            np.array([segment.is_crowd for segment in self.segments], dtype=bool),
            np.array([segment.area for segment in self.segments], dtype=float),
        )

    def prediction(self, frame_index: int = 0) -> FrameSegments:
        """Return the frame as a prediction."""
        index_map = np.full(self.numbers.shape, -1, dtype=np.int16)
        for position, segment in enumerate(self.segments):
            index_map[self.numbers == segment.number] = position
        return FrameSegments(
            frame_index=frame_index,
            ids=np.array([segment.number for segment in self.segments], dtype=np.int64),
            classes=np.array([segment.class_index for segment in self.segments], dtype=np.int64),
            scores=np.ones(len(self.segments), dtype=np.float32),
            index_map=index_map,
        )

    def class_map(self) -> np.ndarray:
        """Return the class of every pixel, 255 for void."""
        classes = np.full(self.numbers.shape, 255)
        for segment in self.segments:
            classes[self.numbers == segment.number] = segment.class_index
        return classes


@dataclass(frozen=True)
class PanopticVideo:
    """Truth and prediction of one video."""

    truth: tuple[PanopticFrame, ...]
    prediction: tuple[PanopticFrame, ...]


def feed(metric, *videos: PanopticVideo):
    """Let a metric score whole videos and return it."""
    for number, video in enumerate(videos):
        record = {"video_id": f"video{number}"}
        frames = zip(video.truth, video.prediction, strict=True)
        for index, (truth, prediction) in enumerate(frames):
            metric.update(record, truth.labels(index), prediction.prediction(index))
        metric.end_video(record)
    return metric


def draw(
    rows: str | Sequence[str],
    classes: dict[str, int],
    *,
    crowds: str = "",
    areas: dict[str, int] | None = None,
) -> PanopticFrame:
    """Return the frame that letters draw: one for each pixel, `.` for void.

    Args:
        rows: one or several rows of pixels.
        classes: of letters, in the order of the list; those that are not drawn are not listed.
        crowds: letters of crowds.
        areas: of letters whose stated area is not the true one.
    """
    letters = np.array([list(row) for row in ([rows] if isinstance(rows, str) else rows)])
    numbers = np.zeros(letters.shape, dtype=np.int64)
    segments = []
    for letter, class_index in classes.items():
        is_here = letters == letter
        if is_here.any():
            numbers[is_here] = 1000 + ord(letter)
            area = (areas or {}).get(letter, int(is_here.sum()))
            segments.append(Listed(1000 + ord(letter), class_index, area, letter in crowds))
    return PanopticFrame(numbers, tuple(segments))


def random_videos(
    *lengths: int, seed: int = 0, size: tuple[int, int] = (24, 32)
) -> list[PanopticVideo]:
    """Draw blobs that walk, with void and crowds in the truth, and poor predictions of them.

    Predictions swap and change identities, change classes, miss objects, and have holes.
    """
    rng = np.random.default_rng(seed)
    return [_random_video(rng, length, size) for length in lengths]


def _random_video(rng: np.random.Generator, length: int, size: tuple[int, int]) -> PanopticVideo:
    num_objects = int(rng.integers(2, 6))
    classes = rng.choice(THINGS, num_objects)
    crowds = rng.random(num_objects) < 0.2
    places = rng.random((num_objects, 2)) * size
    names = {(side, index): int(number) for (side, index), number in zip(
        [(side, index) for side in "tp" for index in range(2 * num_objects)],
        rng.permutation(np.arange(100, 100 + 4 * num_objects)), strict=True)}  # fmt: skip
    truth, prediction = [], []
    swap = np.arange(num_objects)
    predicted_classes = classes.copy()
    for _ in range(length):
        places = np.clip(places + rng.normal(0, 2, places.shape), 0, np.array(size) - 1)
        if rng.random() < 0.3:
            swap = rng.permutation(2 * num_objects)[:num_objects]
        if rng.random() < 0.2:
            predicted_classes = rng.choice(THINGS, num_objects)
        shifted = places + rng.normal(0, 1.5, places.shape)
        true_map, predicted_map = _paint(rng, places, size), _paint(rng, shifted, size)
        true_map[: int(rng.integers(0, 5))] = -1
        hole = int(rng.integers(0, size[0]))
        predicted_map[hole : hole + 2] = -1
        truth.append(_frame(true_map, [names["t", i] for i in range(num_objects)], classes, crowds))
        no_crowds = np.zeros(num_objects, dtype=bool)
        prediction.append(
            _frame(predicted_map, [names["p", i] for i in swap], predicted_classes, no_crowds)
        )
    return PanopticVideo(tuple(truth), tuple(prediction))


def _paint(rng: np.random.Generator, places: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return positions of objects from 3 on, over stuff 0 to 2."""
    grid = np.stack(np.mgrid[: size[0], : size[1]], axis=-1)
    painted = np.digitize(grid[..., 0] + rng.normal(0, 1), [size[0] / 3, size[0] / 1.5])
    for index, place in enumerate(places):
        radius = size[0] * rng.uniform(0.1, 0.3)
        if rng.random() < 0.85:
            painted[np.square(grid - place).sum(axis=-1) < radius**2] = index + len(STUFF)
    return painted


def _frame(
    painted: np.ndarray, numbers: list[int], classes: np.ndarray, crowds: np.ndarray
) -> PanopticFrame:
    image = np.zeros(painted.shape, dtype=np.int64)
    segments = []
    for position in np.unique(painted[painted >= 0]):
        is_here = painted == position
        area = int(is_here.sum())
        if position < len(STUFF):
            segment = Listed(10 + int(position), STUFF[position], area)
        else:
            index = position - len(STUFF)
            segment = Listed(numbers[index], int(classes[index]), area, bool(crowds[index]))
        image[is_here] = segment.number
        segments.append(segment)
    return PanopticFrame(image, tuple(segments))


def without_crowds(video: PanopticVideo) -> PanopticVideo:
    """Return the video with its crowds as common segments."""
    truth = tuple(
        replace(frame, segments=tuple(replace(s, is_crowd=False) for s in frame.segments))
        for frame in video.truth
    )
    return replace(video, truth=truth)


def renamed(video: PanopticVideo, seed: int = 0) -> PanopticVideo:
    """Return the video with other numbers, the same for one object, for truth and prediction."""
    rng = np.random.default_rng(seed)
    return PanopticVideo(_renamed(video.truth, rng), _renamed(video.prediction, rng))


def _renamed(
    frames: tuple[PanopticFrame, ...], rng: np.random.Generator
) -> tuple[PanopticFrame, ...]:
    old = np.unique(np.concatenate([frame.numbers.ravel() for frame in frames]))
    new = rng.permutation(np.arange(5000, 5000 + len(old)))
    new[old == 0] = 0
    name_of = dict(zip(old.tolist(), new.tolist(), strict=True))
    return tuple(
        PanopticFrame(
            new[np.searchsorted(old, frame.numbers)],
            tuple(replace(s, number=name_of[s.number]) for s in frame.segments),
        )
        for frame in frames
    )


def read_vipseg(folder: Path) -> list[PanopticVideo]:
    """Read the truth and the prediction of a folder in VIPSeg's formats."""
    truth = json.loads((folder / "panoptic_gt_VIPSeg_val.json").read_text())["annotations"]
    prediction = json.loads((folder / "pred" / "pred.json").read_text())["annotations"]
    assert [video["video_id"] for video in truth] == [video["video_id"] for video in prediction]
    return [
        PanopticVideo(
            _listed_frames(one["annotations"], folder / "panomasksRGB" / one["video_id"]),
            _listed_frames(other["annotations"], folder / "pred" / "pan_pred" / one["video_id"]),
        )
        for one, other in zip(truth, prediction, strict=True)
    ]


def read_cityscapes_vps(folder: Path) -> list[PanopticVideo]:
    """Read the truth and the prediction of a folder in Cityscapes-VPS's formats."""
    truth_json = json.loads((folder / "panoptic_gt_val_city_vps.json").read_text())
    truth = sorted(truth_json["annotations"], key=lambda frame: frame["file_name"])
    for frame in truth:
        frame["file_name"] = f"{frame['image_id']}_final_mask.png"
    prediction = json.loads((folder / "pred" / "pred.json").read_text())["annotations"]
    frames = list(
        zip(
            _listed_frames(truth, folder / "truth"),
            _listed_frames(prediction, folder / "pred" / "pan_pred"),
            strict=True,
        )
    )
    return [
        PanopticVideo(*(tuple(side) for side in zip(*frames[start : start + 6], strict=True)))
        for start in range(0, len(frames), 6)
    ]


def _listed_frames(entries: list[dict], folder: Path) -> tuple[PanopticFrame, ...]:
    frames = []
    for entry in entries:
        numbers = read_rgb_values(folder / entry["file_name"])
        segments = tuple(
            Listed(s["id"], s["category_id"], s["area"], bool(s["iscrowd"]))
            for s in entry["segments_info"]
        )
        assert {s.number for s in segments} == set(np.unique(numbers[numbers > 0]).tolist())
        frames.append(PanopticFrame(numbers, segments))
    return tuple(frames)
