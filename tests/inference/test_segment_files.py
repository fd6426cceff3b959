import csv

import numpy as np
import pytest
from PIL import Image

from gvseg.inference.label_images import SemanticWriter
from gvseg.inference.segment_files import CsvWriter, NpzWriter
from gvseg.inference.sources import Frame
from gvseg.inference.video_info import VideoInfo
from gvseg.visualization import ClassLegend
from tests.inference.painted_video import COLORS, LEGEND, paint, true_segments

VIDEO = VideoInfo("walk", (64, 96), None, None, LEGEND)
IMAGE = paint((64, 96), {0: (0, 0, 20, 30), 2: (30, 30, 50, 50), 3: (50, 60, 64, 96)})


def write(writer, video=VIDEO, as_map=False):
    writer.open(video)
    for index in (0, 5):
        segments = true_segments(IMAGE, index, as_map=as_map)
        writer.write(Frame(index, index / 10, IMAGE), segments)
    writer.close()


def test_table_has_a_line_for_each_segment(tmp_path):
    write(CsvWriter(tmp_path / "tracks.csv"))
    with (tmp_path / "tracks.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert rows[3] == {
        "frame": "5",
        "seconds": "0.5000",
        "id": "1",
        "class_id": "1",
        "class": "red",
        "score": "0.9000",
        "left": "0",
        "top": "0",
        "width": "30",
        "height": "20",
        "area": "600",
    }
    assert (rows[5]["class"], rows[5]["id"], rows[5]["class_id"]) == ("yellow", "", "4")


@pytest.mark.parametrize("as_map", [False, True])
def test_arrays_are_those_of_the_segments(tmp_path, as_map):
    write(NpzWriter(tmp_path / "npz"), as_map=as_map)
    assert sorted(path.name for path in (tmp_path / "npz").iterdir()) == ["00000.npz", "00005.npz"]
    truth = true_segments(IMAGE, 0, as_map=as_map)
    with np.load(tmp_path / "npz" / "00005.npz") as arrays:
        assert set(arrays) == {"ids", "classes", "scores", "index_map" if as_map else "masks"}
        for name in arrays:
            np.testing.assert_array_equal(arrays[name], getattr(truth, name))


@pytest.mark.parametrize("as_map", [False, True])
def test_semantic_image_has_classes_in_their_colours(tmp_path, as_map):
    write(SemanticWriter(tmp_path / "semantic"), as_map=as_map)
    with Image.open(tmp_path / "semantic" / "00000.png") as image:
        classes, colors = np.array(image), np.array(image.convert("RGB"))
    expected = np.full((64, 96), 255)
    expected[:20, :30], expected[30:50, 30:50], expected[50:, 60:] = 0, 2, 3
    np.testing.assert_array_equal(classes, expected)
    np.testing.assert_array_equal(colors, IMAGE)


def test_semantic_image_of_many_classes_has_16_bits(tmp_path):
    names = tuple(str(index) for index in range(300))
    legend = ClassLegend(names, (True,) * 300, COLORS * 60)
    write(SemanticWriter(tmp_path / "semantic"), VideoInfo("walk", (64, 96), None, None, legend))
    with Image.open(tmp_path / "semantic" / "00000.png") as image:
        classes = np.array(image)
    assert classes[0, 0] == 0
    assert classes[25, 0] == 65535
