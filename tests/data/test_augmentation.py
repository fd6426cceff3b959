"""What augmentations do to painted frames, whose colours tell which segment a pixel is of."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from detectron2.data import transforms as detectron2_transforms

from gvseg.data.augmentation import (
    ClipAugmentation,
    LargeScaleJitter,
    PseudoMotion,
    RandomBlend,
    RandomCrop,
    RandomFlip,
    RandomPhotometry,
    RandomRotation,
    RandomShortestEdge,
    Sometimes,
    augment,
)
from gvseg.data.clip import Clip
from tests.data.vps_benchmark import LENGTH, SIZE, paint, position_of_color, read_labels

GEOMETRIC: dict[str, ClipAugmentation] = {
    "flip": RandomFlip(),
    "vertical flip": RandomFlip(direction="vertical"),
    "shortest edge": RandomShortestEdge(lengths=(31, 48, 77), max_size=120),
    "edge range": RandomShortestEdge(lengths=(31, 77), max_size=90, sample_range=True),
    "crop": RandomCrop(kind="absolute", size=(30, 100)),
    "crop range": RandomCrop(kind="absolute_range", size=(20, 40)),
    "relative crop": RandomCrop(kind="relative", size=(0.5, 0.7)),
    "relative crop range": RandomCrop(kind="relative_range", size=(0.5, 0.7)),
    "mixed crop": RandomCrop(kind="absolute", size=(20, 20), max_class_share=0.6),
    "full crop": RandomCrop(kind="absolute", size=(24, 24), min_kept_share=0.6),
    "jitter": LargeScaleJitter(min_scale=0.5, max_scale=2.0, image_size=56),
    "crop at a size": Sometimes(
        [
            RandomShortestEdge(lengths=(60, 72), max_size=100),
            RandomCrop(kind="absolute_range", size=(20, 40)),
        ],
        probability=0.7,
    ),
    "rotation": RandomRotation(max_degrees=30),
    "motion": PseudoMotion(max_degrees=15, max_zoom=0.2, max_shift=0.1),
}


def painted_clip(num_frames: int = 3) -> Clip:
    labels = [read_labels({}, 2 * index) for index in range(num_frames)]
    return Clip([paint(frame_labels.segments) for frame_labels in labels], labels)


def with_masks(clip: Clip) -> Clip:
    """Return the same clip with one mask for each segment in place of maps."""
    labels = [
        replace(
            frame_labels,
            segments=replace(
                frame_labels.segments,
                index_map=None,
                masks=np.stack([frame_labels.segments.mask(i) for i in range(5)]),
            ),
        )
        for frame_labels in clip.labels
    ]
    return Clip(clip.frames, labels)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_labels_stay_aligned_with_pixels(name: str):
    for seed in range(8):
        clip = augment(np.random.default_rng(seed), painted_clip(), [GEOMETRIC[name]])
        for frame, labels in zip(clip.frames, clip.labels, strict=True):
            positions, is_pure = position_of_color(frame)
            is_padding = (frame == 128).all(axis=-1)
            # Pixels that interpolation mixed lie along outlines, the rest must agree exactly.
            assert is_pure[~is_padding].mean() > 0.3
            np.testing.assert_array_equal(labels.segments.index_map[is_pure], positions[is_pure])
            assert (labels.segments.index_map[is_padding] == -1).all()


def test_labels_stay_aligned_through_a_whole_chain():
    chain = [GEOMETRIC[name] for name in ("motion", "rotation", "edge range", "crop", "flip")]
    num_pure = num_pixels = 0
    for seed in range(10):
        clip = augment(np.random.default_rng(seed), painted_clip(), chain)
        for frame, labels in zip(clip.frames, clip.labels, strict=True):
            positions, is_pure = position_of_color(frame)
            agree = labels.segments.index_map[is_pure] == positions[is_pure]
            # Nearest and linear sampling may part by a pixel where steps follow each other.
            assert agree.mean() > 0.99
            num_pure, num_pixels = num_pure + is_pure.sum(), num_pixels + is_pure.size
    assert num_pure > 0.3 * num_pixels


@pytest.mark.parametrize("name", GEOMETRIC)
def test_masks_move_like_the_map_of_the_same_segments(name: str):
    as_maps = augment(np.random.default_rng(3), painted_clip(), [GEOMETRIC[name]])
    as_masks = augment(np.random.default_rng(3), with_masks(painted_clip()), [GEOMETRIC[name]])
    for map_labels, mask_labels in zip(as_maps.labels, as_masks.labels, strict=True):
        assert map_labels.size == mask_labels.size
        for position in range(5):
            np.testing.assert_array_equal(
                mask_labels.segments.mask(position), map_labels.segments.mask(position)
            )


@pytest.mark.parametrize("name", [*GEOMETRIC, "photometry"])
def test_draw_is_replayed_on_every_frame_but_for_motion(name: str):
    augmentation = GEOMETRIC.get(name) or RandomPhotometry(probability=1.0)
    frame, labels = painted_clip(1).frames[0], painted_clip(1).labels[0]
    still = Clip([frame] * 4, [labels] * 4)
    first, *others = augment(np.random.default_rng(1), still, [augmentation]).frames
    for other in others:
        assert np.array_equal(first, other) == (name != "motion")


@pytest.mark.parametrize("name", GEOMETRIC)
def test_same_seed_gives_the_same_clip(name: str):
    first, second = (
        augment(np.random.default_rng(7), painted_clip(), [GEOMETRIC[name]]) for _ in range(2)
    )
    np.testing.assert_array_equal(np.stack(first.frames), np.stack(second.frames))


@pytest.mark.parametrize("as_masks", [False, True])
def test_crop_keeps_enough_of_the_segments_of_the_clip(as_masks: bool):
    clip = with_masks(painted_clip()) if as_masks else painted_clip()

    def share_of_full_windows(min_kept_share: float) -> float:
        crop = RandomCrop(kind="absolute", size=(18, 18), min_kept_share=min_kept_share)
        rng = np.random.default_rng(0)
        num_kept = []
        for _ in range(60):
            frames = augment(rng, clip, [crop]).labels
            masks = [[labels.segments.mask(i).any() for i in range(5)] for labels in frames]
            num_kept.append(np.any(masks, axis=0).sum())
        return float(np.mean(np.array(num_kept) >= 4))

    assert share_of_full_windows(0.0) < 0.5
    assert share_of_full_windows(0.8) > 0.8


def test_steps_taken_sometimes_are_all_taken_or_none():
    steps = [
        RandomShortestEdge(lengths=(60,), max_size=100),
        RandomCrop(kind="absolute", size=(30, 30)),
    ]
    sometimes, rng = Sometimes(steps, probability=0.3), np.random.default_rng(0)
    sizes = Counter(augment(rng, painted_clip(1), [sometimes]).size for _ in range(200))
    assert sizes.keys() == {SIZE, (30, 30)}
    assert 40 <= sizes[30, 30] <= 80


def test_motion_turns_zooms_and_drifts_monotonically():
    motion = PseudoMotion(max_degrees=15, max_zoom=0.2, max_shift=0.1)
    rng = np.random.default_rng(0)
    directions = set()
    for _ in range(20):
        matrices = np.stack([t.matrix for t in motion.draw(rng, painted_clip(4))])
        angles = np.degrees(np.arctan2(matrices[:, 0, 1], matrices[:, 0, 0]))
        scales = np.hypot(matrices[:, 0, 0], matrices[:, 0, 1])
        for values in (angles, scales):
            steps = np.diff(values)
            assert (steps > 0).all() or (steps < 0).all()
        assert np.abs(angles).max() <= 15
        assert scales.min() >= 1 / 1.2 - 1e-9
        assert scales.max() <= 1.2 + 1e-9
        directions.add((np.sign(angles[1] - angles[0]), np.sign(scales[1] - scales[0])))
    assert len(directions) == 4, "turn and zoom go either way, each on its own"


def test_motion_keeps_the_centre_within_the_largest_shift():
    motion = PseudoMotion(max_degrees=15, max_zoom=0.2, max_shift=0.1)
    rng = np.random.default_rng(0)
    middle = np.array([[SIZE[1] / 2, SIZE[0] / 2]])
    for _ in range(20):
        for transform in motion.draw(rng, painted_clip(3)):
            moved = transform.apply_coords(middle.copy()) - middle
            # A tenth of the size, and what turn and zoom do to a point a tenth off their centre.
            assert np.abs(moved).max() < 0.1 * SIZE[1] + 0.1 * SIZE[1] * 0.6


@pytest.mark.parametrize(
    ("augmentation", "sizes"),
    [
        (RandomShortestEdge(lengths=(24,), max_size=1000), {(24, 32)}),
        (RandomShortestEdge(lengths=(0,), max_size=10), {(48, 64)}),
        (RandomShortestEdge(lengths=(96,), max_size=64), {(48, 64)}),
        (RandomCrop(kind="absolute", size=(30, 100)), {(30, 64)}),
        (RandomCrop(kind="relative", size=(0.5, 0.75)), {(24, 48)}),
        (LargeScaleJitter(min_scale=0.1, max_scale=2.0, image_size=50), {(50, 50)}),
    ],
)
def test_size_is_what_was_asked_for(augmentation: ClipAugmentation, sizes: set):
    rng = np.random.default_rng(0)
    assert {augment(rng, painted_clip(), [augmentation]).size for _ in range(10)} == sizes


def test_crop_range_stays_in_the_range_and_in_the_frame():
    rng = np.random.default_rng(0)
    crop = RandomCrop(kind="absolute_range", size=(20, 60))
    sizes = np.array([augment(rng, painted_clip(1), [crop]).size for _ in range(200)])
    assert (sizes.min(axis=0) == [20, 20]).all()
    assert (sizes.max(axis=0) == [48, 60]).all(), "the frame is only 48 high"


def test_jitter_covers_its_range_of_scales():
    rng = np.random.default_rng(0)
    jitter = LargeScaleJitter(min_scale=0.25, max_scale=1.0, image_size=64)
    widths = []
    for _ in range(100):
        clip = augment(rng, painted_clip(1), [jitter])
        widths.append((clip.frames[0] != 128).any(axis=(0, 2)).sum())
    assert 14 <= min(widths) <= 20
    assert 60 <= max(widths) <= 64


def test_mixed_crop_avoids_windows_of_one_class():
    plain = RandomCrop(kind="absolute", size=(20, 20))
    mixed = RandomCrop(kind="absolute", size=(20, 20), max_class_share=0.9)

    def share_of_plain_windows(crop: RandomCrop) -> float:
        rng = np.random.default_rng(0)
        clips = [augment(rng, painted_clip(1), [crop]) for _ in range(100)]
        maps = [clip.labels[0].segments.index_map for clip in clips]
        return np.mean([len(np.unique(index_map[index_map >= 0])) < 2 for index_map in maps])

    assert share_of_plain_windows(plain) > 0.2
    assert share_of_plain_windows(mixed) < 0.02


def test_flip_happens_about_half_of_the_time():
    rng = np.random.default_rng(0)
    clip = painted_clip(1)
    num_flipped = sum(
        not np.array_equal(augment(rng, clip, [RandomFlip()]).frames[0], clip.frames[0])
        for _ in range(200)
    )
    assert 70 < num_flipped < 130


@pytest.mark.parametrize(
    ("partner", "name"),
    [("black", "Brightness"), ("mean", "Contrast"), ("grey", "Saturation")],
)
def test_blend_is_the_image_transform_of_detectron2(partner: str, name: str):
    frames = list(np.random.default_rng(0).integers(0, 256, (2, 6, 8, 3), dtype=np.uint8))
    blended = augment(
        np.random.default_rng(5),
        Clip(frames, []),
        [RandomBlend(partner=partner, max_change=0.4)],
    )
    weight = 1 + np.random.default_rng(5).uniform(-0.4, 0.4)
    reference = getattr(detectron2_transforms, f"Random{name}")(weight, weight)
    for before, after in zip(frames, blended.frames, strict=True):
        assert after.dtype == np.uint8
        expected = reference.get_transform(before).apply_image(before)
        np.testing.assert_array_equal(after, expected)
        assert not np.array_equal(after, before)


@pytest.mark.parametrize("partner", ["black", "mean", "grey"])
def test_blend_leaves_labels_alone_and_covers_its_range(partner: str):
    augmentation, clip = RandomBlend(partner=partner, max_change=0.1), painted_clip(1)
    rng = np.random.default_rng(0)
    weights = [augmentation.draw(rng, clip)[0].dst_weight for _ in range(200)]
    assert 0.9 <= min(weights) < 0.91
    assert 1.09 < max(weights) <= 1.1
    blended = augment(rng, clip, [augmentation])
    np.testing.assert_array_equal(
        blended.labels[0].segments.index_map, clip.labels[0].segments.index_map
    )


def test_clip_without_labels_is_augmented_alike():
    chain = [GEOMETRIC[name] for name in ("motion", "jitter", "flip")]
    labelled = augment(np.random.default_rng(2), painted_clip(), chain)
    unlabelled = augment(np.random.default_rng(2), Clip(painted_clip().frames, []), chain)
    assert unlabelled.labels == []
    np.testing.assert_array_equal(np.stack(unlabelled.frames), np.stack(labelled.frames))


def test_more_segments_than_a_byte_counts_keep_their_positions():
    clip = painted_clip(1)
    labels = clip.labels[0]
    index_map = np.arange(SIZE[0] * SIZE[1], dtype=np.int16).reshape(SIZE)
    clip.labels[0] = replace(labels, segments=replace(labels.segments, index_map=index_map))
    moved = augment(np.random.default_rng(0), clip, [RandomFlip(probability=1.0)])
    np.testing.assert_array_equal(moved.labels[0].segments.index_map, index_map[:, ::-1])
    resized = augment(
        np.random.default_rng(0), clip, [RandomShortestEdge(lengths=(96,), max_size=500)]
    )
    np.testing.assert_array_equal(
        resized.labels[0].segments.index_map, index_map.repeat(2, axis=0).repeat(2, axis=1)
    )


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: RandomFlip(direction="sideways"), "'sideways' is neither"),
        (lambda: RandomBlend(partner="white", max_change=0.1), "not with 'white'"),
        (lambda: RandomCrop(kind="some", size=(1, 1)), "Unknown crop type 'some'"),
        (
            lambda: RandomShortestEdge(lengths=(1, 2, 3), max_size=9, sample_range=True),
            "two ends",
        ),
    ],
)
def test_value_that_makes_no_sense_is_named(build, message: str):
    with pytest.raises(ValueError, match=message):
        build()


def test_painted_clip_shows_what_the_tests_assume():
    assert LENGTH >= 5
    clip = painted_clip()
    for frame, labels in zip(clip.frames, clip.labels, strict=True):
        positions, is_pure = position_of_color(frame)
        assert is_pure.all()
        np.testing.assert_array_equal(positions, labels.segments.index_map)
