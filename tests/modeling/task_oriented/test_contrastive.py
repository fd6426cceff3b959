import math

import pytest
import torch
import torch.nn.functional as F

from gvseg.modeling.task_oriented.class_queues import ClassQueues
from gvseg.modeling.task_oriented.contrastive import (
    TaskOrientedContrast,
    View,
    contrastive_loss,
    cosine_loss,
)
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor

NO_CLASSES = torch.zeros(0, dtype=torch.int64)


def contrast(queue_size=0, num_classes=4, **options):
    queues = ClassQueues(num_classes=num_classes, embed_dim=2, size=queue_size or 1)
    defaults = {
        "tau": 0.2, "distant": "negative", "temperature": 1.0, "weight": 1.0, "cosine_weight": 1.0,
        "queues": queues if queue_size else None, "has_things": True,
    }  # fmt: skip
    return TaskOrientedContrast(**{**defaults, **options})


def view(embeds, ids, descriptors=None, is_anchor=False):
    """A view of objects in one frame; of one shape and place, unless descriptors (N, D) differ."""
    embeds = torch.as_tensor(embeds, dtype=torch.float32)
    if descriptors is None:
        descriptors = torch.ones(len(ids), 3)
    descriptors = torch.as_tensor(descriptors, dtype=torch.float32)
    return View(embeds, torch.tensor(ids), descriptors[:, None], is_anchor)


def of_things(videos, **options):
    """Losses without the weights of names, and what is logged."""
    losses, scalars = contrast(**options)(videos, NO_CLASSES, torch.zeros(0, 2), [])
    return losses["loss_contrast_thing"], losses["loss_contrast_thing_cosine"], scalars


def mask(chosen):
    return torch.tensor([chosen], dtype=torch.bool)


def test_one_positive_and_two_negatives_by_hand():
    """Scores 1 against 0 and 2: log(1 + exp(0 - 1) + exp(2 - 1))."""
    products = torch.tensor([[1.0, 0.0, 2.0]])
    loss = contrastive_loss(products, mask([1, 0, 0]), mask([0, 1, 1]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1) + math.exp(1)))


def test_two_positives_by_hand_and_a_sample_of_neither_kind():
    """Scores 1 and 3 against 0, and 50 left out: log(1 + exp(0 - 1) + exp(0 - 3))."""
    products = torch.tensor([[1.0, 50.0, 0.0, 3.0]])
    loss = contrastive_loss(products, mask([1, 0, 0, 1]), mask([0, 0, 1, 0]))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(-1) + math.exp(-3)))


def test_cosine_loss_by_hand():
    """Positive of cosine .9, negatives of .5 and -.2, one of neither kind: .01, .25 and .04.

    Means of the kinds are .01 and .145.
    """
    cosines = torch.tensor([[0.9, 0.5, -0.2, 0.7]])
    loss = cosine_loss(cosines, mask([1, 0, 0, 0]), mask([0, 1, 1, 0]))
    assert loss.item() == pytest.approx((0.01 + 0.145) / 2)


@pytest.mark.parametrize(
    ("positive", "negative"),
    [([0, 0, 0], [1, 1, 1]), ([1, 1, 1], [0, 0, 0]), ([0, 0, 0], [0, 0, 0])],
)
def test_anchors_that_lack_a_kind_of_pair_cost_nothing_and_keep_gradients_finite(
    positive, negative
):
    products = torch.tensor([[1.0, -2.0, 3.0]] * 2, requires_grad=True)
    is_positive = torch.cat([mask(positive), mask([1, 0, 0])])
    is_negative = torch.cat([mask(negative), mask([0, 1, 1])])
    loss = contrastive_loss(products, is_positive, is_negative)
    assert loss[0] == 0
    assert loss[1] > 0
    loss.sum().backward()
    assert (products.grad[0] == 0).all()
    assert products.grad[1].isfinite().all()
    assert products.grad[1].any()


def test_no_samples_at_all_cost_nothing():
    products = torch.zeros(2, 0, requires_grad=True)
    nothing = torch.zeros(2, 0, dtype=torch.bool)
    assert contrastive_loss(products, nothing, nothing).tolist() == [0, 0]
    assert cosine_loss(products, nothing, nothing).tolist() == [0, 0]


