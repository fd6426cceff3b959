"""A made-up video of chosen segments, for tests of what writers refuse."""

from collections.abc import Sequence

import numpy as np

from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.video import SyntheticVideo
from gvseg.structures import FrameSegments


def video_of(
    classes: Sequence[int],
    ids: Sequence[int],
    is_crowd: Sequence[bool] | None = None,
    *,
    num_frames: int = 1,
) -> SyntheticVideo:
    """Return a video in which each segment is one column of pixels, and the last is void."""
    width = len(classes) + 1
    index_map = np.append(np.arange(len(classes)), -1).astype(np.int16)
    labels = [
        FrameLabels(
            FrameSegments(
                frame_index=index,
                ids=np.array(ids),
                classes=np.array(classes),
                scores=np.ones(len(classes), dtype=np.float32),
                index_map=np.broadcast_to(index_map, (4, width)),
            ),
            np.zeros(len(classes), dtype=bool) if is_crowd is None else np.array(is_crowd),
            np.full(len(classes), 4.0),
        )
        for index in range(num_frames)
    ]
    return SyntheticVideo("one", [np.zeros((4, width, 3), np.uint8)] * num_frames, labels)
