"""Print how often each linker errs on tracks made by hand, as `docs/linkers.md` shows.

python -m tests.benchmarks.bench_linkers
"""

import sys

from tests.inference.hand_made_tracks import SCENARIOS, link, make_linker, num_switches

# Heading, name, WINDOW and OVERLAP.
COLUMNS = (
    ("QuerySimilarity", "QuerySimilarityLinker", 1, 0),
    ("ShapePosition", "ShapePositionLinker", 1, 0),
    ("LocationAware", "LocationAwareLinker", 1, 0),
    ("QuasiDense", "QuasiDenseLinker", 1, 0),
    ("QuerySimilarity, clips of 3", "QuerySimilarityLinker", 3, 0),
    ("VideoStitching, 3 sharing 1", "VideoStitchingLinker", 3, 1),
    ("LocationAware, 3 sharing 1", "LocationAwareLinker", 3, 1),
)


def table() -> str:
    """Return the table in Markdown."""
    lines = [["scenario", *(heading for heading, *_ in COLUMNS)], ["---"] * (len(COLUMNS) + 1)]
    for scenario, entry in SCENARIOS.items():
        counts = [
            num_switches(link(make_linker(name, overlap=overlap), entry, window, overlap))
            for _, name, window, overlap in COLUMNS
        ]
        lines.append([scenario, *map(str, counts)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(table() + "\n")
