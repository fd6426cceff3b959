import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from detectron2.data import MetadataCatalog

from gvseg.config import load_config
from gvseg.data import build_train_loader, get_benchmark
from gvseg.data.benchmark import Benchmark, unregister
from gvseg.data.custom import (
    class_table_of,
    register_subset,
    register_video_folder,
    register_ytvis_json,
)
from gvseg.data.loader import class_tables, load_records
from gvseg.data.problems import AnnotationError
from gvseg.tasks import Task

SIZE = (24, 32)
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def registered() -> Iterator[list[Benchmark]]:
    """Give a list of what is to be taken back after the test."""
    benchmarks: list[Benchmark] = []
    yield benchmarks
    for benchmark in benchmarks:
        unregister(benchmark)


def write_videos(root: Path, values: list[int], names: tuple[str, ...] = ("a", "b")) -> None:
    """Write videos of three frames, each with a stripe of each value that moves to the right."""
    rng = np.random.default_rng(0)
    for name in names:
        for folder in ("frames", "masks"):
            (root / folder / name).mkdir(parents=True)
        for index in range(3):
            frame = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            Image.fromarray(frame).save(root / "frames" / name / f"{index}.jpg")
            Image.fromarray(value_image(values, index).astype(np.uint16)).save(
                root / "masks" / name / f"{index}.png"
            )


