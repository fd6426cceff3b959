import pytest
import torch

from detectron2.structures import BitMasks, Instances

from gvseg.modeling.query_decoder import DecoderLayer
from gvseg.modeling.targets import (
    VOID,
    clip_targets,
    instance_targets,
    split_frames,
    stuff_targets,
)
from gvseg.tasks import Task
from tests.tiny_model import build_tiny as build


def object_frames(num_frames=3, size=(48, 64)):
    """Object 4 stays, object 9 is seen in the last frame only, object 7 never."""
    frames = []
    for t in range(num_frames):
        masks = torch.zeros(3, *size, dtype=torch.bool)
        masks[0, 5:20, 5 + t : 30 + t] = True
        masks[1, 30:40, 10:20] = t == num_frames - 1
        frames.append(
            Instances(
                size,
                gt_ids=torch.tensor([4, 9, 7]),
                gt_classes=torch.tensor([1, 2, 3]),
                gt_masks=BitMasks(masks),
            )
        )
    return frames


def sample(num_frames=3, size=(48, 64)):
    torch.manual_seed(1)
    return {
        "images": [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for _ in range(num_frames)],
        "instances": object_frames(num_frames, size),
        "sem_seg": [torch.randint(0, 5, size) for _ in range(num_frames)],
    }


def test_frames_are_normalised_and_padded_to_one_size():
    model = build()
    frames = [torch.full((3, 33, 40), 255, dtype=torch.uint8)]
    other = [torch.full((3, 20, 70), 127, dtype=torch.uint8)]
    batch = model.preprocess([frames, other])
    assert batch.shape == (2, 1, 3, 64, 96)
    torch.testing.assert_close(batch[0, 0, :, :33, :40], torch.ones(3, 33, 40))
    assert batch[1].count_nonzero() == 0
    assert batch[0, 0, :, 33:].count_nonzero() == batch[0, 0, :, :, 40:].count_nonzero() == 0


def test_requests_and_targets_know_where_frames_end():
    model, clip = build().train(), sample(size=(33, 40))
    assert model.request({**clip, "task": "vis"}, (64, 64)).size == (33, 40)
    targets = clip_targets(clip, Task.VIS, (64, 64), torch.device("cpu"))
    assert targets.masks.shape[-2:] == (64, 64)
    assert targets.frame_size == (33, 40)
    assert all(frame.frame_size == (33, 40) for frame in split_frames(targets))
    assert instance_targets(clip["instances"]).frame_size == (33, 40)


def test_predictions_tell_how_far_frames_reach():
    """In pixels of mask logits, which are a quarter; of a folded clip once for each frame."""
    clips = [sample(size=(33, 40)), sample(size=(20, 70))]
    for tube, repeats in (("clip", 1), ("frame", 3)):
        model = build("MODEL.GVSEG.TUBE", tube).eval()
        with torch.inference_mode():
            prediction = model(clips)
            alone = model.segment_clip(torch.zeros(1, 3, 3, 64, 96))
        expected = [[8.25, 10.0]] * repeats + [[5.0, 17.5]] * repeats
        assert prediction.frame_sizes.tolist() == expected
        assert prediction.clip(repeats).frame_sizes.tolist() == [[5.0, 17.5]]
        assert alone.frame_sizes.tolist() == [[16, 24]] * repeats  # not told, so all of it


def test_clips_of_different_length_are_refused():
    clips = [[torch.zeros(3, 8, 8)] * 2, [torch.zeros(3, 8, 8)] * 3]
    with pytest.raises(ValueError, match=r"different lengths: \[2, 3\]"):
        build().preprocess(clips)


def test_instance_targets_keep_objects_in_order_and_drop_those_never_seen():
    targets = instance_targets(object_frames())
    assert targets.ids.tolist() == [4, 9]
    assert targets.classes.tolist() == [1, 2]
    assert targets.masks.shape == (2, 3, 48, 64)
    assert targets.masks[1].flatten(1).any(1).tolist() == [False, False, True]


def test_stuff_targets_are_one_mask_a_class_without_void():
    labels = torch.tensor([[0, 3], [VOID, 3]])
    targets = stuff_targets([labels, torch.full_like(labels, VOID)])
    assert targets.classes.tolist() == [0, 3]
    assert targets.ids.tolist() == [-1, -1]
    assert torch.equal(targets.masks[1, 0], labels == 3)
    assert not targets.masks[:, 1].any()


def test_split_frames_leaves_absent_objects_out():
    first, _, last = split_frames(instance_targets(object_frames()))
    assert first.ids.tolist() == [4]
    assert last.ids.tolist() == [4, 9]
    assert last.masks.shape == (2, 1, 48, 64)


@pytest.mark.parametrize(
    ("task", "classes"), [("vis", [1, 2]), ("vss", [0, 1, 2, 3, 4]), ("vps", [1, 2, 0, 1, 2, 3, 4])]
)
def test_task_decides_what_is_segmented(task, classes):
    targets = clip_targets(sample(), Task(task), (64, 64), torch.device("cpu"))
    assert targets.classes.tolist() == classes
    assert targets.masks.shape == (len(classes), 3, 64, 64)
    assert not targets.masks[:, :, 48:].any()


