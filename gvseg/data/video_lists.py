"""Which videos an annotation file or a text file lists, and the part of a file that some make up.

YouTube-VIS, OVIS    `videos` with an `id`, `annotations` with a `video_id`
VIPSeg               `videos` and `annotations` with a `video_id`
BURST                `sequences` with an `id`
COCO                 `images` with an `id`, `annotations` with an `image_id`
YouTube-VOS          `videos`, an object whose keys are their names
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from gvseg.data.frame_folders import read_video_list
from gvseg.data.json_files import Entry, read_json
from gvseg.data.problems import Problem, raise_problem

VideoId = int | str

_LISTS = ("videos", "sequences", "images")  # of which the first that a file has lists its videos
_IDENTITIES = ("video_id", "image_id", "id")  # of which the first that an entry has is its video's


def read_video_ids(path: Path) -> set[str]:
    """Return the ids of videos that a text file or a JSON lists.

    Raises:
        FileNotFoundError: there is no such file.
        AnnotationError: it lists none, or is a JSON that cannot be read.
    """
    if path.suffix != ".json":
        return set(read_video_list(path))
    video_ids = {str(video_id) for video_id in listed_videos(read_json(path))}
    if not video_ids:
        what = f"lists no video under any of {', '.join(_LISTS)}"
        raise_problem(Problem(str(path), what, "write the subset again"))
    return video_ids


def listed_videos(content: Entry) -> set[VideoId | None]:
    """Return the ids of the videos that an annotation file lists, none where it has no list."""
    for key in _LISTS:
        if key in content:
            return {_video_of(entry) for entry in content[key]}
    return set()


def part_of(content: Entry, video_ids: Collection[VideoId]) -> Entry:
    """Return an annotation file with some of its videos and what belongs to them."""
    part = dict(content)
    for key in (*_LISTS, "annotations"):
        entries = content.get(key)
        if isinstance(entries, dict):
            part[key] = {name: entries[name] for name in entries if name in video_ids}
        elif entries is not None:
            part[key] = [entry for entry in entries if _video_of(entry) in video_ids]
    return part


def _video_of(entry: Entry | VideoId) -> VideoId | None:
    """Return the id of the video that an entry is or belongs to; a key is one itself."""
    if not isinstance(entry, dict):
        return entry
    return next((entry[key] for key in _IDENTITIES if key in entry), None)
