import dataclasses

import numpy as np
import pytest
import torch

from detectron2.data import MetadataCatalog

from gvseg.inference.linking import TrackLinker, build_linker
from gvseg.inference.runner_settings import RunnerSettings
from gvseg.inference.sources import ArraySource
from gvseg.inference.track_memory import AppearanceMemory
from gvseg.inference.video_runner import VideoRunner, segment_video
from gvseg.structures import TubePrediction
from gvseg.tasks import Task
from tests.inference.painted_video import COLORS, ColorSegmenter, crossing_video, paint
from tests.modeling.task_samples import build_whole
from tests.tiny_model import build_tiny, tiny_config

SETTINGS = RunnerSettings(
    task=Task.VIS,
    window=1,
    min_size=0,
    max_size=0,
    is_bgr=False,
    max_instances=100,
    score_threshold=0.5,
    object_mask_threshold=0.8,
    overlap_threshold=0.8,
    one_class_per_query=True,
)


def make_linker():
    memory = AppearanceMemory(momentum=0.5)
    return TrackLinker(
        memory=memory, min_similarity=0.5, min_score=0.1, birth_score=0.3, max_age=100
    )


def segment(images, model=None, **changes):
    settings = dataclasses.replace(SETTINGS, **changes)
    model = model or ColorSegmenter()
    is_thing = np.array([True, True, True, False, False])
    return list(
        segment_video(model, ArraySource(images), settings, linker=make_linker(), is_thing=is_thing)
    )


def masks_by_class(segments):
    return {int(c): segments.mask(n) for n, c in enumerate(segments.classes)}


