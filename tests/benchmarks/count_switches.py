"""Count how often people of the bundled clip change their identity in what the demo found.

python demo/demo.py --max-frames 60 --output result
python -m tests.benchmarks.count_switches result

Seven people were marked by eye, a point on the body of each every five to ten frames, between which
it moves evenly. Where it lies in a mask, or within 4 pixels of it, the person has the identity of
that mask, of the smallest of several. A switch is an identity other than the one that the same
person had last.
"""

import argparse
import itertools
import json
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

PEOPLE = Path(__file__).parent / "pedestrians.json"
NUM_FRAMES = 60  # that are marked
REACH = 4  # pixels


def read_people() -> dict[str, dict[int, tuple[float, float]]]:
    """Return for each person the frames in view and where it is in them, x and y in pixels."""
    people = {}
    for name, about in json.loads(PEOPLE.read_text())["people"].items():
        frames, points = zip(*((mark[0], mark[1:]) for mark in about["marks"]), strict=True)
        hidden = set(about.get("hidden", []))
        people[name] = {
            frame: tuple(float(np.interp(frame, frames, xs)) for xs in zip(*points, strict=True))
            for frame in range(frames[0], frames[-1] + 1)
            if frame not in hidden
        }
    return people


def read_masks(folder: Path) -> list[list[tuple[int, int, np.ndarray]]]:
    """Return for each frame the area, identity and mask, made larger by the reach, of objects."""
    kernel = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
    frames = json.loads((folder / "segments.json").read_text())["frames"]
    if len(frames) < NUM_FRAMES:
        raise SystemExit(f"{folder} has {len(frames)} frames, but {NUM_FRAMES} are marked.")
    found = []
    for frame in frames:
        masks = [coco_mask.decode(segment["segmentation"]) for segment in frame["segments"]]
        identities = [segment["identity"] for segment in frame["segments"]]
        found.append(
            [
                (int(mask.sum()), identity, cv2.dilate(mask, kernel))
                for identity, mask in zip(identities, masks, strict=True)
            ]
        )
    return found


def identities_of(
    people: dict[str, dict[int, tuple[float, float]]],
    masks: list[list[tuple[int, int, np.ndarray]]],
) -> dict[str, dict[int, int | None]]:
    """Return the identity of each person in each frame in view, None where it was not found."""
    found: dict[str, dict[int, int | None]] = {}
    for name, places in people.items():
        found[name] = {}
        for frame, (x, y) in places.items():
            hits = [(area, one) for area, one, mask in masks[frame] if mask[round(y), round(x)]]
            found[name][frame] = min(hits)[1] if hits else None
    return found


def num_switches(identities: dict[int, int | None]) -> int:
    """Return how often a person's identity is not the one it had last."""
    seen = [identity for identity in identities.values() if identity is not None]
    return sum(before != after for before, after in itertools.pairwise(seen))


def num_shared(found: dict[str, dict[int, int | None]]) -> int:
    """Return how many times a person has no mask of its own, but one with another."""
    counts = Counter(
        (frame, identity)
        for identities in found.values()
        for frame, identity in identities.items()
        if identity is not None
    )
    return sum(count - 1 for count in counts.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the output of the demo, 60 frames or more")
    found = identities_of(read_people(), read_masks(parser.parse_args().folder))
    lines = []
    for name, identities in found.items():
        runs = [
            (identity, [frame for frame, _ in run])
            for identity, run in itertools.groupby(identities.items(), key=lambda item: item[1])
        ]
        shown = ", ".join(f"{identity or '-'} ({run[0]}..{run[-1]})" for identity, run in runs)
        lines.append(f"{name}: {num_switches(identities)} switches: {shown}")
    total = sum(len(identities) for identities in found.values())
    missed = sum(list(identities.values()).count(None) for identities in found.values())
    switches = sum(num_switches(identities) for identities in found.values())
    lines.append(
        f"{switches} switches; of {total} times that a person is in view, {missed} are not found "
        f"and {num_shared(found)} share a mask with another person"
    )
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
