"""Objects that are pointed out in a painted video, found from then on."""

import numpy as np
import pytest
import torch

from gvseg.inference.frame_selection import select_frames
from gvseg.inference.sources import ArraySource
from tests.inference.followed_video import (
    BLUE,
    GREEN,
    RED,
    SIZE,
    ColorFollower,
    assert_found,
    dataset,  # noqa: F401  the classes of the predictor
    exemplar,
    frame,
    make_predictor,
    run,
)
from tests.inference.painted_video import COLORS, ColorSegmenter


@pytest.mark.parametrize("window", [1, 3])
@pytest.mark.parametrize("kind", ["mask", "box", "point"])
def test_object_keeps_its_identity_while_it_is_hidden(kind, window):
    predictor = make_predictor(window)
    assert predictor.add_exemplar(**exemplar(kind, RED, 0), frame_index=0) == 1
    for t, segments in enumerate(run(predictor)):
        assert_found(segments, {} if t in (4, 5) else {1: RED}, t)


@pytest.mark.parametrize("window", [1, 3])
def test_objects_are_looked_for_from_the_frame_that_shows_them(window):
    predictor = make_predictor(window)
    predictor.add_exemplar(**exemplar("box", BLUE, 7), frame_index=7)
    predictor.add_exemplar(**exemplar("point", GREEN, 1), frame_index=1)
    for t, segments in enumerate(run(predictor)):
        expected = {2: GREEN} if t >= 1 else {}
        if t >= 7:
            # Queries of objects that are known come before those of new ones.
            expected |= {1: BLUE}
        assert_found(segments, expected, t)


def test_step_by_step_with_objects_added_and_removed():
    predictor = make_predictor()
    assert len(predictor.step(frame(0))) == 0
    predictor.add_exemplar(**exemplar("point", RED, 1))
    assert_found(predictor.step(frame(1)), {1: RED}, 1)
    predictor.add_exemplar(**exemplar("mask", GREEN, 2))
    assert_found(predictor.step(frame(2)), {1: RED, 2: GREEN}, 2)
    predictor.remove_object(1)
    assert_found(predictor.step(frame(3)), {2: GREEN}, 3)
    predictor.reset()
    assert len(predictor.step(frame(0))) == 0


@pytest.mark.parametrize(("window", "overlap"), [(1, 0), (3, 0), (3, 1), (4, 3)])
def test_step_over_a_video_equals_run_over_it(window, overlap):
    ways = {}
    for way in ("run", "step"):
        predictor = make_predictor(window, overlap=overlap)
        predictor.add_exemplar(**exemplar("box", RED, 1), frame_index=1)
        predictor.add_exemplar(**exemplar("mask", GREEN, 4), frame_index=4)
        if way == "run":
            ways[way] = run(predictor)
        else:
            stepped = [predictor.step(frame(t)) for t in range(10)]
            ways[way] = stepped[window - 1 :] + predictor.flush()
    assert [segments.frame_index for segments in ways["run"]] == list(range(10))
    for ran, stepped in zip(ways["run"], ways["step"], strict=True):
        assert ran.frame_index == stepped.frame_index
        for name in ("ids", "scores", "index_map"):
            np.testing.assert_array_equal(getattr(ran, name), getattr(stepped, name))


@pytest.mark.parametrize("overlap", [1, 2])
def test_an_exemplar_in_a_frame_that_windows_share_is_read_once(overlap):
    model = ColorFollower()
    predictor = make_predictor(3, model=model, overlap=overlap)
    predictor.add_exemplar(**exemplar("box", RED, 2), frame_index=2)
    for _ in range(2):
        model.num_reads = 0
        for t, segments in enumerate(run(predictor)):
            assert_found(segments, {1: RED} if t in (2, 3, 6, 7, 8, 9) else {}, t)
        assert model.num_reads == 1


@pytest.mark.parametrize(("window", "overlap"), [(1, 0), (3, 0), (3, 1), (3, 2)])
@pytest.mark.parametrize("again", [6, 7, 8])
def test_object_pointed_out_anew_is_shown_in_every_frame(window, overlap, again):
    model = ColorFollower()
    predictor = make_predictor(window, overlap=overlap, model=model)
    predictor.add_exemplar(**exemplar("point", GREEN, 0), frame_index=0)
    predictor.add_exemplar(**exemplar("box", GREEN, again), frame_index=again, object_id=1)
    for t, segments in enumerate(run(predictor)):
        assert_found(segments, {1: GREEN}, t)
    assert set(model.asked) == {1}


