import pytest
import torch

from detectron2.utils.events import EventStorage

from gvseg.tasks import Task
from tests.modeling.task_samples import build_whole, task_sample


def train_step(model, *samples):
    """Losses of one step, and what it logs."""
    with EventStorage() as storage:
        losses = model.train()(list(samples))
        return losses, {name: value for name, (value, _) in storage.latest().items()}


def test_positive_rate_and_queue_fill_are_logged():
    model = build_whole("vps")
    _, logged = train_step(model, task_sample("vps"))
    assert 0 < logged["contrast/positive_rate"] <= 1
    assert logged["contrast/queue_fill"] == 0
    _, logged = train_step(model, task_sample("vps"))
    # Two stuff classes of five, one of a hundred places each.
    assert logged["contrast/queue_fill"] == pytest.approx(2 / 500)


def test_memory_and_queues_take_in_the_matched_queries_of_stuff():
    """Classes 3 and 4 are stuff, with one query each; queues hold what it is compared by."""
    model = build_whole("vps")
    train_step(model, task_sample("vps"))
    memory, queues = model.query_decoder.queries.memory, model.learning.contrast.queues
    assert memory.num_updates.tolist() == [0, 0, 0, 1, 1]
    assert queues.num_pushed.tolist() == [0, 0, 0, 1, 1]
    assert memory.embeds[3:].any(1).all()
    # A new layer norm leaves queries with a mean of 0.
    torch.testing.assert_close(memory.embeds[3:].mean(1), torch.zeros(2))
    with torch.no_grad():
        compared = model.query_decoder.head.link(memory.embeds[3:])
    torch.testing.assert_close(queues.embeds[3:, 0], compared)


@pytest.mark.parametrize("task", ["vss", "vps"])
def test_without_a_head_memory_and_queues_hold_the_same(task):
    model = build_whole(task, "MODEL.GVSEG.CONTRASTIVE.EMBED_HEAD", "False")
    train_step(model, task_sample(task))
    memory, queues = model.query_decoder.queries.memory, model.learning.contrast.queues
    torch.testing.assert_close(memory.embeds[3:], queues.embeds[3:, 0])


def test_of_clips_of_one_class_the_memory_holds_the_mean_and_the_queue_each():
    model = build_whole("vss", "MODEL.GVSEG.CONTRASTIVE.EMBED_HEAD", "False")
    train_step(model, task_sample("vss"), task_sample("vss", seed=1))
    memory, queues = model.query_decoder.queries.memory, model.learning.contrast.queues
    assert queues.num_pushed.tolist() == [0, 0, 0, 2, 2]
    torch.testing.assert_close(memory.embeds[3:], queues.embeds[3:, :2].mean(1))


def test_objects_leave_nothing_in_the_memory():
    model = build_whole("vis")
    train_step(model, task_sample("vis"))
    assert not model.query_decoder.queries.memory.num_updates.any()
    assert model.learning.contrast.queues is None


@pytest.mark.parametrize(("samples", "num_views"), [("video", 3), ("beside", 2)])
def test_classes_without_queues_meet_the_extra_frames_asked_for(monkeypatch, samples, num_views):
    """Of the two extra frames the first lies beside the clip; things meet both."""
    model = build_whole("vps", "MODEL.GVSEG.CONTRASTIVE.CLASS_SAMPLES", samples)
    compared = []
    within_videos = model.learning.contrast.within_videos

    def count_views(videos, like):
        compared.append([len(views) for views in videos])
        return within_videos(videos, like)

    monkeypatch.setattr(model.learning.contrast, "within_videos", count_views)
    train_step(model, task_sample("vps"), task_sample("vps", seed=1))
    assert compared == [[3, 3], [num_views, num_views]]


def test_without_a_frame_beside_clips_it_cannot_be_asked_for():
    with pytest.raises(ValueError, match=r"CLASS_SAMPLES beside needs a frame beside clips"):
        build_whole(
            "vss",
            *("MODEL.GVSEG.CONTRASTIVE.CLASS_SAMPLES", "beside"),
            *("INPUT.SAMPLING_EXTRA_FRAME_NUM", "1"),
        )


ALONE = ("INPUT.SAMPLING_EXTRA_FRAME_NUM", "0")
QUEUED = ("MODEL.GVSEG.CONTRASTIVE.CLASS_SAMPLES", "dataset")


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("vis", QUEUED),
        ("mixed", QUEUED),
        ("vss", ("MODEL.GVSEG.CONTRASTIVE.CLASS_SAMPLES", "video")),
        ("vis", ("MODEL.GVSEG.TUBE", "frame", "INPUT.SAMPLING_FRAME_NUM", "1")),
    ],
)
def test_contrast_without_anything_to_compare_with_is_refused(task, options):
    with pytest.raises(ValueError, match=r"set INPUT\.SAMPLING_EXTRA_FRAME_NUM to 1 or more"):
        build_whole(task, *ALONE, *options)


@pytest.mark.parametrize(
    ("task", "options"),
    [("vss", QUEUED), ("vis", ("MODEL.GVSEG.TUBE", "frame", "INPUT.SAMPLING_FRAME_NUM", "2"))],
)
def test_contrast_needs_no_extra_frames_beside_queues_or_other_frames(task, options):
    assert build_whole(task, *ALONE, *options).learning.contrast is not None


