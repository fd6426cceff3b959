"""Made-up videos: who plays in them, and how they become frames with exact labels.

Things of several classes, some exactly alike, move over regions of stuff before a moving camera.
Look-alikes cross and hide each other, so that appearance cannot tell them apart where place and
motion can. K classes, N segments, T frames, (H, W) pixels.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from gvseg.data.class_table import ClassTable
from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.background import Background, Region, paint_background
from gvseg.data.synthetic.motion import (
    Stage,
    after,
    camera,
    crossing_paths,
    leaving_path,
    poses,
    strolling_path,
)
from gvseg.data.synthetic.sprites import Sprite, make_sprite, paste
from gvseg.data.synthetic.video import SyntheticVideo
from gvseg.structures import FrameSegments
from gvseg.tasks import Task

_NUM_LOOKS = 60  # of objects whose class does not decide how they look, and of unlabelled stuff
_SMALLEST_SIDE = 32  # pixels; below it, shapes cannot be told from each other
_SMALLEST_RADIUS = 6.0


@dataclass(frozen=True)
class SceneSpec:
    """What is wanted of videos."""

    classes: ClassTable
    task: Task
    size: tuple[int, int]  # height, width
    num_frames: int
    num_classes: int | None = None  # so many of the table are used; all where None
    has_crowd: bool = False
    has_void: bool = False
    has_late_objects: bool = True  # where not, what comes in after the first frame has no label

    def __post_init__(self) -> None:
        if min(self.size) < _SMALLEST_SIDE:
            raise ValueError(
                f"Frames of {self.size[0]}x{self.size[1]} pixels are too small; choose "
                f"{_SMALLEST_SIDE} or more for each side."
            )
        if self.num_frames < 1:
            raise ValueError(f"A video of {self.num_frames} frames is empty; choose 1 or more.")


@dataclass(frozen=True)
class Cast:
    """Which classes play things and which play stuff: contiguous indices."""

    things: tuple[int, ...]
    stuff: tuple[int, ...]


@dataclass(frozen=True)
class _Actor:
    """One thing on the stage; the members of a crowd share a position."""

    sprite: Sprite
    poses: np.ndarray  # (T, 2, 3) from the unit square to unmoved pixels
    position: int


@dataclass(frozen=True)
class _Segment:
    """What is at one position of the index maps."""

    class_index: int
    is_object: bool  # of its own identity, rather than all that there is of a class
    is_crowd: bool = False


@dataclass(frozen=True)
class _Cut:
    """A video before it is known which of its segments are seen."""

    frames: list[np.ndarray]  # T of (H, W, 3) uint8 RGB
    index_maps: list[np.ndarray]  # T of (H, W) int16
    segments: Sequence[_Segment]  # N


def make_videos(
    spec: SceneSpec, *, num_videos: int, seed: int, split: str
) -> Iterator[SyntheticVideo]:
    """Return videos, each made when it is asked for, from seed, split and its number alone.

    Splits and seeds share their classes but no video, so that what is trained on one can be tested
    on another.

    Raises:
        ValueError: a negative seed, no video, or classes that do not fit the table or the task.
    """
    if seed < 0:
        raise ValueError(f"The seed {seed} is negative; choose 0 or more.")
    if num_videos < 1:
        raise ValueError(f"{num_videos} videos are nothing to make; choose 1 or more.")
    cast = choose_cast(spec)
    stream = [seed, zlib.crc32(split.encode())]
    prefix = split.replace("-", "_")  # some formats keep the videos of all splits in one folder
    return (
        make_video(spec, cast, np.random.default_rng([*stream, index]), f"{prefix}_{index:05d}")
        for index in range(num_videos)
    )


def choose_cast(spec: SceneSpec) -> Cast:
    """Return the classes that are used, half of them things where the task has stuff.

    They are spread over the table, and always the same. Of a table that tells no things, the last
    quarter plays them.

    Raises:
        ValueError: the task needs more classes than wanted, or the table has fewer.
    """
    is_thing = np.array(spec.classes.is_thing)
    if spec.task.has_stuff and not is_thing.any():
        is_thing[-(len(is_thing) // 4) :] = True
    rng = np.random.default_rng(0)
    things = rng.permutation(np.flatnonzero(is_thing))
    stuff = rng.permutation(np.flatnonzero(~is_thing & spec.task.has_stuff))
    most, fewest = len(things) + len(stuff), 2 if spec.task.has_stuff else 1
    total = most if spec.num_classes is None else spec.num_classes
    if not fewest <= total <= most:
        raise ValueError(
            f"{total} classes are wanted; {spec.classes.name} allows {fewest} to {most}."
        )
    num_stuff = min(len(stuff), max(total // 2, total - len(things)))
    return Cast(
        tuple(sorted(things[: total - num_stuff].tolist())),
        tuple(sorted(stuff[:num_stuff].tolist())),
    )


def make_video(spec: SceneSpec, cast: Cast, rng: np.random.Generator, name: str) -> SyntheticVideo:
    """Draw a scene and return it frame by frame."""
    stage = Stage(*spec.size, spec.num_frames)
    segments: list[_Segment] = []
    actors = _draw_actors(spec, cast, rng, stage, segments)
    background = _draw_background(spec, cast, rng, stage, segments)
    cut = _film(stage, camera(rng, stage), background, actors, segments)
    return SyntheticVideo(name, cut.frames, _labels(cut, spec.has_late_objects))


def _draw_actors(
    spec: SceneSpec, cast: Cast, rng: np.random.Generator, stage: Stage, segments: list[_Segment]
) -> list[_Actor]:
    """Return all actors, those behind first."""
    radius = max(rng.uniform(0.1, 0.14) * stage.short_side, _SMALLEST_RADIUS)
    groups = _draw_groups(rng, stage, radius)
    classes = rng.choice(cast.things, len(groups), replace=len(cast.things) < len(groups))
    hue_shift = rng.uniform(-0.05, 0.05)
    objects = []
    for class_index, (size, paths) in zip(classes.tolist(), groups, strict=True):
        sprite = make_sprite(_look(spec, rng, class_index), size, hue_shift)
        segment = _Segment(class_index, is_object=spec.task.has_instances)
        for path in paths:
            position = _position(segments, segment)
            objects.append(_Actor(sprite, poses(rng, stage, path, size), position))
    crowd = []
    if spec.has_crowd:
        segment = _Segment(int(rng.choice(cast.things)), is_object=True, is_crowd=True)
        sprite = make_sprite(_look(spec, rng, segment.class_index), 0.5 * radius, hue_shift)
        crowd = _draw_crowd(rng, stage, sprite, _position(segments, segment), 0.5 * radius)
    return crowd + [objects[index] for index in rng.permutation(len(objects))]


def _position(segments: list[_Segment], segment: _Segment) -> int:
    """Return the position of a segment: a new one for an object, that of its class otherwise."""
    if segment.is_object or segment not in segments:
        segments.append(segment)
        return len(segments) - 1
    return segments.index(segment)


def _draw_groups(
    rng: np.random.Generator, stage: Stage, radius: float
) -> list[tuple[float, list[np.ndarray]]]:
    """Return the radius and the paths of each group of things that look alike."""
    crossing = crossing_paths(rng, stage, int(rng.integers(2, 4)), radius)
    leaving = [
        leaving_path(rng, stage, radius, starts_outside=starts_outside)
        for starts_outside in (False, True)
    ]
    large = radius * rng.uniform(1.3, 1.6)
    return [(radius, crossing), (radius, leaving), (large, [strolling_path(rng, stage, large)])]


def _draw_crowd(
    rng: np.random.Generator, stage: Stage, sprite: Sprite, position: int, radius: float
) -> list[_Actor]:
    """Return small things that stand close together and move along."""
    path = strolling_path(rng, stage, radius)
    actors = []
    for column, row in np.ndindex(5, 3):
        jitter = rng.uniform(-0.3, 0.3, 2)
        offset = (column - 2 + 0.5 * (row % 2) + jitter[0], 0.8 * (row - 1 + jitter[1]))
        member = path + 1.5 * radius * np.array(offset)
        actors.append(_Actor(sprite, poses(rng, stage, member, radius), position))
    return actors


def _draw_background(
    spec: SceneSpec, cast: Cast, rng: np.random.Generator, stage: Stage, segments: list[_Segment]
) -> Background:
    """Return two or three bands and an island of stuff and, where wanted, one of void."""
    num_regions = int(rng.integers(3, 5))
    if cast.stuff:
        chosen = rng.choice(cast.stuff, num_regions, replace=len(cast.stuff) < num_regions)
        looks = chosen.tolist()
        positions = [_position(segments, _Segment(look, is_object=False)) for look in looks]
    else:
        looks = rng.choice(_NUM_LOOKS, num_regions, replace=False).tolist()
        positions = [-1] * num_regions
    regions = [
        Region(look, position, is_island=index == num_regions - 1)
        for index, (look, position) in enumerate(zip(looks, positions, strict=True))
    ]
    if spec.has_void:
        regions.append(Region(int(rng.integers(_NUM_LOOKS)), -1, is_island=True))
    return paint_background(rng, stage, regions, rng.uniform(-0.04, 0.04))


def _look(spec: SceneSpec, rng: np.random.Generator, class_index: int) -> int:
    """Return what a class looks like; objects of a table of one class may look like anything."""
    return class_index if len(spec.classes) > 1 else int(rng.integers(_NUM_LOOKS))


def _film(
    stage: Stage,
    views: np.ndarray,
    background: Background,
    actors: Sequence[_Actor],
    segments: Sequence[_Segment],
) -> _Cut:
    """Draw all frames, each by painter's order, as the camera (T, 2, 3) sees them."""
    seen = [after(views, actor.poses) for actor in actors]
    cut = _Cut([], [], segments)
    for time, view in enumerate(views):
        frame, index_map = background.view(view, (stage.height, stage.width))
        for actor, poses_seen in zip(actors, seen, strict=True):
            paste(frame, index_map, actor.sprite, poses_seen[time], actor.position)
        cut.frames.append(frame)
        cut.index_maps.append(index_map)
    return cut


