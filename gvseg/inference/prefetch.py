"""Items of an iterator made ready in a thread while the caller works on earlier ones."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")

SECONDS_TO_STOP = 2.0  # that a thread gets to end its item; one that waits for a camera never may


class _End:
    """Put into the queue after the last item, with the error that ended the iteration, if any."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class Prefetcher(Generic[Item]):
    """Iterate over `items` in a thread, at most `depth` items ahead.

    An error in the thread is raised in the caller, after the items that came before it. Leaving the
    `with` block stops the thread, which ends with its item.
    """

    def __init__(self, items: Iterable[Item], depth: int) -> None:
        self._queue: queue.Queue[Item | _End] = queue.Queue(maxsize=depth)
        self._stopped = threading.Event()
        self._items = items
        self._thread = threading.Thread(target=self._fill, name="prefetch", daemon=True)

    def __enter__(self) -> Iterator[Item]:
        self._thread.start()
        return self._drain()

    def __exit__(self, *exception: object) -> None:
        self._stopped.set()
        latest = time.monotonic() + SECONDS_TO_STOP
        while self._thread.is_alive() and time.monotonic() < latest:
            # A thread that waits for room in the queue has to be let go.
            while not self._queue.empty():
                self._queue.get_nowait()
            self._thread.join(timeout=0.05)

    def _fill(self) -> None:
        error: BaseException | None = None
        try:
            for item in self._items:
                self._queue.put(item)
                if self._stopped.is_set():
                    return
        except BaseException as caught:
            error = caught
        self._queue.put(_End(error))

    def _drain(self) -> Iterator[Item]:
        while True:
            item = self._queue.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
