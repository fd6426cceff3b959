"""A run that is stopped and resumed ends as one that is not."""

import numpy as np
import pytest

from detectron2.data import MetadataCatalog

from gvseg.inference import journal as journal_module
from gvseg.inference.journal import Journal
from tests.benchmarks.bench_linkers import COLUMNS
from tests.inference import followed_video as followed
from tests.inference.hand_made_tracks import SCENARIOS, clips_of, link, make_linker, predict


@pytest.fixture
def dataset():
    MetadataCatalog.get(followed.DATASET).set(thing_classes=["object"], thing_colors=[[9, 9, 9]])
    yield
    MetadataCatalog.remove(followed.DATASET)


class Restored:
    """A linker that another one goes on from after every clip."""

    def __init__(self, make):
        self.make = make

    def reset(self):
        self.linker = self.make()

    def link(self, prediction):
        identities = self.linker.link(prediction)
        state = {name: array.copy() for name, array in self.linker.state().items()}
        self.linker = self.make()
        self.linker.restore(state)
        return identities


@pytest.mark.parametrize("scenario", ["births and deaths", "hidden for 8 frames", "fast motion"])
@pytest.mark.parametrize(
    ("heading", "name", "window", "overlap"), COLUMNS, ids=[column[0] for column in COLUMNS]
)
def test_restored_linkers_go_on_as_one(heading, name, window, overlap, scenario):
    entry = SCENARIOS[scenario]
    expected = link(make_linker(name, overlap=overlap), entry, window, overlap)
    assert len({identity for frame in expected for identity in frame.values()}) > 1
    restored = Restored(lambda: make_linker(name, overlap=overlap))
    assert link(restored, entry, window, overlap) == expected
    assert restored.linker.num_identities > 1


def test_state_of_a_linker_is_what_it_remembers():
    linker = make_linker("LocationAwareLinker", overlap=1)
    entry = SCENARIOS["crossing"]
    for _, clip in clips_of(entry.make(), 3, 1)[:2]:
        linker.link(predict(clip, np.random.default_rng(0), 3, entry.noise)[0])
    state = linker.state()
    num_tracks = len(state["ids"])
    assert num_tracks == linker.num_identities > 0
    assert set(state) == {
        *("ids", "ages", "count", "memory.overlap.masks"),
        *("memory.long_term.boxes", "memory.long_term.speeds"),
        "memory.long_term.appearance.embeds",
    }
    assert all(len(array) == num_tracks for name, array in state.items() if name != "count")


class Collector:
    """A writer that remembers what it was given."""

    def __init__(self):
        self.files = []

    def open(self, video):
        self.results = []

    def write(self, frame, segments):
        self.results.append((frame, segments))

    def close(self):
        assert self.results


class Counted(followed.ColorFollower):
    """Counts windows, and is stopped after some."""

    def __init__(self, limit=None):
        super().__init__()
        self.num_windows = 0
        self.limit = limit

    def segment_clip(self, frames, requests=()):
        if self.num_windows == self.limit:
            raise KeyboardInterrupt
        self.num_windows += 1
        return super().segment_clip(frames, requests)


@pytest.mark.usefixtures("dataset")
@pytest.mark.parametrize("limit", [0, 1, 2, 3])
@pytest.mark.parametrize(("window", "overlap"), [(1, 0), (3, 0), (3, 1)])
def test_exemplars_of_a_stopped_run_are_followed_on(tmp_path, monkeypatch, window, overlap, limit):
    monkeypatch.setattr(journal_module, "SECONDS_BETWEEN_STATES", 0.0)
    frames = [followed.frame(t) for t in range(10)]

    def point_out(predictor):
        predictor.add_exemplar(**followed.exemplar("point", followed.RED, 0), frame_index=0)
        predictor.add_exemplar(**followed.exemplar("mask", followed.BLUE, 6), frame_index=6)
        predictor.add_exemplar(**followed.exemplar("box", followed.GREEN, 1), frame_index=1)
        anew = followed.exemplar("point", followed.GREEN, 7)
        predictor.add_exemplar(**anew, frame_index=7, object_id=3)
        return predictor

    def make(limit=None):
        model = Counted(limit)
        return point_out(followed.make_predictor(window, overlap=overlap, model=model))

    whole, second = Collector(), Collector()
    unbroken, resumed = make(), make()
    unbroken.run(frames, [whole])
    with pytest.raises(KeyboardInterrupt):
        make(limit).run(frames, journal=Journal(tmp_path, {}))
    journal = Journal(tmp_path, {}, resume=True)
    num_resumed = journal.num_frames
    assert (num_resumed > 0) == (limit > 0)
    summary = resumed.run(frames, [second], journal=journal)
    assert (summary.num_frames, summary.num_resumed) == (10, num_resumed)
    assert resumed.runner.model.num_windows == unbroken.runner.model.num_windows - limit
    for (frame, segments), (other, expected) in zip(second.results, whole.results, strict=True):
        np.testing.assert_array_equal(frame.image, other.image)
        assert segments.frame_index == expected.frame_index
        for name in ("ids", "classes", "scores", "masks"):
            np.testing.assert_array_equal(getattr(segments, name), getattr(expected, name))


@pytest.mark.usefixtures("dataset")
def test_another_video_is_not_resumed(tmp_path, monkeypatch):
    monkeypatch.setattr(journal_module, "SECONDS_BETWEEN_STATES", 0.0)
    stopped = followed.make_predictor(model=Counted(5))
    stopped.add_exemplar(**followed.exemplar("point", followed.RED, 0))
    frames = [followed.frame(t) for t in range(10)]
    with pytest.raises(KeyboardInterrupt):
        stopped.run(frames, journal=Journal(tmp_path, {}))
    resumed = followed.make_predictor()
    resumed.add_exemplar(**followed.exemplar("point", followed.RED, 0))
    with pytest.raises(ValueError, match=r"The video ends or has gaps before frame 3"):
        resumed.run(frames[:3], journal=Journal(tmp_path, {}, resume=True))
