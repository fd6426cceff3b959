"""The model with the whole method on, for each of the four tasks and for all of them at once."""

import copy
from unittest.mock import patch

import pytest
import torch

from gvseg.modeling.position_encoding import SinePositionEncoding
from gvseg.modeling.query_decoder import attention_mask
from gvseg.modeling.requests import ClipRequest
from gvseg.modeling.task_oriented.shape_position import ShapePositionDescriptor
from gvseg.tasks import Task
from tests.modeling.task_samples import build_whole, same_random_numbers, task_sample

TASKS = [task.value for task in Task]


def at_inference(sample):
    """What of a sample a model is shown at inference."""
    return {key: sample[key] for key in ("images", "task", "dataset_name", "exemplars")}


def assert_equal_predictions(first, second, clips=slice(None)):
    def outputs(prediction):
        has_link = prediction.contents is not None
        queries = prediction.contents if has_link else prediction.query_embeds
        return prediction.class_logits, prediction.mask_logits, queries, prediction.query_embeds

    # A mixed model has embeddings of links for tasks that have none too.
    have_link = (first.contents is None) == (second.contents is None)
    pairs = list(zip(outputs(first), outputs(second), strict=True))
    for whole, part in pairs if have_link else pairs[:-1]:
        torch.testing.assert_close(whole[clips], part, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("tube", ["clip", "frame"])
@pytest.mark.parametrize("task", [*TASKS, "mixed"])
def test_all_tasks_train_with_finite_losses_and_gradients_everywhere(task, tube):
    model = build_whole(task, "MODEL.GVSEG.TUBE", tube).train()
    samples = [task_sample(name) for name in TASKS] if task == "mixed" else [task_sample(task)]
    for _ in range(2):  # queues and memories are empty in the first step
        losses = model(samples)
        assert all(loss.isfinite() for loss in losses.values())
        sum(losses.values()).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert without == []
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    for kind, has_kind in (
        ("thing", task != "vss"), ("class", task in ("vss", "vps", "mixed"))
    ):  # fmt: skip
        assert (f"loss_contrast_{kind}" in losses) == has_kind
        assert not has_kind or losses[f"loss_contrast_{kind}"] > 0


@pytest.mark.parametrize("source", ["matched_gt", "mixed"])
def test_each_prediction_is_matched_once(source):
    """Three predictions of the clip, shared by cues and losses, and one of the extra frames."""
    model = build_whole("vis", "MODEL.GVSEG.CUE", source).train()
    matcher = model.learning.criterion.matcher
    with patch.object(model.learning.criterion, "matcher", wraps=matcher) as counted:
        model([task_sample("vis")])
    assert counted.call_count == 3 + 1
    predictions = [call.args[0] for call in counted.call_args_list]
    assert len(set(map(id, predictions))) == 4


def test_cues_change_what_queries_of_things_become_but_not_those_of_stuff():
    """VIS tells queries their shapes; VSS never does, even where cues are on."""
    for task, changes in (("vis", True), ("vss", False)):
        told = build_whole(task).eval()
        untold = build_whole(task, "MODEL.GVSEG.CUE", "none").eval()
        with torch.inference_mode():
            embeds = [m([at_inference(task_sample(task))]).query_embeds for m in (told, untold)]
        assert torch.equal(*embeds) != changes


@pytest.mark.parametrize("tube", ["clip", "frame"])
def test_a_clip_does_not_depend_on_the_others_of_its_batch(tube):
    model = build_whole("mixed", "MODEL.GVSEG.TUBE", tube).eval()
    samples = [at_inference(task_sample(task, seed=index)) for index, task in enumerate(TASKS)]
    with torch.inference_mode():
        batch = model(samples)
        for index, sample in enumerate(samples):
            rows = slice(3 * index, 3 * index + 3) if tube == "frame" else slice(index, index + 1)
            assert_equal_predictions(batch, model([sample]), rows)


SMALL, LARGE = (50, 70), (90, 100)  # padded to 64x96 alone, and to 96x128 beside one another


def clip_of_size(size, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (3, 3, *size), dtype=torch.uint8, generator=generator)
    return {"images": list(images), "task": "vis", "dataset_name": "things_and_stuff"}


def plain_features(frames, with_looks):
    """Levels and mask features (B, T, C, h, w), each pixel of its own frame alone; no looks."""

    def at_stride(stride, channels, seed):
        weight = torch.randn(channels, 3, generator=torch.Generator().manual_seed(seed))
        pooled = torch.nn.functional.avg_pool2d(frames.flatten(0, 1), stride)
        return torch.einsum("nchw,dc->ndhw", pooled, weight).unflatten(0, frames.shape[:2])

    return [at_stride(stride, 32, stride) for stride in (32, 16, 8)], at_stride(4, 16, 4), None


def no_positions(encoding, size, device):
    return torch.zeros(*size, encoding.channels, device=device)


@pytest.mark.parametrize("tube", ["clip", "frame"])
def test_padding_reaches_a_clip_through_attention_and_position_encodings_alone(tube):
    """Without these two, which know only padded frames, a clip is alike beside a larger one.

    So its cells, cues and descriptors are. Features are those of single pixels here, for
    convolutions see padding too.
    """
    model = build_whole("vis", "MODEL.GVSEG.TUBE", tube).eval()
    samples = [clip_of_size(SMALL, 0), clip_of_size(LARGE, 1)]
    rows = slice(0, 3 if tube == "frame" else 1)

    def segment(clips):
        height, width = SMALL
        padded = model.preprocess([clip["images"] for clip in clips]).shape[-2:]

        def attention_mask_within_frame(mask_logits):
            stride = padded[0] // mask_logits.shape[-2]
            beyond = torch.zeros_like(mask_logits[0, 0, 0], dtype=torch.bool)
            beyond[-(-height // stride) :] = True
            beyond[:, -(-width // stride) :] = True
            blocked = attention_mask(mask_logits.masked_fill(beyond, -1.0))
            return blocked | beyond.expand(mask_logits.shape[2:]).flatten()

        with (
            patch("gvseg.modeling.query_decoder.attention_mask", attention_mask_within_frame),
            patch.object(model, "_features", plain_features),
            patch.object(SinePositionEncoding, "forward", no_positions),
            torch.inference_mode(),
        ):
            return model(clips)

    alone, beside = segment(samples[:1]), segment(samples)
    assert alone.mask_logits.shape[-2:] != beside.mask_logits.shape[-2:]
    for name in ("class_logits", "query_embeds", "frame_sizes"):
        torch.testing.assert_close(
            getattr(beside, name)[rows], getattr(alone, name), atol=1e-4, rtol=1e-4
        )
    masks = beside.mask_logits[rows, ..., :16, :24]
    torch.testing.assert_close(masks, alone.mask_logits, atol=1e-4, rtol=1e-4)


def test_true_objects_are_described_alike_beside_a_larger_clip():
    """By the cues of training, and to tell how much objects change between frames."""
    small, large = task_sample("vis"), task_sample("vis", size=(90, 100))
    histograms, described = ShapePositionDescriptor.histograms, []

    def keep(module, masks, frame_sizes):
        found = histograms(module, masks, frame_sizes)
        if masks.dim() == 4:  # those of predictions are (B, Q, T, h, w)
            described.append(found)
        return found

    of_batches = []
    for samples in ([small], [small, large]):
        model = build_whole("vis", "MODEL.GVSEG.CUE", "matched_gt").train()
        described = []
        with patch.object(ShapePositionDescriptor, "histograms", keep):
            model(samples)
        of_batches.append(described)
    alone, beside = of_batches
    # The targets of the clip for cues, and for the contrast with those of two extra frames.
    assert len(alone) == 4
    for first, second in zip(alone, [beside[index] for index in (0, 2, 4, 5)], strict=True):
        assert first.any()
        assert torch.equal(first, second)


def test_a_mixed_model_does_for_each_task_what_a_model_of_that_task_does():
    mixed = build_whole("mixed").eval()
    for task in TASKS:
        alone = build_whole(task).eval()
        # Of the learnt queries beside classes, models with cells have none.
        rows = {name: len(tensor) for name, tensor in alone.state_dict().items() if tensor.ndim}
        weights = {
            name: tensor[: rows[name]] if ".queries." in name else tensor
            for name, tensor in mixed.state_dict().items()
        }
        alone.load_state_dict(weights, strict=False)
        sample = at_inference(task_sample(task))
        with torch.inference_mode():
            assert_equal_predictions(mixed([sample]), alone([sample]))


def test_queries_in_another_order_give_tubes_in_that_order():
    """With cues and exemplars: the objects swapped, all else stays."""
    model = build_whole("evs").eval()
    sample = at_inference(task_sample("evs"))
    swapped = {**sample, "exemplars": sample["exemplars"][::-1]}
    order = [1, 0, *range(2, model.query_decoder.num_queries)]
    with torch.inference_mode():
        before, after = model([sample]), model([swapped])
    for name in ("class_logits", "mask_logits", "query_embeds"):
        torch.testing.assert_close(
            getattr(after, name), getattr(before, name)[:, order], atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("task", TASKS)
def test_a_clip_of_one_frame_is_that_frame(task):
    """At T=1 tubes of clips and of frames are the same thing, cues included."""
    sample = at_inference(task_sample(task, num_frames=1))
    sample["exemplars"] = sample["exemplars"][:1]
    models = [build_whole(task, "MODEL.GVSEG.TUBE", tube).eval() for tube in ("clip", "frame")]
    with torch.inference_mode():
        assert_equal_predictions(*(model([sample]) for model in models))


@pytest.mark.parametrize("task", TASKS)
def test_a_still_clip_gives_the_masks_of_its_frame(task):
    """Repeating a frame repeats its cues: with an encoding of space alone the tube is constant."""
    model = build_whole(task, "MODEL.GVSEG.POSITION_DIMS", "2").eval()
    one = at_inference(task_sample(task, num_frames=1))
    one["exemplars"] = one["exemplars"][:1]
    still = {**one, "images": one["images"] * 3}
    with torch.inference_mode():
        frame, clip = model([one]), model([still])
    torch.testing.assert_close(
        clip.mask_logits, frame.mask_logits.expand(-1, -1, 3, -1, -1), atol=1e-3, rtol=1e-3
    )


def test_mixed_precision_trains_with_everything_on():
    model = build_whole("mixed").train()
    for _ in range(2):
        with torch.autocast("cpu", torch.bfloat16):
            losses = model([task_sample(task) for task in TASKS])
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        sum(losses.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


SETS = [
    "MODEL.GVSEG.LABEL_SETS", "('two_things', 'things_and_stuff')",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "7",
    "MODEL.GVSEG.CONTRASTIVE.ENABLED", "False",
    "INPUT.SAMPLING_EXTRA_FRAME_NUM", "0",
]  # fmt: skip


def test_a_clip_costs_the_same_beside_one_of_another_task_and_label_set():
    """Random numbers are the same for each clip here, so that only its batch differs.

    Mask losses are sums over targets, by their number: 2 objects, and 2 with 2 stuff classes. The
    class loss is a mean by weight: 1 for a matched query and .1 for any other of the 7.
    """
    model = build_whole("mixed", *SETS)
    samples = [task_sample("vis", dataset_name="two_things"), task_sample("vps", seed=1)]
    with patch("torch.rand", same_random_numbers):
        batch, first, second = (
            copy.deepcopy(model).train()(part) for part in (samples, samples[:1], samples[1:])
        )
    weights = [2 + 0.1 * 5, 4 + 0.1 * 3]
    for name, loss in batch.items():
        shares = weights if "_ce" in name else [2, 4]
        alone = torch.stack([first[name], second[name]])
        mean = (alone * torch.tensor(shares)).sum() / sum(shares)
        torch.testing.assert_close(loss, mean, atol=1e-3, rtol=1e-3)


def test_clips_of_two_label_sets_read_their_own_classes():
    model = build_whole("mixed", *SETS).eval()
    samples = [
        at_inference(task_sample("vis", dataset_name="two_things")),
        at_inference(task_sample("vss")),
    ]
    with torch.inference_mode():
        logits = model(samples).class_logits
    assert logits.shape[-1] == 6
    assert logits[0].isneginf().any(0).tolist() == [False, False, True, True, True, False]
    assert logits[1].isfinite().all()
    sum(model.train()([task_sample("vis", dataset_name="two_things"), task_sample("vss")]).values())
    seen = model.query_decoder.queries.memory.num_updates > 0
    assert seen.tolist() == [False] * 5 + [True] * 2  # stuff of the second set


def test_a_dataset_that_the_model_has_no_classes_for_is_an_error():
    model = build_whole("mixed", *SETS).eval()
    with pytest.raises(ValueError, match="no classes for 'unknown_dataset'"):
        model([at_inference(task_sample("vis", dataset_name="unknown_dataset"))])


def test_a_model_of_several_tasks_must_be_told_which():
    model = build_whole("mixed").eval()
    frames = model.preprocess([task_sample("vis")["images"]])
    with pytest.raises(ValueError, match="say in requests which"):
        model.segment_clip(frames)
    with torch.inference_mode():
        assert model.segment_clip(frames, [ClipRequest(Task.VIS)]).class_logits.shape[0] == 1


def test_objects_known_from_an_earlier_clip_are_asked_for_first():
    """As read there: the second clip, without exemplars, starts from the same features."""
    model = build_whole("evs").eval()
    clip, later = task_sample("evs"), task_sample("evs", seed=1)
    size = (64, 64)
    with torch.inference_mode():
        first = model.segment_clip(
            model.preprocess([clip["images"]]), [model.request(at_inference(clip), size)]
        )
        request = ClipRequest(Task.EVS, known=first.objects[0])
        again = model.segment_clip(model.preprocess([later["images"]]), [request])
        own = model([at_inference(later)])
    torch.testing.assert_close(again.objects[0].features, first.objects[0].features)
    assert not torch.allclose(again.query_embeds[:, :2], own.query_embeds[:, :2], atol=1e-4)


def test_training_goes_on_as_it_would_have_from_its_state():
    """Memories and queues are part of the state: a copy made of it has the same next losses."""
    model, fresh = build_whole("vps").train(), build_whole("vps").train()
    model([task_sample("vps")])
    fresh.load_state_dict(model.state_dict())
    losses = []
    for trained in (model, fresh):
        torch.manual_seed(3)
        losses.append(trained([task_sample("vps", seed=1)]))
    for name, loss in losses[0].items():
        torch.testing.assert_close(loss, losses[1][name])
    assert losses[0]["loss_contrast_class"] > 0


def test_clips_without_any_object_train():
    model = build_whole("mixed").train()
    empty = []
    for task in TASKS:
        sample = task_sample(task)
        for labels in (sample, sample["extra"]):
            for frame in labels["instances"]:
                frame.gt_masks.tensor.zero_()
            labels["sem_seg"] = [torch.full_like(part, 255) for part in labels["sem_seg"]]
        empty.append({**sample, "exemplars": []})
    losses = model(empty)
    assert all(loss.isfinite() for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
