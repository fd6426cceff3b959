"""Objects pointed out with the mouse, in a window that shows a frame."""

from __future__ import annotations

import os
import re
import sys

import cv2
import numpy as np

from gvseg.inference.exemplar_options import PointedOut
from gvseg.inference.frames import Frame
from gvseg.visualization import identity_color

WINDOW = "gvseg: click or drag a box, u undoes, Enter goes on, Esc stops"
SMALLEST_BOX = 4  # pixels; a shorter drag is a click
ENTER, ESCAPE = (10, 13), 27
MILLISECONDS = 30  # between looks at the keyboard


class Picker:
    """Turns what the mouse does into exemplars, and shows them.

    Args:
        frame: in which objects are pointed out.
    """

    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.exemplars: list[PointedOut] = []
        self._start: tuple[int, int] | None = None
        self._end = (0, 0)

    def on_mouse(self, event: int, x: int, y: int, flags: int = 0, data: object = None) -> None:
        """Take in an event of OpenCV: a click is a point, a drag a box."""
        if event == cv2.EVENT_LBUTTONDOWN:
            self._start = self._end = (x, y)
        elif event == cv2.EVENT_MOUSEMOVE and self._start is not None:
            self._end = (x, y)
        elif event == cv2.EVENT_LBUTTONUP and self._start is not None:
            left, right = sorted((self._start[0], x))
            top, bottom = sorted((self._start[1], y))
            self._start = None
            height, width = self.frame.image.shape[:2]
            if min(right - left, bottom - top) < SMALLEST_BOX:
                # Of the middle of the pixel.
                found = PointedOut(self.frame.index, point=(x + 0.5, y + 0.5))
            else:
                box = (max(left, 0), max(top, 0), min(right + 1, width), min(bottom + 1, height))
                found = PointedOut(self.frame.index, box=box)
            self.exemplars.append(found)

    def undo(self) -> None:
        """Forget the last exemplar."""
        del self.exemplars[-1:]

    def picture(self) -> np.ndarray:
        """Return the frame with what was pointed out so far, (H, W, 3) uint8 RGB."""
        picture = self.frame.image.copy()
        for number, exemplar in enumerate(self.exemplars, start=1):
            color = identity_color(number)
            if exemplar.point is not None:
                x, y = (int(value) for value in exemplar.point)
                cv2.circle(picture, (x, y), 5, color, -1, cv2.LINE_AA)
            elif exemplar.box is not None:
                left, top, right, bottom = (int(value) for value in exemplar.box)
                cv2.rectangle(picture, (left, top), (right - 1, bottom - 1), color, 2)
        if self._start is not None:
            cv2.rectangle(picture, self._start, self._end, (255, 255, 255), 1)
        return picture


def check_display() -> None:
    """Raise an OSError unless a window can be opened."""
    if re.search(r"GUI:\s+NONE", cv2.getBuildInformation()):
        raise OSError(
            "--interactive needs windows, which opencv-python-headless lacks; install "
            "opencv-python in its place, or give --point, --box or --mask."
        )
    has_display = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    if sys.platform.startswith("linux") and not has_display:
        raise OSError(
            "--interactive needs a display and there is none; give --point, --box or --mask."
        )


def pick(frame: Frame) -> list[PointedOut]:
    """Show a frame until the user presses Enter, and return what was pointed out.

    Raises:
        OSError: there is no display.
        KeyboardInterrupt: the user pressed Esc.
        ValueError: nothing was pointed out.
    """
    check_display()
    picker = Picker(frame)
    cv2.namedWindow(WINDOW)
    cv2.setMouseCallback(WINDOW, picker.on_mouse)
    try:
        while True:
            cv2.imshow(WINDOW, cv2.cvtColor(picker.picture(), cv2.COLOR_RGB2BGR))
            key = cv2.waitKey(MILLISECONDS) & 0xFF
            if key in ENTER:
                break
            if key == ESCAPE:
                raise KeyboardInterrupt
            if key == ord("u"):
                picker.undo()
    finally:
        cv2.destroyWindow(WINDOW)
    if not picker.exemplars:
        raise ValueError("Nothing was pointed out; click on an object or drag a box around it.")
    return picker.exemplars
