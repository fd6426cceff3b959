"""Queries that show one object pool their probabilities, worked by hand."""

import numpy as np
import pytest
import torch

from gvseg.inference.linking import build_linker
from gvseg.inference.repeats import group_repeats, pool_repeats, tube_overlaps
from gvseg.inference.runner_settings import RunnerSettings
from gvseg.inference.sources import ArraySource
from gvseg.inference.video_runner import segment_video
from gvseg.structures import TubePrediction
from tests.inference.test_runner_settings import make_config
from tests.inference.test_whereabouts import squares

PERSON, CAR, SKY, NOTHING = range(4)
IS_THING = [True, True, False]
LEFT, RIGHT = squares((8, 4), side=6), squares((8, 20), side=6)
LEFT_TOO = squares((8, 5), side=6)  # IoU with LEFT: 30 / 42 pixels


def predict(
    probs: list[list[float]], masks: list[np.ndarray], sizes: torch.Tensor | None = None
) -> TubePrediction:
    """Queries of one clip of one frame with class probabilities (Q, K+1) and masks (Q, h, w)."""
    return predict_tubes(probs, [[mask] for mask in masks], sizes)


def predict_tubes(
    probs: list[list[float]], tubes: list[list[np.ndarray]], sizes: torch.Tensor | None = None
) -> TubePrediction:
    logits = torch.tensor(probs).clamp_min(1e-12).log()[None]
    mask_logits = torch.from_numpy(np.array(tubes)).float()[None] * 4 - 2
    return TubePrediction(logits, mask_logits, torch.eye(len(tubes), 8)[None], sizes)


def probs_after(prediction: TubePrediction, max_overlap: float = 0.5) -> np.ndarray:
    return pool_repeats(prediction, max_overlap, IS_THING).class_logits[0].softmax(-1).numpy()


def test_overlaps_are_of_whole_tubes():
    tubes = [[LEFT, LEFT], [LEFT, RIGHT], [RIGHT, RIGHT]]
    clip = predict_tubes([[1.0, 0, 0, 0]] * 3, tubes)
    overlaps = tube_overlaps(clip, np.array([0, 1, 2]))
    np.testing.assert_allclose(overlaps, [[1, 1 / 3, 0], [1 / 3, 1, 1 / 3], [0, 1 / 3, 1]])
    np.testing.assert_allclose(tube_overlaps(clip, np.array([0, 2])), [[1, 0], [0, 1]])
    assert tube_overlaps(clip, np.array([], dtype=int)).shape == (0, 0)


def test_padding_does_not_count():
    padded = LEFT | (np.arange(LEFT.shape[0]) >= 16)[:, None]
    clip = predict([[0.4, 0, 0, 0.6]] * 2, [LEFT, padded], torch.tensor([[16.0, 32.0]]))
    np.testing.assert_allclose(tube_overlaps(clip, np.array([0, 1])), 1)


def test_a_group_is_led_by_its_best_and_chains_do_not_join_groups():
    overlaps = np.array([[1, 0.6, 0.1], [0.6, 1, 0.6], [0.1, 0.6, 1]])
    np.testing.assert_array_equal(
        group_repeats(overlaps, np.array([0.9, 0.5, 0.4]), 0.5), [0, 0, 2]
    )
    np.testing.assert_array_equal(
        group_repeats(overlaps, np.array([0.4, 0.9, 0.5]), 0.5), [1, 1, 1]
    )
    np.testing.assert_array_equal(
        group_repeats(overlaps, np.array([0.5, 0.5, 0.5]), 0.5), [0, 0, 2]
    )
    np.testing.assert_array_equal(
        group_repeats(overlaps, np.array([0.5, 0.6, 0.7]), 0.6), [0, 1, 2]
    )


def test_best_of_an_object_has_the_probability_of_all():
    prediction = predict(
        [[0.2, 0.1, 0.0, 0.7], [0.3, 0.1, 0.0, 0.6], [0.25, 0.0, 0.0, 0.75]],
        [LEFT, LEFT_TOO, RIGHT],
    )
    np.testing.assert_allclose(
        probs_after(prediction),
        [[0, 0, 0, 1], [0.5, 0.2, 0, 0.3], [0.25, 0, 0, 0.75]],
        atol=1e-6,
    )


def test_what_comes_to_more_than_one_is_shared_among_the_classes():
    prediction = predict([[0.9, 0.0, 0.0, 0.1], [0.0, 0.6, 0.0, 0.4]], [LEFT, LEFT_TOO])
    np.testing.assert_allclose(probs_after(prediction), [[0.6, 0.4, 0, 0], [0, 0, 0, 1]], atol=1e-6)


