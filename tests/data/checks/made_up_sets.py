"""Small made-up sets in every format."""

from pathlib import Path

from gvseg.data.synthetic.formats import FORMATS
from gvseg.data.synthetic.scene import make_videos


def write_set(format_name: str, root: Path) -> str:
    """Write three short videos (or images) of the first split; return the name of the dataset."""
    chosen = FORMATS[format_name]
    split = chosen.splits[0]
    num_frames = None if chosen.is_still else 3
    scene = chosen.scene(split, size=(48, 64), num_frames=num_frames)
    chosen.write(root, split, make_videos(scene, num_videos=3, seed=1, split=split))
    return chosen.dataset_name(split)
