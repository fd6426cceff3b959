import json

import numpy as np
import pytest

from gvseg.inference.journal import Journal, decode_segments, encode_segments
from gvseg.structures import FrameSegments
from tests.inference.painted_video import crossing_video, true_segments
from tests.limited_files import files_limited_to

ABOUT = {"input": "a.mp4", "start": "0"}


def begun(folder, about=ABOUT, **options):
    """A journal at the beginning of a run."""
    journal = Journal(folder, about, **options)
    journal.begin()
    return journal


def assert_same(first, second):
    assert first.frame_index == second.frame_index
    for name in ("ids", "classes", "scores", "masks", "index_map"):
        array, other = getattr(first, name), getattr(second, name)
        assert (array is None) == (other is None)
        if array is not None:
            assert array.dtype == other.dtype
            np.testing.assert_array_equal(array, other)


def segments_of(num_frames, *, as_map=False):
    return [
        true_segments(image, index, as_map=as_map)
        for index, image in enumerate(crossing_video(num_frames))
    ]


@pytest.mark.parametrize("as_map", [False, True])
def test_segments_come_back_to_the_bit(as_map):
    rng = np.random.default_rng(1)
    classes = np.array([3, 0, 7])
    masks = rng.random((3, 33, 47)) < 0.5
    masks[1] = False
    index_map = rng.integers(-1, 3, (33, 47)).astype(np.int16)
    segments = FrameSegments(
        frame_index=12,
        ids=np.array([2**40, 5, 6]),
        classes=classes,
        scores=rng.random(3).astype(np.float32),
        masks=None if as_map else masks,
        index_map=index_map if as_map else None,
    )
    assert_same(decode_segments(encode_segments(segments)), segments)


@pytest.mark.parametrize("as_map", [False, True])
def test_frame_without_segments_comes_back(as_map):
    empty = np.empty(0, np.int64)
    segments = FrameSegments(
        frame_index=0,
        ids=empty,
        classes=empty,
        scores=np.empty(0, np.float32),
        masks=None if as_map else np.zeros((0, 20, 30), bool),
        index_map=np.full((20, 30), -1, np.int16) if as_map else None,
    )
    assert_same(decode_segments(encode_segments(segments)), segments)


def test_frames_up_to_the_last_state_are_found_again(tmp_path):
    frames = segments_of(6)
    journal = begun(tmp_path)
    for segments in frames[:4]:
        journal.add(segments)
    journal.save({"ids": np.array([1, 2])})
    for segments in frames[4:]:
        journal.add(segments)
    again = Journal(tmp_path, ABOUT, resume=True)  # the first was killed, so never closed
    assert again.num_frames == 4
    np.testing.assert_array_equal(again.state["ids"], [1, 2])
    for found, expected in zip(again.found(), frames[:4], strict=True):
        assert_same(found, expected)

    for segments in frames[4:]:
        again.add(segments)
    again.save({"ids": np.array([3])})
    again.close()
    last = Journal(tmp_path, ABOUT, resume=True)
    for found, expected in zip(last.found(), frames, strict=True):
        assert_same(found, expected)


def test_finished_run_leaves_a_report_alone(tmp_path):
    journal = begun(tmp_path)
    journal.add(segments_of(1)[0])
    journal.finish({"frames": 1})
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
    assert Journal(tmp_path, ABOUT, resume=True).is_done


def test_a_run_that_was_stopped_is_not_written_over_by_mistake(tmp_path):
    journal = begun(tmp_path)
    journal.add(segments_of(1)[0])
    journal.save({})
    journal.close()
    with pytest.raises(ValueError, match=r"was stopped and can go on: .* --resume"):
        Journal(tmp_path, ABOUT)
    Journal(tmp_path, ABOUT, overwrite=True)  # and never begun: the model was missing, say
    assert Journal(tmp_path, ABOUT, resume=True).num_frames == 1
    anew = begun(tmp_path, overwrite=True)
    assert anew.num_frames == 0
    anew.close()
    assert Journal(tmp_path, ABOUT, resume=True).num_frames == 0


@pytest.mark.parametrize("is_finished", [False, True])
def test_what_an_earlier_run_wrote_goes_and_nothing_else(tmp_path, is_finished):
    (tmp_path / "frames" / "morning").mkdir(parents=True)
    theirs = [
        *(tmp_path / "frames" / name for name in ("notes.png", "3.png", "morning/00003.png")),
        tmp_path / "00003.png",
    ]
    ours = [tmp_path / "frames" / "00003.png", tmp_path / "overlay.mp4"]
    for path in (*theirs, *ours):
        path.write_bytes(b"x")
    journal = begun(tmp_path)
    journal.note([tmp_path / "frames", tmp_path / "overlay.mp4"])
    if is_finished:
        journal.finish({}, [tmp_path / "frames", tmp_path / "overlay.mp4"])
        assert not Journal(tmp_path, ABOUT).is_done
    assert all(path.exists() for path in ours)
    begun(tmp_path)
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in theirs)


def test_resume_without_an_earlier_run_begins(tmp_path):
    journal = begun(tmp_path / "new", resume=True)
    assert (journal.num_frames, journal.is_done) == (0, False)


@pytest.mark.parametrize("is_finished", [False, True])
def test_another_run_is_not_resumed(tmp_path, is_finished):
    journal = begun(tmp_path)
    if is_finished:
        journal.finish({})
    with pytest.raises(ValueError, match=r"its input was a\.mp4, now it is b\.mp4"):
        Journal(tmp_path, ABOUT | {"input": "b.mp4"}, resume=True)


def test_records_that_were_cut_off_are_named(tmp_path):
    journal = begun(tmp_path)
    journal.add(segments_of(1)[0])
    journal.save({})
    journal.close()
    records = tmp_path / ".run" / "frames.bin"
    records.write_bytes(records.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"frames\.bin is cut off"):
        Journal(tmp_path, ABOUT, resume=True)


def test_full_disk_is_told_and_leaves_the_state_before(tmp_path):
    journal = begun(tmp_path)
    for segments in segments_of(5):
        journal.add(segments)
    journal.save({"seen": np.arange(3)})
    size = (tmp_path / ".run" / "frames.bin").stat().st_size
    full = "cannot be written: File too large; make"
    with files_limited_to(size + 100):
        with pytest.raises(OSError, match=rf"frames\.bin {full}"):
            journal.add(segments_of(1)[0])
        with pytest.raises(OSError, match=rf"state\.npz {full}"):
            journal.save({"seen": np.zeros(size)})
    journal.close()
    resumed = Journal(tmp_path, ABOUT, resume=True)
    assert resumed.state["seen"].tolist() == [0, 1, 2]
    for found, segments in zip(resumed.found(), segments_of(5), strict=True):
        assert_same(found, segments)


def test_a_report_does_not_take_away_what_lies_elsewhere(tmp_path):
    precious = tmp_path / "precious.mp4"
    precious.write_bytes(b"x")
    (tmp_path / "out").mkdir()
    names = ["../precious.mp4", str(precious)]
    (tmp_path / "out" / "run.json").write_text(json.dumps({"files": names}))
    begun(tmp_path / "out")
    assert precious.exists()


def test_a_setting_that_one_of_two_runs_has_is_named(tmp_path):
    before = {"config": {"SEED": 1}}
    Journal(tmp_path, before).begin()
    now = {"config": {"SEED": 1, "EXTRA": None}}
    with pytest.raises(ValueError, match="its EXTRA was not set, now it is None"):
        Journal(tmp_path, now, resume=True)
