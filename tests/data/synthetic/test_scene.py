import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from gvseg.data.class_table import ClassTable, read_class_table
from gvseg.data.synthetic import scene
from gvseg.data.synthetic.scene import SceneSpec, choose_cast, make_videos
from gvseg.data.synthetic.sprites import Sprite
from gvseg.data.synthetic.video import SyntheticVideo
from gvseg.tasks import Task

SIZE = (96, 144)
PANOPTIC = ClassTable(
    name="made-up panoptic",
    source="made up",
    ids=tuple(range(10, 18)),
    names=tuple("abcdefgh"),
    is_thing=(True, False) * 4,
    colors=((0, 0, 0),) * 8,
)
OBJECTS = read_class_table("object")
CAMVID = read_class_table("camvid")


def spec(task: Task = Task.VPS, classes: ClassTable = PANOPTIC, **changes) -> SceneSpec:
    default = SceneSpec(classes, task, SIZE, num_frames=16, has_void=task.has_stuff)
    return replace(default, **changes)


def make(wanted: SceneSpec, num_videos: int = 3, seed: int = 0, split: str = "train"):
    return list(make_videos(wanted, num_videos=num_videos, seed=seed, split=split))


def is_same(first: SyntheticVideo, second: SyntheticVideo) -> bool:
    return (
        first.name == second.name
        and all(map(np.array_equal, first.frames, second.frames))
        and all(
            np.array_equal(a.segments.index_map, b.segments.index_map)
            and np.array_equal(a.segments.ids, b.segments.ids)
            and np.array_equal(a.segments.classes, b.segments.classes)
            for a, b in zip(first.labels, second.labels, strict=True)
        )
    )


def shown(video: SyntheticVideo) -> np.ndarray:
    """Return (T, N) bool, where each segment is visible."""
    return np.stack([labels.areas > 0 for labels in video.labels])


class TestDraw:
    def test_more_videos_begin_with_the_same_ones(self):
        few, many = make(spec(), 2), make(spec(), 4)
        assert all(map(is_same, few, many[:2]))
        assert not np.array_equal(many[0].frames[0], many[1].frames[0])

    def test_seeds_and_splits_share_no_video(self):
        first = make(spec(), 1)[0].frames[0]
        for other in (make(spec(), 1, seed=1), make(spec(), 1, split="val")):
            assert not np.array_equal(first, other[0].frames[0])

    def test_names_of_all_splits_differ_and_sort(self):
        names = [
            v.name for split in ("train", "val") for v in make(spec(num_frames=1), 12, 0, split)
        ]
        assert len(set(names)) == 24
        assert names == sorted(names)

    def test_videos_are_made_when_asked_for(self):
        videos = make_videos(spec(), num_videos=10**9, seed=0, split="train")
        assert next(videos).name == "train_00000"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"num_videos": 0}, "0 videos are nothing"),
            ({"seed": -1}, "seed -1 is negative"),
        ],
    )
    def test_wrong_numbers_are_refused_before_anything_is_made(self, changes: dict, message: str):
        with pytest.raises(ValueError, match=message):
            make_videos(spec(), **({"num_videos": 1, "seed": 0, "split": "train"} | changes))

    def test_frames_are_neither_too_small_nor_none(self):
        with pytest.raises(ValueError, match="31x99 pixels are too small"):
            spec(size=(31, 99))
        with pytest.raises(ValueError, match="0 frames is empty"):
            spec(num_frames=0)


class TestCast:
    @pytest.mark.parametrize("wanted", [2, 3, 5, 8])
    def test_classes_are_as_many_as_wanted_and_of_both_kinds(self, wanted: int):
        cast = choose_cast(spec(num_classes=wanted))
        assert len(cast.things) + len(cast.stuff) == wanted
        assert all(PANOPTIC.is_thing[index] for index in cast.things)
        assert not any(PANOPTIC.is_thing[index] for index in cast.stuff)
        assert abs(len(cast.things) - len(cast.stuff)) <= 1

    def test_all_videos_keep_to_the_cast(self):
        wanted = spec(num_classes=3)
        cast = choose_cast(wanted)
        seen = {
            int(index)
            for video in make(wanted, 6, seed=7)
            for index in video.labels[0].segments.classes
        }
        assert seen == {*cast.things, *cast.stuff}

    def test_task_without_stuff_has_things_alone(self):
        cast = choose_cast(spec(Task.VIS))
        assert (cast.things, cast.stuff) == ((0, 2, 4, 6), ())

    def test_last_classes_play_things_where_the_table_has_none(self):
        cast = choose_cast(spec(Task.VSS, CAMVID))
        assert set(cast.things) == {9, 10}
        assert len(cast.stuff) == 9

    @pytest.mark.parametrize("wanted", [0, 1, 9])
    def test_classes_that_do_not_fit_are_refused(self, wanted: int):
        with pytest.raises(ValueError, match=f"{wanted} classes are wanted.* 2 to 8"):
            make_videos(spec(num_classes=wanted), num_videos=1, seed=0, split="train")


