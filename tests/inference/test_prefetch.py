import threading
import time

import pytest

from gvseg.inference.prefetch import Prefetcher


def test_items_come_in_order():
    with Prefetcher(range(100), depth=3) as items:
        assert list(items) == list(range(100))


def test_error_is_raised_after_the_items_before_it():
    def failing():
        yield from range(3)
        raise OSError("frame 3 is gone")

    with Prefetcher(failing(), depth=10) as items:
        assert [next(items) for _ in range(3)] == [0, 1, 2]
        with pytest.raises(OSError, match="frame 3 is gone"):
            next(items)


def test_no_more_than_depth_items_are_made_ahead():
    made = []

    def counting():
        for index in range(100):
            made.append(index)
            yield index

    with Prefetcher(counting(), depth=4) as items:
        next(items)
        deadline = time.monotonic() + 5
        while len(made) < 6 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)  # would be enough to make many more
        # One was taken, four wait, one is in the thread's hand.
        assert len(made) == 6


def test_items_are_made_while_the_caller_works():
    made_by = []

    def recording():
        for _ in range(3):
            made_by.append(threading.current_thread())
            yield

    with Prefetcher(recording(), depth=1) as items:
        list(items)
    assert threading.current_thread() not in made_by


def test_leaving_waits_for_no_item_that_does_not_come(monkeypatch):
    monkeypatch.setattr("gvseg.inference.prefetch.SECONDS_TO_STOP", 0.1)
    comes = threading.Event()

    def stalled():
        yield 0
        comes.wait()

    def leave():
        with Prefetcher(stalled(), depth=2) as items:
            assert next(items) == 0

    leaving = threading.Thread(target=leave)
    leaving.start()
    leaving.join(timeout=30)
    has_left = not leaving.is_alive()
    comes.set()
    for thread in threading.enumerate():
        if thread.name == "prefetch":
            thread.join()
    assert has_left


def test_leaving_early_stops_the_thread():
    before = threading.active_count()
    with Prefetcher(iter(range(10**9)), depth=2) as items:
        assert next(items) == 0
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