@pytest.mark.parametrize("tube", ["clip", "frame"])
@pytest.mark.parametrize("attention_mask", ["resample_features", "resample_masks"])
def test_shapes_of_a_prediction(tube, attention_mask):
    model = build("MODEL.GVSEG.TUBE", tube, "MODEL.GVSEG.ATTENTION_MASK", attention_mask).eval()
    with torch.inference_mode():
        prediction = model([sample(), sample()])
    batch, frames = (2, 3) if tube == "clip" else (6, 1)
    assert prediction.class_logits.shape == (batch, 7, 6)
    assert prediction.mask_logits.shape == (batch, 7, frames, 16, 16)
    assert prediction.query_embeds.shape == (batch, 7, 32)
    assert prediction.intermediate == []


def test_frames_of_a_folded_clip_do_not_see_each_other():
    model = build("MODEL.GVSEG.TUBE", "frame").eval()
    clip = sample()
    with torch.inference_mode():
        together = model([clip])
        alone = [model([{"images": [image]}]) for image in clip["images"]]
    for index, prediction in enumerate(alone):
        torch.testing.assert_close(
            together.mask_logits[index], prediction.mask_logits[0], atol=1e-5, rtol=1e-4
        )


def test_queries_of_a_clip_see_all_its_frames():
    model = build("MODEL.GVSEG.TUBE", "clip").eval()
    clip = sample()
    changed = {"images": [*clip["images"][:2], 255 - clip["images"][2]]}
    with torch.inference_mode():
        before, after = model([clip]), model([changed])
    assert not torch.allclose(before.mask_logits[:, :, 0], after.mask_logits[:, :, 0], atol=1e-4)


def test_frames_in_steps_give_what_they_give_together():
    model = build().eval()
    with torch.inference_mode():
        one_by_one = model([sample()])
        model.frames_per_step = 2
        in_pairs = model([sample()])
    torch.testing.assert_close(one_by_one.mask_logits, in_pairs.mask_logits, atol=1e-4, rtol=1e-4)


def test_a_clip_does_not_depend_on_the_others_of_its_batch():
    model = build().eval()
    first, second = sample(), sample()
    second["images"] = [255 - image for image in second["images"]]
    with torch.inference_mode():
        batch, alone = model([first, second]), model([second])
    torch.testing.assert_close(batch.class_logits[1], alone.class_logits[0], atol=1e-5, rtol=1e-4)


def test_queries_in_another_order_give_tubes_in_that_order():
    model = build().eval()
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    with torch.inference_mode():
        before = model([sample()])
        for embedding in (model.query_decoder.queries.content, model.query_decoder.queries.place):
            embedding.weight.copy_(embedding.weight[order])
        after = model([sample()])
    torch.testing.assert_close(
        after.mask_logits, before.mask_logits[:, order], atol=1e-4, rtol=1e-4
    )


def test_pre_norm_by_hand():
    """With pre-norm a layer adds its updates to queries that it does not norm themselves.

    Attention and feed-forward whose last layers are zero update nothing: the queries come back.
    """
    layer = DecoderLayer(embed_dim=8, num_heads=2, hidden_dim=16, dropout=0.0, pre_norm=True)
    queries, places, pixels = torch.randn(1, 5, 8), torch.randn(1, 5, 8), torch.randn(1, 9, 8)
    blocked = torch.zeros(1, 5, 9, dtype=torch.bool)
    moved = layer.attend_to_pixels(queries, places, pixels, pixels, blocked)
    tokens = layer.cross_norm(queries) + places
    update = layer.cross_attention(tokens, pixels, pixels, blocked)
    torch.testing.assert_close(moved, queries + update)
    for last in (layer.self_attention.out_proj, layer.feed_forward.linear2):
        torch.nn.init.zeros_(last.weight)
    torch.testing.assert_close(layer.attend_to_queries(queries, places), queries)


def test_pre_norm_model_differs_and_trains():
    clip = sample()
    post, pre = build(), build("MODEL.MASK_FORMER.PRE_NORM", "True")
    with torch.inference_mode():
        logits = [model.eval()([clip]).class_logits for model in (post, pre)]
    assert not torch.allclose(*logits)
    sum(pre.train()([clip]).values()).backward()


@pytest.mark.parametrize("init", ["learned", "grid"])
def test_models_with_either_queries_train(init):
    model = build("MODEL.GVSEG.QUERY_INIT", init, "MODEL.GVSEG.QUERY_GRID", "3").train()
    sum(model([sample(), sample()]).values()).backward()
    gradients = [parameter.grad for parameter in model.query_decoder.queries.parameters()]
    assert gradients
    assert all(gradient is not None and gradient.any() for gradient in gradients)


