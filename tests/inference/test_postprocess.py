import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gvseg.inference import postprocess
from gvseg.inference.postprocess import (
    FrameGeometry,
    FrameLogits,
    _first_greatest,
    instance_segments,
    panoptic_segments,
    semantic_segments,
)

NUM_CLASSES = 6
SAME = FrameGeometry(original=(60, 90), resized=(60, 90), padded=(64, 96))
LARGER = FrameGeometry(original=(101, 153), resized=(60, 90), padded=(64, 96))
SMALLER = FrameGeometry(original=(37, 55), resized=(60, 90), padded=(64, 96))
GEOMETRIES = pytest.mark.parametrize("geometry", [SAME, LARGER, SMALLER])


@pytest.fixture(params=["one band", "narrow bands"], autouse=True)
def band_size(request, monkeypatch):
    if request.param == "narrow bands":
        monkeypatch.setattr(postprocess, "BAND_ELEMENTS", 20_000)


def make_logits(geometry, num_queries=12, seed=0, sharpness=3.0):
    generator = torch.Generator().manual_seed(seed)
    height, width = geometry.padded
    coarse = torch.randn(1, num_queries, 5, 7, generator=generator)
    masks = F.interpolate(coarse, (height // 4, width // 4), mode="bicubic")[0] * 4 - 2
    classes = torch.randn(num_queries, NUM_CLASSES + 1, generator=generator) * sharpness
    identities = np.arange(1, num_queries + 1)
    return FrameLogits(7, classes, masks, identities, geometry)


def enlarge(masks, geometry):
    """The plain definition: enlarge to the padded size, crop, resize to the original."""
    masks = F.interpolate(masks[None], geometry.padded, mode="bilinear", align_corners=False)
    masks = masks[:, :, : geometry.resized[0], : geometry.resized[1]]
    return F.interpolate(masks, geometry.original, mode="bilinear", align_corners=False)[0]


def disagreement(found, expected):
    """Share of pixels that differ; rounding may move a pixel on a border."""
    return (np.asarray(found) != np.asarray(expected)).mean()


@GEOMETRIES
@pytest.mark.parametrize("one_class_per_query", [False, True])
def test_instances_follow_mask2former(geometry, one_class_per_query):
    logits = make_logits(geometry)
    segments = instance_segments(
        logits, max_instances=9, score_threshold=0.0, one_class_per_query=one_class_per_query
    )

    probs = logits.class_logits.softmax(-1)[:, :-1]
    pairs = [(float(probs[q, k]), q, k) for q in range(len(probs)) for k in range(NUM_CLASSES)]
    if one_class_per_query:
        pairs = [max(pair for pair in pairs if pair[1] == q) for q in range(len(probs))]
    masks = enlarge(logits.mask_logits, geometry)
    expected = []
    for prob, q, k in sorted(pairs, reverse=True)[:9]:
        inside = masks[q] > 0
        quality = float(masks[q].sigmoid()[inside].mean()) if inside.any() else 0.0
        expected.append((prob * quality, q, k))
    expected = sorted((row for row in expected if row[0] > 0), reverse=True)

    assert segments.frame_index == 7
    np.testing.assert_array_equal(segments.ids, [q + 1 for _, q, _ in expected])
    np.testing.assert_array_equal(segments.classes, [k for _, _, k in expected])
    np.testing.assert_allclose(segments.scores, [score for score, _, _ in expected], rtol=1e-4)
    assert segments.size == geometry.original
    assert disagreement(segments.masks, [masks[q] > 0 for _, q, _ in expected]) < 1e-4


def test_instances_below_the_threshold_are_dropped():
    logits = make_logits(SAME)
    everything = instance_segments(
        logits, max_instances=100, score_threshold=0.0, one_class_per_query=True
    )
    threshold = float(np.median(everything.scores))
    kept = instance_segments(
        logits, max_instances=100, score_threshold=threshold, one_class_per_query=True
    )
    expected = everything.scores >= threshold
    assert 0 < expected.sum() < len(everything)
    np.testing.assert_array_equal(kept.ids, everything.ids[expected])
    np.testing.assert_array_equal(kept.masks, everything.masks[expected])


def test_instances_skip_untracked_queries_and_empty_masks():
    logits = make_logits(SAME)
    logits.identities[3] = -1
    logits.mask_logits[5] = -9
    segments = instance_segments(
        logits, max_instances=100, score_threshold=0.0, one_class_per_query=True
    )
    assert set(segments.ids) == set(range(1, 13)) - {4, 6}
    assert len(segments.unlikely) == 0, "an empty mask says nothing of how likely it is"


def test_instances_beyond_the_best_are_unlikely():
    logits = make_logits(SAME)
    logits.identities[3] = -1
    segments = instance_segments(
        logits, max_instances=4, score_threshold=0.0, one_class_per_query=True
    )
    assert len(segments) == 4
    assert set(segments.unlikely) == set(range(1, 13)) - {4} - set(segments.ids)


def test_frame_without_instances_keeps_its_size():
    segments = instance_segments(
        make_logits(LARGER), max_instances=100, score_threshold=1.1, one_class_per_query=True
    )
    assert len(segments) == 0
    assert segments.size == LARGER.original


@GEOMETRIES
def test_semantic_is_the_most_probable_class(geometry):
    logits = make_logits(geometry)
    segments = semantic_segments(logits)
    probs = logits.class_logits.softmax(-1)[:, :-1]
    evidence = torch.einsum("qk,qhw->khw", probs, enlarge(logits.mask_logits, geometry).sigmoid())
    labels = evidence.argmax(0).numpy()
    assert disagreement(segments.classes[segments.index_map], labels) < 1e-3
    share = (evidence.max(0).values / evidence.sum(0)).numpy()
    expected = [share[labels == k].mean() for k in segments.classes]
    np.testing.assert_allclose(segments.scores, expected, rtol=1e-3)
    np.testing.assert_array_equal(segments.ids, segments.classes + 1)


def reference_panoptic(logits, is_thing, object_threshold, overlap_threshold):
    """Mask2Former's rule as its paper's code states it, one query after the other."""
    probs = logits.class_logits.softmax(-1)
    scores, classes = probs.max(-1)
    keep = (classes != NUM_CLASSES) & (scores > object_threshold)
    masks = enlarge(logits.mask_logits, logits.geometry).sigmoid()[keep]
    owner = (masks * scores[keep][:, None, None]).argmax(0)
    label = np.full(logits.geometry.original, -1)  # class * 1000 + identity, 0 for stuff
    for n, query in enumerate(torch.where(keep)[0].tolist()):
        won, own = owner == n, masks[n] >= 0.5
        segment = won & own
        if not segment.any() or won.sum() / own.sum() < overlap_threshold:
            continue
        class_index = int(classes[query])
        identity = int(logits.identities[query]) if is_thing[class_index] else class_index + 1
        label[segment.numpy()] = class_index * 1000 + identity
    return label


@GEOMETRIES
@pytest.mark.parametrize("seed", range(1, 5))
def test_panoptic_follows_mask2former(geometry, seed):
    logits = make_logits(geometry, num_queries=20, seed=seed, sharpness=2.0)
    is_thing = np.arange(NUM_CLASSES) % 2 == 0
    segments = panoptic_segments(
        logits, is_thing=is_thing, object_mask_threshold=0.3, overlap_threshold=0.25
    )
    expected = reference_panoptic(logits, is_thing, 0.3, 0.25)
    label = np.append(segments.classes * 1000 + segments.ids, -1)[segments.index_map]
    assert len(segments) > 2
    assert (expected == -1).any()
    assert disagreement(label, expected) < 1e-3


def test_stuff_of_one_class_is_one_segment_and_things_stay_apart():
    masks = torch.full((4, 16, 24), -9.0)
    for query, columns in enumerate([slice(0, 6), slice(6, 12), slice(12, 18), slice(18, 24)]):
        masks[query, :, columns] = 9
    classes = torch.zeros(4, 3)
    classes[[0, 1], 0] = classes[[2, 3], 1] = 20
    logits = FrameLogits(0, classes, masks, np.array([1, 2, 3, 4]), SAME)
    segments = panoptic_segments(
        logits,
        is_thing=np.array([True, False]),
        object_mask_threshold=0.8,
        overlap_threshold=0.8,
    )
    assert sorted(zip(segments.classes, segments.ids, strict=True)) == [(0, 1), (0, 2), (1, 2)]
    assert segments.index_map.min() == 0  # the masks cover the frame


def test_panoptic_leaves_out_a_thing_without_identity():
    masks = torch.full((1, 16, 24), 9.0)
    classes = torch.tensor([[20.0, 0, 0]])
    logits = FrameLogits(0, classes, masks, np.array([-1]), SAME)
    thresholds = {"object_mask_threshold": 0.8, "overlap_threshold": 0.8}
    as_thing = panoptic_segments(logits, is_thing=np.array([True, False]), **thresholds)
    as_stuff = panoptic_segments(logits, is_thing=np.array([False, False]), **thresholds)
    assert len(as_thing) == 0
    assert (as_thing.index_map == -1).all()
    assert (as_stuff.index_map == 0).all()


def test_of_equal_evidence_the_first_query_wins_as_with_argmax():
    values = torch.rand(7, 30, 40, generator=torch.Generator().manual_seed(0))
    values = torch.where(values > 0.6, 1.0, values)  # saturated in many places
    torch.testing.assert_close(_first_greatest(values), values.argmax(0))


def test_what_is_no_number_gives_a_position_that_exists():
    values = torch.full((3, 1, 2), float("nan"))
    assert _first_greatest(values).tolist() == [[2, 2]]
