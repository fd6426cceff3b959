import time

import pytest

from gvseg.inference.stopwatch import Stopwatch


def test_time_is_added_up_by_stage():
    watch = Stopwatch()
    for _ in range(2):
        with watch.stage("network"):
            time.sleep(0.01)
    with watch.stage("write"):
        pass
    assert watch.seconds["network"] >= 0.02
    assert watch.seconds["write"] < 0.01


def test_time_of_a_failing_stage_counts():
    watch = Stopwatch()

    def fail():
        with watch.stage("write"):
            time.sleep(0.01)
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert watch.seconds["write"] >= 0.01


def test_making_items_counts_and_using_them_does_not():
    def slow():
        for index in range(3):
            time.sleep(0.01)
            yield index

    watch = Stopwatch()
    items = []
    for item in watch.each("read", slow()):
        items.append(item)
        time.sleep(0.05)
    assert items == [0, 1, 2]
    assert 0.03 <= watch.seconds["read"] < 0.13