@pytest.mark.parametrize(
    ("window", "overlap", "since"), [(1, 0, 7), (3, 0, 6), (3, 1, 7), (3, 2, 7)]
)
def test_object_is_what_was_pointed_out_last(window, overlap, since):
    """In turn where a window has several; in frame 8 are three, of which the last counts.

    The window that has frame 7 has frame 6 too, which another window did before where they overlap.
    """
    model = ColorFollower()
    predictor = make_predictor(window, overlap=overlap, model=model)
    for color, t in ((GREEN, 7), (RED, 0), (BLUE, 1), (BLUE, 8), (RED, 8)):
        predictor.add_exemplar(**exemplar("mask", color, t), frame_index=t, object_id=1)
    predictor.add_exemplar(**exemplar("point", GREEN, 8), frame_index=8, object_id=1)
    for t, segments in enumerate(run(predictor)):
        color = RED if t == 0 else BLUE if t < since else GREEN
        assert_found(segments, {1: color}, t)
    assert model.asked[-1] == 1  # what an object was before is not looked for any longer


def test_object_removed_in_the_middle_of_a_window_is_not_looked_for_in_the_next():
    predictor = make_predictor(3)
    predictor.add_exemplar(**exemplar("point", GREEN, 0), frame_index=0)
    predictor.add_exemplar(**exemplar("point", BLUE, 0), frame_index=0)
    found = []
    for _, segments in predictor.runner.run(ArraySource([frame(t) for t in range(6)])):
        if not found:
            predictor.remove_object(1)
        found.append(segments.ids.tolist())
    assert found == 3 * [[1, 2]] + 3 * [[2]]


@pytest.mark.parametrize("window", [1, 3])
def test_object_cannot_be_pointed_out_in_a_frame_that_is_done(window):
    predictor = make_predictor(window)
    for t in range(window - 1):
        predictor.step(frame(t))
    predictor.add_exemplar(**exemplar("point", GREEN, 0), frame_index=0)  # is not segmented yet
    found = [predictor.step(frame(window - 1))]
    message = rf"Object 2 is pointed out in frame 0, .* from {window} on are still to come"
    with pytest.raises(ValueError, match=message):
        predictor.add_exemplar(**exemplar("point", BLUE, 0), frame_index=0)
    assert predictor.add_exemplar(**exemplar("point", BLUE, window), frame_index=window) == 2
    found += [predictor.step(frame(window)), *predictor.flush()]
    for t, segments in enumerate(part for part in found if part is not None):
        assert_found(segments, {1: GREEN} if t < window else {1: GREEN, 2: BLUE}, t)


def test_another_video_may_have_exemplars_in_any_frame():
    predictor = make_predictor()
    predictor.add_exemplar(**exemplar("point", RED, 0), frame_index=0)

    def broken():
        yield from (frame(t) for t in range(4))
        raise OSError("Frame 4 is unreadable.")

    with pytest.raises(OSError, match="unreadable"):
        predictor.run(broken())
    predictor.add_exemplar(**exemplar("point", GREEN, 1), frame_index=1)
    found = run(predictor, 4)
    assert [segments.ids.tolist() for segments in found] == [[1], [1, 2], [1, 2], [1, 2]]
    predictor.add_exemplar(**exemplar("point", BLUE, 0))  # by default where a video begins
    found = run(predictor, 2)
    assert [segments.ids.tolist() for segments in found] == [[1, 3], [1, 3, 2]]


@pytest.mark.parametrize("end", ["flush", "reset"])
def test_after_its_end_a_video_may_have_exemplars_in_any_frame(end):
    predictor = make_predictor()
    predictor.step(frame(0))
    getattr(predictor, end)()
    predictor.add_exemplar(**exemplar("point", GREEN, 0), frame_index=0)
    assert_found(predictor.step(frame(0)), {1: GREEN}, 0)


@pytest.mark.parametrize("window", [1, 3])
def test_exemplars_in_frames_that_do_not_come_are_told_of(window, caplog):
    """Frames 0, 2, 4, 6: number 3 is left out and 9 is beyond the end."""
    predictor = make_predictor(window)
    for t, color in ((0, RED), (3, GREEN), (6, BLUE), (9, GREEN)):
        predictor.add_exemplar(**exemplar("point", color, t), frame_index=t)
    images = [frame(t) for t in range(8)]
    source = select_frames(ArraySource(images), start=0, end=None, every=2)
    with caplog.at_level("WARNING"):
        assert predictor.run(source).num_frames == 4
    (record,) = caplog.records
    assert record.getMessage() == (
        "Objects were pointed out in frames that the video did not have: object 2 in frame 3, "
        "object 4 in frame 9. Its last frame was 6."
    )


def test_objects_that_were_never_found_are_told_of(caplog):
    """No probability of the segmenter is 1, but a mask that was given stands."""
    predictor = make_predictor(3, MIN_SCORE=1.0)
    predictor.add_exemplar(**exemplar("point", GREEN, 1), frame_index=1)
    predictor.add_exemplar(**exemplar("mask", BLUE, 2), frame_index=2)
    with caplog.at_level("WARNING"):
        run(predictor, 5)
    (record,) = caplog.records
    assert record.getMessage() == (
        "Pointed out but found in no frame: object 1. MODEL.GVSEG.TEST.EXEMPLAR.MIN_SCORE is 1; "
        "below it less likely ones are shown."
    )


