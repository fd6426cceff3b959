"""What each linker is good for and what it cannot do, on tracks made by hand."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from gvseg.inference.linking import LINKERS
from tests.benchmarks.bench_linkers import (
    COLUMNS,
    WEIGHTS,
    table,
    table_of_weights,
    weighted_linker,
)
from tests.inference.hand_made_tracks import (
    NUM_SPARE,
    SCENARIOS,
    Entry,
    clips_of,
    link,
    make_linker,
    num_switches,
    num_without_identity,
    occlusion,
)

PAGE = Path(__file__).parents[2] / "docs" / "linkers.md"
LOOKS_ALONE = {"look-alikes", "look-alikes that cross", "look-alikes, blurred"}
# Scenarios in which a linker errs, by the heading of its column.
LIMITS = {
    "QuerySimilarity": LOOKS_ALONE | {"hidden for 12 frames", "sudden change of looks"},
    "ShapePosition": {"look-alikes, blurred", "hidden for 12 frames", "sudden change of looks"},
    "LocationAware": {
        "hidden for 12 frames",
        "leaving and returning",
        "sudden change of looks",
        "fast motion",
    },
    "QuasiDense": LOOKS_ALONE
    | {
        "hidden for 12 frames",
        "births and deaths",
        "one leaves as one enters",
        "sudden change of looks",
    },
    "QuerySimilarity, clips of 3": LOOKS_ALONE | {"sudden change of looks"},
    "VideoStitching, 3 sharing 1": {
        "hidden for 3 frames",
        "hidden for 8 frames",
        "hidden for 12 frames",
        "leaving and returning",
    },
    "LocationAware, 3 sharing 1": {"leaving and returning"},
}


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize(
    ("heading", "name", "window", "overlap"), COLUMNS, ids=[column[0] for column in COLUMNS]
)
def test_linker_errs_where_it_is_known_to(heading, name, window, overlap, scenario):
    given = link(make_linker(name, overlap=overlap), SCENARIOS[scenario], window, overlap)
    assert (num_switches(given) > 0) == (scenario in LIMITS[heading])
    assert num_without_identity(given) == 0  # each object is found, and as sure as can be


@pytest.mark.parametrize("num_hidden", range(1, 13))
@pytest.mark.parametrize(
    "name",
    ["QuerySimilarityLinker", "ShapePositionLinker", "LocationAwareLinker", "QuasiDenseLinker"],
)
def test_a_hidden_object_keeps_its_identity_for_max_age_frames(name, num_hidden):
    given = link(make_linker(name), Entry(lambda: occlusion(num_hidden)), 1, 0)
    assert num_switches(given) == (num_hidden > 10)  # MAX_AGE


def test_every_linker_has_a_column_and_a_paragraph():
    names = {name for name, _ in LINKERS}
    assert {name for _, name, *_ in COLUMNS} == names
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in names)


def test_the_table_of_the_documentation_is_what_is_measured():
    page = PAGE.read_text(encoding="utf-8")
    assert table() in page
    assert table_of_weights() in page


@pytest.mark.parametrize("scenario", sorted(set(SCENARIOS) - LOOKS_ALONE))
def test_weight_of_descriptors_matters_to_look_alikes_alone(scenario):
    """As docs/linkers.md says."""
    entry = SCENARIOS[scenario]
    counts = {num_switches(link(weighted_linker(weight), entry, 1, 0)) for weight in WEIGHTS}
    assert len(counts) == 1


def test_switches_are_counted():
    """2 becomes 3; then 1 and 2 swap, which counts twice; 7 is new and takes an identity of 1."""
    frames = [{1: 1, 2: 2}, {1: 1, 2: 3}, {1: 3, 2: 1}, {1: -1, 2: 1}, {7: 3}]
    assert [num_switches(frames[: n + 1]) for n in range(5)] == [0, 1, 3, 3, 4]
    assert num_without_identity(frames) == 1


@pytest.mark.parametrize(("window", "overlap"), [(1, 0), (3, 0), (3, 1), (4, 3), (40, 0)])
def test_clips_cover_each_frame_once(window, overlap):
    frames = SCENARIOS["crossing"].make()
    clips = clips_of(frames, window, overlap)
    assert [frame for num_done, clip in clips for frame in clip[num_done:]] == frames
    for (_, before), (num_done, clip) in itertools.pairwise(clips):
        assert clip[:num_done] == before[len(before) - num_done :]


@pytest.mark.parametrize(("name", "overlap"), [(name, o) for _, name, _, o in COLUMNS])
def test_spare_queries_are_no_objects(name, overlap):
    linker = make_linker(name, overlap=overlap)
    link(linker, SCENARIOS["crossing"], 3 if overlap else 1, overlap)
    assert linker.num_identities == 2
    assert NUM_SPARE > 0


def test_linkers_forget_on_reset():
    for _, name, window, overlap in COLUMNS:
        linker = make_linker(name, overlap=overlap)
        once, twice = (link(linker, SCENARIOS["crossing"], window, overlap) for _ in range(2))
        np.testing.assert_equal(once, twice)
