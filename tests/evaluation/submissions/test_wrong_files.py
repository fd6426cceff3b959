"""What does not fit is an error that names the video and the file, in every format."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gvseg.data.benchmark import annotated_frames
from gvseg.data.synthetic.formats import get_format
from gvseg.data.synthetic.scene import make_videos
from gvseg.evaluation.scoring import score_submission
from gvseg.evaluation.submissions import FORMATS, submission_format
from tests.evaluation.submissions.made_up import MadeUp, Sets

IMAGES = (
    *("vipseg_val", "kitti_step_val", "cityscapes_vps_val", "vspw_val", "davis2017_val"),
    *("davis2016_val", "coco_panoptic_val2017"),
)
JSONS = {
    "vipseg_val": "pred.json",
    "cityscapes_vps_val": "pred.json",
    "coco_panoptic_val2017": "pred.json",
    "ytvis_2019_train": "results.json",
    "coco_val2017": "results.json",
    "burst_mask_val": "results.json",
}


def error_of(made: MadeUp, folder: Path) -> str:
    with pytest.raises((OSError, ValueError)) as caught:
        score_submission(made.dataset_name, folder, root=made.root)
    return str(caught.value)


def some_image(made: MadeUp, folder: Path) -> tuple[Path, str]:
    """Return a prediction in the middle of the second video, and the id of that."""
    record = made.records[1]
    frames = list(annotated_frames(record))
    index, video_id = frames[len(frames) // 2], str(record["video_id"])
    if made.benchmark.name == "cityscapes_vps":
        return folder / "pan_pred" / f"{record['image_ids'][index]}.png", video_id
    stem = Path(record["file_names"][index]).stem
    if made.benchmark.name == "coco_panoptic":
        return folder / "pan_pred" / f"{stem}.png", video_id
    name = f"{video_id}/{stem}.png"
    path = folder / "pan_pred" / name if made.benchmark.name == "vipseg" else folder / name
    return path, video_id


def test_every_format_is_in_these_tests():
    assert len(FORMATS) == len({*IMAGES, *JSONS}), "a format was added or left out"


@pytest.mark.parametrize("name", IMAGES)
def test_missing_image(name: str, sets: Sets, folder: Path):
    made = sets.copy(name, folder)
    path, video_id = some_image(made, folder)
    path.unlink()
    error = error_of(made, folder)
    assert str(path) in error
    assert video_id in error


@pytest.mark.parametrize("name", IMAGES)
def test_image_of_another_size(name: str, sets: Sets, folder: Path):
    made = sets.copy(name, folder)
    path, video_id = some_image(made, folder)
    with Image.open(path) as image:
        image.crop((0, 0, image.width - 1, image.height)).save(path)
    error = error_of(made, folder)
    assert f"Video {video_id}: prediction {path} has 48x71 pixels" in error
    assert "has 48x72 (height x width)" in error


@pytest.mark.parametrize("name", IMAGES)
def test_damaged_image(name: str, sets: Sets, folder: Path):
    made = sets.copy(name, folder)
    path, _ = some_image(made, folder)
    path.write_bytes(path.read_bytes()[:60])
    assert str(path) in error_of(made, folder)


@pytest.mark.parametrize("name", ["kitti_step_val", "vspw_val", "davis2017_val"])
def test_image_of_a_frame_that_does_not_exist(name: str, sets: Sets, folder: Path):
    made = sets.copy(name, folder)
    path, video_id = some_image(made, folder)
    shutil.copy(path, path.with_name("strange.png"))
    expected = f"Video {video_id}: there is a prediction {path.with_name('strange.png')}, but no"
    assert expected in error_of(made, folder)


@pytest.mark.parametrize("name", ["kitti_step_val", "vspw_val", "davis2017_val"])
def test_video_that_does_not_exist(name: str, sets: Sets, folder: Path):
    made = sets.copy(name, folder)
    (folder / "strange").mkdir()
    assert f"{folder} has predictions for strange: 1 videos" in error_of(made, folder)


@pytest.mark.parametrize("name", ["kitti_step_val", "vspw_val", "davis2017_val"])
def test_missing_video(name: str, sets: Sets, folder: Path):
    made = sets.copy(name, folder)
    video_id = made.records[1]["video_id"]
    shutil.rmtree(folder / str(video_id))
    error = error_of(made, folder)
    assert f"Video {video_id} has no predictions: {folder / str(video_id)} does not exist" in error


def test_no_folder_and_no_json(sets: Sets, folder: Path):
    for name in ("vspw_val", "vipseg_val", "ytvis_2019_train"):
        made = sets.copy(name, folder)
        shutil.rmtree(folder)
        assert str(folder) in error_of(made, folder)


def test_class_outside_the_table(sets: Sets, folder: Path):
    for name, color, message in (
        ("vspw_val", 200, "has the classes [200]; those of"),
        ("kitti_step_val", (77, 0, 0), "has category ids [77]"),
    ):
        made = sets.copy(name, folder)
        path, _ = some_image(made, folder)
        with Image.open(path) as image:
            image.putpixel((0, 0), color)
            image.save(path)
        error = error_of(made, folder)
        assert message in error
        assert str(path) in error
        shutil.rmtree(folder)


def test_first_frame_of_given_objects_may_be_left_out(sets: Sets, folder: Path):
    made = sets.copy("davis2017_val", folder)
    before = score_submission(made.dataset_name, folder, root=made.root)
    for record in made.records:
        (folder / record["video_id"] / f"{Path(record['file_names'][0]).stem}.png").unlink()
    after = score_submission(made.dataset_name, folder, root=made.root)
    assert after.results == before.results


Edit = Callable[[Any], None]


def edit(path: Path, change: Edit) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def frames_of(content: dict, name: str) -> list[dict]:
    annotations = content["annotations"]
    return annotations[1]["annotations"] if name == "vipseg_val" else annotations


@pytest.mark.parametrize("name", JSONS)
def test_json_cut_short(name: str, sets: Sets, folder: Path):
    made = sets.copy(name, folder)
    path = folder / JSONS[name]
    path.write_text(path.read_text()[:-20])
    assert f"Prediction {path} is not valid JSON" in error_of(made, folder)


@pytest.mark.parametrize("name", ["vipseg_val", "cityscapes_vps_val", "coco_panoptic_val2017"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frames: frames.pop(2), "lacks frame"),
        (lambda frames: frames[2]["segments_info"].pop(), "has segments"),
        (
            lambda frames: frames[2]["segments_info"].append({"id": 9999, "category_id": 1}),
            "lacks segments [9999]",
        ),
        (
            lambda frames: frames[2]["segments_info"][0].update(category_id=777),
            "has category ids [777]",
        ),
        (lambda frames: frames[2].pop("segments_info"), "lacks segments_info"),
        (lambda frames: frames.append(frames[2]), "has several entries"),
        (
            lambda frames: frames.append(
                frames[2] | {"file_name": "strange.png", "image_id": "strange"}
            ),
            "not in the dataset",
        ),
    ],
    ids=["no frame", "no segment", "no pixels", "category", "no list", "twice", "strange"],
)
def test_json_that_does_not_fit_the_images(
    name: str, change: Edit, message: str, sets: Sets, folder: Path
):
    made = sets.copy(name, folder)
    edit(folder / "pred.json", lambda content: change(frames_of(content, name)))
    error = error_of(made, folder)
    assert message in error
    assert str(folder / "pred.json") in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tracks: tracks[1]["segmentations"].pop(), "has 10 masks, but the video has 11"),
        (lambda tracks: tracks[1].update(video_id=99), "has predictions for 99: 1 videos"),
        (lambda tracks: tracks[1].update(category_id=99), "entry 1, of video 1, has category 99"),
        (lambda tracks: tracks[1].pop("score"), "entry 1 lacks score"),
        (lambda tracks: tracks[1].update(score=None), "entry 1, of video 1, has the score null"),
        (lambda tracks: tracks[1].update(score="0.9"), 'has the score "0.9", which is no finite'),
        (lambda tracks: tracks[1].update(score=True), "has the score true, which is no finite"),
        (lambda tracks: tracks[1].update(score=float("nan")), "has the score NaN, which is no"),
        (lambda tracks: tracks.insert(1, "track"), "entry 1 lacks video_id, category_id"),
        (lambda tracks: tracks[0]["segmentations"].__setitem__(
            slice(None), [m and m | {"size": [9, 9]} for m in tracks[0]["segmentations"]]),
         "entry 0, of video 1, in frame 0, has run lengths for"),
    ],
    ids=["short", "video", "category", "no score", "null", "text", "true", "NaN", "no track",
         "size"],
)  # fmt: skip
def test_tracks_that_do_not_fit(change: Edit, message: str, sets: Sets, folder: Path):
    made = sets.copy("ytvis_2019_train", folder)
    path = folder / "results.json"
    edit(path, change)
    error = error_of(made, folder)
    assert message in error
    assert str(path) in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda objects: objects[1].update(image_id=99), "has predictions for 99: 1 videos"),
        (lambda objects: objects[1].update(category_id=99), "entry 1, of image 1, has category 99"),
        (lambda objects: objects[1].pop("score"), "entry 1 lacks score"),
        (lambda objects: objects[1].update(score=None), "entry 1, of image 1, has the score null"),
        (lambda objects: objects.insert(1, "object"), "entry 1 lacks image_id, category_id"),
        (lambda objects: objects[0]["segmentation"].update(size=[9, 9]),
         "entry 0, of image 1, has run lengths for 9x9 pixels"),
    ],
    ids=["image", "category", "no score", "null", "no object", "size"],
)  # fmt: skip
def test_objects_that_do_not_fit(change: Edit, message: str, sets: Sets, folder: Path):
    made = sets.copy("coco_val2017", folder)
    path = folder / "results.json"
    edit(path, change)
    error = error_of(made, folder)
    assert message in error
    assert str(path) in error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda videos: videos.pop(1), "is missing"),
        (lambda videos: videos[1].update(id=777), "has predictions for 777: 1 videos"),
        (lambda videos: videos[1]["segmentations"].pop(), "frames, but names"),
        (lambda videos: videos[1]["annotated_image_paths"].__setitem__(0, "strange.jpg"),
         "has frame strange.jpg, which is not in the dataset"),
        (lambda videos: (videos[1]["annotated_image_paths"].pop(0),
                         videos[1]["segmentations"].pop(0)), "lacks frame"),
        (lambda videos: videos[1]["segmentations"][0].update({"88": {"score": 1.0}}),
         "track 88 has no rle"),
        (lambda videos: videos[1]["segmentations"][0].update(
            {"88": next(iter(videos[1]["segmentations"][0].values()))}),
         "the video has no object 88"),
        (lambda videos: next(iter(videos[1]["segmentations"][0].values())).update(score="high"),
         'has the score "high", which is no finite number'),
    ],
    ids=["video", "strange video", "short", "strange frame", "frame", "no rle", "identity",
         "score"],
)  # fmt: skip
def test_sequences_that_do_not_fit(change: Edit, message: str, sets: Sets, folder: Path):
    made = sets.copy("burst_mask_val", folder)
    path = folder / "results.json"
    edit(path, lambda content: change(content["sequences"]))
    assert message in error_of(made, folder)


def test_mask_of_another_category_than_its_track_is_named(sets: Sets, folder: Path):
    made = sets.copy("burst_class_val", folder)

    def change(content: dict) -> None:
        (track_id, track), *_ = content["sequences"][1]["segmentations"][0].items()
        known = content["sequences"][1]["track_category_ids"]
        track["category_id"] = next(
            id_ for id_ in made.benchmark.classes.ids if id_ != known[track_id]
        )

    edit(folder / "results.json", change)
    assert "in track_category_ids; a track has one" in error_of(made, folder)


def test_hidden_labels_are_named(tmp_path: Path):
    row = get_format("ytvis_2019")
    spec = row.scene("valid", size=(48, 72), num_frames=3, num_classes=6)
    row.write(tmp_path, "valid", make_videos(spec, num_videos=2, seed=0, split="valid"))
    with pytest.raises(ValueError, match=r"valid cannot be scored here: .* of 2 of its 2 videos"):
        score_submission("ytvis_2019_valid", tmp_path, root=tmp_path)


def test_names_that_do_not_exist_are_named(sets: Sets, folder: Path, tmp_path: Path):
    made = sets.copy("vspw_val", folder)
    with pytest.raises(FileNotFoundError, match=r"vspw is not in .*, neither as one of several"):
        score_submission("vspw_val", folder, root=tmp_path / "nowhere")
    with pytest.raises(ValueError, match="Unknown protocol 'vss/vpsw'; choose one of"):
        score_submission("vspw_val", folder, root=made.root, protocols=["vss/vpsw"])
    with pytest.raises(ValueError, match="stills has no format for predictions"):
        submission_format(replace(made.benchmark, name="stills", submission=None))
