import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from detectron2.config import get_cfg

from gvseg.config import add_gvseg_config
from gvseg.inference.linking import TrackLinker, build_linker
from gvseg.inference.track_memory import AppearanceMemory, LocationAwareMemory, ShapePositionMemory
from gvseg.structures import TubePrediction

NUM_CLASSES = 3
CHANNELS = 16


def make_linker(momentum=0.5, **changes):
    thresholds = {"min_similarity": 0.5, "min_score": 0.1, "birth_score": 0.3, "max_age": 3}
    return TrackLinker(memory=AppearanceMemory(momentum=momentum), **(thresholds | changes))


def prediction(embeds, scores=None, classes=None):
    """One clip whose query q has embedding q and its class at the given probability."""
    embeds = torch.as_tensor(np.asarray(embeds), dtype=torch.float32)
    scores = torch.full((len(embeds),), 0.9) if scores is None else torch.tensor(scores)
    classes = torch.zeros(len(embeds), dtype=torch.int64) if classes is None else classes
    probs = torch.full((len(embeds), NUM_CLASSES + 1), 1e-9)
    probs[:, -1] = 1 - scores
    probs[torch.arange(len(embeds)), classes] = scores
    masks = torch.zeros(1, len(embeds), 1, 4, 4)
    return TubePrediction(probs.log()[None], masks, embeds[None])


def objects(num_objects, seed=0):
    """Embeddings of objects that resemble one another little: (num_objects, CHANNELS)."""
    rng = np.random.default_rng(seed)
    return np.linalg.qr(rng.normal(size=(CHANNELS, CHANNELS)))[0][:num_objects]


def seen(embeds, rng, noise=0.05):
    return embeds + noise * rng.normal(size=embeds.shape)


def test_identities_follow_permuted_queries():
    rng = np.random.default_rng(1)
    embeds = objects(6)
    linker = make_linker()
    assert linker.link(prediction(embeds)).tolist() == [1, 2, 3, 4, 5, 6]
    for _ in range(10):
        order = rng.permutation(6)
        identities = linker.link(prediction(seen(embeds, rng)[order]))
        np.testing.assert_array_equal(identities, order + 1)
    assert linker.num_identities == 6


def test_objects_that_cross_keep_their_identities():
    # Each one's embedding drifts half-way towards the other's while they pass, then back.
    first, second = objects(2)
    linker = make_linker()
    for t in range(11):
        mix = 0.45 * np.sin(np.pi * t / 10)
        pair = np.stack([(1 - mix) * first + mix * second, (1 - mix) * second + mix * first])
        order = [1, 0] if t % 2 else [0, 1]
        identities = linker.link(prediction(pair[order]))
        assert identities[order].tolist() == [1, 2]


@pytest.mark.parametrize(("hidden", "identity"), [(1, 1), (3, 1), (4, 3)])
def test_identity_survives_an_occlusion_of_max_age_clips(hidden, identity):
    occluded, other = objects(2)
    linker = make_linker(max_age=3)
    linker.link(prediction([occluded, other]))
    for _ in range(hidden):
        assert linker.link(prediction([occluded, other], scores=[0.01, 0.9])).tolist() == [-1, 2]
    assert linker.link(prediction([occluded, other])).tolist() == [identity, 2]


def test_new_object_gets_the_next_number():
    embeds = objects(3)
    linker = make_linker()
    linker.link(prediction(embeds[:2]))
    assert linker.link(prediction(embeds[[2, 0, 1]])).tolist() == [3, 1, 2]


def test_weak_query_continues_an_identity_but_starts_none():
    embeds = objects(2)
    linker = make_linker(min_score=0.1, birth_score=0.3)
    linker.link(prediction(embeds[:1]))
    assert linker.link(prediction(embeds, scores=[0.2, 0.2])).tolist() == [1, -1]
    assert linker.link(prediction(embeds, scores=[0.05, 0.4])).tolist() == [-1, 2]
    assert linker.num_identities == 2


def test_linker_starts_new_identity_below_min_similarity():
    embeds = objects(2)
    linker = make_linker(min_similarity=0.5)
    linker.link(prediction(embeds[:1]))
    similar = 0.6 * embeds[0] + 0.8 * embeds[1]  # cosine 0.6
    unlike = 0.4 * embeds[0] + np.sqrt(1 - 0.4**2) * embeds[1]
    assert linker.link(prediction([unlike])).tolist() == [2]
    linker.reset()
    linker.link(prediction(embeds[:1]))
    assert linker.link(prediction([similar])).tolist() == [1]


