"""Tracks made by hand, as a perfect segmenter would give them, and how often a linker errs.

O objects, C channels of embeddings, T frames of a clip.  A scenario is a list of frames; each says
where its objects are and what they look like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from detectron2.config import CfgNode, get_cfg

from gvseg.config import add_gvseg_config
from gvseg.inference.linking import NOT_TRACKED, Linker, build_linker
from gvseg.structures import TubePrediction

CHANNELS = 64
LENGTH = 8.0  # of embeddings: that of 64 channels of unit variance, as a layer norm leaves them
NOISE = 0.03  # of each channel, in units of the length
LITTLE_NOISE = 0.005  # less than what the shape and position of masks add to an embedding
SIDE = 40  # cells of a mask
NUM_CLASSES = 3
NUM_SPARE = 2  # queries that are no object

Centre = tuple[float, float]  # x and y in cells


@dataclass(frozen=True)
class Seen:
    """One object in one frame."""

    centre: Centre
    look: np.ndarray  # (C,) of length 1
    half: tuple[float, float] = (4.0, 5.0)  # half width and height


Scenario = list[dict[int, Seen]]  # of each frame the objects that can be seen, by their number


@dataclass(frozen=True)
class Entry:
    """How to make a scenario, and how true a segmenter is to the looks in it."""

    make: Callable[[], Scenario]
    noise: float = NOISE


def looks(num_objects: int) -> np.ndarray:
    """Return embeddings without any likeness, (O, C) of length 1."""
    rng = np.random.default_rng(7)
    return np.linalg.qr(rng.normal(size=(CHANNELS, CHANNELS)))[0][:num_objects]


def crossing() -> Scenario:
    """Two objects walk through each other; while they touch, each looks half-way like the other."""
    first, second = looks(2)
    frames = []
    for t in range(24):
        mix = 0.42 * np.exp(-(((t - 11.5) / 3) ** 2))
        x = 5 + 1.3 * t
        frames.append(
            {
                1: Seen((x, 18), (1 - mix) * first + mix * second),
                2: Seen((40 - x, 22), (1 - mix) * second + mix * first),
            }
        )
    return frames


def occlusion(num_hidden: int) -> Scenario:
    """One of two objects walks behind something for a number of frames."""
    hidden, other = looks(2)
    frames = []
    for t in range(24 + num_hidden):
        is_hidden = 12 <= t < 12 + num_hidden
        there = {2: Seen((20, 32), other)}
        frames.append(there if is_hidden else there | {1: Seen((5 + 0.8 * t, 10), hidden)})
    return frames


def leaving_and_returning() -> Scenario:
    """An object leaves on the right and is back on the left six frames later."""
    traveller, other = looks(2)
    frames = []
    for t in range(30):
        there = {2: Seen((20, 32), other)}
        if t < 12:
            there[1] = Seen((12 + 2 * t, 10), traveller)
        elif t >= 18:
            there[1] = Seen((4 + 2 * (t - 18), 10), traveller)
        frames.append(there)
    return frames


def look_alikes() -> Scenario:
    """Four objects that look the same but for noise stand in a row and sway."""
    (look,) = looks(1)
    return [
        {k + 1: Seen((6 + 9 * k + np.sin(t / 2 + k), 20), look) for k in range(4)}
        for t in range(24)
    ]


def crossing_look_alikes() -> Scenario:
    """Two objects that look the same but for noise pass each other, one above the other."""
    (look,) = looks(1)
    return [
        {1: Seen((5 + 1.3 * t, 14), look), 2: Seen((35 - 1.3 * t, 26), look)} for t in range(24)
    ]


def births_and_deaths() -> Scenario:
    """Every third frame an object is born in a place of its own, and each lives ten frames."""
    those = looks(9)
    frames = []
    for t in range(36):
        alive = [k for k in range(9) if 3 * k <= t < 3 * k + 10]
        frames.append({k + 1: Seen((6 + 13 * (k % 3), 6 + 13 * (k // 3)), those[k]) for k in alive})
    return frames


def relief() -> Scenario:
    """In one and the same frame an object leaves and another enters elsewhere, three times."""
    those = looks(4)
    places = [(8, 8), (30, 30), (8, 30), (30, 8)]
    return [{t // 6 + 1: Seen(places[t // 6], those[t // 6])} for t in range(24)]


def change_of_looks() -> Scenario:
    """Two objects that stand still turn round within a frame, and look like nothing before."""
    fronts, backs = looks(4)[:2], looks(4)[2:]
    places = [(10, 20), (30, 20)]
    return [
        {k + 1: Seen(places[k], (fronts if t < 12 else backs)[k]) for k in range(2)}
        for t in range(24)
    ]


def fast_motion() -> Scenario:
    """Three objects jump further than their own size from frame to frame."""
    those = looks(3)
    jumps = [(6, 6), (33, 20), (8, 33), (20, 7), (32, 33)]
    return [{k + 1: Seen(jumps[(t + 2 * k) % 5], those[k]) for k in range(3)} for t in range(20)]


SCENARIOS = {
    "crossing": Entry(crossing),
    "hidden for 3 frames": Entry(lambda: occlusion(3)),
    "hidden for 8 frames": Entry(lambda: occlusion(8)),
    "hidden for 12 frames": Entry(lambda: occlusion(12)),
    "leaving and returning": Entry(leaving_and_returning),
    "look-alikes": Entry(look_alikes, LITTLE_NOISE),
    "look-alikes that cross": Entry(crossing_look_alikes, LITTLE_NOISE),
    "look-alikes, blurred": Entry(look_alikes),
    "births and deaths": Entry(births_and_deaths),
    "one leaves as one enters": Entry(relief),
    "sudden change of looks": Entry(change_of_looks),
    "fast motion": Entry(fast_motion),
}


def make_linker(name: str, *, overlap: int = 0) -> Linker:
    """Build a linker with the defaults, and the values that its source has for it."""
    return build_linker(linker_config(name, overlap=overlap))


def linker_config(name: str, *, overlap: int = 0) -> CfgNode:
    cfg = get_cfg()
    add_gvseg_config(cfg)
    cfg.MODEL.MASK_FORMER.HIDDEN_DIM = CHANNELS
    cfg.MODEL.GVSEG.TEST.OVERLAP = overlap
    cfg.MODEL.LINKER.NAME = name
    if name == "LocationAwareLinker":
        cfg.merge_from_list(["MODEL.LINKER.MIN_SIMILARITY", 0.7, "MODEL.LINKER.MOMENTUM", 0.2])
    if name == "QuasiDenseLinker":
        cfg.merge_from_list(["MODEL.LINKER.MOMENTUM", 0.2])
    return cfg


def clips_of(frames: Scenario, window: int, overlap: int) -> list[tuple[int, Scenario]]:
    """Cut a scenario as the runner cuts videos: number of frames that are done, and the clip."""
    clips = [(0, frames[:window])]
    start = window - overlap
    while start + overlap < len(frames):
        clips.append((overlap, frames[start : start + window]))
        start += window - overlap
    return clips


def predict(
    clip: Scenario, rng: np.random.Generator, window: int, noise: float
) -> tuple[TubePrediction, list[int]]:
    """Return what a perfect segmenter says of a clip, and the object of each of its queries.

    Queries come in any order. What an object looks like is the mean over the frames that show it.
    """
    clip = clip + clip[-1:] * (window - len(clip))
    objects = sorted({number for frame in clip for number in frame})
    queries = [*objects, *[0] * NUM_SPARE]
    queries = [queries[i] for i in rng.permutation(len(queries))]
    masks = torch.full((len(queries), window, SIDE, SIDE), -5.0)
    embeds = rng.normal(size=(len(queries), CHANNELS)) * noise
    probs = np.full((len(queries), NUM_CLASSES + 1), 1e-4)
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    for query, number in enumerate(queries):
        probs[query, 0 if number else -1] = 0.95
        seen = [(t, frame[number]) for t, frame in enumerate(clip) if number in frame]
        for t, one in seen:
            inside = (abs(x - one.centre[0]) < one.half[0]) & (abs(y - one.centre[1]) < one.half[1])
            masks[query, t][torch.from_numpy(inside)] = 5.0
        if seen:
            embeds[query] += np.mean([one.look for _, one in seen], axis=0)
    logits = torch.from_numpy(np.log(probs)).float()[None]
    embeds = torch.from_numpy(embeds * LENGTH).float()[None]
    return TubePrediction(logits, masks[None], embeds), queries


def link(linker: Linker, entry: Entry, window: int, overlap: int) -> list[dict[int, int]]:
    """Return for each frame the identity that each object in it was given."""
    rng = np.random.default_rng(11)
    linker.reset()
    given: list[dict[int, int]] = []
    for num_done, clip in clips_of(entry.make(), window, overlap):
        prediction, queries = predict(clip, rng, window, entry.noise)
        identities = linker.link(prediction)
        identity_of = dict(zip(queries, identities.tolist(), strict=True))
        given += [{number: identity_of[number] for number in frame} for frame in clip[num_done:]]
    return given


def num_switches(given: list[dict[int, int]]) -> int:
    """Count how often an object has another identity than before, or one that another had.

    An object without identity counts as soon as it has one again.
    """
    identity_of: dict[int, int] = {}
    owner_of: dict[int, int] = {}
    count = 0
    for frame in given:
        for number, identity in frame.items():
            if identity == NOT_TRACKED:
                continue
            is_new = identity_of.get(number, identity) != identity
            is_taken = owner_of.get(identity, number) != number
            count += is_new or is_taken
        identity_of |= {n: i for n, i in frame.items() if i != NOT_TRACKED}
        owner_of |= {i: n for n, i in frame.items() if i != NOT_TRACKED}
    return count


def num_without_identity(given: list[dict[int, int]]) -> int:
    """Count how often an object that is there has no identity."""
    return sum(identity == NOT_TRACKED for frame in given for identity in frame.values())
