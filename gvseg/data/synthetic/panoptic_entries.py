"""What writers of COCO's panoptic format for video do alike.  (H, W) pixels, N segments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gvseg.data.class_table import ClassTable
from gvseg.data.panoptic_image import write_rgb_values
from gvseg.data.segments import FrameLabels
from gvseg.data.synthetic.files import value_image


def write_segments(path: Path, labels: FrameLabels, classes: ClassTable) -> list[dict[str, Any]]:
    """Write the label image of one frame and return its list `segments_info`.

    Segments keep their ids, but those of things come after those of the last class, as a thing may
    have the identity of a class of stuff.

    Args:
        path: of the label image.
        labels: of a made-up video.
        classes: the format's.
    """
    segments = labels.segments
    is_thing = np.array(classes.is_thing)[segments.classes]
    numbers = segments.ids + np.where(is_thing, len(classes), 0)
    values = value_image(labels, numbers, 0)
    write_rgb_values(path, values)
    return [
        {
            "id": int(number),
            "category_id": classes.ids[class_index],
            "area": int((values == number).sum()),
            "iscrowd": int(is_crowd),
        }
        for number, class_index, is_crowd in zip(
            numbers, segments.classes, labels.is_crowd, strict=True
        )
        if (values == number).any()
    ]
