from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gvseg.data.class_table import ClassTable
from gvseg.data.custom import class_table_of
from gvseg.data.panoptic_image import write_rgb_values
from gvseg.data.problems import AnnotationError, Problem
from gvseg.data.segments import FrameLabels
from gvseg.data.video_folder import label_values, load_folders, read_exemplars, read_labels
from gvseg.structures import FrameSegments
from gvseg.tasks import Task

SIZE = (12, 16)
TWO_THINGS = class_table_of(["cat", "dog"], Task.VIS)
PANOPTIC = class_table_of({"things": ["cat", "dog"], "stuff": ["sky"]}, Task.VPS)
OBJECT = class_table_of("object", Task.EVS)


def write_frame(path: Path, size: tuple[int, int] = SIZE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((*size, 3), np.uint8)).save(path)


def write_values(path: Path, values: np.ndarray, mode: str = "I;16") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode == "RGB":
        return write_rgb_values(path, values)
    image = Image.fromarray(values.astype(np.uint16 if mode == "I;16" else np.uint8))
    if mode == "P":
        image.putpalette(np.arange(768, dtype=np.uint8).tobytes())
    return image.save(path)


def stripes(*values: int) -> np.ndarray:
    """Return an image with a vertical stripe of each value."""
    return np.repeat(np.array(values), SIZE[1] // len(values))[None].repeat(SIZE[0], axis=0)


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Write videos b2 and b10 with frames 1, 2 and 10, the second of b2 without label image."""
    images, masks = tmp_path / "frames", tmp_path / "masks"
    for video in ("b10", "b2"):
        for frame in (1, 2, 10):
            write_frame(images / video / f"{frame}.jpg")
            if (video, frame) != ("b2", 2):
                write_values(masks / video / f"{frame}.png", stripes(0, 1001, 2007, 2))
    return images, masks


def labels_of(values: np.ndarray, tmp_path: Path, mode: str, *, classes, task: Task) -> FrameLabels:
    write_values(tmp_path / "labels.png", values, mode)
    record = {"label_files": [str(tmp_path / "labels.png")], "file_names": ["frame.jpg"]}
    return read_labels(record, 0, classes=classes, task=task)


def segments_by_id(labels: FrameLabels) -> dict[int, tuple[int, bool]]:
    """Return class and crowd flag of each segment by identity."""
    segments = labels.segments
    return {
        int(id_): (int(class_index), bool(is_crowd))
        for id_, class_index, is_crowd in zip(
            segments.ids, segments.classes, labels.is_crowd, strict=True
        )
    }


class TestFolders:
    def test_videos_and_frames_come_in_natural_order(self, folders: tuple[Path, Path]):
        records = load_folders(*folders)
        assert [record["video_id"] for record in records] == ["b2", "b10"]
        for record in records:
            assert [Path(name).name for name in record["file_names"]] == [
                "1.jpg",
                "2.jpg",
                "10.jpg",
            ]
            assert (record["height"], record["width"], record["length"]) == (*SIZE, 3)

    def test_frames_without_label_image_have_no_labels(self, folders: tuple[Path, Path]):
        records = load_folders(*folders)
        assert [record["annotated_frames"] for record in records] == [[0, 2], [0, 1, 2]]
        with pytest.raises(AnnotationError, match=r"2\.jpg has no labels"):
            read_labels(records[0], 1, classes=TWO_THINGS, task=Task.VIS)

    def test_without_masks_labels_are_hidden(self, folders: tuple[Path, Path]):
        assert [record["annotated_frames"] for record in load_folders(folders[0], None)] == [[], []]

    def test_missing_folder_is_named(self, folders: tuple[Path, Path]):
        with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
            load_folders(folders[0] / "nowhere", None)
        with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
            load_folders(folders[0], folders[1] / "nowhere")

    def test_each_problem_is_reported_and_the_rest_read(self, folders: tuple[Path, Path]):
        images, masks = folders
        (images / "c_empty").mkdir()
        write_values(masks / "b2" / "7.png", stripes(0, 1))
        write_values(masks / "strange" / "1.png", stripes(0, 1))
        problems: list[Problem] = []
        records = load_folders(images, masks, report=problems.append)
        assert [record["video_id"] for record in records] == ["b2", "b10"]
        assert [Path(problem.file).name for problem in problems] == ["strange", "7.png", "c_empty"]
        for broken, message in ((masks / "strange", "does not hold"), (masks / "b2", "no frame")):
            with pytest.raises(AnnotationError, match=message):
                load_folders(images, masks)
            for path in broken.glob("*"):
                if broken.name == "strange" or path.stem == "7":
                    path.unlink()
            if broken.name == "strange":
                broken.rmdir()

    def test_folder_without_videos_is_named(self, tmp_path: Path):
        with pytest.raises(AnnotationError, match="holds no folders; put the frames of each video"):
            load_folders(tmp_path, None)


class TestValues:
    @pytest.mark.parametrize("mode", ["I;16", "RGB"])
    def test_objects_are_a_thousand_times_their_class_and_a_number(self, tmp_path: Path, mode: str):
        values = stripes(0, 1001, 1002, 2001)
        labels = labels_of(values, tmp_path, mode, classes=TWO_THINGS, task=Task.VIS)
        assert segments_by_id(labels) == {1001: (0, False), 1002: (0, False), 2001: (1, False)}
        for position, id_ in enumerate(labels.segments.ids):
            np.testing.assert_array_equal(labels.segments.mask(position), values == id_)
        assert labels.areas.tolist() == [48, 48, 48]

    def test_class_of_a_thing_alone_is_a_crowd(self, tmp_path: Path):
        values = stripes(0, 2001, 2, 255)
        labels = labels_of(values, tmp_path, "I;16", classes=TWO_THINGS, task=Task.VIS)
        assert segments_by_id(labels) == {2: (1, True), 2001: (1, False)}
        np.testing.assert_array_equal(labels.segments.index_map == -1, np.isin(values, [0, 255]))

    def test_stuff_is_known_by_its_class(self, tmp_path: Path):
        values = stripes(1001, 3, 2, 0)
        labels = labels_of(values, tmp_path, "I;16", classes=PANOPTIC, task=Task.VPS)
        assert segments_by_id(labels) == {1001: (0, False), 3: (2, False), 2: (1, True)}

    @pytest.mark.parametrize("mode", ["L", "P", "I;16"])
    def test_semantic_values_are_class_ids(self, tmp_path: Path, mode: str):
        classes = class_table_of(["road", "sky"], Task.VSS)
        labels = labels_of(stripes(0, 1, 2, 255), tmp_path, mode, classes=classes, task=Task.VSS)
        assert segments_by_id(labels) == {1: (0, False), 2: (1, False)}

    @pytest.mark.parametrize("task", [Task.VIS, Task.EVS])
    def test_values_of_a_single_class_are_objects(self, tmp_path: Path, task: Task):
        labels = labels_of(stripes(0, 1, 7, 255), tmp_path, "P", classes=OBJECT, task=task)
        assert segments_by_id(labels) == {1: (0, False), 7: (0, False)}

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            (stripes(0, 3), r"labels\.png has category ids \[3\]"),
            (stripes(0, 4001), r"labels\.png has category ids \[4\]"),
        ],
    )
    def test_unknown_class_is_named(self, tmp_path: Path, values: np.ndarray, message: str):
        with pytest.raises(ValueError, match=message):
            labels_of(values, tmp_path, "I;16", classes=TWO_THINGS, task=Task.VIS)

    def test_numbered_stuff_is_named(self, tmp_path: Path):
        with pytest.raises(AnnotationError, match=r"labels\.png has values \[3005\], which number"):
            labels_of(stripes(3, 3005), tmp_path, "I;16", classes=PANOPTIC, task=Task.VPS)

    def test_zero_can_be_a_class_of_a_table(self, tmp_path: Path):
        classes = class_table_of("camvid", Task.VSS)
        values = stripes(0, 1, 11, 11)
        labels = labels_of(values, tmp_path, "L", classes=classes, task=Task.VSS)
        assert segments_by_id(labels) == {1: (0, False), 2: (1, False)}


@pytest.mark.parametrize("kind", ["mask", "box", "point"])
def test_objects_are_pointed_out_where_they_first_appear(tmp_path: Path, kind: str):
    for frame, values in enumerate([stripes(0, 5), stripes(0, 5), stripes(5, 9)]):
        write_frame(tmp_path / "frames" / "v" / f"{frame}.png")
        if frame != 1:
            write_values(tmp_path / "masks" / "v" / f"{frame}.png", values, "P")
    (record,) = load_folders(tmp_path / "frames", tmp_path / "masks")
    exemplars = read_exemplars(record, kind=kind, classes=OBJECT)
    assert [(exemplar.object_id, exemplar.frame_index) for exemplar in exemplars] == [
        (5, 0),
        (9, 2),
    ]
    assert {exemplar.kind for exemplar in exemplars} == {kind}


ZERO = ClassTable(
    name="from zero",
    source="",
    ids=(0, 1, 2),
    names=("sky", "cat", "dog"),
    is_thing=(False, True, True),
    colors=((0, 0, 0),) * 3,
    void_ids=(7,),
)


def frame_labels(index_map: np.ndarray, classes: list[int]) -> FrameLabels:
    segments = FrameSegments(
        frame_index=0,
        ids=np.arange(1, len(classes) + 1),
        classes=np.array(classes),
        scores=np.ones(len(classes), dtype=np.float32),
        index_map=index_map.astype(np.int16),
    )
    return FrameLabels(segments, np.zeros(len(classes), dtype=bool), np.ones(len(classes)))


def test_stuff_of_id_0_is_told_from_what_has_no_label(tmp_path: Path):
    labels = frame_labels(stripes(-1, 0, 1, 2), [0, 1, 1])
    values = label_values(labels, ZERO, Task.VPS)
    np.testing.assert_array_equal(values, stripes(7, 0, 1002, 1003))
    again = labels_of(values, tmp_path, "RGB", classes=ZERO, task=Task.VPS)
    np.testing.assert_array_equal(again.segments.index_map, labels.segments.index_map)
    assert again.segments.classes.tolist() == [0, 1, 1]


def test_things_of_id_0_cannot_be_numbered():
    things_first = replace(ZERO, is_thing=(True, True, False))
    with pytest.raises(ValueError, match="from zero has things of id 0"):
        label_values(frame_labels(stripes(0, 1), [0, 2]), things_first, Task.VPS)
