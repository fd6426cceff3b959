"""Exemplars wait for their frames, and take little room afterwards."""

import numpy as np
import pytest

from gvseg.inference.exemplar_store import ExemplarStore
from gvseg.structures import Exemplar


def disc(radius: int, size: tuple[int, int] = (90, 160)) -> np.ndarray:
    rows, columns = np.ogrid[: size[0], : size[1]]
    return (rows - 40) ** 2 + (columns - 60) ** 2 < radius**2


def filled() -> ExemplarStore:
    store = ExemplarStore()
    store.add(Exemplar(1, 0, mask=disc(20)))
    store.add(Exemplar(2, 5, box=np.array([1, 2, 3, 4], dtype=np.float32)))
    store.add(Exemplar(2, 9, point=np.array([7, 8], dtype=np.float32)))
    return store


def about(exemplars: list[Exemplar]) -> list[tuple]:
    return [(e.object_id, e.frame_index, getattr(e, e.kind).tolist()) for e in exemplars]


def test_taken_ones_wait_no_longer_and_come_back_for_another_video():
    store, fresh = filled(), filled()
    taken = store.take(range(3))
    assert [(e.object_id, e.frame_index) for e in taken] == [(1, 0)]
    assert [e.frame_index for e in store.waiting] == [5, 9]
    assert store.take(range(3, 6))[0].kind == "box"
    assert (store.object_ids, store.used_ids) == ({1, 2}, {1, 2})
    store.reset()
    assert about(store.waiting) == about(fresh.waiting)
    assert store.used_ids == set()


def test_masks_of_frames_are_those_given_last():
    store = ExemplarStore()
    for radius in (10, 20):
        store.add(Exemplar(1, 4, mask=disc(radius)))
    store.add(Exemplar(3, 4, point=np.array([7, 8], dtype=np.float32)))
    store.take([4])
    assert store.masks(4).keys() == {1}
    np.testing.assert_array_equal(store.masks(4)[1], disc(20))
    assert store.masks(5) == {}


def test_the_identity_of_a_removed_object_is_not_given_again():
    store = filled()
    store.remove(2)
    assert store.object_ids == {1}
    assert store.next_id == 3
    copy = ExemplarStore()
    copy.restore(store.state())
    assert copy.next_id == 3
    store.reset()
    assert store.next_id == 2  # in another video
    with pytest.raises(ValueError, match="no object 2 to remove; known are 1"):
        store.remove(2)


@pytest.mark.parametrize("num_taken", [0, 1, 6, 10])
def test_a_restored_store_is_the_same(num_taken):
    store, copy = filled(), ExemplarStore()
    store.take(range(num_taken))
    copy.restore(store.state())
    assert about(copy.waiting) == about(store.waiting)
    assert (copy.used_ids, copy.object_ids) == (store.used_ids, store.object_ids)
    for one in (store, copy):
        one.reset()
    assert about(copy.waiting) == about(store.waiting)


def test_used_masks_are_packed():
    """A detector that points out one object in each of 100 frames, of 14 kB a mask."""
    store = ExemplarStore()
    for frame_index in range(100):
        store.add(Exemplar(1, frame_index, mask=disc(20)))
        store.take([frame_index])
    assert sum(array.nbytes for array in store.state().values()) < 100 * 200