def test_norms_that_wait_for_all_processes_are_refused_where_not_all_have_extra_frames():
    norm = ("MODEL.SEM_SEG_HEAD.NORM", "SyncBN")
    with pytest.raises(ValueError, match=r"SyncBN waits for all processes"):
        build_whole("mixed", *norm)
    build_whole("mixed", *norm, *ALONE, "MODEL.GVSEG.CONTRASTIVE.ENABLED", "False")


def test_a_mixed_model_has_the_same_losses_whatever_a_batch_holds():
    """Each process has its own batch, and all must agree on what is summed."""
    model = build_whole("mixed")
    without_extra = task_sample("evs")
    del without_extra["extra"]
    names = {
        frozenset(train_step(model, sample)[0])
        for sample in (*(task_sample(task.value) for task in Task), without_extra)
    }
    (only,) = names
    assert {"loss_ce_extra", "loss_contrast_thing", "loss_contrast_class_cosine"} <= only


@pytest.mark.parametrize(
    ("task", "contrast", "used"),
    [
        ("vis", "True", True),
        ("vis", "False", False),
        ("evs", "False", True),
        ("vss", "True", False),
    ],
)
def test_extra_frames_are_segmented_only_where_they_teach(task, contrast, used):
    model = build_whole(task, "MODEL.GVSEG.CONTRASTIVE.ENABLED", str(contrast)).train()
    num_frames = []
    model.backbone.register_forward_hook(lambda _, args, __: num_frames.append(len(args[0])))
    model([task_sample(task)])
    assert num_frames == ([3, 2] if used else [3])


def test_following_an_object_is_learnt_from_features_read_in_the_clip():
    """The losses of extra frames send gradient to the frame that the exemplar is drawn in."""
    model = build_whole("evs", "MODEL.GVSEG.CONTRASTIVE.ENABLED", "False").train()
    frames = []
    prepare = model.preprocess

    def keep(*args):
        frames.append(prepare(*args).requires_grad_())
        return frames[-1]

    model.preprocess = keep
    losses = model([task_sample("evs")])
    sum(loss for name, loss in losses.items() if name.endswith("_extra")).backward()
    clip, extra = frames
    assert extra.grad.any()
    assert clip.grad[0, 0].any()  # object 4 is read in the first frame and 9 in the last
    assert clip.grad[0, 2].any()
    assert losses["loss_mask_extra"] > 0


def test_without_an_object_of_the_clip_extra_frames_only_ask_for_silence():
    """Extra frames list objects of their own, for which no query stands."""
    model = build_whole("evs").train()
    stranger = task_sample("evs")
    for frame in stranger["extra"]["instances"]:
        frame.gt_ids = frame.gt_ids + 100
    losses = model([stranger])
    assert losses["loss_mask_extra"] == losses["loss_dice_extra"] == 0
    assert losses["loss_ce_extra"] > 0


def test_a_learnt_projection_of_descriptors_is_that_of_cues_alone():
    """The contrast compares histograms: a projection there would wait for gradients in vain."""
    model = build_whole("vis", "MODEL.GVSEG.DESCRIPTOR.PROJECT", "linear").train()
    sum(model([task_sample("vis")]).values()).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize(("task", "name"), [("vis", "thing"), ("vss", "class")])
def test_what_is_compared_is_learnt_apart_from_classes_and_masks(task, name):
    model = build_whole(task).train()
    train_step(model, task_sample(task))  # fills queues
    losses = model([task_sample(task, seed=1)])
    head = model.query_decoder.head
    parameters = [*head.link.parameters(), head.classes.weight, head.kernel[0].weight]
    *of_link, classes, kernel = torch.autograd.grad(
        losses[f"loss_contrast_{name}"], parameters, retain_graph=True, allow_unused=True
    )
    assert all(gradient.any() for gradient in of_link)
    assert classes is None
    assert kernel is None
    others = sum(loss for key, loss in losses.items() if "contrast" not in key)
    *of_link, classes, kernel = torch.autograd.grad(others, parameters, allow_unused=True)
    assert of_link == [None] * len(of_link)
    assert classes.any()
    assert kernel.any()


def test_objects_of_exemplars_are_told_apart_by_their_queries():
    """Nothing links them, so that a head of link embeddings would take the lesson in vain."""
    model = build_whole("mixed").train()
    head = model.query_decoder.head
    loss = model([task_sample("evs")])["loss_contrast_thing"]
    queries, *of_link = torch.autograd.grad(loss, [head.norm.weight, *head.link.parameters()])
    assert queries.any()
    assert not any(gradient.any() for gradient in of_link)


@pytest.mark.parametrize("task", [task.value for task in Task])
def test_a_step_of_one_task_leaves_no_parameter_out(task):
    """DistributedDataParallel waits for the gradient of every one."""
    options = ("MODEL.BACKBONE.FREEZE_AT", "0", "MODEL.GVSEG.LOOK_MASKS", "True")
    model = build_whole("mixed", *options).train()
    sum(model([task_sample(task)]).values()).backward()
    left_out = [name for name, value in model.named_parameters() if value.grad is None]
    assert left_out == []


@pytest.mark.parametrize(
    ("task", "override"), [("vss", "False"), ("evs", "True"), ("vis", "False")]
)
def test_without_a_head_of_their_own_queries_are_what_links_clips(task, override):
    model = build_whole(task, "MODEL.GVSEG.CONTRASTIVE.EMBED_HEAD", override).eval()
    assert model.query_decoder.head.link is None
    prediction = model([task_sample(task)])
    assert prediction.contents is None
    # Layer normalisation made them, its weights being new.
    torch.testing.assert_close(prediction.query_embeds.mean(2), torch.zeros(1, 7))
