import json
import tempfile
from fractions import Fraction

import av
import cv2
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from gvseg.inference.label_images import MaskWriter
from gvseg.inference.overlay import OverlayWriter
from gvseg.inference.segment_files import JsonWriter
from gvseg.inference.sources import Frame, VideoSource
from gvseg.inference.video_info import VideoInfo
from gvseg.inference.writers import build_writers, check_formats
from gvseg.structures import FrameSegments
from gvseg.visualization import ClassLegend, draw_segments
from tests.inference.painted_video import LEGEND, NAMES, crossing_video, paint, true_segments

VIDEO = VideoInfo("walk", (64, 96), None, Fraction(30000, 1001), LEGEND)


def write_all(writers, images, video=VIDEO, as_map=False):
    for writer in writers:
        writer.open(video)
    for index, image in enumerate(images):
        for writer in writers:
            segments = true_segments(image, index, as_map=as_map)
            writer.write(Frame(index, index / 30, image), segments)
    for writer in writers:
        writer.close()


def read_labels(path):
    labels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert labels.dtype == np.uint16
    return labels


@pytest.mark.parametrize("as_map", [False, True])
def test_json_has_the_masks_classes_scores_and_identities(tmp_path, as_map):
    images = crossing_video(3)
    write_all([JsonWriter(tmp_path / "s.json")], images, as_map=as_map)
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["video"] == {
        "name": "walk",
        "height": 64,
        "width": 96,
        "frame_rate": 30000 / 1001,
    }
    assert content["categories"][3] == {"id": 3, "name": "yellow", "isthing": False}
    assert [frame["frame_index"] for frame in content["frames"]] == [0, 1, 2]
    assert content["frames"][2]["timestamp"] == 2 / 30
    for image, frame in zip(images, content["frames"], strict=True):
        truth = true_segments(image, 0)
        assert [segment["identity"] for segment in frame["segments"]] == truth.ids.tolist()
        for position, segment in enumerate(frame["segments"]):
            mask = truth.mask(position)
            np.testing.assert_array_equal(coco_mask.decode(segment["segmentation"]), mask)
            rows, columns = np.nonzero(mask)
            width, height = np.ptp(columns) + 1, np.ptp(rows) + 1
            assert segment["bbox"] == [columns.min(), rows.min(), width, height]
            assert segment["area"] == mask.sum()
            assert segment["category_id"] == truth.classes[position]
            assert segment["name"] == NAMES[truth.classes[position]]
            assert segment["score"] == pytest.approx(truth.scores[position], abs=1e-4)


def test_json_is_whole_after_every_frame(tmp_path):
    writer = JsonWriter(tmp_path / "s.json")
    writer.open(VIDEO)
    for index, image in enumerate([*crossing_video(2), paint((64, 96), {})]):
        assert len(json.loads((tmp_path / "s.json").read_text())["frames"]) == index
        writer.write(Frame(index, None, image), true_segments_or_none(image, index))
    content = json.loads((tmp_path / "s.json").read_text())
    assert content["frames"][2] == {"frame_index": 2, "timestamp": None, "segments": []}


def true_segments_or_none(image, index):
    if image.any():
        return true_segments(image, index)
    nothing = np.zeros(0, dtype=np.int64)
    return FrameSegments(
        index, nothing, nothing, np.zeros(0, np.float32), masks=np.zeros((0, 64, 96), bool)
    )


@pytest.mark.parametrize("as_map", [False, True])
def test_label_images_have_identities_of_things_and_classes_of_all(tmp_path, as_map):
    image = paint((64, 96), {0: (0, 0, 20, 30), 2: (30, 30, 50, 50), 3: (50, 60, 64, 96)})
    write_all([MaskWriter(tmp_path)], [image], as_map=as_map)
    segments = true_segments(image, 0)
    identities, classes = np.zeros((2, 64, 96))
    for position, class_index in enumerate(segments.classes):
        classes[segments.mask(position)] = class_index + 1
        if LEGEND.is_thing[class_index]:
            identities[segments.mask(position)] = segments.ids[position]
    np.testing.assert_array_equal(read_labels(tmp_path / "masks/00000.png"), identities)
    np.testing.assert_array_equal(read_labels(tmp_path / "classes/00000.png"), classes)


