"""Objects without what lies far from them, worked by hand."""

import numpy as np
import pytest
import torch

from gvseg.inference.linking import build_linker
from gvseg.inference.mask_parts import without_far_parts
from gvseg.inference.runner_settings import RunnerSettings
from gvseg.inference.sources import ArraySource
from gvseg.inference.video_runner import segment_video
from gvseg.structures import TubePrediction
from tests.inference.test_runner_settings import make_config
from tests.inference.test_whereabouts import squares

PERSON, SKY = 0, 1


def predict(masks: list, classes: list[int], score_logit: float = 5.0, **kwargs) -> TubePrediction:
    """Queries of one clip that are sure of their class, with masks (Q, T, h, w)."""
    class_logits = torch.zeros(1, len(classes), 3)
    class_logits[0, torch.arange(len(classes)), classes] = score_logit
    logits = torch.from_numpy(np.array(masks)).float() * 4 - 2
    embeds = torch.eye(len(classes), 8)[None]
    return TubePrediction(class_logits, logits[None], embeds, **kwargs)


def shown(prediction: TubePrediction) -> np.ndarray:
    return (prediction.mask_logits[0] > 0).numpy()


@pytest.mark.parametrize(
    ("gap", "is_kept"),
    [(0.0, False), (0.7, False), (0.76, True), (2.0, True)],
)
def test_parts_count_up_to_the_gap(gap, is_kept):
    """Largest is 4 pixels wide and high, so its size is 4; the other begins 3 columns behind it."""
    largest, other = squares((8, 4)), squares((8, 10), side=2)
    prediction = predict([[largest | other]], [PERSON])
    kept = shown(without_far_parts(prediction, gap))
    np.testing.assert_array_equal(kept[0, 0], largest | other if is_kept else largest)


def test_frames_of_a_clip_stand_for_themselves():
    first = squares((0, 0), side=6) | squares((0, 20))
    second = squares((0, 0)) | squares((0, 20), side=6)
    kept = shown(without_far_parts(predict([[first, second]], [PERSON]), 0.5))
    np.testing.assert_array_equal(kept[0], [squares((0, 0), side=6), squares((0, 20), side=6)])


def test_stuff_and_what_is_hardly_an_object_stay_as_they_are():
    mask = squares((0, 0), side=6) | squares((0, 20))
    is_thing = [True, False]
    stuff = predict([[mask], [mask]], [SKY, PERSON])
    kept = shown(without_far_parts(stuff, 0.5, is_thing))[:, 0]
    np.testing.assert_array_equal(kept, [mask, squares((0, 0), side=6)])
    nothing = predict([[mask]], [2], 9.0)
    assert without_far_parts(nothing, 0.5).mask_logits.equal(nothing.mask_logits)


def test_least_score_says_what_is_hardly_an_object():
    mask = squares((0, 0), side=6) | squares((0, 20))
    unlikely = predict([[mask]], [2], 3.5)  # 0.03 each for the other two classes
    assert shown(without_far_parts(unlikely, 0.5))[0, 0].sum() == mask.sum()
    kept = shown(without_far_parts(unlikely, 0.5, min_score=0.01))
    np.testing.assert_array_equal(kept[0, 0], squares((0, 0), side=6))


def test_what_is_outside_stays_as_it_is():
    prediction = predict([[squares((0, 0), side=6) | squares((0, 20))]], [PERSON])
    before = prediction.mask_logits.clone()
    after = without_far_parts(prediction, 0.5).mask_logits
    changed = after != prediction.mask_logits
    np.testing.assert_array_equal(changed[0, 0, 0], squares((0, 20)))
    assert (after[changed] == -2).all()
    assert prediction.mask_logits.equal(before)


def test_padding_does_not_join_parts():
    mask = squares((12, 0)) | squares((12, 20), side=6)
    mask[16:] = True
    size = torch.tensor([[16.0, 32.0]])
    kept = shown(without_far_parts(predict([[mask]], [PERSON], frame_sizes=size), 0.5))
    np.testing.assert_array_equal(kept[0, 0, :16], squares((12, 20), side=6)[:16])


class TwoTakenForOne:
    """A model of which two queries have both of two objects, each a little more of its own."""

    device = torch.device("cpu")

    def preprocess(self, clips):
        return torch.stack([frame.float() for clip in clips for frame in clip])

    def segment_clip(self, frames, requests=()):
        left, right = (squares((8, 2)), squares((8, 20)))
        wider = squares((8, 2), side=5), squares((8, 20), side=5)
        masks = [[wider[0] | right] * len(frames), [left | wider[1]] * len(frames)]
        return predict(masks, [PERSON, PERSON])


@pytest.mark.parametrize(("gap", "expected"), [(0.0, [1]), (0.5, [1, 2])])
def test_two_queries_with_two_objects_become_one_of_each(gap, expected):
    cfg = make_config(MODEL__GVSEG__TEST__MAX_GAP=gap, MODEL__LINKER__MAX_OVERLAP=0.5,
                      MODEL__LINKER__NAME="QuerySimilarityLinker",
                      MODEL__GVSEG__TEST__WINDOW=1, INPUT__MIN_SIZE_TEST=0)  # fmt: skip
    frames = [np.zeros((96, 128, 3), dtype=np.uint8)] * 2
    settings, linker = RunnerSettings.from_config(cfg), build_linker(cfg)
    results = list(segment_video(TwoTakenForOne(), ArraySource(frames), settings, linker=linker))
    for segments in results:
        sure = segments.scores > 0.5
        assert sorted(segments.ids[sure].tolist()) == expected
        overlap = segments.masks[sure].sum(0).max()
        assert overlap == 1