def test_scores_beyond_the_range_of_an_exponential_stay_finite():
    products = torch.tensor([[-9e3, 9e3]], requires_grad=True)
    loss = contrastive_loss(products, mask([1, 0]), mask([0, 1]))
    assert loss.item() == pytest.approx(1.8e4)
    loss.sum().backward()
    assert products.grad.tolist() == [[-1, 1]]


def test_losses_of_a_video_by_hand():
    """Anchors 3 and 5 see both objects once more, 3 as (2, 0) and 5 as (1, 1).

    Anchor 3, (2, 0), has products 4 and 2 with them, and cosines 1 and 1/sqrt 2. Anchor 5, (0, 2),
    has 0 and 2, and cosines 0 and 1/sqrt 2.
    """
    video = [
        view([[2, 0], [0, 2]], [3, 5], is_anchor=True),
        view([[1, 1]], [5]),
        view([[2, 0]], [3]),
    ]
    pull, cosine, scalars = of_things([video], temperature=2.0, weight=2.0, cosine_weight=3.0)
    first = math.log(1 + math.exp((2 - 4) / 2))
    second = math.log(1 + math.exp((0 - 2) / 2))
    assert pull.item() == pytest.approx(2 * (first + second) / 2)
    half = 1 / math.sqrt(2)
    pairs = [(0**2 + half**2) / 2, ((1 - half) ** 2 + 0**2) / 2]
    assert cosine.item() == pytest.approx(3 * sum(pairs) / 2)
    assert scalars["contrast/positive_rate"] == 1


def change(amount):
    """Two descriptors whose relative change is `amount`."""
    return [[2.0, 0.0, 0.0]], [[2.0, 2.0 * amount, 0.0]]


@pytest.mark.parametrize("distant", ["negative", "ignored"])
def test_tau_decides_which_views_of_an_object_are_alike(distant):
    """The second view changed by .1 and the third by .3, on both sides of .2."""
    before, near = change(0.1)
    _, far = change(0.3)
    other = [[9.0, 9.0, 9.0]]
    video = [
        view([[1, 0]], [3], before, is_anchor=True),
        view([[2, 0]], [3], near),
        view([[3, 0]], [3], far),
        view([[0, 1]], [7], other),
    ]
    pull, cosine, scalars = of_things([video], distant=distant)
    exponents = {"negative": [3 - 2, 0 - 2], "ignored": [0 - 2]}[distant]
    assert pull.item() == pytest.approx(math.log(1 + sum(map(math.exp, exponents))))
    assert cosine.item() == pytest.approx(0, abs=1e-6)  # which does not ask for a far view
    assert scalars["contrast/positive_rate"] == 0.5


@pytest.mark.parametrize("without_shape", ["anchor", "sample", "both"])
def test_an_object_too_small_to_be_described_is_not_compared_with_itself(without_shape):
    """Only the other object counts, whose cosine is to be 0 and is."""
    shape, nothing = [[1.0, 1, 1]] * 2, [[0.0, 0, 0], [1.0, 1, 1]]
    descriptors = {"anchor": (nothing, shape), "sample": (shape, nothing), "both": [nothing] * 2}
    first, second = descriptors[without_shape]
    anchor = view([[1, 0], [0, 1]], [4, 9], first, is_anchor=True)
    other = view([[1, 0], [0, 1]], [4, 9], second)
    pull, cosine, scalars = of_things([[anchor, other]])
    # Of object 9 the cosine is 1 and is to be; its contrast is log(1 + exp(0 - 1)).
    assert pull.item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert cosine.item() == 0
    assert scalars["contrast/positive_rate"].item() == 0.5


def test_an_object_that_moved_far_is_a_negative_of_itself():
    """With true descriptors: the same square one pixel on, and across the frame."""
    masks = torch.zeros(3, 60, 80, dtype=torch.bool)
    for index, left in enumerate((1, 2, 45)):
        masks[index, 20:40, left : left + 20] = True
    described = ShapePositionDescriptor(embed_dim=16).histograms(masks).flatten(1)
    for other, expected in ((1, 1.0), (2, 0.0)):
        video = [
            view([[1, 0]], [3], described[:1], is_anchor=True),
            view([[1, 0]], [3], described[other : other + 1]),
        ]
        assert of_things([video])[2]["contrast/positive_rate"] == expected


