"""Frames that are missing from a video whose frames are not stored in the order they are shown."""

from __future__ import annotations

import heapq


class ShowingOrder:
    """Find the frames that are never shown, in the order that they would have been shown in.

    Codecs store a frame before others that are shown earlier but predicted from it, so its time
    alone tells where it belongs. Times are in ticks of the stream.

    A packet that no frame came of is missed only after an error: in sound videos too there are
    packets without a frame of their own, such as the hidden references of VP8.
    """

    def __init__(self) -> None:
        self._waiting: list[int] = []  # heap of packets that no frame came of so far
        self._last_failed: int | None = None  # until a later frame is shown
        self._given_up: frozenset[int] = frozenset()
        self._end: int | None = None

    def send(self, time: int) -> None:
        """Take in that a packet goes to the decoder."""
        heapq.heappush(self._waiting, time)

    def fail(self, time: int) -> None:
        """Take in that the decoder raised an error over a packet."""
        if self._last_failed is None or time > self._last_failed:
            self._last_failed = time

    def end_before(self, time: int) -> None:
        """End the video there: what comes later may have frames missing that nothing tells of."""
        self._end = time

    def show(self, time: int) -> list[int] | None:
        """Take in that a frame comes out of the decoder.

        Returns:
            The times of frames that are missing before it. None where it is not to be shown: it
            comes after the end, or it was found missing before, for a decoder that lost a key frame
            may give some in the wrong order.
        """
        if time in self._given_up or self._is_after_end(time):
            return None
        passed = []
        while self._waiting and self._waiting[0] <= time:
            passed.append(heapq.heappop(self._waiting))
        if self._last_failed is None:
            return []
        if time > self._last_failed:
            self._last_failed = None
        missing = [earlier for earlier in passed if earlier < time]
        if missing:
            self._given_up = frozenset(missing)
        return missing

    def finish(self) -> list[int]:
        """Return the times of frames that are missing at the end."""
        if self._last_failed is None:
            return []
        return sorted(time for time in self._waiting if not self._is_after_end(time))

    def _is_after_end(self, time: int) -> bool:
        return self._end is not None and time >= self._end