class TestLabels:
    @pytest.mark.parametrize(
        "wanted",
        [
            spec(has_crowd=True),
            spec(Task.VIS, has_crowd=True),
            spec(Task.VSS),
            spec(Task.VSS, CAMVID),
            spec(Task.EVS, OBJECTS),
        ],
        ids=lambda wanted: f"{wanted.task.value} {wanted.classes.name}",
    )
    def test_positions_are_stable_and_hold_what_the_task_tells_apart(self, wanted: SceneSpec):
        for video in make(wanted):
            first = video.labels[0].segments
            assert len(video.frames) == len(video.labels) == 16
            for index, labels in enumerate(video.labels):
                assert labels.segments.frame_index == index
                np.testing.assert_array_equal(labels.segments.ids, first.ids)
                np.testing.assert_array_equal(labels.segments.classes, first.classes)
                assert labels.segments.index_map.dtype == np.int16
                areas = [labels.segments.mask(position).sum() for position in range(len(first))]
                np.testing.assert_array_equal(labels.areas, areas)
            assert shown(video).any(axis=0).all()
            is_stuff = first.ids == first.classes + 1
            is_object = np.array(wanted.classes.is_thing)[first.classes]
            if not wanted.task.has_instances:
                is_object[:] = False
            np.testing.assert_array_equal(is_stuff[~is_object], True)
            assert sorted(first.ids[is_object]) == list(range(1, is_object.sum() + 1))
            assert video.labels[0].is_crowd.sum() == wanted.has_crowd

    def test_void_is_there_where_wanted_and_only_there(self):
        for has_void in (True, False):
            video = make(spec(has_void=has_void), 1)[0]
            maps = [labels.segments.index_map for labels in video.labels]
            assert any((index_map == -1).any() for index_map in maps) == has_void

    def test_late_objects_have_no_label_where_they_may_not_come(self):
        free, strict = (
            make(spec(Task.EVS, OBJECTS, has_late_objects=late), 4) for late in (True, False)
        )
        assert any(not shown(video)[0].all() for video in free)
        for here, there in zip(free, strict, strict=True):
            assert shown(there)[0].all()
            np.testing.assert_array_equal(here.frames, there.frames)
            for all_labels, kept_labels in zip(here.labels, there.labels, strict=True):
                positions = np.append(np.flatnonzero(shown(here)[0]), -1)
                known = kept_labels.segments.index_map
                np.testing.assert_array_equal(
                    positions[known[known >= 0]], all_labels.segments.index_map[known >= 0]
                )

    def test_every_pixel_is_labelled_as_what_is_painted_there(self, monkeypatch):
        """With actors of flat colours, other than those of stuff, pixels tell who is in front."""
        colors = iter([(255, 0, 255), (255, 255, 0), (0, 255, 255)])

        def flat(look: int, radius: float, hue_shift: float) -> Sprite:
            sprite = make_sprite(look, radius, hue_shift)
            return Sprite(sprite.curves, np.full_like(sprite.picture, next(colors)))

        make_sprite = scene.make_sprite
        monkeypatch.setattr(scene, "make_sprite", flat)
        video = make(spec(Task.VIS), 1)[0]
        num_pure = 0
        for frame, labels in zip(video.frames, video.labels, strict=True):
            is_actor = np.isin(frame, (0, 255)).all(axis=-1)
            num_pure += is_actor.sum()
            position = labels.segments.index_map[is_actor]
            assert (position >= 0).all()
            classes = labels.segments.classes[position]
            group = frame[is_actor] @ (1, 2, 4)
            for class_index in np.unique(classes):
                assert len(np.unique(group[classes == class_index])) == 1
            assert (labels.segments.index_map >= 0).sum() < 1.35 * is_actor.sum()
        assert num_pure > 1000


