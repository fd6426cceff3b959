"""Which frames of a video make a training clip: pure functions of a generator and a few numbers.

All but `sample_all` return `num_frames` frame indices, in the order of time unless shuffled. A
video shorter than the clip gives the same frame more than once.

Frames are counted among those that have labels, and so are distances and strides: where every fifth
frame is annotated, the neighbour of an annotated frame is the annotated one five frames on.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class FrameSampling(Protocol):
    """What the functions below have in common once their own numbers are bound."""

    def __call__(
        self,
        rng: np.random.Generator,
        length: int,
        num_frames: int,
        *,
        key_frame: int | None = None,
    ) -> list[int]: ...


@dataclass(frozen=True)
class ClipSampler:
    """Chooses the frames of a clip and, apart from these, extra ones from the rest of the video.

    Of several extra frames from the whole video, the first lies beside the clip.
    """

    choose: FrameSampling
    num_frames: int  # of the clip
    num_extra: int = 0
    max_distance: int | None = None  # of extra frames to the clip; None for any

    def draw(
        self, rng: np.random.Generator, length: int, *, key_frame: int | None = None
    ) -> tuple[list[int], list[int]]:
        """Return the frames of the clip and the extra ones, of a video of `length` frames."""
        if length == 1:
            return sample_still(self.num_frames), sample_still(self.num_extra)
        frames = self.choose(rng, length, self.num_frames, key_frame=key_frame)
        first, end = 0, length
        if self.max_distance is not None:
            first = max(min(frames) - self.max_distance, 0)
            end = min(max(frames) + self.max_distance + 1, length)
        clip = [index - first for index in frames]
        beside = []
        if self.max_distance is None and self.num_extra > 1:
            beside = [sample_beside(rng, length, clip=clip)]
        rest = sample_distant(rng, end - first, self.num_extra - len(beside), clip=[*clip, *beside])
        return frames, [first + index for index in (*beside, *rest)]


def sample_around(
    rng: np.random.Generator,
    length: int,
    num_frames: int,
    *,
    max_distance: int,
    key_frame: int | None = None,
) -> list[int]:
    """Return a key frame and others drawn without replacement from the frames near to it.

    This is the sampling of Mask2Former for video. Where fewer frames lie near, drawn ones repeat.

    Args:
        rng: the source of all randomness.
        length: frames of the video.
        num_frames: frames of the clip.
        max_distance: largest distance to the key frame, in frames.
        key_frame: the key frame, drawn uniformly where None.
    """
    key = int(rng.integers(length)) if key_frame is None else key_frame
    first, last = max(0, key - max_distance), min(length - 1, key + max_distance)
    near = np.array([index for index in range(first, last + 1) if index != key], dtype=int)
    others = rng.permutation(near)[: num_frames - 1]
    drawn = np.append(others, key)
    surplus = rng.choice(drawn, num_frames - len(drawn))
    return sorted(int(index) for index in (*drawn, *surplus))


def sample_consecutive(
    rng: np.random.Generator,
    length: int,
    num_frames: int,
    *,
    stride: int = 1,
    key_frame: int | None = None,
) -> list[int]:
    """Return frames `stride` apart, of a stretch placed uniformly among those inside the video.

    Where the video is too short, the stretch starts at its first frame and its last frame repeats.

    Args:
        rng: the source of all randomness.
        length: frames of the video.
        num_frames: frames of the clip.
        stride: distance of neighbours, in frames.
        key_frame: a frame that must be among them; None for no such demand.
    """
    last_start = max(0, length - 1 - (num_frames - 1) * stride)
    starts = np.arange(last_start + 1)
    if key_frame is not None:
        distance = key_frame - starts
        in_reach = (distance >= 0) & (distance <= (num_frames - 1) * stride)
        starts = starts[in_reach & (distance % stride == 0)]
    # In a video hardly longer than the stretch none may pass through the key frame: start there.
    start = int(rng.choice(starts)) if len(starts) else int(key_frame or 0)
    return [min(start + step * stride, length - 1) for step in range(num_frames)]


def sample_distant(
    rng: np.random.Generator, length: int, num_frames: int, *, clip: Sequence[int]
) -> list[int]:
    """Return frames spread over the whole video but for a clip: one from each of equal stretches.

    They show the objects of the clip as they look at other times, which is what task-oriented
    contrastive learning compares. Where fewer frames are left, some repeat; where the clip has all,
    they are of the clip.

    Args:
        rng: the source of all randomness.
        length: frames of the video.
        num_frames: how many to draw.
        clip: frames that are not wanted.
    """
    rest = np.setdiff1d(np.arange(length), clip)
    if len(rest) < num_frames:
        surplus = rng.choice(rest if len(rest) else np.array(clip), num_frames - len(rest))
        return sorted(int(index) for index in (*rest, *surplus))
    bounds = np.linspace(0, len(rest), num_frames + 1).astype(int)
    return [int(rest[rng.integers(start, end)]) for start, end in itertools.pairwise(bounds)]


def sample_beside(rng: np.random.Generator, length: int, *, clip: Sequence[int]) -> int:
    """Return one of the frames next to a clip; one of the clip where it has the whole video.

    Args:
        rng: the source of all randomness.
        length: frames of the video.
        clip: frames that are not wanted.
    """
    rest = np.setdiff1d(np.arange(length), clip)
    if not len(rest):
        return int(rng.choice(clip))
    distance = np.abs(rest[:, None] - np.array(clip)).min(1)
    return int(rng.choice(rest[distance == distance.min()]))


def sample_still(num_frames: int) -> list[int]:
    """Return the one frame of a still image `num_frames` times: the raw pseudo clip."""
    return [0] * num_frames


def sample_all(
    rng: np.random.Generator, length: int, num_frames: int, *, key_frame: int | None = None
) -> list[int]:
    """Return every frame of the video, whatever else is asked: the clip to test on."""
    del rng, num_frames, key_frame
    return list(range(length))


def shuffle(
    sampling: FrameSampling,
    rng: np.random.Generator,
    length: int,
    num_frames: int,
    *,
    key_frame: int | None = None,
) -> list[int]:
    """Return the frames that another sampling draws, in random order."""
    frames = sampling(rng, length, num_frames, key_frame=key_frame)
    return [int(index) for index in rng.permutation(frames)]
