"""Work on the videos of a dataset in several processes, with results in their order."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2

from gvseg.data.benchmark import Record

_FRAMES_PER_TASK = 32  # keeps the traffic between processes small where videos are single images

Result = TypeVar("Result")


@contextmanager
def map_videos(
    work: Callable[[Record], Result], records: Sequence[Record], num_workers: int, *, what: str
) -> Iterator[Iterator[Result]]:
    """Give the result for each video, in order, with a memory that does not grow with their number.

    Processes start on entry, before whoever shows progress starts a thread.

    Args:
        work: on one video.
        records: all videos.
        num_workers: processes; 1 or less works in this one.
        what: is being done, for errors: "checked camvid".

    Raises:
        OSError: a process was killed.
    """
    if num_workers <= 1:
        yield map(work, records)
        return
    num_frames = sum(record["length"] for record in records)
    videos_per_task = max(_FRAMES_PER_TASK * len(records) // max(num_frames, 1), 1)
    # Records can be large, so workers should inherit them rather than have them sent. Where
    # processes are not forked, they are sent once.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(
        num_workers, context, initializer=_start_worker, initargs=(work, records)
    )
    try:
        yield pool.map(_work_in_worker, range(len(records)), chunksize=videos_per_task)
    except BrokenProcessPool:
        raise OSError(
            f"A process was killed while it {what}; use fewer workers if memory ran out."
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


_of_worker: dict[str, tuple[Callable[[Record], Any], Sequence[Record]]] = {}


def _start_worker(work: Callable[[Record], Any], records: Sequence[Record]) -> None:
    cv2.setNumThreads(0)  # workers are the parallelism
    _of_worker["work"] = (work, records)


def _work_in_worker(position: int) -> Any:  # noqa: ANN401  (what the work gives)
    work, records = _of_worker["work"]
    return work(records[position])