class TestDifficulty:
    def test_look_alikes_of_one_class_meet_and_part(self):
        assert num_meetings(make(spec(Task.VIS), 10)) >= 9

    def test_motion_tells_who_is_who_where_appearance_does_not(self):
        """Objects are linked from frame to frame by one cue alone, each link right or wrong."""
        videos = make(spec(Task.VIS, num_frames=20), 12)
        wrong = {cue: share_of_wrong_links(videos, cue) for cue in ("appearance", "motion")}
        assert wrong["appearance"] > 0.1
        assert wrong["motion"] < 0.03

    def test_objects_hide_each_other(self):
        """Some object loses most of its pixels while it is inside the frame, and gets them back."""
        num_hidden = 0
        for video in make(spec(Task.VIS, num_frames=24), 10):
            areas = np.stack([labels.areas for labels in video.labels])
            for object_areas in areas.T:
                least = int(object_areas[2:-2].argmin()) + 2
                before, after = object_areas[:least].max(), object_areas[least:].max()
                num_hidden += object_areas[least] < 0.3 * min(before, after)
        assert num_hidden >= 10

    def test_objects_come_late_leave_and_return(self):
        videos = [shown(video) for video in make(spec(Task.VIS, num_frames=40), 10)]
        late = sum((~seen[0]).any() for seen in videos)
        returned = sum(
            any((np.diff(np.flatnonzero(column)) > 1).any() for column in seen.T) for seen in videos
        )
        assert late >= 9
        assert returned >= 8

    def test_objects_of_a_table_of_one_class_look_different_from_group_to_group(self, monkeypatch):
        looks = []

        def note(look: int, radius: float, hue_shift: float) -> Sprite:
            looks.append(look)
            return make_sprite(look, radius, hue_shift)

        make_sprite = scene.make_sprite
        monkeypatch.setattr(scene, "make_sprite", note)
        make(spec(Task.EVS, OBJECTS, num_frames=1), 5)
        assert len(set(looks)) >= 10


def num_meetings(videos: Sequence[SyntheticVideo]) -> int:
    """Return in how many videos two objects of one class touch in one frame, not in another."""
    return sum(
        any(
            classes[a] == classes[b] and meet_and_part(video, a, b)
            for a in range(len(classes))
            for b in range(a)
        )
        for video in videos
        for classes in [video.labels[0].segments.classes]
    )


def meet_and_part(video: SyntheticVideo, first: int, second: int) -> bool:
    distances = []
    for labels in video.labels:
        masks = [labels.segments.mask(position) for position in (first, second)]
        if all(mask.any() for mask in masks):
            centres = [np.argwhere(mask).mean(axis=0) for mask in masks]
            radius = np.sqrt(max(mask.sum() for mask in masks) / np.pi)
            distances.append(np.linalg.norm(centres[0] - centres[1]) / radius)
    return len(distances) > 0 and min(distances) < 1.5 and max(distances) > 4


def share_of_wrong_links(videos: Sequence[SyntheticVideo], cue: str) -> float:
    """Link visible objects by colours, or by where they go if they keep their velocity."""
    num_wrong = num_links = 0
    for video in videos:
        objects = [
            {int(p): describe(frame, labels.segments.mask(p)) for p in np.flatnonzero(labels.areas)}
            for frame, labels in zip(video.frames, video.labels, strict=True)
        ]
        velocity: dict[int, np.ndarray] = {}
        for last, here in itertools.pairwise(objects):
            if cue == "appearance":
                cost = [[np.abs(a[0] - b[0]).sum() for b in here.values()] for a in last.values()]
            else:
                goals = [place + velocity.get(p, 0.0) for p, (_, place) in last.items()]
                cost = [[np.linalg.norm(goal - b[1]) for b in here.values()] for goal in goals]
            velocity = {p: here[p][1] - last[p][1] for p in here if p in last}
            rows, columns = linear_sum_assignment(np.array(cost))
            for row, column in zip(rows, columns, strict=True):
                position = list(last)[row]
                if position in here:
                    num_links += 1
                    num_wrong += list(here)[column] != position
    assert num_links > 100
    return num_wrong / num_links


def describe(frame: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the histogram of an object's colours, and its centre."""
    colors = (frame[mask] // 32).astype(int) @ (64, 8, 1)
    return np.bincount(colors, minlength=512) / mask.sum(), np.argwhere(mask).mean(axis=0)


def test_videos_of_another_seed_have_the_same_classes():
    """What is trained on one seed is tested on another."""
    classes = []
    for seed in (1, 2):
        videos = make_videos(spec(num_classes=3), num_videos=8, seed=seed, split="train")
        classes.append(
            {
                class_index
                for video in videos
                for labels in video.labels
                for class_index in labels.segments.classes.tolist()
            }
        )
    assert classes[0] == classes[1]