def _labels(cut: _Cut, has_late_objects: bool) -> list[FrameLabels]:
    """Return the labels of all frames, of the segments that are seen, objects numbered from 1."""
    areas = np.stack([_areas(index_map, len(cut.segments)) for index_map in cut.index_maps])
    areas_in_time = areas if has_late_objects else areas[:1]
    kept = np.flatnonzero(areas_in_time.sum(axis=0)).tolist()
    segments = [cut.segments[position] for position in kept]
    # Position -1 is void and so reads the last entry.
    new_position = np.full(len(cut.segments) + 1, -1, dtype=np.int16)
    new_position[kept] = np.arange(len(kept))
    numbers = np.cumsum([segment.is_object for segment in segments])
    classes = np.array([segment.class_index for segment in segments], dtype=np.int64)
    is_object = np.array([segment.is_object for segment in segments], dtype=bool)
    is_crowd = np.array([segment.is_crowd for segment in segments], dtype=bool)
    return [
        FrameLabels(
            FrameSegments(
                frame_index=index,
                ids=np.where(is_object, numbers, classes + 1),
                classes=classes,
                scores=np.ones(len(kept), dtype=np.float32),
                index_map=new_position[index_map],
            ),
            is_crowd,
            areas[index, kept].astype(float),
        )
        for index, index_map in enumerate(cut.index_maps)
    ]


def _areas(index_map: np.ndarray, length: int) -> np.ndarray:
    """Return the pixels of each of `length` segments, (N,) int64."""
    return np.bincount(index_map.ravel() + 1, minlength=length + 1)[1:]