def test_of_a_clip_the_frame_counts_that_is_most_alike():
    """The clip shows the object thrice: far from the view, unseen, and near to it."""
    before, near = change(0.1)
    _, far = change(0.5)
    clip = torch.tensor([[far[0], [0.0, 0, 0], before[0]]])
    anchor = View(torch.tensor([[1.0, 0]]), torch.tensor([3]), clip, is_anchor=True)
    assert of_things([[anchor, view([[1, 0]], [3], near)]])[2]["contrast/positive_rate"] == 1
    without = View(anchor.embeds, anchor.ids, clip[:, :2], is_anchor=True)
    assert of_things([[without, view([[1, 0]], [3], near)]])[2]["contrast/positive_rate"] == 0


def test_anchors_without_pairs_do_not_thin_the_losses():
    """Object 5 is seen nowhere else, so that only object 3 has a positive."""
    views = [view([[2, 0]], [3]), view([[0, 1]], [7])]
    alone = of_things([[view([[1, 0]], [3], is_anchor=True), *views]])
    beside = of_things([[view([[1, 0], [1, 1]], [3, 5], is_anchor=True), *views]])
    assert alone[0] > 0
    assert alone[0] == beside[0]


def test_the_positive_rate_counts_over_the_whole_batch():
    """Of 3 pairs of one object each, in two videos, 2 are alike; different objects do not count."""
    before, near = change(0.1)
    _, far = change(0.5)
    first = [
        view([[1, 0]], [3], before, is_anchor=True),
        view([[1, 0]], [3], near),
        view([[1, 0], [0, 1]], [3, 4], [*far, *before]),
    ]
    second = [view([[1, 0]], [3], before, is_anchor=True), view([[1, 0]], [3], near)]
    assert of_things([first, second])[2]["contrast/positive_rate"].item() == pytest.approx(2 / 3)


def test_objects_of_different_videos_do_not_meet():
    """Object 3 of each video finds nothing of its kind to be told apart from."""
    video = [view([[1, 0]], [3], is_anchor=True), view([[5, 5]], [3])]
    other = [view([[0, 1]], [4], is_anchor=True), view([[1, 9]], [4])]
    assert of_things([video, other])[0] == 0


def test_each_anchor_view_compares_with_all_others():
    """Two anchor views of the objects: four anchors, each once a sample of the other's."""
    video = [
        view([[1, 0], [0, 1]], [3, 4], is_anchor=True),
        view([[1, 0], [0, 1]], [3, 4], is_anchor=True),
    ]
    assert of_things([video])[0].item() == pytest.approx(math.log(1 + math.exp(-1)))


def random_video(seed=0, num_objects=4):
    generator = torch.Generator().manual_seed(seed)
    ids = list(range(num_objects))
    views = []
    for index in range(3):
        embeds = torch.randn(num_objects, 2, generator=generator)
        descriptors = 1 + 0.2 * torch.rand(num_objects, 3, generator=generator)
        views.append(view(embeds, ids, descriptors, is_anchor=index == 0))
    return views


def test_the_order_of_objects_and_views_changes_nothing():
    video = random_video()
    order = torch.tensor([2, 0, 3, 1])
    shuffled = [
        View(part.embeds[order], part.ids[order], part.descriptors[order], part.is_anchor)
        for part in (video[2], video[0], video[1])
    ]
    for before, after in zip(of_things([video])[:2], of_things([shuffled])[:2], strict=True):
        assert before > 0
        torch.testing.assert_close(before, after)


def test_descending_the_losses_tells_objects_apart_and_keeps_each_together():
    torch.manual_seed(0)
    embeds = [torch.randn(3, 8, requires_grad=True) for _ in range(3)]
    optimizer = torch.optim.Adam(embeds, 0.05)
    for _ in range(300):
        video = [
            View(part, torch.arange(3), torch.ones(3, 2), index == 0)
            for index, part in enumerate(embeds)
        ]
        optimizer.zero_grad()
        sum(of_things([video])[:2]).backward()
        optimizer.step()
    cosines = F.normalize(embeds[0], dim=1) @ F.normalize(torch.cat(embeds[1:]), dim=1).T
    is_same = torch.eye(3, dtype=torch.bool).repeat(1, 2)
    assert cosines[is_same].min() > 0.9
    assert cosines[~is_same].max() < 0.3


def test_a_batch_without_objects_names_the_same_losses():
    empty = [view(torch.zeros(0, 2), [], torch.zeros(0, 3), is_anchor=True)]
    losses, scalars = contrast(queue_size=2)([empty], NO_CLASSES, torch.zeros(0, 2), [])
    full, more = contrast(queue_size=2)(
        [random_video()], torch.tensor([0]), torch.ones(1, 2), [torch.ones(4, dtype=torch.bool)]
    )
    assert losses.keys() == full.keys()
    assert scalars.keys() == more.keys()
    assert all(loss == 0 for loss in losses.values())