@pytest.mark.parametrize("tube", ["clip", "frame"])
def test_training_gives_losses_of_every_layer_and_gradients_everywhere(tube):
    model = build("MODEL.GVSEG.TUBE", tube).train()
    losses = model([sample(), sample()])
    assert len(losses) == 3 * 3
    sum(losses.values()).backward()
    without = [
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.grad is None
    ]
    assert without == []


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 0.15), (torch.float16, 0.01)])
def test_mixed_precision_stays_close_to_float32(dtype, bound):
    """Through backbone, operator, attention and head; masks agree on almost every pixel.

    The 8 and 11 bits of a random network, and a pixel that changes sides under an attention mask
    moves a query as a whole: so the bounds are for the mean.
    """
    model = build().eval()
    with torch.inference_mode():
        full = model([sample()])
        with torch.autocast("cpu", dtype):
            mixed = model([sample()])
    agreement = ((full.mask_logits > 0) == (mixed.mask_logits > 0)).float().mean()
    assert agreement > 0.97
    difference = (full.class_logits - mixed.class_logits.float()).abs().mean()
    assert difference < bound * full.class_logits.abs().mean()


def test_mixed_precision_trains():
    model = build().train()
    with torch.autocast("cpu", torch.bfloat16):
        losses = model([sample()])
    assert all(loss.dtype == torch.float32 for loss in losses.values())
    sum(losses.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_clip_without_objects_gives_only_a_class_loss():
    model = build().train()
    empty = sample()
    for frame in empty["instances"]:
        frame.gt_masks.tensor.zero_()
    losses = model([empty])
    assert losses["loss_ce"] > 0
    assert losses["loss_mask"] == losses["loss_dice"] == 0
    sum(losses.values()).backward()


@pytest.mark.parametrize(
    ("name", "dims"),
    [
        ("", 3),
        ("MultiScaleMaskedTransformerDecoder", 2),
        ("VideoMultiScaleMaskedTransformerDecoder", 3),
    ],
)
def test_decoder_name_of_a_published_yaml_decides_the_encoding(name, dims):
    model = build("MODEL.MASK_FORMER.TRANSFORMER_DECODER_NAME", name)
    assert model.query_decoder.position_encoding.dims == dims


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("MODEL.MASK_FORMER.DEC_LAYERS", "0"),
        ("MODEL.GVSEG.TASK", "vos"),
        ("MODEL.GVSEG.TASK", "evs"),
        ("MODEL.SEM_SEG_HEAD.NAME", "PerPixelBaselineHead"),
        ("MODEL.MASK_FORMER.TRANSFORMER_IN_FEATURE", "res5"),
        ("MODEL.MASK_FORMER.TRANSFORMER_DECODER_NAME", "StandardTransformerDecoder"),
        ("MODEL.GVSEG.TUBE", "video"),
        ("MODEL.GVSEG.ATTENTION_MASK", "none"),
        ("MODEL.GVSEG.POSITION_DIMS", "4"),
        ("MODEL.MASK_FORMER.ENFORCE_INPUT_PROJ", "True"),
        ("MODEL.TIMM.NAME", "no_such_model"),
        ("MODEL.TIMM.NORM", "GN"),
        ("MODEL.RESNETS.STEM_TYPE", "deeplab"),
        ("MODEL.GVSEG.TEST.FRAMES_PER_STEP", "0"),
        ("MODEL.GVSEG.QUERY_INIT", "random"),
        ("MODEL.SEM_SEG_HEAD.PIXEL_DECODER_NAME", "BasePixelDecoder"),
        ("MODEL.SEM_SEG_HEAD.IN_FEATURES", "['res1']"),
        ("MODEL.SEM_SEG_HEAD.NORM", "Instance"),
    ],
)
def test_wrong_values_are_named(key, value):
    with pytest.raises(ValueError, match=value.strip("[]'")) as raised:
        build(key, value)
    assert key.removeprefix("MODEL.") in str(raised.value) or key.endswith("TASK")


def test_placed_masks_start_near_their_queries_and_learn_how_near():
    """On a uniform picture all pixels look alike, so only the prior tells where a mask is."""
    placed = build(
        "MODEL.GVSEG.QUERY_INIT", "grid", "MODEL.GVSEG.QUERY_GRID", "2",
        "MODEL.MASK_FORMER.NUM_OBJECT_QUERIES", "4", "MODEL.GVSEG.PLACE_MASKS", "True",
    ).eval()  # fmt: skip
    uniform = {"images": [torch.full((3, 128, 128), 90, dtype=torch.uint8)]}
    with torch.inference_mode():
        masks = placed([uniform]).mask_logits[0, :, 0]
    height, width = masks.shape[-2:]
    quarters = masks.reshape(4, 2, height // 2, 2, width // 2).mean((2, 4)).flatten(1)
    assert quarters.argmax(1).tolist() == [0, 1, 2, 3]
    placed.train()
    sum(placed([sample()]).values()).backward()
    assert placed.query_decoder.place_prior.shape.weight.grad.any()


def test_placed_masks_need_queries_with_a_place():
    with pytest.raises(ValueError, match="PLACE_MASKS needs queries that have a place"):
        build("MODEL.GVSEG.PLACE_MASKS", "True")
