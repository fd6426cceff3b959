"""A dataset of a user's own, registered by a file that a config names."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from gvseg.data.benchmark import get_benchmark, unregister

_CONFIG = Path(__file__).parents[2] / "configs" / "base" / "mask2former_r50.yaml"


@contextmanager
def own_dataset(folder: Path, name: str) -> Iterator[Path]:
    """Write one video of two cars; give the config by which the dataset is known under its name."""
    for index in range(3):
        mask = np.zeros((40, 60), dtype=np.uint8)
        mask[5:15, 5 + index : 20 + index], mask[20:35, 30:50] = 1, 2
        for kind, picture in (("frames", np.stack([mask] * 3, axis=-1)), ("masks", mask)):
            path = folder / kind / "street" / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    (folder / f"{name}.py").write_text(
        "from pathlib import Path\n\n"
        "from gvseg.data import register_video_folder\n\n"
        "here = Path(__file__).parent\n"
        f'register_video_folder("{name}", images=here / "frames", masks=here / "masks",'
        ' classes=["car"], task="vis")\n'
    )
    config = folder / f"{name}.yaml"
    config.write_text(f"_BASE_: {_CONFIG}\nPROJECTS: [{name}.py]\n")
    yield config
    unregister(get_benchmark(name))
