from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from detectron2.structures import BitMasks, Instances

from gvseg.data.benchmark import Benchmark, Record
from gvseg.data.contact_sheet import (
    Row,
    draw_annotations,
    join_stills,
    lay_out,
    sample_row,
    video_row,
)
from gvseg.structures import Exemplar
from gvseg.visualization import identity_color
from tests.data.vps_benchmark import SIZE, read_labels, vps_benchmark

SCALE = 6.25  # the frame of 48x64 fills 300x400
BLUE = (20, 40, 200)
GREY = np.full((*SIZE, 3), 90, dtype=np.uint8)


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    return vps_benchmark(tmp_path)


@pytest.fixture
def record(benchmark: Benchmark) -> Record:
    (record,) = benchmark.load_records(Path(), "train")
    return record


def at(picture: np.ndarray, row: float, column: float) -> np.ndarray:
    """The part of a drawn picture that shows 2x2 pixels of the frame."""
    top, left = round(row * SCALE), round(column * SCALE)
    return picture[top : top + 12, left : left + 12].astype(int)


class TestAnnotations:
    def test_segments_have_the_colours_of_identity_and_class(self, benchmark: Benchmark):
        picture = draw_annotations(GREY, read_labels({}, 4), benchmark)
        assert picture.shape == (300, 400, 3)
        cat, sky = identity_color(7), (0, 0, 255)
        for (row, column), color, opacity in [((32, 40), cat, 0.45), ((2, 50), sky, 0.55)]:
            expected = (1 - opacity) * 90 + opacity * np.array(color)
            shown = at(picture, row, column)
            np.testing.assert_allclose(shown, np.broadcast_to(expected, shown.shape), atol=1.5)

    def test_void_is_hatched_and_its_frame_shows_between(self, benchmark: Benchmark):
        picture = draw_annotations(GREY, read_labels({}, 0), benchmark)
        levels, counts = np.unique(at(picture, 20, 61), return_counts=True)
        assert levels.tolist() == [90, 160]
        assert 0.3 < counts[1] / counts.sum() < 0.7

    def test_crowd_is_crossed_and_another_thing_of_its_class_is_not(self, benchmark: Benchmark):
        picture = draw_annotations(GREY, read_labels({}, 0), benchmark)
        crowd, dog = at(picture, 44, 1), at(picture, 26, 5)
        assert len(np.unique(crowd.sum(axis=2))) > 1
        assert len(np.unique(dog.sum(axis=2))) == 1

    def test_hidden_labels_leave_the_frame_as_it_is(self, benchmark: Benchmark):
        assert (draw_annotations(GREY, None, benchmark) == 90).all()

    @pytest.mark.parametrize(
        ("exemplar", "place"),
        [
            (Exemplar(7, 0, box=np.array([16, 16, 32, 32], dtype=np.float32)), (24, 16)),
            (Exemplar(7, 0, point=np.array([16.0, 24.0], dtype=np.float32)), (24, 16)),
            (Exemplar(7, 0, mask=np.pad(np.ones((16, 16), bool), ((16, 16), (16, 32)))), (24, 16)),
        ],
    )
    def test_exemplar_is_drawn_where_it_points(
        self, benchmark: Benchmark, exemplar: Exemplar, place: tuple[int, int]
    ):
        picture = draw_annotations(GREY, None, benchmark, [exemplar])
        row, column = (round(number * SCALE) for number in place)
        np.testing.assert_allclose(picture[row, column], identity_color(7), atol=30)
        assert (picture[0, 0] == 90).all()

    def test_name_is_written_over_the_exemplar(self, benchmark: Benchmark):
        labels = read_labels({}, 4)
        whole = Exemplar(7, 4, box=np.array([0, 0, 64, 48], dtype=np.float32))
        with_box = draw_annotations(GREY, labels, benchmark, [whole])
        without = draw_annotations(GREY, labels, benchmark)
        assert (with_box != without).any(axis=-1).mean() > 0.01, "the box is drawn"
        plates = (without == identity_color(7)).all(axis=-1)
        assert plates.any()
        np.testing.assert_array_equal(with_box[plates], without[plates])