def value_image(values: list[int], index: int) -> np.ndarray:
    row = np.repeat(values, SIZE[1] // len(values))
    return np.roll(row, index)[None].repeat(SIZE[0], axis=0)


def ytvis_json(root: Path, *, with_annotations: bool = True) -> Path:
    """Write the objects of `write_videos` as a JSON; categories are listed out of order."""
    videos, annotations = list[dict](), list[dict]()
    for video_id, name in enumerate("ab", start=1):
        files = [f"{name}/{index}.jpg" for index in range(3)]
        videos.append(
            {"id": video_id, "height": SIZE[0], "width": SIZE[1], "file_names": files, "length": 3}
        )
        for category_id, value in ((7, 1001), (3, 2001)):
            segmentations = []
            for index in range(3):
                mask = np.asfortranarray(value_image([0, 1001, 2001, 0], index) == value, np.uint8)
                run_lengths = coco_mask.encode(mask)
                counts = run_lengths["counts"].decode()
                segmentations.append({"size": list(SIZE), "counts": counts})
            annotations.append(
                {"id": len(annotations) + 1, "video_id": video_id, "category_id": category_id,
                 "iscrowd": 0, "segmentations": segmentations}
            )  # fmt: skip
    content = {
        "videos": videos,
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": annotations if with_annotations else None,
    }
    path = root / "instances.json"
    path.write_text(json.dumps(content))
    return path


def train_config(root: Path, name: str, task: str, num_classes: int):
    path = root / "train.yaml"
    path.write_text(
        f"_BASE_: {REPOSITORY}/configs/base/mask2former_r50.yaml\n"
        f"DATASETS: {{TRAIN: [{name}]}}\n"
        f"MODEL: {{GVSEG: {{TASK: {task}}}, SEM_SEG_HEAD: {{NUM_CLASSES: {num_classes}}}}}\n"
        "INPUT: {MIN_SIZE_TRAIN: [24], SAMPLING_FRAME_NUM: 2, RANDOM_FLIP: none}\n"
        "SOLVER: {IMS_PER_BATCH: 2}\nDATALOADER: {NUM_WORKERS: 0}\nSEED: 1\n"
    )
    return load_config(path)


class TestVideoFolder:
    @pytest.mark.parametrize(
        ("task", "classes", "values"),
        [
            ("vis", ["cat", "dog"], [0, 1001, 2001, 255]),
            ("vis", None, [0, 1, 2, 255]),
            ("evs", None, [0, 1, 2, 255]),
            ("vss", ["road", "sky"], [0, 1, 2, 255]),
            ("vps", {"things": ["cat"], "stuff": ["sky"]}, [0, 1001, 2, 255]),
        ],
    )
    def test_two_lines_give_samples_to_train_on(
        self, tmp_path: Path, registered: list, task: str, classes, values: list[int]
    ):
        write_videos(tmp_path, values)
        registered.append(
            register_video_folder(
                "mine", images=tmp_path / "frames", masks=tmp_path / "masks", classes=classes,
                task=task,
            )
        )  # fmt: skip
        cfg = train_config(tmp_path, "mine", task, len(registered[0].classes))
        for sample in next(iter(build_train_loader(cfg))):
            assert (sample["dataset_name"], sample["task"]) == ("mine", task)
            for position, frame_index in enumerate(sample["frame_indices"]):
                expected = value_image(values, frame_index)
                if task != "vss":
                    instances = sample["instances"][position]
                    for id_, mask in zip(
                        instances.gt_ids.tolist(), instances.gt_masks.tensor.numpy(), strict=True
                    ):
                        np.testing.assert_array_equal(mask, expected == id_)
                if task in ("vss", "vps"):
                    stuff = {"vss": {1: 0, 2: 1}, "vps": {2: 1}}[task]
                    sem_seg = np.full(SIZE, 255)
                    for value, class_index in stuff.items():
                        sem_seg[expected == value] = class_index
                    np.testing.assert_array_equal(sample["sem_seg"][position], sem_seg)
            assert ("exemplars" in sample) == (task == "evs")

    def test_videos_to_predict_on_need_no_masks(self, tmp_path: Path, registered: list):
        write_videos(tmp_path, [0, 1])
        registered.append(register_video_folder("mine", images=tmp_path / "frames"))
        assert [record["length"] for record in load_records("mine")] == [3, 3]
        with pytest.raises(ValueError, match="mine cannot be trained on: labels are hidden of 2"):
            build_train_loader(train_config(tmp_path, "mine", "vis", 1))

    def test_detectron2_knows_names_and_colours(self, tmp_path: Path, registered: list):
        registered.append(register_video_folder("mine", images=tmp_path, classes=["cat", "dog"]))
        metadata = MetadataCatalog.get("mine")
        assert metadata.thing_classes == ["cat", "dog"]
        assert len(set(map(tuple, metadata.thing_colors))) == 2
        assert metadata.thing_dataset_id_to_contiguous_id == {1: 0, 2: 1}

    def test_datasets_of_equal_classes_share_a_table(self, tmp_path: Path, registered: list):
        for name in ("mine_train", "mine_more"):
            registered.append(register_video_folder(name, images=tmp_path, classes=["cat", "dog"]))
        registered.append(
            register_video_folder("road", images=tmp_path, classes=["cat", "dog"], task="vss")
        )
        assert len(class_tables(["mine_train", "mine_more"])) == 1
        assert len(class_tables(["mine_train", "road"])) == 2

    def test_exemplars_to_test_with_are_of_the_kind_asked_for(
        self, tmp_path: Path, registered: list
    ):
        write_videos(tmp_path, [0, 4])
        registered.append(
            register_video_folder(
                "mine", images=tmp_path / "frames", masks=tmp_path / "masks", task="evs",
                exemplars="point",
            )
        )  # fmt: skip
        (exemplar,) = registered[0].read_exemplars(load_records("mine")[0])
        assert (exemplar.kind, exemplar.object_id, exemplar.frame_index) == ("point", 4, 0)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"task": "vos"}, "Unknown task 'vos'"),
            ({"task": "vss"}, "mine is for vss, which needs classes"),
            ({"task": "vps", "classes": ["cat"]}, "which classes are things"),
            ({"task": "evs", "classes": ["cat", "dog"]}, "but has 2 classes; leave"),
            ({"classes": []}, "Classes need names"),
            ({"classes": ["cat", "cat"]}, "each one of its own"),
            ({"classes": [str(index) for index in range(255)]}, "255 classes are too many"),
            ({"classes": {"objects": ["cat"]}}, "things and stuff, not objects"),
            ({"classes": {"stuff": ["sky"]}}, "vis has no stuff, but sky"),
            ({"task": "evs", "exemplars": "scribble"}, "not scribble"),
        ],
    )
    def test_mistake_is_named_at_once(self, tmp_path: Path, arguments: dict, message: str):
        with pytest.raises(ValueError, match=message):
            register_video_folder("mine", images=tmp_path, **arguments)
        with pytest.raises(ValueError, match="Unknown dataset 'mine'"):
            get_benchmark("mine")

    def test_name_in_use_is_refused(self, tmp_path: Path):
        with pytest.raises(ValueError, match="'camvid_val' is registered already"):
            register_video_folder("camvid_val", images=tmp_path)


class TestClassTable:
    def test_table_of_the_user_is_read(self, tmp_path: Path):
        path = tmp_path / "mine.json"
        category = {"id": 5, "name": "cat", "isthing": 1, "color": [1, 2, 3]}
        path.write_text(
            json.dumps({"name": "m", "source": "s", "void_ids": [9], "categories": [category]})
        )
        table = class_table_of(path, Task.VIS)
        assert (table.ids, table.names, table.void_ids) == ((5,), ("cat",), (9,))

    @pytest.mark.parametrize(
        ("content", "message"),
        [("{", "is not valid JSON"), ('{"name": "m"}', "lacks 'categories'")],
    )
    def test_broken_table_is_named(self, tmp_path: Path, content: str, message: str):
        (tmp_path / "mine.json").write_text(content)
        with pytest.raises(ValueError, match=rf"mine\.json {message}"):
            class_table_of(tmp_path / "mine.json", Task.VIS)
        with pytest.raises(FileNotFoundError, match=r"nowhere\.json does not exist"):
            class_table_of(tmp_path / "nowhere.json", Task.VIS)


