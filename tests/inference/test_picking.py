"""Picking with the mouse, with a window that a test stands in for."""

import cv2
import numpy as np
import pytest

from gvseg.inference import picking
from gvseg.inference.exemplar_options import PointedOut
from gvseg.inference.frames import Frame
from gvseg.inference.picking import Picker, check_display, pick
from gvseg.visualization import identity_color

FRAME = Frame(3, None, np.zeros((40, 60, 3), np.uint8))


def drag(picker, start, end):
    picker.on_mouse(cv2.EVENT_LBUTTONDOWN, *start)
    picker.on_mouse(cv2.EVENT_MOUSEMOVE, *end)
    picker.on_mouse(cv2.EVENT_LBUTTONUP, *end)


def test_click_is_a_point_and_drag_a_box_in_the_frame():
    picker = Picker(FRAME)
    drag(picker, (10, 12), (11, 12))
    drag(picker, (50, 30), (20, 5))
    drag(picker, (30, 20), (99, 99))  # out of the window
    assert picker.exemplars == [
        PointedOut(3, point=(11.5, 12.5)),
        PointedOut(3, box=(20, 5, 51, 31)),
        PointedOut(3, box=(30, 20, 60, 40)),
    ]
    picker.undo()
    assert len(picker.exemplars) == 2
    assert tuple(picker.picture()[12, 11]) == identity_color(1)
    assert tuple(picker.picture()[5, 30]) == identity_color(2)
    assert not FRAME.image.any()


@pytest.fixture
def window(monkeypatch):
    """Keys that are pressed, each after a click at (5, 6)."""
    keys = []
    monkeypatch.setattr(picking, "check_display", lambda: None)
    for name in ("namedWindow", "imshow", "destroyWindow"):
        monkeypatch.setattr(cv2, name, lambda *arguments: None)

    def wait(milliseconds):
        drag(window.picker, (5, 6), (5, 6))
        return keys.pop(0)

    def window(key):
        keys.append(key)

    monkeypatch.setattr(cv2, "waitKey", wait)
    monkeypatch.setattr(
        cv2, "setMouseCallback", lambda _, call: setattr(window, "picker", call.__self__)
    )
    return window


def test_enter_goes_on_with_what_was_pointed_out(window):
    for key in (-1, ord("u"), 13):
        window(key)
    assert pick(FRAME) == [PointedOut(3, point=(5.5, 6.5))] * 2


def test_escape_stops(window):
    window(27)
    with pytest.raises(KeyboardInterrupt):
        pick(FRAME)


def test_nothing_pointed_out_is_refused(window, monkeypatch):
    monkeypatch.setattr(cv2, "waitKey", lambda _: 13)
    with pytest.raises(ValueError, match="Nothing was pointed out"):
        pick(FRAME)


def test_opencv_without_windows_is_told(monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:      NONE\n")
    with pytest.raises(OSError, match="opencv-python-headless lacks; install opencv-python"):
        check_display()


def test_missing_display_is_told(monkeypatch):
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:      GTK3\n")
    monkeypatch.setattr("sys.platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(OSError, match="needs a display and there is none"):
        check_display()
    monkeypatch.setenv("DISPLAY", ":0")
    check_display()