def test_what_of_stuff_a_query_takes_itself_for_is_not_pooled():
    prediction = predict(
        [[0.26, 0, 0.25, 0.49], [0, 0.26, 0.25, 0.49], [0.2, 0, 0.1, 0.7]], [LEFT, LEFT_TOO, RIGHT]
    )
    first, second, third = probs_after(prediction)
    share = 0.48 / (0.25 + 0.49)
    expected = [0.26, 0.26, 0.25 * share, 0.49 * share]
    np.testing.assert_allclose(first, expected, atol=1e-6)
    np.testing.assert_allclose(second, [0, 0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(third, [0.2, 0, 0.1, 0.7], atol=1e-6)


def test_all_classes_are_objects_where_nothing_says_which():
    prediction = predict([[0, 0, 0.4, 0.6], [0, 0, 0.3, 0.7]], [LEFT, LEFT_TOO])
    after = pool_repeats(prediction, 0.5).class_logits[0].softmax(-1)
    assert after[0, SKY] == pytest.approx(0.7, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_stays_finite(dtype):
    prediction = predict([[0.9, 0, 0, 0.1], [0.9, 0, 0, 0.1]], [LEFT, LEFT_TOO])
    prediction.class_logits = prediction.class_logits.clamp_min(-20).to(dtype)
    after = pool_repeats(prediction, 0.5, IS_THING).class_logits
    assert after.dtype == dtype
    assert after.isfinite().all()
    assert after[0, 0].float().softmax(-1)[PERSON] > 0.99


def test_stuff_and_queries_that_show_nothing_neither_give_nor_take():
    prediction = predict(
        [[0.3, 0.0, 0.0, 0.7], [0.1, 0.0, 0.9, 0.0], [0.004, 0.004, 0.0, 0.992]],
        [LEFT, LEFT, LEFT],
    )
    before = prediction.class_logits.softmax(-1)[0].numpy()
    np.testing.assert_allclose(probs_after(prediction), before, atol=1e-6)


@pytest.mark.parametrize(("max_overlap", "is_pooled"), [(0.7, True), (0.72, False), (1.0, False)])
def test_queries_show_one_object_above_the_overlap_alone(max_overlap, is_pooled):
    prediction = predict([[0.4, 0, 0, 0.6], [0.3, 0, 0, 0.7]], [LEFT, LEFT_TOO])
    first = probs_after(prediction, max_overlap)[0, PERSON]
    assert first == pytest.approx(0.7 if is_pooled else 0.4, abs=1e-6)


class SharedAmongCells:
    """A model of which three queries show one object, none of them likely."""

    device = torch.device("cpu")

    def preprocess(self, clips):
        return torch.stack([frame.float() for clip in clips for frame in clip])

    def segment_clip(self, frames, requests=()):
        return predict([[0.3, 0, 0, 0.7]] * 3, [LEFT, LEFT_TOO, LEFT])


@pytest.mark.parametrize(("overlap", "expected"), [(1.0, []), (0.5, [1])])
def test_object_that_no_query_is_sure_of_is_found(overlap, expected):
    cfg = make_config(MODEL__GVSEG__TEST__POOL_OVERLAP=overlap, MODEL__LINKER__BIRTH_SCORE=0.5,
                      MODEL__LINKER__NAME="QuerySimilarityLinker", INPUT__MIN_SIZE_TEST=0,
                      MODEL__GVSEG__TEST__WINDOW=1)  # fmt: skip
    frames = [np.zeros((96, 128, 3), dtype=np.uint8)] * 2
    settings, linker = RunnerSettings.from_config(cfg), build_linker(cfg)
    results = list(segment_video(SharedAmongCells(), ArraySource(frames), settings, linker=linker))
    assert len(results) == 2
    for segments in results:
        likely = segments.scores > 0.5
        assert segments.ids[likely].tolist() == expected
        assert (segments.scores[likely] > 0.7).all()  # of 0.9, less what the mask is unsure of


class SharedAmongUnlikely(SharedAmongCells):
    """A model of which nine queries show one object, each with a far part as some others have."""

    def segment_clip(self, frames, requests=()):
        far = squares((1, 20), side=5), squares((9, 20), side=5)
        return predict([[0.09, 0, 0, 0.91]] * 9, [LEFT | far[query % 2] for query in range(9)])


@pytest.mark.parametrize(("gap", "expected"), [(0.0, []), (0.1, [1])])
def test_far_parts_of_unlikely_queries_go_before_these_are_compared(gap, expected):
    cfg = make_config(MODEL__GVSEG__TEST__POOL_OVERLAP=0.5, MODEL__GVSEG__TEST__MAX_GAP=gap,
                      MODEL__LINKER__NAME="QuerySimilarityLinker", INPUT__MIN_SIZE_TEST=0,
                      MODEL__GVSEG__TEST__WINDOW=1, MODEL__LINKER__BIRTH_SCORE=0.5)  # fmt: skip
    frames = [np.zeros((96, 128, 3), dtype=np.uint8)]
    settings, linker = RunnerSettings.from_config(cfg), build_linker(cfg)
    (segments,) = segment_video(SharedAmongUnlikely(), ArraySource(frames), settings, linker=linker)
    assert segments.ids[segments.scores > 0.5].tolist() == expected