class TestYtvisJson:
    def test_two_lines_give_samples_to_train_on(self, tmp_path: Path, registered: list):
        write_videos(tmp_path, [0, 1001, 2001, 0])
        registered.append(register_ytvis_json("mine", ytvis_json(tmp_path), tmp_path / "frames"))
        assert registered[0].classes.names == ("cat", "dog"), "in the order of their ids"
        assert registered[0].classes.ids == (3, 7)
        for sample in next(iter(build_train_loader(train_config(tmp_path, "mine", "vis", 2)))):
            for frame_index, instances in zip(
                sample["frame_indices"], sample["instances"], strict=True
            ):
                expected = value_image([0, 1001, 2001, 0], frame_index)
                assert sorted(instances.gt_classes.tolist()) == [0, 1]
                for class_index, mask in zip(
                    instances.gt_classes.tolist(), instances.gt_masks.tensor.numpy(), strict=True
                ):
                    np.testing.assert_array_equal(mask, expected == (2001, 1001)[class_index])

    def test_file_without_annotations_has_hidden_labels(self, tmp_path: Path, registered: list):
        path = ytvis_json(tmp_path, with_annotations=False)
        registered.append(register_ytvis_json("mine", path, tmp_path))
        assert [record["annotated_frames"] for record in load_records("mine")] == [[], []]

    def test_class_table_can_be_given(self, tmp_path: Path, registered: list):
        registered.append(
            register_ytvis_json("mine", tmp_path / "later.json", tmp_path, classes="ytvis_2021")
        )
        assert len(registered[0].classes) == 40

    def test_ids_that_are_void_elsewhere_are_classes_here(self, tmp_path: Path, registered: list):
        path = ytvis_json(tmp_path, with_annotations=False)
        content = json.loads(path.read_text())
        content["categories"] = [{"id": 255, "name": "cat"}, {"id": 7, "name": "dog"}]
        path.write_text(json.dumps(content))
        registered.append(register_ytvis_json("mine", path, tmp_path))
        classes = registered[0].classes
        assert (classes.ids, classes.void_ids) == ((7, 255), (0,))
        assert classes.indices(np.array([255, 0]), path).tolist() == [1, -1]

    @pytest.mark.parametrize("content", ["{}", '{"categories": [{"id": 1}]}'])
    def test_file_without_categories_is_named(self, tmp_path: Path, content: str):
        (tmp_path / "mine.json").write_text(content)
        with pytest.raises(AnnotationError, match=r"mine\.json has no list 'categories'"):
            register_ytvis_json("mine", tmp_path / "mine.json", tmp_path)


class TestSubset:
    def test_subset_has_the_videos_listed(self, tmp_path: Path, registered: list):
        write_videos(tmp_path, [0, 1], names=("a", "b", "c"))
        registered.append(register_video_folder("whole", images=tmp_path / "frames"))
        (tmp_path / "some.txt").write_text("c\na\n")
        registered.append(register_subset("some", of="whole", videos=tmp_path / "some.txt"))
        assert [record["video_id"] for record in load_records("some")] == ["a", "c"]
        assert {record["dataset_name"] for record in load_records("some")} == {"some"}
        assert get_benchmark("some").classes == get_benchmark("whole").classes

    def test_json_lists_videos_too(self, tmp_path: Path, registered: list):
        registered.append(register_ytvis_json("whole", ytvis_json(tmp_path), tmp_path))
        (tmp_path / "some.json").write_text('{"videos": [{"id": 2}]}')
        registered.append(register_subset("some", of="whole", videos=tmp_path / "some.json"))
        assert [record["video_id"] for record in load_records("some")] == [2]

    def test_video_that_there_is_not_is_named(self, tmp_path: Path, registered: list):
        write_videos(tmp_path, [0, 1])
        registered.append(register_video_folder("whole", images=tmp_path / "frames"))
        (tmp_path / "some.txt").write_text("a\nz\n")
        registered.append(register_subset("some", of="whole", videos=tmp_path / "some.txt"))
        with pytest.raises(ValueError, match=r"some\.txt names 1 videos .* such as z"):
            load_records("some")


def test_example_in_the_documentation_runs(tmp_path: Path):
    """Each block of code of the page, in order, run in a folder of a checkout as it says."""
    text = (REPOSITORY / "docs" / "data.md").read_text(encoding="utf-8")
    blocks = re.findall(r"<!-- (\S+) -->\n```\w+\n(.*?)```", text, re.DOTALL)
    files = dict(blocks)
    assert list(files) == ["make_videos.py", "my_data.py", "my.yaml", "look.py"]
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_text(content)
    for script in ("make_videos.py", "look.py"):
        result = subprocess.run(
            [sys.executable, "-W", "ignore", script],
            cwd=folder, capture_output=True, text=True, check=False,
            env={"PYTHONPATH": str(REPOSITORY), "PATH": "", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["my_train", "vis", "2", "(3,", "96,", "128)"]