def test_label_image_shows_the_higher_score_where_masks_overlap(tmp_path):
    masks = np.zeros((2, 64, 96), dtype=bool)
    masks[0, :40] = masks[1, 30:] = True
    segments = FrameSegments(
        0, np.array([5, 9]), np.array([0, 1]), np.array([0.6, 0.9], np.float32), masks=masks
    )
    writer = MaskWriter(tmp_path)
    writer.open(VIDEO)
    writer.write(Frame(0, None, paint((64, 96), {})), segments)
    labels = read_labels(tmp_path / "masks/00000.png")
    assert (labels[:30] == 5).all()
    assert (labels[30:] == 9).all()


def test_no_identities_are_written_where_there_are_only_stuff_classes(tmp_path):
    legend = ClassLegend(LEGEND.names, (False,) * 5, LEGEND.colors)
    video = VideoInfo("walk", (64, 96), None, None, legend)
    writer = MaskWriter(tmp_path)
    write_all([writer], crossing_video(1), video=video, as_map=True)
    assert [path.name for path in tmp_path.iterdir()] == ["classes"]
    assert writer.files == [tmp_path / "classes"]


def test_identity_beyond_16_bits_is_refused(tmp_path):
    segments = true_segments(crossing_video(1)[0], 0)
    segments.ids = segments.ids + 65535
    writer = MaskWriter(tmp_path)
    writer.open(VIDEO)
    with pytest.raises(ValueError, match="identity 65538, more than 16 bits hold; choose json"):
        writer.write(Frame(0, None, crossing_video(1)[0]), segments)


def test_overlay_is_drawn_once_for_all_files(tmp_path, monkeypatch):
    num_drawn = 0

    def counting(*arguments):
        nonlocal num_drawn
        num_drawn += 1
        return draw_segments(*arguments)

    monkeypatch.setattr("gvseg.inference.overlay.draw_segments", counting)
    images = crossing_video(4)
    write_all(build_writers(tmp_path, ["video", "frames"]), images)
    assert num_drawn == 4
    drawn = cv2.imread(str(tmp_path / "frames/00003.png"))[..., ::-1]
    np.testing.assert_array_equal(
        drawn, draw_segments(images[3], true_segments(images[3], 3), LEGEND)
    )
    assert VideoSource(tmp_path / "overlay.mp4").num_frames == 4


def test_formats_choose_the_files(tmp_path):
    for formats, expected in [
        (["video"], {"overlay.mp4"}),
        (["frames", "json"], {"frames", "segments.json"}),
        (["masks"], {"masks", "classes"}),
        (["csv", "npz", "semantic"], {"tracks.csv", "npz", "semantic"}),
        (["panoptic", "coco_panoptic", "davis"], {"panoptic", "coco_panoptic", "davis"}),
        ([], set()),
    ]:
        expected |= {"overview.png", "tracks.png"}
        folder = tmp_path / "-".join(["out", *formats])
        writers = build_writers(folder, formats)
        write_all(writers, crossing_video(2))
        assert {path.name for path in folder.iterdir()} == expected
        files = {file for writer in writers for file in writer.files}
        assert {file for file in folder.rglob("*") if file.is_file()} == {
            *(file for file in files if file.is_file()),
            *(image for file in files if file.is_dir() for image in file.iterdir() if image.suffix),
        }


def test_unknown_format_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match="'gif'; choose from video, frames, masks, json"):
        build_writers(tmp_path / "out", ["json", "gif"])
    assert not (tmp_path / "out").exists()


def test_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=f"Output folder {folder} cannot be written"):
            build_writers(folder, ["json"])


def test_folder_without_permission_is_named(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(OSError, match=f"{tmp_path} cannot be written: Permission denied"):
        build_writers(tmp_path, ["json"])


def test_overlay_writer_lists_files_of_all_sinks(tmp_path):
    overlay, _ = build_writers(tmp_path, ["video", "frames"])
    assert isinstance(overlay, OverlayWriter)
    write_all([overlay], crossing_video(1))
    assert {path.name for path in overlay.files} == {"overview.png", "overlay.mp4", "frames"}


STUFF = ClassLegend(("road", "sky"), (False, False), ((0, 0, 0), (9, 9, 9)))
THINGS = ClassLegend(("car",), (True,), ((0, 0, 0),))


def test_formats_of_objects_need_objects():
    for name in ("davis", "youtube_vis", "burst", "coco_video"):
        with pytest.raises(ValueError, match=f"^{name} holds objects, but .* choose semantic"):
            check_formats(["json", name], STUFF)
        check_formats([name], THINGS)
    check_formats(["panoptic", "masks", "semantic"], STUFF)


def test_video_needs_its_encoder(monkeypatch):
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(OSError, match=r"cannot encode H\.264"):
        check_formats(["video"], THINGS)
    check_formats(["frames"], THINGS)
