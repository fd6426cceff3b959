from gvseg.inference.showing_order import ShowingOrder

STORED = (0, 4, 2, 1, 3, 8, 6, 5, 7)  # times, with two levels of frames out of order


def send(order, times):
    for time in times:
        order.send(time)


def test_nothing_is_missing_from_a_sound_video():
    order = ShowingOrder()
    for number, time in enumerate(STORED):
        order.send(time)
        if number >= 2:
            assert order.show(number - 2) == []
    assert [order.show(7), order.show(8)] == [[], []]
    assert order.finish() == []


def test_frame_that_fails_is_missing_before_the_next_later_one():
    order = ShowingOrder()
    send(order, STORED[:4])
    order.fail(2)
    assert [order.show(time) for time in (0, 1, 3, 4)] == [[], [], [2], []]
    send(order, STORED[5:])
    assert [order.show(time) for time in (5, 6, 7, 8)] == [[]] * 4


def test_frames_that_are_left_out_after_an_error_are_missing_too():
    order = ShowingOrder()
    send(order, STORED)
    order.fail(2)
    assert order.show(1) == [0]
    assert order.show(7) == [2, 3, 4, 5, 6]
    assert order.show(8) == []


def test_packets_without_a_frame_are_not_missed_in_a_sound_video():
    order = ShowingOrder()
    send(order, (0, 1, 2, 3))
    assert [order.show(1), order.show(3)] == [[], []]
    send(order, (4, 5))
    order.fail(4)
    assert order.show(5) == [4]


def test_frame_that_comes_after_it_was_missed_is_not_shown():
    order = ShowingOrder()
    send(order, STORED)
    order.fail(2)
    assert order.show(4) == [0, 1, 2, 3]
    assert order.show(3) is None
    assert order.show(5) == []


def test_times_that_start_anew_are_no_gap():
    """Recordings that were joined byte by byte."""
    order = ShowingOrder()
    send(order, (7, 8, 9, 0, 1, 2))
    assert [order.show(time) for time in (7, 8, 9, 0, 1, 2)] == [[]] * 6


def test_failures_at_the_end_are_missing_there():
    order = ShowingOrder()
    send(order, STORED)
    order.fail(8)
    order.fail(7)
    assert order.show(6) == [0, 1, 2, 3, 4, 5]
    assert order.finish() == [7, 8]


def test_nothing_is_shown_or_missed_after_the_end():
    order = ShowingOrder()
    send(order, STORED[:7])
    order.fail(3)
    assert [order.show(time) for time in (0, 1, 2)] == [[]] * 3
    order.end_before(6)
    assert [order.show(4), order.show(6), order.show(8)] == [[3], None, None]
    order.fail(8)
    assert order.finish() == []