def test_exemplars_that_were_all_found_are_not_told_of(caplog):
    predictor = make_predictor(3)
    predictor.add_exemplar(**exemplar("point", GREEN, 4), frame_index=4)
    for _ in range(2):
        run(predictor, 5)
    predictor.flush()
    assert caplog.records == []


def test_mask_that_was_given_stands_in_its_frame():
    predictor = make_predictor()
    drawn = np.zeros(SIZE, dtype=bool)
    drawn[10:20, 2:14] = True  # inside the red box, and smaller
    predictor.add_exemplar(mask=drawn, frame_index=0)
    first, second = run(predictor, 2)
    np.testing.assert_array_equal(first.mask(0), drawn)
    assert first.scores.tolist() == [1.0]
    assert_found(second, {1: RED}, 1)


def started_from(first_weight):
    """What the query of an object starts from in the second frame.

    It was pointed out by a box that reaches beyond it, and then found without what is around it.
    """

    class Recorder(ColorFollower):
        def segment_clip(self, frames, requests=()):
            self.known = requests[0].known
            return super().segment_clip(frames, requests)

    model = Recorder()
    predictor = make_predictor(model=model, FIRST_WEIGHT=first_weight, MOMENTUM=0.0)
    predictor.add_exemplar(box=(0, 8, 18, 24))
    for t in range(2):
        predictor.step(frame(t))
    return model.known.features


def test_query_starts_from_exemplar_and_what_was_found_since_by_weight():
    found, exemplars, both = (started_from(weight) for weight in (0.0, 1.0, 0.25))
    torch.testing.assert_close(found, torch.tensor([COLORS[RED]]).float())
    assert (found - exemplars).norm() > 5
    torch.testing.assert_close(both, 0.25 * exemplars + 0.75 * found)


@pytest.mark.parametrize("window", [1, 3])
def test_after_a_step_that_failed_there_is_no_other_until_the_reset(window):
    predictor = make_predictor(window)
    predictor.add_exemplar(point=(9000, 5))
    for t in range(window - 1):
        predictor.step(frame(t))
    with pytest.raises(ValueError, match="9000"):
        predictor.step(frame(window - 1))
    with pytest.raises(ValueError, match=r"failed; call reset\(\)"):
        predictor.step(frame(window))
    predictor.reset()
    predictor.add_exemplar(**exemplar("box", RED, 0))
    found = [predictor.step(frame(t)) for t in range(window)]
    assert_found(found[-1], {1: RED}, 0)


@pytest.mark.parametrize("key", ["FIRST_WEIGHT", "MOMENTUM", "MIN_SCORE"])
def test_options_beyond_their_range_are_refused(key):
    with pytest.raises(ValueError, match=rf"EXEMPLAR\.{key} is 1\.5; it must lie in 0\.\.1"):
        make_predictor(**{key: 1.5})


def test_runs_are_alike_and_what_is_kept_does_not_grow():
    model = ColorFollower()
    predictor = make_predictor(model=model)
    predictor.add_exemplar(**exemplar("box", GREEN, 0), frame_index=0)
    once, twice = run(predictor), run(predictor)
    for first, second in zip(once, twice, strict=True):
        np.testing.assert_array_equal(first.index_map, second.index_map)
    assert set(model.asked) == {1}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "one of mask, box and point; 0 are given"),
        ({"point": (1, 1), "box": (0, 0, 2, 2)}, "2 are given"),
        ({"mask": np.zeros(SIZE, dtype=bool)}, "at least one pixel"),
        ({"box": (5, 5, 5, 9)}, "left, top, right and bottom"),
        ({"point": (1, 2, 3)}, "give x and y"),
        ({"point": (1, 2), "object_id": 0}, "objects count from 1"),
    ],
)
def test_bad_exemplars_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        make_predictor().add_exemplar(**given)


def test_exemplars_belong_to_their_task_and_are_needed_there():
    with pytest.raises(ValueError, match=r"for the task evs, but MODEL\.GVSEG\.TASK is vis"):
        make_predictor(task="vis", model=ColorSegmenter()).add_exemplar(point=(1, 1))
    with pytest.raises(ValueError, match="call add_exemplar"):
        make_predictor().run([frame(0)])
    with pytest.raises(ValueError, match="no object 4 to remove; known are none"):
        make_predictor().remove_object(4)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"mask": np.ones((5, 6), dtype=bool)}, r"mask of object 1 in frame 0 has 5x6, .* 64x96"),
        ({"point": (97, 3)}, r"point of object 1 in frame 0 is \[97\.0, 3\.0\], .* 64x96"),
        ({"box": (-1, 0, 5, 5)}, r"box of object 1 in frame 0 is \[-1\.0, 0\.0, 5\.0, 5\.0\]"),
    ],
)
def test_exemplars_that_do_not_fit_the_frame_are_named(given, message):
    predictor = make_predictor()
    predictor.add_exemplar(**given)
    with pytest.raises(ValueError, match=message):
        predictor.step(frame(0))