class TestRows:
    def test_frames_are_spread_over_the_annotated_ones(self, record, benchmark):
        assert video_row(record, benchmark, 3).captions == ["frame 0", "frame 4", "frame 7"]
        record["annotated_frames"] = [1, 2, 6]
        row = video_row(record, benchmark, 5)
        assert row.captions == ["frame 1", "frame 2", "frame 6"]
        assert row.title == "walk: 8 frames of 48x64"

    def test_frames_with_exemplars_come_first(self, record, benchmark):
        exemplars = [
            Exemplar(7, 5, point=np.array([36.5, 30.5])),
            Exemplar(41, 3, point=np.array([20.5, 20.5])),
        ]
        pointed = replace(benchmark, read_exemplars=lambda record: exemplars)
        plain = video_row(record, benchmark, 8)
        row = video_row(record, pointed, 4)
        assert row.captions == ["frame 0", "frame 3", "frame 5", "frame 7"]
        for picture, index in zip(row.pictures, (0, 3, 5, 7), strict=True):
            differs = (picture != plain.pictures[index]).any()
            assert differs == (index in (3, 5))
        assert video_row(record, pointed, 1).captions == ["frame 3"]

    def test_hidden_labels_are_said_to_be(self, record, benchmark):
        record["annotated_frames"] = []
        row = video_row(record, benchmark, 2)
        assert row.captions == ["frame 0", "frame 7"]
        assert row.title.endswith("labels hidden")

    @pytest.mark.parametrize("is_bgr", [False, True])
    def test_sample_shows_what_its_annotations_show(self, record, benchmark, is_bgr: bool):
        """A sample made by hand of frame 4, without its crowd, which training leaves out."""
        frame = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
        labels = read_labels(record, 4)
        index_map = np.where(labels.segments.index_map == 4, -1, labels.segments.index_map)
        classes = np.array([0, 2, 255, 255, 255])[index_map]
        instances = Instances(
            SIZE,
            gt_ids=torch.tensor([7, 41]),
            gt_classes=torch.tensor([1, 3]),
            gt_masks=BitMasks(torch.from_numpy(np.stack([index_map == 3, index_map == 2]))),
        )
        channels = frame[..., ::-1] if is_bgr else frame
        sample = {
            "frame_indices": [4],
            "images": [torch.from_numpy(channels.transpose(2, 0, 1).copy())],
            "instances": [instances],
            "sem_seg": [torch.from_numpy(np.where(index_map == -1, 255, classes))],
        }
        row = sample_row(record, sample, benchmark, is_bgr=is_bgr)
        segments = replace(labels.segments, index_map=index_map.astype(np.int16))
        expected = draw_annotations(frame, replace(labels, segments=segments), benchmark)
        assert row.captions == ["frame 4, 48x64"]
        # Where names stand depends on the order of segments, but not where colours do.
        assert (row.pictures[0] == expected).all(axis=-1).mean() > 0.97

    def test_exemplars_of_a_sample_are_at_their_place_in_the_clip(self, record, benchmark):
        image = torch.full((3, *SIZE), 90, dtype=torch.uint8)
        sample = {
            "frame_indices": [3, 5],
            "images": [image, image],
            "instances": [empty_instances()] * 2,
            "sem_seg": [torch.zeros(SIZE, dtype=torch.int64)] * 2,
            "exemplars": [Exemplar(7, 1, point=np.array([50.0, 40.0], dtype=np.float32))],
        }
        first, second = sample_row(record, sample, benchmark, is_bgr=False).pictures
        assert (first != second).any()
        np.testing.assert_array_equal(at(first, 30, 40), at(second, 30, 40))


def empty_instances() -> Instances:
    nothing = torch.zeros(0, dtype=torch.int64)
    masks = BitMasks(torch.zeros((0, *SIZE), dtype=torch.bool))
    return Instances(SIZE, gt_ids=nothing, gt_classes=nothing, gt_masks=masks)


class TestSheet:
    def row(self, *sizes: tuple[int, int]) -> Row:
        pictures = [np.full((*size, 3), BLUE, dtype=np.uint8) for size in sizes]
        return Row("a video", pictures, ["a frame"] * len(pictures))

    def test_every_picture_is_on_the_sheet_whole(self):
        rows = [self.row((30, 400), (30, 400)), self.row((300, 100)), self.row((20, 20))]
        sheet = lay_out(rows, "a title")
        area = sum(picture[..., 0].size for row in rows for picture in row.pictures)
        assert (sheet == BLUE).all(axis=-1).sum() == area
        assert (sheet[0] == 255).all()
        assert (sheet[-1] == 255).all()

    def test_stills_stand_side_by_side_with_their_names(self):
        stills = [replace(self.row((9, 9)), title=str(number)) for number in range(5)]
        video = self.row((9, 9), (9, 9))
        rows = join_stills([*stills[:2], video, *stills[2:]], 3)
        assert [row.captions for row in rows] == [
            ["a frame", "a frame"], ["0", "1", "2"], ["3", "4"],
        ]  # fmt: skip

    def test_sheet_of_nothing_has_a_title(self):
        assert (lay_out([], "a title") != 255).any()
