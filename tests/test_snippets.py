"""Python in the pages for users runs as it stands, on a machine without a GPU."""

import re
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

ROOT = Path(__file__).parents[1]
SIZE = (48, 64)


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with what a clone has, and a short video of the user's."""
    (tmp_path / "demo").mkdir()
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "demo" / "data").symlink_to(ROOT / "demo" / "data")
    with av.open(str(tmp_path / "footage.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.height, stream.width = SIZE
        for _ in range(2):
            picture = av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 80, np.uint8), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", ["README.md", "demo/README.md"])
def test_predictor_of_the_page_runs(page, clone):
    text = (ROOT / page).read_text(encoding="utf-8")
    (snippet,) = [
        code
        for code in re.findall(r"```python\n(.+?)```", text, re.DOTALL)
        if "VideoPredictor(" in code
    ]
    frame = np.full((*SIZE, 3), 80, np.uint8)
    names = {"frame": frame, "frames": [frame, frame]}
    exec(compile(snippet, page, "exec"), names)
    assert names["segments"].size == SIZE
    assert page != "README.md" or (clone / "result" / "segments.json").is_file()
