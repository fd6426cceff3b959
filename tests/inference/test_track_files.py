"""Tracks in the formats of benchmarks, read back by the readers of their submissions."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from gvseg.data.benchmark import Benchmark
from gvseg.data.class_table import ClassTable
from gvseg.data.object_video import object_palette
from gvseg.evaluation.submissions import FORMATS as SUBMISSIONS
from gvseg.inference.sources import Frame
from gvseg.inference.video_info import VideoInfo
from gvseg.inference.writers import build_writers
from gvseg.structures import FrameSegments
from gvseg.tasks import Task
from gvseg.visualization import ClassLegend
from tests.inference.output_files import num_frames_in
from tests.inference.painted_video import COLORS, LEGEND, NAMES, crossing_video, true_segments

CATEGORY_IDS = (7, 3, 12, 40, 41)
SIZE = (64, 96)
THINGS = ClassLegend(NAMES, LEGEND.is_thing, COLORS, CATEGORY_IDS)
VIDEO = VideoInfo("walk", SIZE, None, None, THINGS)
NUM_FRAMES = 30
RECORD = {
    "video_id": 1,
    "height": SIZE[0],
    "width": SIZE[1],
    "length": NUM_FRAMES,
    "file_names": [f"{index:05d}.png" for index in range(NUM_FRAMES)],
}


def benchmark():
    classes = ClassTable("painted", "", CATEGORY_IDS, NAMES, LEGEND.is_thing, COLORS)
    return Benchmark("painted", Task.VPS, classes, ("",), None, None, ())


def segments_of(index):
    return true_segments(crossing_video(NUM_FRAMES)[index], index)


def write(folder, *formats, num_frames=NUM_FRAMES, video=VIDEO, is_closed=True):
    writers = build_writers(folder, formats)
    for writer in writers:
        writer.open(video)
    for index, image in enumerate(crossing_video(NUM_FRAMES)[:num_frames]):
        for writer in writers:
            writer.write(Frame(index, None, image), true_segments(image, index))
    if is_closed:
        for writer in writers:
            writer.close()
    return folder


def read(name, path, record=RECORD):
    reader = SUBMISSIONS[name].open_reader(path, benchmark(), [record])
    return list(reader.frames(record, range(record["length"])))


def masks_by_class(segments):
    return {
        int(class_index): segments.mask(position)
        for position, class_index in enumerate(segments.classes)
    }


def assert_same_masks(first, second):
    first, second = masks_by_class(first), masks_by_class(second)
    assert first.keys() == second.keys()
    for class_index, mask in first.items():
        np.testing.assert_array_equal(mask, second[class_index])


def test_youtube_vis_is_read_back(tmp_path):
    folder = write(tmp_path, "youtube_vis")
    tracks = json.loads((folder / "youtube_vis.json").read_text())
    assert [track["category_id"] for track in tracks] == [7, 3, 12]
    for index, segments in enumerate(read("track_json", folder / "youtube_vis.json")):
        assert_same_masks(segments, segments_of(index))
    assert {path.name for path in tmp_path.iterdir()} == {
        "overview.png", "tracks.png", "youtube_vis.json"
    }  # fmt: skip


def test_burst_is_read_back_with_identities_and_scores(tmp_path):
    folder = write(tmp_path, "burst")
    for index, segments in enumerate(read("burst_json", folder / "burst.json")):
        truth = segments_of(index)
        assert_same_masks(segments, truth)
        assert segments.ids.tolist() == truth.ids.tolist()
        np.testing.assert_allclose(segments.scores, truth.scores)


def test_vipseg_is_read_back(tmp_path):
    folder = write(tmp_path, "panoptic")
    record = RECORD | {"video_id": "walk"}
    tubes = {}
    for index, segments in enumerate(read("vipseg", folder / "panoptic", record)):
        truth = segments_of(index)
        np.testing.assert_array_equal(
            np.append(segments.classes, -1)[segments.index_map], class_map_in_front(truth)
        )
        for id_, class_index in zip(segments.ids, segments.classes, strict=True):
            assert tubes.setdefault(int(class_index), int(id_)) == id_
    assert len(set(tubes.values())) == 3


def class_map_in_front(segments):
    classes = np.full(segments.size, -1)
    for position in np.argsort(segments.scores, kind="stable"):
        classes[segments.mask(position)] = segments.classes[position]
    return classes


def test_davis_images_are_read_back_and_have_its_palette(tmp_path):
    folder = write(tmp_path, "davis") / "davis"
    record = RECORD | {"video_id": "walk"}
    for index, segments in enumerate(read("object_images", folder, record)):
        truth = segments_of(index)
        assert segments.ids.tolist() == truth.ids.tolist()
        for position in range(len(truth)):
            np.testing.assert_array_equal(segments.mask(position), truth.mask(position))
    with Image.open(folder / "walk" / "00000.png") as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(
            np.array(image.getpalette()).reshape(-1, 3)[:3], object_palette()[:3]
        )


def test_coco_video_is_read_by_the_reader_of_coco(tmp_path):
    coco = COCO(write(tmp_path, "coco_video") / "coco_video.json")
    assert len(coco.imgs) == NUM_FRAMES
    assert coco.loadCats(12)[0]["name"] == "blue"
    for image_id, image in coco.imgs.items():
        truth = segments_of(image_id - 1)
        assert (image["file_name"], image["video_id"]) == (f"{image_id - 1:05d}.png", 1)
        annotations = coco.loadAnns(coco.getAnnIds(imgIds=[image_id]))
        assert [annotation["instance_id"] for annotation in annotations] == truth.ids.tolist()
        for position, annotation in enumerate(annotations):
            np.testing.assert_array_equal(coco.annToMask(annotation), truth.mask(position))
            assert annotation["category_id"] == CATEGORY_IDS[truth.classes[position]]
            assert annotation["area"] == truth.mask(position).sum()


def test_coco_panoptic_names_each_colour_once(tmp_path):
    folder = write(tmp_path, "coco_panoptic") / "coco_panoptic"
    content = json.loads((folder / "panoptic.json").read_text())
    assert [category["isthing"] for category in content["categories"]] == [1, 1, 1, 0, 0]
    assert len(content["images"]) == len(content["annotations"]) == NUM_FRAMES
    for image, annotation in zip(content["images"], content["annotations"], strict=True):
        assert annotation["image_id"] == image["id"]
        pixels = np.array(Image.open(folder / annotation["file_name"])).astype(int)
        values, areas = np.unique(pixels @ (1, 256, 65536), return_counts=True)
        listed = {info["id"]: info["area"] for info in annotation["segments_info"]}
        assert listed == {v: a for v, a in zip(values, areas, strict=True) if v}
        truth = segments_of(image["id"] - 1)
        is_seen = [truth.mask(position).any() for position in range(len(truth))]
        assert [info.get("instance_id") for info in annotation["segments_info"]] == [
            int(truth.ids[position]) if LEGEND.is_thing[truth.classes[position]] else None
            for position in np.flatnonzero(is_seen)
        ]


def test_stuff_is_no_track(tmp_path):
    things = ClassLegend(NAMES, (True, False, False, False, False), COLORS)
    video = VideoInfo("walk", SIZE, None, None, things)
    folder = write(tmp_path, "youtube_vis", "burst", "davis", "coco_video", video=video)
    assert len(json.loads((folder / "youtube_vis.json").read_text())) == 1
    assert set(np.unique(Image.open(folder / "davis" / "walk" / "00003.png"))) == {0, 1}


@pytest.mark.parametrize("name", ["youtube_vis", "burst", "coco_video", "davis"])
def test_objects_need_classes_of_things(tmp_path, name):
    stuff = ClassLegend(NAMES, (False,) * 5, COLORS)
    with pytest.raises(ValueError, match=r"hold.* objects, but .* choose semantic or panoptic"):
        write(tmp_path, name, video=VideoInfo("walk", SIZE, None, None, stuff))


def test_davis_refuses_what_its_images_cannot_hold(tmp_path):
    (_, _, writer) = build_writers(tmp_path, ["davis"])
    writer.open(VIDEO)
    segments = segments_of(0)
    segments.ids = segments.ids + 252
    with pytest.raises(ValueError, match=r"Frame 0 in DAVIS's format: object 255 is predicted"):
        writer.write(Frame(0, None, crossing_video(1)[0]), segments)


def test_empty_frames_leave_valid_files(tmp_path):
    writers = build_writers(
        tmp_path, ["youtube_vis", "burst", "coco_video", "panoptic", "coco_panoptic"]
    )
    nothing = np.zeros(0, dtype=np.int64)
    empty = FrameSegments(
        0, nothing, nothing, np.zeros(0, np.float32), masks=np.zeros((0, *SIZE), bool)
    )
    for writer in writers:
        writer.open(VIDEO)
        writer.write(Frame(0, None, np.zeros((*SIZE, 3), np.uint8)), empty)
        writer.close()
    assert json.loads((tmp_path / "youtube_vis.json").read_text()) == []
    (sequence,) = json.loads((tmp_path / "burst.json").read_text())["sequences"]
    assert sequence["segmentations"] == [{}]
    assert json.loads((tmp_path / "coco_video.json").read_text())["annotations"] == []


def test_files_are_whole_while_they_grow(tmp_path):
    joined = ["youtube_vis", "burst", "coco_video", "coco_panoptic"]
    grown = ["panoptic", "davis", "csv", "npz", "semantic"]
    write(tmp_path, *joined, *grown, is_closed=False)
    num_frames = num_frames_in(tmp_path, was_killed=True)
    # Some are joined from time to time: after frame 1 and 25 frames later.
    assert {num_frames.pop(name + ".json", None) for name in joined[:3]} == {26}
    assert num_frames.pop("coco_panoptic") == 26
    del num_frames["tracks.png"]
    assert set(num_frames.values()) == {NUM_FRAMES}
