import pytest
import torch

from detectron2.data import MetadataCatalog

from gvseg.modeling.label_sets import LabelSets
from gvseg.modeling.query_decoder import PredictionHead
from gvseg.tasks import Task
from tests.modeling import task_samples  # noqa: F401  registers the datasets
from tests.tiny_model import tiny_config

BOTH = ["MODEL.GVSEG.LABEL_SETS", "('two_things', 'things_and_stuff')"]


def two_sets():
    """Two things, and a set of a thing and two stuff classes."""
    return LabelSets([(True, True), (True, False, False)], {"a": 0, "b": 1})


def test_columns_of_the_head_by_hand():
    """Classes 0, 1 and "no object" 2 of the first; 3, 4, 5 and "no object" 6 of the second."""
    sets = two_sets()
    assert sets.num_columns == 7
    assert sets.num_classes == 5
    assert sets.head_columns([0, 1, 0]).tolist() == [[0, 1, -1, 2], [3, 4, 5, 6], [0, 1, -1, 2]]


def test_one_set_reads_all_columns_in_their_order():
    sets = LabelSets([(True, False)])
    assert sets.num_columns == 3
    assert sets.head_columns([0, 0]) is None


def test_rows_of_class_memories_by_hand():
    sets = two_sets()
    assert [sets.first_row(index) for index in range(2)] == [0, 2]
    assert sets.semantic_rows(0, Task.VSS) == [0, 1]
    assert sets.semantic_rows(1, Task.VSS) == [2, 3, 4]
    assert sets.semantic_rows(1, Task.VPS) == [3, 4]
    assert sets.semantic_rows(1, Task.VIS) == sets.semantic_rows(1, Task.EVS) == []


def test_things_are_classes_whose_objects_the_task_tells_apart():
    things = two_sets().thing_classes([0, 1, 1, 1], [Task.VIS, Task.VPS, Task.VSS, Task.EVS])
    assert things.int().tolist() == [[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]]


def test_a_class_that_a_set_lacks_never_wins():
    """Bias makes column 2 and all of the other set win, if they could be read."""
    sets, head = two_sets(), PredictionHead(embed_dim=4, mask_dim=2, num_columns=7)
    with torch.no_grad():
        head.classes.weight.zero_()
        head.classes.bias.copy_(torch.tensor([1.0, 2, 0, 50, 60, 70, 80]))
    logits = head.class_logits(torch.randn(2, 3, 4), sets.head_columns([0, 1]))
    assert logits.shape == (2, 3, 4)
    assert logits[0, 0].tolist() == [1, 2, float("-inf"), 0]
    assert logits[1, 0].tolist() == [50, 60, 70, 80]
    probabilities = logits.softmax(-1)
    assert (probabilities[0, :, 2] == 0).all()
    assert (logits[0].argmax(-1) == 1).all()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(2, 3))


def test_gradient_reaches_only_the_columns_that_are_read():
    sets, head = two_sets(), PredictionHead(embed_dim=4, mask_dim=2, num_columns=7)
    logits = head.class_logits(torch.randn(1, 3, 4), sets.head_columns([0]))
    torch.nn.functional.cross_entropy(logits[0], torch.tensor([0, 1, 2])).backward()
    assert head.classes.bias.grad.isfinite().all()
    assert head.classes.bias.grad.nonzero().flatten().tolist() == [0, 1, 2]


def config(*overrides):
    return tiny_config("MODEL.SEM_SEG_HEAD.NUM_CLASSES", "7", *overrides)


def test_sets_are_read_from_the_class_tables_of_datasets():
    sets = LabelSets.from_config(config(*BOTH))
    assert sets.is_thing == [(True, True), (True, True, True, False, False)]
    assert [sets.index(name) for name in ("things_and_stuff", "two_things")] == [1, 0]


def test_datasets_of_one_class_table_share_a_set():
    cfg = config("MODEL.GVSEG.LABEL_SETS", "('two_things', 'things_and_stuff', 'two_things')")
    assert len(LabelSets.from_config(cfg).is_thing) == 2


