"""Work done in a thread while the caller goes on."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable


class BackgroundWork:
    """Do pieces of work in a thread, in the order in which they are given.

    At most `depth` pieces wait; then `do` waits too. After an error in the thread no more work is
    done, and the next `do` or the end of the `with` block raises it. Leaving the block waits for
    what was given, also where an error leaves it.
    """

    def __init__(self, depth: int) -> None:
        self._queue: queue.Queue[Callable[[], None] | None] = queue.Queue(maxsize=depth)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="background", daemon=True)

    def __enter__(self) -> BackgroundWork:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def do(self, work: Callable[[], None]) -> None:
        """Have a piece of work done, sooner or later.

        Raises:
            BaseException: what an earlier piece raised.
        """
        self._raise()
        self._queue.put(work)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _work(self) -> None:
        has_failed = False
        while (work := self._queue.get()) is not None:
            # After an error the queue is emptied all the same, so that nobody waits for room in it.
            if has_failed:
                continue
            try:
                work()
            except BaseException as error:
                has_failed, self._error = True, error
