from pathlib import Path

import pytest
from PIL import Image

from gvseg.cli import main
from gvseg.data.synthetic.formats import FORMATS
from gvseg.data.synthetic.scene import make_videos
from tests.cli.own_data import own_dataset
from tests.data.checks.made_up_sets import write_set
from tests.data.small_benchmarks import write_camvid, write_coco128

CONFIG = Path(__file__).parents[2] / "configs" / "camvid" / "mask2former_effnet_lite0.yaml"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_camvid(tmp_path)
    write_coco128(tmp_path)
    return tmp_path


def show(root: Path, *arguments: str, dataset: str = "camvid_train") -> int:
    sheet = ["--output", str(root / "new" / "sheet.png")]
    return main(["show-data", dataset, "--root", str(root), *sheet, *arguments])


def sheet_size(root: Path) -> tuple[int, int]:
    with Image.open(root / "new" / "sheet.png") as sheet:
        return sheet.size


def test_sheet_grows_by_videos_and_frames(root: Path):
    sizes = {}
    for num_videos, num_frames in [(1, 2), (2, 2), (1, 3)]:
        assert show(root, "--videos", str(num_videos), "--frames", str(num_frames)) == 0
        sizes[num_videos, num_frames] = sheet_size(root)
    assert sizes[2, 2][1] > 1.7 * sizes[1, 2][1]
    assert sizes[1, 3][0] == sizes[1, 2][0] + 408
    assert sizes[1, 3][1] == sizes[1, 2][1]


def test_images_stand_side_by_side(root: Path):
    assert show(root, "--videos", "3", "--frames", "3", dataset="coco128_train") == 0
    wide = sheet_size(root)
    assert show(root, "--videos", "3", "--frames", "1", dataset="coco128_train") == 0
    high = sheet_size(root)
    assert wide[0] > 2 * high[0]
    assert high[1] > 2 * wide[1]


@pytest.mark.parametrize("format_name", FORMATS)
def test_every_benchmark_can_be_looked_at(tmp_path: Path, format_name: str):
    write_set(format_name, tmp_path)
    chosen = FORMATS[format_name]
    assert show(tmp_path, "--frames", "2", dataset=chosen.dataset_name(chosen.splits[0])) == 0
    assert sheet_size(tmp_path)[0] > 2 * 300


def test_training_clips_have_the_size_that_the_config_crops_to(root: Path, caplog):
    arguments = ["--train", "--config-file", str(CONFIG), "--frames", "2", "--videos", "1"]
    with caplog.at_level("INFO"):
        assert show(root, *arguments) == 0
    assert "sheet.png: 1 videos" in caplog.text
    first = (root / "new" / "sheet.png").read_bytes()
    show(root, *arguments)
    assert (root / "new" / "sheet.png").read_bytes() == first
    show(root, *arguments, "--seed", "1")
    assert (root / "new" / "sheet.png").read_bytes() != first


def test_training_sheet_shows_pasted_objects_and_extra_frames(tmp_path: Path):
    write_set("ytvis_2019", tmp_path)
    widths, pictures = [], set()
    for num_extra, paste_prob in ((0, 0.0), (2, 0.0), (0, 1.0)):
        config = tmp_path / "my.yaml"
        config.write_text(
            f"_BASE_: {CONFIG.parents[1] / 'base' / 'mask2former_r50.yaml'}\n"
            f"INPUT: {{SAMPLING_EXTRA_FRAME_NUM: {num_extra}, COPY_PASTE_PROB: {paste_prob}}}\n"
        )
        arguments = ["--train", "--config-file", str(config), "--frames", "2", "--videos", "1"]
        assert show(tmp_path, *arguments, dataset="ytvis_2019_train") == 0
        widths.append(sheet_size(tmp_path)[0])
        pictures.add((tmp_path / "new" / "sheet.png").read_bytes())
    assert widths[1] > 1.9 * widths[0] == 1.9 * widths[2]
    assert len(pictures) == 3


def test_hidden_labels_cannot_be_shown_as_trained_on(tmp_path: Path, capsys):
    chosen = FORMATS["vipseg"]
    scene = chosen.scene("test", size=(48, 64), num_frames=2)
    chosen.write(tmp_path, "test", make_videos(scene, num_videos=1, seed=0, split="test"))
    arguments = ["--train", "--config-file", str(CONFIG)]
    assert show(tmp_path, *arguments, dataset="vipseg_test") == 1
    assert "vipseg_test cannot be trained on: labels are hidden" in capsys.readouterr().err


def test_what_is_missing_is_told_and_the_rest_shown(root: Path, caplog):
    (root / "camvid" / "train" / "0001TP_000060.png").unlink()
    assert show(root) == 0
    assert "0001TP_000060.png has labels of a frame that" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output", "sheet.jpg"], "sheet.jpg must end in .png"),
        (["--train"], "--train needs a --config-file"),
        (["--config-file", "a.yaml"], "Config file a.yaml does not exist"),
        (["--videos", "0"], "count from 1"),
    ],
)
def test_arguments_that_make_no_sense_are_named(root: Path, capsys, arguments, message):
    assert show(root, *arguments) == 1
    assert message in capsys.readouterr().err


def test_damaged_file_is_named(root: Path, capsys):
    labels = root / "camvid" / "trainannot" / "0001TP_000030.png"
    labels.write_bytes(labels.read_bytes()[:60])
    assert show(root, "--videos", "9") == 1
    assert f"{labels} cannot be read" in capsys.readouterr().err


def test_dataset_of_ones_own_is_shown_by_the_config_that_registers_it(tmp_path: Path):
    with own_dataset(tmp_path, "shown_cars") as config:
        arguments = ["--config-file", str(config), "--frames", "3"]
        assert show(tmp_path, *arguments, dataset="shown_cars") == 0
    assert sheet_size(tmp_path)[0] > 3 * 400
