import threading

import pytest

from gvseg.inference.background import BackgroundWork


def test_work_is_done_in_order_before_the_block_ends():
    done = []
    with BackgroundWork(depth=2) as background:
        for index in range(50):
            background.do(lambda index=index: done.append(index))
    assert done == list(range(50))


def test_work_is_done_in_another_thread_and_no_more_than_depth_waits():
    may_go_on = threading.Event()
    names = []
    given = []

    def work():
        may_go_on.wait()
        names.append(threading.current_thread().name)

    def give(background):
        for index in range(6):
            background.do(work)
            given.append(index)

    with BackgroundWork(depth=2) as background:
        giver = threading.Thread(target=give, args=(background,))
        giver.start()
        giver.join(timeout=0.3)
        assert giver.is_alive()
        assert len(given) <= 3  # two wait, and one is in the thread's hand
        may_go_on.set()
        giver.join()
    assert names == ["background"] * 6


def test_error_ends_the_work_and_is_raised():
    done = []

    def fail():
        raise OSError("disk full")

    def give_all(background):
        background.do(fail)
        for index in range(10):
            background.do(lambda index=index: done.append(index))

    background = BackgroundWork(depth=1)
    with pytest.raises(OSError, match="disk full"), background:
        give_all(background)
    assert done == []


def test_error_of_the_last_piece_is_raised_at_the_end():
    def fail():
        raise OSError("disk full")

    background = BackgroundWork(depth=1)
    with pytest.raises(OSError, match="disk full"), background:
        background.do(fail)


def test_what_was_given_is_done_where_the_block_fails():
    done = []

    def fail_after_four(background):
        for index in range(4):
            background.do(lambda index=index: done.append(index))
        raise KeyError("frame")

    background = BackgroundWork(depth=4)
    with pytest.raises(KeyError, match="frame"), background:
        fail_after_four(background)
    assert done == [0, 1, 2, 3]
