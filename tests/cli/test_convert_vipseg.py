import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.cli import main
from gvseg.data.benchmarks.vipseg import VIPSEG
from gvseg.data.benchmarks.vipseg_raw import BROKEN_VIDEO, VIPSEG_RAW
from gvseg.data.synthetic.writers import vipseg_raw
from tests.data.synthetic.round_trip import write_and_read
from tests.data.synthetic.writers.one_frame import video_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Write three videos of two frames, 48x64, for val and for test."""
    for split in ("val", "test"):
        write_and_read(tmp_path, "vipseg_raw", split, num_frames=2)
    return tmp_path


def convert(root: Path, *splits: str, more: tuple[str, ...] = ()) -> int:
    return main(["convert-vipseg", "--root", str(root), "--splits", *splits, *more])


def json_of(root: Path, split: str = "val") -> Path:
    return root / "VIPSeg_720P" / f"panoptic_gt_VIPSeg_{split}.json"


def test_converted_labels_are_those_of_the_release_at_another_size(root: Path):
    assert convert(root, "val") == 0
    raw, converted = VIPSEG_RAW.load_records(root, "val"), VIPSEG.load_records(root, "val")
    for before, after in zip(raw, converted, strict=True):
        assert after["video_id"] == before["video_id"]
        assert (after["height"], after["width"], after["length"]) == (720, 960, 2)
        identity_of: dict[int, int] = {}
        for index in range(2):
            made = VIPSEG_RAW.read_labels(before, index).segments
            read = VIPSEG.read_labels(after, index)
            # The middle of each of the 15x15 pixels that one became.
            middle = read.segments.index_map[7::15, 7::15]
            np.testing.assert_array_equal(middle < 0, made.index_map < 0)
            for position, identity in enumerate(made.ids.tolist()):
                (match,) = np.unique(middle[made.mask(position)])
                assert read.segments.classes[match] == made.classes[position]
                found = int(read.segments.ids[match])
                assert identity_of.setdefault(identity, found) == found
            assert not read.is_crowd.any()
        assert len(set(identity_of.values())) == len(identity_of)


def test_frames_and_masks_are_those_of_the_authors_script(root: Path, tmp_path: Path):
    convert(root, "val")
    record = VIPSEG_RAW.load_records(root, "val")[1]
    converted = VIPSEG.load_records(root, "val")[1]
    with Image.open(record["file_names"][1]) as image:
        image.resize((960, 720), Image.Resampling.BILINEAR).save(tmp_path / "expected.jpg")
    written = Path(converted["file_names"][1]).read_bytes()
    assert written == (tmp_path / "expected.jpg").read_bytes()
    with Image.open(record["label_files"][1]) as image:
        expected = np.array(image).repeat(15, axis=0).repeat(15, axis=1)
    masks = root / "VIPSeg_720P" / "panomasks" / record["video_id"]
    with Image.open(masks / "00000001.png") as image:
        assert image.mode == "I;16"
        np.testing.assert_array_equal(np.array(image), expected)


def test_json_has_segments_in_the_order_of_values_and_their_areas(tmp_path: Path):
    person, wall, car = 60, 0, 48
    video = video_of([person, wall, car, person], [5, 1, 6, 7], num_frames=2)
    vipseg_raw.write(tmp_path, "val", [video])
    assert convert(tmp_path, "val") == 0
    content = json.loads(json_of(tmp_path).read_text())
    image = content["videos"][0]["images"][1]
    assert image == {"id": "00000001", "file_name": "00000001.png", "width": 900, "height": 720}
    first, second = (entry["segments_info"] for entry in content["annotations"][0]["annotations"])
    assert first == second, "segments keep their numbers"
    assert [segment["category_id"] for segment in first] == [wall, car, person, person]
    assert [segment["area"] for segment in first] == [180 * 720] * 4
    assert [segment["iscrowd"] for segment in first] == [0] * 4
    # The colour of its class goes to the first segment, another to the second.
    colors = VIPSEG.classes.colors
    numbers = [r + 256 * g + 65536 * b for r, g, b in (colors[wall], colors[car], colors[person])]
    assert [segment["id"] for segment in first][:3] == numbers
    assert len({segment["id"] for segment in first}) == 4


def test_value_that_the_authors_call_a_mistake_becomes_void(tmp_path: Path):
    vipseg_raw.write(tmp_path, "val", [video_of([0, 60], [1, 2])])
    folder = tmp_path / "VIPSeg"
    for kind in ("imgs", "panomasks"):
        (folder / kind / "one").rename(folder / kind / BROKEN_VIDEO)
    (folder / "val.txt").write_text(f"{BROKEN_VIDEO}\n")
    path = folder / "panomasks" / BROKEN_VIDEO / "00000000.png"
    with Image.open(path) as image:
        values = np.array(image)
    values[:, 0] = 200
    Image.fromarray(values).save(path)
    assert convert(tmp_path, "val") == 0
    (record,) = VIPSEG.load_records(tmp_path, "val")
    labels = VIPSEG.read_labels(record, 0)
    assert [VIPSEG.classes.names[index] for index in labels.segments.classes] == ["person"]
    assert (labels.segments.index_map[:, :180] == -1).all()


def test_hidden_labels_stay_hidden(root: Path):
    assert convert(root, "test") == 0
    records = VIPSEG.load_records(root, "test")
    assert [(r["length"], r["annotated_frames"]) for r in records] == [(2, [])] * 3


def test_run_goes_on_where_it_was_stopped(root: Path, capsys: pytest.CaptureFixture):
    damaged = Path(VIPSEG_RAW.load_records(root, "val")[2]["label_files"][1])
    intact = damaged.read_bytes()
    damaged.write_bytes(intact[:50])
    assert convert(root, "val", more=("--workers", "1")) == 1
    assert f"{damaged} cannot be read" in capsys.readouterr().err
    assert not json_of(root).exists()
    done = root / "VIPSeg_720P" / "images" / "val_00000" / "00000000.jpg"
    done.write_bytes(b"as it was")
    damaged.write_bytes(intact)
    assert convert(root, "val") == 0
    assert done.read_bytes() == b"as it was"
    assert len(json.loads(json_of(root).read_text())["videos"]) == 3
    assert sorted(path.name for path in (root / "VIPSeg_720P").iterdir()) == [
        "images",
        "panomasks",
        "panomasksRGB",
        "panoptic_gt_VIPSeg_val.json",
    ]


def test_split_that_is_there_is_left_alone(root: Path, caplog: pytest.LogCaptureFixture):
    convert(root, "val")
    before = json_of(root).stat().st_mtime_ns
    with caplog.at_level("INFO"):
        assert convert(root, "val") == 0
    assert "is there already; remove it to convert" in caplog.text
    assert json_of(root).stat().st_mtime_ns == before


def test_missing_video_stops_unless_it_may_be_left_out(
    root: Path, capsys: pytest.CaptureFixture, caplog: pytest.LogCaptureFixture
):
    frames = root / "VIPSeg" / "imgs" / "val_00001"
    frames.rename(frames.with_name("elsewhere"))
    assert convert(root, "val") == 1
    assert f"{frames} does not exist" in capsys.readouterr().err
    assert convert(root, "val", more=("--skip-broken",)) == 0
    assert f"Left out: {frames} does not exist" in caplog.text
    records = VIPSEG.load_records(root, "val")
    assert [record["video_id"] for record in records] == ["val_00000", "val_00002"]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        (np.full((64, 48), 1, np.uint16), "00000000.jpg has 48x64 pixels, but its label image has"),
        (np.full((48, 64), 299, np.uint16), "00000000.png has values [299]"),
    ],
)
def test_wrong_labels_are_named(
    root: Path, capsys: pytest.CaptureFixture, values: np.ndarray, error: str
):
    Image.fromarray(values).save(root / "VIPSeg" / "panomasks" / "val_00000" / "00000000.png")
    assert convert(root, "val") == 1
    assert error in capsys.readouterr().err