def peers(*rows):
    chosen = []
    for row in rows:
        is_peer = torch.zeros(4, dtype=torch.bool)
        is_peer[list(row)] = True
        chosen.append(is_peer)
    return chosen


def test_classes_without_queues_compare_with_other_views_of_their_video():
    """Classes 0 and 1 as in the other view: log(1 + exp(0 - 1)), whatever their shapes."""
    model = contrast(has_things=False, has_classes=True)
    embeds, classes = torch.eye(2), torch.tensor([0, 1])
    video = [View(embeds, classes, None, True), View(embeds, classes, None, False)]
    losses, scalars = model([], classes, embeds, peers((0, 1), (0, 1)), [video])
    assert losses["loss_contrast_class"].item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert losses["loss_contrast_class_cosine"] == 0
    assert scalars == {}


def test_classes_compare_with_earlier_steps_only():
    """The first step finds empty queues, the second what the first left there."""
    model = contrast(queue_size=2, has_things=False)
    step = (torch.tensor([0, 1]), torch.tensor([[1.0, 0.0], [0.0, 1.0]]), peers((0, 1), (0, 1)))
    losses, scalars = model([], *step)
    assert set(losses) == {"loss_contrast_class", "loss_contrast_class_cosine"}
    assert losses["loss_contrast_class"] == losses["loss_contrast_class_cosine"] == 0
    assert scalars["contrast/queue_fill"] == 0
    losses, scalars = model([], *step)
    assert losses["loss_contrast_class"].item() == pytest.approx(math.log(1 + math.exp(-1)))
    assert losses["loss_contrast_class_cosine"] == 0
    assert scalars["contrast/queue_fill"] == 2 / 8


def test_classes_are_told_apart_within_their_own_label_set():
    """Rows 0 and 1 are one label set, 2 and 3 another, of which nothing is a pair of the first."""
    model = contrast(queue_size=2, has_things=False)
    classes = torch.arange(4)
    embeds = torch.tensor([[1.0, 0.0], [0.0, 1.0], [7.0, 0.0], [0.0, 7.0]])
    model([], classes, embeds, peers((0, 1), (0, 1), (2, 3), (2, 3)))
    anchor = torch.tensor([[1.0, 0.0]])
    own, _ = model([], torch.tensor([0]), anchor, peers((0, 1)))
    assert own["loss_contrast_class"].item() == pytest.approx(math.log(1 + math.exp(-1)))
    both, _ = model([], torch.tensor([0]), anchor, peers((0, 1, 2, 3)))
    assert both["loss_contrast_class"] > 5


def test_gradients_reach_anchors_and_views_but_not_the_queues():
    model = contrast(queue_size=2)
    anchor = torch.tensor([[1.0, 0.0], [0.5, 0.5]], requires_grad=True)
    other = torch.tensor([[0.0, 1.0], [1.0, 0.5]], requires_grad=True)
    of_class = torch.tensor([[1.0, 0.2], [0.1, 1.0]], requires_grad=True)
    ids, described = torch.tensor([1, 2]), torch.ones(2, 3)
    video = [View(anchor, ids, described, True), View(other, ids, described, False)]
    for _ in range(2):
        losses, _ = model([video], torch.tensor([0, 1]), of_class, peers((0, 1), (0, 1)))
    sum(losses.values()).backward()
    for embeds in (anchor, other, of_class):
        assert embeds.grad.isfinite().all()
        assert embeds.grad.any()


def test_mixed_precision_does_not_round_products():
    video = random_video()
    wide = [View(40 * part.embeds, part.ids, part.descriptors, part.is_anchor) for part in video]
    full = of_things([wide])
    with torch.autocast("cpu", torch.bfloat16):
        mixed = of_things([wide])
    assert torch.equal(full[0], mixed[0])
    assert torch.equal(full[1], mixed[1])


@pytest.mark.parametrize(
    ("option", "value", "key"),
    [("distant", "far", "DISTANT"), ("tau", 0.0, "TAU"), ("temperature", -1.0, "TEMPERATURE")],
)
def test_options_that_make_no_sense_are_named(option, value, key):
    with pytest.raises(ValueError, match=rf"CONTRASTIVE.{key} is '?{value}"):
        contrast(**{option: value})
