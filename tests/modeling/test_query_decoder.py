import pytest
import torch

from gvseg.modeling.requests import ClipRequest
from gvseg.tasks import Task
from tests.modeling.task_samples import build_whole, task_sample


def decoder_call(task):
    """A decoder, and what the model calls it with at inference for one clip of a task."""
    model, calls = build_whole(task).eval(), []
    hook = model.query_decoder.register_forward_pre_hook(
        lambda _, args, kwargs: calls.append((args, kwargs)), with_kwargs=True
    )
    sample = task_sample(task)
    frames = model.preprocess([sample["images"]])
    request = model.request(sample, (frames.shape[-2], frames.shape[-1]))
    assert request.task is Task(task)
    with torch.no_grad():
        model.segment_clip(frames, [request])
    hook.remove()
    return model.query_decoder, *calls[0]


@pytest.mark.parametrize("task", ["vps", "evs"])
def test_the_decoder_compiles_into_one_graph_and_gives_the_same(task):
    decoder, args, kwargs = decoder_call(task)
    assert kwargs["guide"] is not None
    torch._dynamo.reset()
    with torch.no_grad():
        explained = torch._dynamo.explain(decoder)(*args, **kwargs)
        expected = decoder(*args, **kwargs)
        torch._dynamo.reset()
        compiled = torch.compile(decoder, backend="aot_eager", fullgraph=True)(*args, **kwargs)
    torch._dynamo.reset()
    assert explained.graph_count == 1
    assert explained.graph_break_count == 0
    for name in ("class_logits", "mask_logits", "query_embeds"):
        torch.testing.assert_close(getattr(compiled, name), getattr(expected, name))


def test_cues_are_given_before_queries_see_each_other_in_every_layer():
    """Each layer sees what its cross-attention gave plus the cue, and nothing else changes."""
    decoder, args, kwargs = decoder_call("vis")
    given, after_pixels, before_queries = [], [], []

    def guide(start, mask_logits, _):
        assert start.class_logits.shape[:2] == mask_logits.shape[:2]
        given.append(torch.randn_like(start.query_embeds))
        return given[-1]

    for layer in decoder.layers:
        to_pixels, to_queries = layer.attend_to_pixels, layer.attend_to_queries

        def keep_after(*tokens, call=to_pixels):
            after_pixels.append(call(*tokens))
            return after_pixels[-1]

        def keep_before(queries, places, call=to_queries):
            before_queries.append(queries)
            return call(queries, places)

        layer.attend_to_pixels, layer.attend_to_queries = keep_after, keep_before
    with torch.no_grad():
        decoder(*args, **{**kwargs, "guide": guide})
    assert len(given) == len(decoder.layers) == 2
    for cue, before, after in zip(given, after_pixels, before_queries, strict=True):
        torch.testing.assert_close(after, before + cue)


@pytest.mark.parametrize("with_intermediate", [True, False])
def test_the_guide_is_shown_what_each_layer_starts_from(with_intermediate):
    """With intermediate predictions these are the very ones, so that their matches are shared."""
    decoder, args, kwargs = decoder_call("vis")
    shown = []

    def guide(start, mask_logits, _):
        shown.append((start, mask_logits))
        return torch.zeros_like(start.query_embeds)

    with torch.no_grad():
        prediction = decoder(
            *args, **{**kwargs, "guide": guide, "with_intermediate": with_intermediate}
        )
    # Stride 8 of 64x64, although the layers attend at strides 32 and 16.
    assert [tuple(masks.shape[-2:]) for _, masks in shown] == [(8, 8)] * 2
    starts = [start for start, _ in shown]
    if with_intermediate:
        assert all(a is b for a, b in zip(starts, prediction.intermediate, strict=True))
    else:
        assert prediction.intermediate == []


def test_masks_are_described_alike_in_training_and_at_inference():
    """There the masks are resampled, here the features: every layer shows its guide the same."""
    decoder, args, kwargs = decoder_call("vis")
    shown = {True: [], False: []}
    for with_intermediate, masks in shown.items():

        def guide(start, mask_logits, _, masks=masks):
            masks.append(mask_logits)
            return torch.zeros_like(start.query_embeds)

        with torch.no_grad():
            decoder(*args, **{**kwargs, "guide": guide, "with_intermediate": with_intermediate})
    for in_training, at_inference in zip(shown[True], shown[False], strict=True):
        torch.testing.assert_close(in_training, at_inference, atol=1e-4, rtol=1e-4)


def test_cues_of_no_thing_leave_the_numbers_alone():
    """What is asked of VSS, which has no things, gives what the decoder gives without a guide."""
    decoder, args, kwargs = decoder_call("vss")
    with torch.no_grad():
        told = decoder(*args, **kwargs)
        untold = decoder(*args, **{**kwargs, "guide": None})
    assert torch.equal(told.mask_logits, untold.mask_logits)


def test_requests_reach_the_queries():
    """The first queries of VPS are the classes of stuff, whose place is learnt."""
    model = build_whole("vps").eval()
    frames = model.preprocess([task_sample("vps")["images"]])
    with torch.inference_mode():
        before = model.segment_clip(frames, [ClipRequest(Task.VPS)])
        model.query_decoder.queries.content.weight[3:5] += 1
        after = model.segment_clip(frames, [ClipRequest(Task.VPS)])
    assert not torch.allclose(before.query_embeds, after.query_embeds, atol=1e-3)