@pytest.mark.parametrize("window", [1, 3, 4])
@pytest.mark.parametrize("fold_frames", [False, True])
def test_every_frame_gets_its_own_masks(window, fold_frames):
    images = crossing_video(10)  # 10 is no multiple of 3 and 4, so the tail is filled up
    model = ColorSegmenter(fold_frames=fold_frames)
    results = segment(images, model, window=window)
    assert [r.frame_index for r in results] == list(range(10))
    assert model.windows_seen == [window] * -(-10 // window)
    for image, segments in zip(images, results, strict=True):
        masks = masks_by_class(segments)
        for color in range(3):
            truth = (image == COLORS[color]).all(-1)
            # Cells of 4 pixels enlarged bilinearly blur a box by no more than their size.
            overlap = (masks[color] & truth).sum() / (masks[color] | truth).sum()
            assert overlap > 0.7


@pytest.mark.parametrize(
    ("window", "overlap", "num_windows"), [(3, 1, 5), (3, 2, 8), (4, 2, 4), (10, 9, 1), (12, 3, 1)]
)
def test_windows_that_share_frames_give_each_frame_once(window, overlap, num_windows):
    model = ColorSegmenter()
    results = segment(crossing_video(10), model, window=window, overlap=overlap)
    assert [r.frame_index for r in results] == list(range(10))
    assert model.windows_seen == [window] * num_windows
    for shared, alone in zip(results, segment(crossing_video(10)), strict=True):
        for color, mask in masks_by_class(alone).items():
            np.testing.assert_array_equal(masks_by_class(shared)[color], mask)


@pytest.mark.parametrize("window", [1, 3])
def test_identities_hold_through_crossing_and_shuffled_queries(window):
    results = segment(crossing_video(16), ColorSegmenter(shuffle_seed=0), window=window)
    seen = {(int(c), int(i)) for r in results for c, i in zip(r.classes, r.ids, strict=True)}
    assert sorted(identity for _, identity in seen) == [1, 2, 3]
    assert len({class_index for class_index, _ in seen}) == 3


def test_folded_frames_are_linked_one_by_one():
    # Red alone in the first frame of the window, green alone in the second.
    images = [paint((64, 64), {0: (0, 0, 32, 32)}), paint((64, 64), {1: (0, 0, 32, 32)})]
    first, second = segment(images, ColorSegmenter(fold_frames=True), window=2)
    assert (first.classes.tolist(), first.ids.tolist()) == ([0], [1])
    assert (second.classes.tolist(), second.ids.tolist()) == ([1], [2])


def test_frames_come_out_at_their_own_size_whatever_the_network_sees():
    image = paint((90, 120), {0: (20, 30, 60, 90)})
    sizes, told = [], []

    class Recorder(ColorSegmenter):
        def preprocess(self, clips):
            sizes.append(tuple(clips[0][0].shape))
            return super().preprocess(clips)

        def segment_clip(self, frames, requests=()):
            told.extend(request.size for request in requests)
            return super().segment_clip(frames, requests)

    (segments,) = segment([image], Recorder(), min_size=60, max_size=70)
    assert sizes == [(3, 53, 70)]  # bounded by the long side
    assert told == [(53, 70)]  # for it is padded after that
    assert segments.size == (90, 120)
    rows, columns = np.nonzero(segments.mask(0))
    box = [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    np.testing.assert_allclose(box, [20, 30, 60, 90], atol=4)


def test_channels_are_swapped_for_a_network_that_wants_blue_first():
    image = paint((64, 64), {0: (0, 0, 32, 32)})  # red, which a BGR network sees as blue
    assert segment([image])[0].classes.tolist() == [0]
    assert segment([image], is_bgr=True)[0].classes.tolist() == [2]


def test_semantic_task_gives_a_label_to_every_pixel():
    (segments,) = segment([paint((64, 64), {0: (0, 0, 64, 32), 3: (0, 32, 64, 64)})], task=Task.VSS)
    assert segments.classes.tolist() == [0, 3]
    assert segments.index_map.min() == 0
    assert segments.classes[segments.index_map[32, [8, 56]]].tolist() == [0, 3]


def test_panoptic_task_tells_things_from_stuff():
    (segments,) = segment([paint((64, 64), {0: (0, 0, 64, 32), 3: (0, 32, 64, 64)})], task=Task.VPS)
    found = sorted(zip(segments.classes, segments.ids, strict=True))
    assert found == [(0, 1), (3, 4)]  # stuff is known by its class


def test_panoptic_task_needs_to_know_the_things():
    with pytest.raises(ValueError, match="is_thing"):
        VideoRunner(model=ColorSegmenter(), settings=dataclasses.replace(SETTINGS, task=Task.VPS))


def test_without_a_linker_every_query_counts():
    image = paint((64, 64), {2: (0, 0, 32, 32)})
    (segments,) = segment_video(ColorSegmenter(), ArraySource([image]), SETTINGS)
    assert segments.ids.tolist() == [3]


def test_second_video_begins_with_new_identities():
    runner = VideoRunner(model=ColorSegmenter(), settings=SETTINGS, linker=make_linker())
    for _ in range(2):
        ((_, segments),) = runner.run(ArraySource([paint((64, 64), {1: (0, 0, 32, 32)})]))
        assert segments.ids.tolist() == [1]


def test_one_window_is_read_before_it_is_yielded_and_no_more():
    num_read = 0

    def images():
        nonlocal num_read
        for image in crossing_video(50):
            num_read += 1
            yield image

    stream = segment_video(
        ColorSegmenter(), ArraySource(images()), dataclasses.replace(SETTINGS, window=4)
    )
    next(stream)
    assert num_read == 4


def test_logits_in_half_precision_are_post_processed():
    class Half(ColorSegmenter):
        def segment_clip(self, frames, requests=()):
            full = super().segment_clip(frames, requests)
            return TubePrediction(
                full.class_logits.bfloat16(), full.mask_logits.bfloat16(), full.query_embeds.half()
            )

    images = crossing_video(2)
    for exact, half in zip(segment(images), segment(images, Half()), strict=True):
        np.testing.assert_array_equal(exact.masks, half.masks)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_network_runs_in_the_precision_asked_for(dtype):
    seen = []

    class Recorder(ColorSegmenter):
        def segment_clip(self, frames, requests=()):
            seen.append((frames[0, 0, 0] @ frames[0, 0, 0].T).dtype)
            return super().segment_clip(frames, requests)

    segment(crossing_video(1), Recorder(), autocast=dtype)
    assert seen == [dtype or torch.float32]


def test_real_network_runs_in_bfloat16_on_a_cpu():
    """Nothing in it, nor in post-processing, insists on float32."""
    model = build_tiny().eval()
    settings = dataclasses.replace(SETTINGS, score_threshold=0.0)
    runs = [
        list(segment_video(model, ArraySource(crossing_video(2)), changed, linker=make_linker()))
        for changed in (settings, dataclasses.replace(settings, autocast=torch.bfloat16))
    ]
    for exact, rounded in zip(*runs, strict=True):
        assert rounded.scores.max() == pytest.approx(exact.scores.max(), abs=0.02)


@pytest.mark.parametrize("num_classes", [3, 80])
def test_model_of_other_classes_than_the_dataset_is_refused(num_classes):
    runner = VideoRunner(
        model=ColorSegmenter(), settings=SETTINGS, is_thing=np.ones(num_classes, dtype=bool)
    )
    with pytest.raises(ValueError, match=f"The model has 5 classes, but .* has {num_classes};"):
        list(runner.run(ArraySource(crossing_video(1))))


SMALL = "two_classes"  # beside things_and_stuff, which has five classes
TWO_SETS = [
    "MODEL.GVSEG.LABEL_SETS", f"('{SMALL}', 'things_and_stuff')",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "7",
    "MODEL.GVSEG.CONTRASTIVE.ENABLED", "False",
]  # fmt: skip
ONE_SET = [
    "DATASETS.TRAIN", f"('{SMALL}',)",
    "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "2",
    "MODEL.GVSEG.CONTRASTIVE.ENABLED", "False",
]  # fmt: skip


@pytest.fixture
def small_set():
    yield MetadataCatalog.get(SMALL).set(class_table=SMALL)
    MetadataCatalog.remove(SMALL)


@pytest.mark.parametrize("task", ["vis", "vps", "vss"])
def test_classes_beside_a_larger_set_are_found_as_by_a_model_of_their_own(task, small_set):
    """Of the model of two sets the other has the first rows, which are those of the small set."""
    is_thing = [True, task == "vis"]
    small_set.set(class_is_thing=is_thing)
    both = build_whole("mixed", *TWO_SETS).eval()
    alone = build_whole(task, *ONE_SET).eval()
    rows = {name: len(value) for name, value in alone.state_dict().items() if value.ndim}
    state = both.state_dict()
    alone.load_state_dict({name: state[name][: rows[name]] for name in rows}, strict=False)
    settings = RunnerSettings.from_config(
        tiny_config(*TWO_SETS, "MODEL.GVSEG.TASK", task, "MODEL.GVSEG.TEST.WINDOW", "2"), SMALL
    )
    assert settings.label_set == 0
    settings = dataclasses.replace(settings, object_mask_threshold=0.0, overlap_threshold=0.0)
    found, expected = (
        list(
            segment_video(
                model,
                ArraySource(crossing_video(3)),
                settings,
                linker=build_linker(tiny_config(), is_thing) if task != "vss" else None,
                is_thing=np.array(is_thing),
            )
        )
        for model in (both, alone)
    )
    for segments, others in zip(found, expected, strict=True):
        assert len(segments) > 0
        # Of instances that are equally good rounding decides which comes first.
        ours, theirs = (np.lexsort((part.ids, part.classes)) for part in (segments, others))
        for name in ("ids", "classes"):
            np.testing.assert_array_equal(
                getattr(segments, name)[ours], getattr(others, name)[theirs]
            )
        np.testing.assert_allclose(segments.scores[ours], others.scores[theirs], atol=1e-5)
        for first, second in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(segments.mask(first), others.mask(second))
