"""What verbs that convert videos do alike: in parallel, with a progress bar, and resumably."""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gvseg.data.benchmark import LoadRecords, Record, datasets_root
from gvseg.data.frames import first_readable
from gvseg.data.problems import Problem, raise_problem

logger = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
Result = dict[str, Any]  # of one video, as it fits into JSON


@dataclass(frozen=True)
class Conversion:
    """What is made of a data set."""

    title: str
    folder: Path  # that is written, below the root
    list_file: str  # of a split, with `{split}`; it is written last, and says that all is there
    load_records: LoadRecords
    convert: Callable[[Record, Path], Result]  # writes one video below the folder
    text_of: Callable[[list[Result]], str]  # what the list file says of all videos


def add_conversion(
    verbs: argparse._SubParsersAction, name: str, doc: str, conversion: Conversion
) -> None:
    """Add a verb that converts the splits of a data set.

    Args:
        verbs: of the command.
        name: the verb.
        doc: what it does, its first line alone as a summary.
        conversion: which it runs.
    """
    parser = verbs.add_parser(name, help=doc.splitlines()[0], description=doc)
    parser.add_argument("--root", type=Path, help="the folder of all benchmarks "
                        "(default: $DETECTRON2_DATASETS, or datasets)")  # fmt: skip
    parser.add_argument("--splits", nargs="+", choices=SPLITS, default=SPLITS)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N",
                        help="threads (default: one for each core)")  # fmt: skip
    parser.add_argument("--skip-broken", action="store_true", help="leave out, with a warning for "
                        "each, videos and frames that are missing and first frames that cannot be "
                        "read")  # fmt: skip
    parser.set_defaults(run=partial(convert_splits, conversion=conversion))


def convert_splits(args: argparse.Namespace, conversion: Conversion) -> None:
    """Convert the splits that are asked for and not there yet.

    Raises:
        OSError: a folder, list or file is missing or cannot be read.
        ValueError: a frame without labels, of another size than them, or labels without meaning.
    """
    root = args.root or datasets_root()
    folder = root / conversion.folder
    for split in args.splits:
        list_file = folder / conversion.list_file.format(split=split)
        if list_file.exists():
            logger.info("%s is there already; remove it to convert the split again.", list_file)
            continue
        records = conversion.load_records(
            root, split, report=_warn if args.skip_broken else raise_problem
        )
        if args.skip_broken:
            records = [_readable(record) for record in records]
        finished = folder / f".{split}.finished"
        results = convert_videos(
            records,
            lambda record: conversion.convert(record, folder),
            finished,
            num_workers=args.workers,
            title=f"{conversion.title} {split}",
        )
        _write_whole(list_file, conversion.text_of(results))
        shutil.rmtree(finished)
        logger.info("%s: %d videos", list_file, len(results))


def convert_videos(
    records: Sequence[Record],
    convert: Callable[[Record], Result],
    finished: Path,
    *,
    num_workers: int,
    title: str,
) -> list[Result]:
    """Return what `convert` gives for each video, in order.

    Args:
        records: the videos.
        convert: write the files of one. It is called from several threads: decoding, resizing and
            encoding images leaves others running.
        finished: folder that keeps the results of videos that are done. Those of an earlier run,
            which did not come to its end, are not converted again if they had the same frames.
        num_workers: threads.
        title: of the progress bar.
    """
    finished.mkdir(parents=True, exist_ok=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    results = []
    with bar, ThreadPoolExecutor(max(num_workers, 1)) as pool:
        task = bar.add_task(title, total=sum(record["length"] for record in records))
        try:
            for record, result in zip(
                records,
                pool.map(lambda record: _result(record, convert, finished), records),
                strict=True,
            ):
                bar.advance(task, record["length"])
                results.append(result)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results


def _write_whole(path: Path, text: str) -> None:
    """Write a text file that is whole as soon as it is there."""
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)


def _readable(record: Record) -> Record:
    """Return a record without its first frames that cannot be read, of which a warning told."""
    first = first_readable(record["file_names"], report=lambda problem: None)
    lists = {key: record[key][first:] for key in ("file_names", "label_files")}
    return {**record, **lists, "length": record["length"] - first}


def _warn(problem: Problem) -> None:
    logger.warning("Left out: %s", problem)


def _result(record: Record, convert: Callable[[Record], Result], finished: Path) -> Result:
    path = finished / f"{record['video_id']}.json"
    if path.is_file():
        known = json.loads(path.read_text(encoding="utf-8"))
        # One that was converted without a frame that was missing is not, once the frame is there.
        if known.get("file_names") == record["file_names"]:
            return known["result"]
    result = convert(record)
    known = {"file_names": record["file_names"], "result": result}
    _write_whole(path, json.dumps(known))
    return result