def test_pair_below_min_similarity_does_not_push_a_good_pair_aside():
    a, b, c = objects(3)
    linker = make_linker(min_similarity=0.5, momentum=0.0)
    # Track 1 matches query 0 well. Were all cosines counted, the other pairing would sum higher:
    # 0.45 + 0.48 against 0.6 - 0.3.
    track_1 = a
    query_0 = 0.6 * a + 0.48 * b + np.sqrt(1 - 0.6**2 - 0.48**2) * c
    query_1 = 0.45 * a - 0.3 * b + np.sqrt(1 - 0.45**2 - 0.3**2) * objects(4)[3]
    linker.link(prediction([track_1, b]))
    cosines = np.array([track_1, b]) @ np.array([query_0, query_1]).T
    assert linear_sum_assignment(-cosines)[1].tolist() == [1, 0]
    assert linker.link(prediction([query_0, query_1])).tolist() == [1, 3]


def test_without_thresholds_it_is_the_rule_of_minvis():
    rng = np.random.default_rng(3)
    linker = make_linker(min_similarity=-1, min_score=0, birth_score=0, max_age=0, momentum=0)
    frames = rng.normal(size=(12, 20, CHANNELS))  # nothing like objects: the hardest assignment
    identities = [linker.link(prediction(frame)) for frame in frames]

    permuted = frames[0]
    expected = [np.arange(1, 21)]
    for frame in frames[1:]:
        unit = [f / np.linalg.norm(f, axis=1, keepdims=True) for f in (permuted, frame)]
        _, order = linear_sum_assignment(1 - unit[0] @ unit[1].T)
        permuted = frame[order]  # row n is the query that continues identity n + 1
        row = np.empty(20, dtype=np.int64)
        row[order] = np.arange(1, 21)
        expected.append(row)
    np.testing.assert_array_equal(identities, expected)


def test_queries_of_stuff_take_no_part():
    linker = make_linker(is_thing=[True, False, True])
    classes = torch.tensor([0, 1, 2, 1])
    identities = linker.link(prediction(objects(4), classes=classes))
    assert identities.tolist() == [1, -1, 2, -1]


def test_state_does_not_grow_with_the_video():
    rng = np.random.default_rng(0)
    linker = make_linker(max_age=3)
    sizes = []
    for _ in range(200):
        linker.link(prediction(rng.normal(size=(5, 64))))
        state = (*vars(linker).values(), *vars(linker.memory).values())
        sizes.append(sum(array.size for array in state if isinstance(array, np.ndarray)))
    assert linker.num_identities > 500
    assert max(sizes) <= 5 * (3 + 1) * (64 + 2)


def test_reset_forgets_the_video():
    linker = make_linker()
    linker.link(prediction(objects(5)))
    linker.reset()
    assert linker.link(prediction(objects(2, seed=9))).tolist() == [1, 2]


def test_clip_without_queries_that_count_ages_the_tracks():
    linker = make_linker(max_age=1)
    embeds = objects(1)
    linker.link(prediction(embeds))
    for _ in range(2):
        assert linker.link(prediction(embeds, scores=[0.0])).tolist() == [-1]
    assert linker.link(prediction(embeds)).tolist() == [2]


def linker_config():
    cfg = get_cfg()
    add_gvseg_config(cfg)
    return cfg


def test_config_names_the_linker():
    cfg = linker_config()
    cfg.MODEL.LINKER.NAME = "QuerySimilarityLinker"
    cfg.MODEL.LINKER.MAX_AGE = 17
    linker = build_linker(cfg, is_thing=[True, False, True])
    assert isinstance(linker.memory, AppearanceMemory)
    assert linker.max_age == 17
    assert linker.is_thing.tolist() == [True, False, True]


def test_config_names_the_linker_with_places():
    cfg = linker_config()
    cfg.MODEL.LINKER.NAME = "LocationAwareLinker"
    cfg.MODEL.LINKER.LOCATION_TEMPERATURE = 0.25
    memory = build_linker(cfg).memory
    assert isinstance(memory, LocationAwareMemory)
    assert memory.temperature == 0.25


def test_linker_of_shapes_is_the_default_and_needs_descriptors_as_they_are():
    cfg = linker_config()
    memory = build_linker(cfg).memory
    assert isinstance(memory, ShapePositionMemory)
    assert memory.descriptor.embed_dim == cfg.MODEL.MASK_FORMER.HIDDEN_DIM
    cfg.MODEL.GVSEG.DESCRIPTOR.PROJECT = "linear"
    with pytest.raises(ValueError, match=r"DESCRIPTOR\.PROJECT interpolate"):
        build_linker(cfg)


def test_unknown_linker_is_refused_with_the_known_ones():
    cfg = linker_config()
    cfg.MODEL.LINKER.NAME = "Psychic"
    with pytest.raises(ValueError, match=r"'Psychic'.*QuerySimilarityLinker"):
        build_linker(cfg)


def test_momentum_outside_its_range_is_refused():
    with pytest.raises(ValueError, match=r"MOMENTUM is 1\.5"):
        make_linker(momentum=1.5)