@pytest.mark.parametrize("is_thing", [(True, False), (True, True, True)], ids=["kind", "number"])
def test_datasets_of_one_class_table_agree_what_things_are(is_thing):
    MetadataCatalog.get("other_two").set(class_table="two_things", class_is_thing=is_thing)
    cfg = config("MODEL.GVSEG.LABEL_SETS", "('things_and_stuff', 'two_things', 'other_two')")
    try:
        with pytest.raises(ValueError, match=r"other_two and two_things.* table 'two_things' but"):
            LabelSets.from_config(cfg)
    finally:
        MetadataCatalog.remove("other_two")


@pytest.mark.parametrize("name", ["unknown_dataset", "coco128_train"])
def test_a_dataset_without_a_set_is_an_error(name):
    with pytest.raises(ValueError, match=rf"no classes for '{name}'.* two_things"):
        LabelSets.from_config(config(*BOTH)).index(name)


def test_a_sample_that_names_no_dataset_is_an_error():
    with pytest.raises(ValueError, match="no classes for ''"):
        LabelSets.from_config(config(*BOTH)).index("")


def test_a_single_set_serves_any_dataset():
    assert LabelSets([(True,)]).index("unknown_dataset") == 0


def test_a_wrong_number_of_classes_is_named():
    with pytest.raises(ValueError, match=r"NUM_CLASSES is 6, but .* have 7 classes together"):
        LabelSets.from_config(config(*BOTH, "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "6"))


def test_a_set_of_no_registered_dataset_is_named():
    with pytest.raises(ValueError, match="'unknown_dataset' is not registered"):
        LabelSets.from_config(config("MODEL.GVSEG.LABEL_SETS", "('unknown_dataset',)"))


@pytest.mark.parametrize(
    ("task", "things"),
    [("vis", [True] * 5), ("vss", [False] * 5), ("vps", [True] * 3 + [False] * 2)],
)
def test_the_task_or_the_dataset_says_what_a_thing_is(task, things):
    cfg = tiny_config(
        "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "5", "MODEL.GVSEG.TASK", task,
        "DATASETS.TRAIN", "('things_and_stuff',)",
    )  # fmt: skip
    assert LabelSets.from_config(cfg).is_thing == [tuple(things)]


def test_panoptic_classes_of_another_number_or_of_no_dataset_are_named():
    options = ["MODEL.GVSEG.TASK", "vps", "DATASETS.TRAIN"]
    with pytest.raises(ValueError, match="things_and_stuff has 5"):
        LabelSets.from_config(config(*options, "('things_and_stuff',)"))
    with pytest.raises(ValueError, match=r"name a dataset in DATASETS\.TRAIN"):
        LabelSets.from_config(config(*options, "()", "DATASETS.TEST", "()"))


@pytest.mark.parametrize(
    ("segments", "of_vps", "of_vss"),
    [
        ("things", [1, 0, 0, 0], [0, 0, 0, 0]),
        ("stuff", [0, 1, 1, 0], [1, 1, 1, 0]),
        ("all", [1, 1, 1, 0], [1, 1, 1, 0]),
    ],
)
def test_cued_classes_are_those_of_the_segments_named(segments, of_vps, of_vss):
    cued = two_sets().cued_classes([1, 1], [Task.VPS, Task.VSS], segments)
    assert cued.int().tolist() == [of_vps, of_vss]


def test_clips_of_one_set_have_its_classes_alone():
    sets = two_sets()
    assert sets.head_columns([0, 0]).tolist() == [[0, 1, 2]] * 2
    assert sets.head_columns([1]).tolist() == [[3, 4, 5, 6]]
    assert sets.thing_classes([0], [Task.VIS]).int().tolist() == [[1, 1, 0]]
    for segments, cued in (("things", [1, 1, 0]), ("stuff", [0, 0, 0]), ("all", [1, 1, 0])):
        assert sets.cued_classes([0], [Task.VPS], segments).int().tolist() == [cued]
