import numpy as np
import pytest
import torch

from detectron2.structures import BitMasks, Instances

from gvseg.data.clip_mapper import build_exemplar_draw
from gvseg.data.exemplars import (
    check_kinds,
    draw_exemplars,
    exemplar_from_mask,
    resize_exemplar,
    tight_box,
)
from gvseg.structures import Exemplar
from tests.tiny_model import tiny_config

SIZE = (30, 40)


def rectangle(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros(SIZE, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def clip_of(masks: np.ndarray, ids: list[int]) -> list[Instances]:
    """Return the instances of masks (N, T, H, W)."""
    return [
        Instances(
            masks.shape[2:],
            gt_ids=torch.tensor(ids),
            gt_masks=BitMasks(torch.from_numpy(np.ascontiguousarray(frame))),
        )
        for frame in masks.transpose(1, 0, 2, 3)
    ]


class TestFromMask:
    def test_box_has_the_edges_of_the_outermost_pixels(self):
        mask = rectangle(4, 6, 9, 20) | rectangle(10, 7, 11, 8)
        exemplar = exemplar_from_mask(mask, kind="box", object_id=3, frame_index=5)
        assert exemplar.box.tolist() == [6, 4, 20, 11]
        assert exemplar.box.dtype == np.float32
        assert (exemplar.object_id, exemplar.frame_index, exemplar.kind) == (3, 5, "box")

    def test_point_is_the_centre_of_a_disc(self):
        rows, columns = np.indices(SIZE)
        disc = (rows - 12) ** 2 + (columns - 17) ** 2 <= 49
        exemplar = exemplar_from_mask(disc, kind="point", object_id=1, frame_index=0)
        assert exemplar.point.tolist() == [17.5, 12.5]

    def test_point_is_inside_where_the_centroid_is_not(self):
        ring = rectangle(2, 2, 22, 22) & ~rectangle(5, 5, 19, 19)
        exemplar = exemplar_from_mask(ring, kind="point", object_id=1, frame_index=0)
        column, row = exemplar.point.astype(int)
        assert ring[row, column]

    def test_border_of_the_frame_is_a_border_of_the_object(self):
        exemplar = exemplar_from_mask(
            rectangle(0, 0, 9, 40), kind="point", object_id=1, frame_index=0
        )
        assert exemplar.point[1] == 4.5

    def test_depth_is_that_of_every_pixel_by_hand(self):
        rng = np.random.default_rng(0)
        for _ in range(20):
            mask = rng.random((9, 11)) < 0.8
            column, row = exemplar_from_mask(
                mask, kind="point", object_id=1, frame_index=0
            ).point.astype(int)
            outside = np.argwhere(~np.pad(mask, 1)) - 1
            depth = np.full(mask.shape, 0.0)
            for pixel in np.argwhere(mask):
                depth[tuple(pixel)] = np.linalg.norm(outside - pixel, axis=1).min()
            assert depth[row, column] == pytest.approx(depth.max(), abs=1e-4)

    def test_mask_is_itself(self):
        mask = rectangle(1, 1, 5, 5)
        exemplar = exemplar_from_mask(mask, kind="mask", object_id=1, frame_index=0)
        np.testing.assert_array_equal(exemplar.mask, mask)

    def test_empty_mask_names_object_and_frame(self):
        with pytest.raises(ValueError, match="Object 7 has an empty mask in frame 12"):
            exemplar_from_mask(np.zeros(SIZE, bool), kind="box", object_id=7, frame_index=12)

    def test_unknown_kind_is_named(self):
        with pytest.raises(ValueError, match="mask, box, point, not scribble"):
            exemplar_from_mask(rectangle(0, 0, 5, 5), kind="scribble", object_id=1, frame_index=0)


class TestDraw:
    def clip(self) -> list[Instances]:
        masks = np.zeros((2, 3, *SIZE), dtype=bool)
        masks[0, 1] = rectangle(3, 5, 10, 9)
        masks[0, 2] = rectangle(20, 22, 28, 39)
        masks[1, 0] = rectangle(0, 0, 4, 4)
        return clip_of(masks, [4, 9])

    def draws(self, kinds: list[str], num: int = 60, **kwargs) -> list[list[Exemplar]]:
        rng = np.random.default_rng(0)
        return [draw_exemplars(rng, self.clip(), kinds, **kwargs) for _ in range(num)]

    def test_objects_keep_their_order_and_show_in_the_frame_of_their_exemplar(self):
        clip = self.clip()
        for exemplars in self.draws(["mask", "box", "point"]):
            assert [exemplar.object_id for exemplar in exemplars] == [4, 9]
            for position, exemplar in enumerate(exemplars):
                assert clip[exemplar.frame_index].gt_masks.tensor[position].any()

    def test_every_frame_that_shows_the_object_and_every_kind_is_drawn(self):
        drawn = self.draws(["mask", "box", "point"])
        assert {exemplars[0].frame_index for exemplars in drawn} == {1, 2}
        assert {exemplars[1].frame_index for exemplars in drawn} == {0}
        assert {exemplars[0].kind for exemplars in drawn} == {"mask", "box", "point"}

    def test_only_the_kinds_asked_for_are_drawn(self):
        assert {pair[0].kind for pair in self.draws(["box", "point"])} == {"box", "point"}

    def test_of_more_objects_than_there_are_queries_any_are_drawn(self):
        draw = build_exemplar_draw(tiny_config("MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "1"))
        rng = np.random.default_rng(0)
        drawn = [draw(rng, self.clip()) for _ in range(20)]
        assert {len(exemplars) for exemplars in drawn} == {1}
        assert {exemplars[0].object_id for exemplars in drawn} == {4, 9}

    def test_points_fall_on_every_pixel_of_the_object(self):
        drawn = {tuple(exemplars[1].point) for exemplars in self.draws(["point"], 300)}
        assert drawn == {(x + 0.5, y + 0.5) for x in range(4) for y in range(4)}

    def test_boxes_are_tight_without_jitter(self):
        boxes = {tuple(exemplars[0].box) for exemplars in self.draws(["box"])}
        assert boxes == {(5, 3, 9, 10), (22, 20, 39, 28)}

    def test_jitter_moves_edges_by_a_share_of_the_box_within_the_frame(self):
        tight = {1: np.array([5, 3, 9, 10]), 2: np.array([22, 20, 39, 28])}
        moved = []
        for exemplar, _ in self.draws(["box"], box_jitter=0.2):
            box = tight[exemplar.frame_index]
            width, height = box[2] - box[0], box[3] - box[1]
            change = (exemplar.box - box) / [width, height, width, height]
            assert np.abs(change).max() <= 0.2 + 1e-6
            assert exemplar.box.dtype == np.float32
            assert exemplar.box[2] <= SIZE[1]
            moved.append(change)
        assert np.ptp(moved, axis=0).min() > 0.1


class TestResize:
    def exemplar(self, mask: np.ndarray, kind: str) -> Exemplar:
        return exemplar_from_mask(mask, kind=kind, object_id=2, frame_index=3)

    def test_exemplars_move_as_the_frame_does(self):
        mask, new_size = rectangle(4, 6, 10, 20), (60, 120)  # twice the height, thrice the width
        resized = {kind: resize_exemplar(self.exemplar(mask, kind), SIZE, new_size)
                   for kind in ("mask", "box", "point")}  # fmt: skip
        assert tight_box(resized["mask"].mask).tolist() == [18, 8, 60, 20]
        assert resized["box"].box.tolist() == [18, 8, 60, 20]
        np.testing.assert_allclose(
            resized["point"].point, self.exemplar(mask, "point").point * [3, 2]
        )
        for exemplar in resized.values():
            assert (exemplar.object_id, exemplar.frame_index) == (2, 3)

    def test_mask_too_small_for_the_new_size_keeps_a_pixel(self):
        mask = rectangle(29, 39, 30, 40)
        small = resize_exemplar(self.exemplar(mask, "mask"), SIZE, (3, 4))
        assert np.argwhere(small.mask).tolist() == [[2, 3]]


def test_no_kind_at_all_is_named():
    with pytest.raises(ValueError, match="not nothing"):
        check_kinds([])
