"""The classes that a model tells apart, in one set or in several.

Benchmarks name different classes. A model may learn several of them at once: its class head then
has columns for each set, every set with its own "no object", and a clip reads those of its dataset.

B clips, K classes of the largest set among theirs, so that clips of one set have no others.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from detectron2.config import CfgNode
from detectron2.data import Metadata, MetadataCatalog

from gvseg.tasks import Task, model_task


class LabelSets(nn.Module):
    """Which columns of the class head, and which rows of class memories, belong to which dataset.

    Args:
        is_thing: for each set, which of its classes are objects where the task tells them apart.
        set_of_table: by the name of the class table; a single set serves all datasets.
    """

    # Of all sets, of which the widest has W classes.
    columns: Tensor  # (sets, W+1) int64 of the class head; -1 where a set has fewer classes
    thing_columns: Tensor  # (sets, W+1) bool, False for "no object"

    def __init__(
        self, is_thing: Sequence[Sequence[bool]], set_of_table: dict[str, int] | None = None
    ) -> None:
        super().__init__()
        self.is_thing = [tuple(of_set) for of_set in is_thing]
        self.set_of_table = set_of_table or {}
        sizes = [len(of_set) for of_set in self.is_thing]
        widest = max(sizes)
        columns = torch.full((len(sizes), widest + 1), -1)
        things = torch.zeros(len(sizes), widest + 1, dtype=torch.bool)
        start = 0
        for index, (size, of_set) in enumerate(zip(sizes, self.is_thing, strict=True)):
            columns[index, :size] = torch.arange(start, start + size)
            columns[index, -1] = start + size
            things[index, :size] = torch.tensor(of_set)
            start += size + 1
        self.num_columns = start
        self.num_classes = sum(sizes)
        self.register_buffer("columns", columns, persistent=False)
        self.register_buffer("thing_columns", things, persistent=False)

    @classmethod
    def from_config(cls, cfg: CfgNode) -> LabelSets:
        """Read `MODEL.GVSEG.LABEL_SETS`, or the classes of the datasets that are trained on.

        Raises:
            ValueError: a dataset that is not registered, classes in another number than the config
                says, or datasets that do not agree which classes of their table are things.
        """
        names = cfg.MODEL.GVSEG.LABEL_SETS
        num_classes = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES
        if not names:
            return cls([_things_of_one_set(cfg, num_classes)])
        is_thing = _things_of_tables(names)
        total = sum(map(len, is_thing.values()))
        if total != num_classes:
            raise ValueError(
                f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {num_classes}, but the class tables of "
                f"MODEL.GVSEG.LABEL_SETS have {total} classes together."
            )
        return cls(list(is_thing.values()), {name: index for index, name in enumerate(is_thing)})

    def index(self, dataset_name: str) -> int:
        """Return which set a dataset has.

        Raises:
            ValueError: there are several and it has none.
        """
        if len(self.is_thing) == 1:
            return 0
        table = ""
        if dataset_name in MetadataCatalog.list():  # which getting one would add it to
            table = MetadataCatalog.get(dataset_name).get("class_table", "")
        if table not in self.set_of_table:
            raise ValueError(
                f"The model has no classes for {dataset_name!r}; name it in "
                f"MODEL.GVSEG.LABEL_SETS beside {', '.join(self.set_of_table)}."
            )
        return self.set_of_table[table]

    def head_columns(self, sets: Sequence[int]) -> Tensor | None:
        """Return the columns of the class head for clips of some sets, (B, K+1) int64.

        The last is that of "no object"; -1 fills up smaller sets beside larger ones. None stands
        for all columns, in their order.
        """
        if len(self.is_thing) == 1:
            return None
        return self._of_clips(self.columns, sets)

    def thing_classes(self, sets: Sequence[int], tasks: Sequence[Task]) -> Tensor:
        """Return which classes clips of some sets tell objects apart in, (B, K+1) bool."""
        tells_apart = torch.tensor([task.has_instances for task in tasks])
        things = self._of_clips(self.thing_columns, sets)
        return things & tells_apart[:, None].to(self.columns.device, non_blocking=True)

    def cued_classes(self, sets: Sequence[int], tasks: Sequence[Task], segments: str) -> Tensor:
        """Return the classes whose queries get cues of shape and position, (B, K+1) bool.

        Args:
            sets: of the clips.
            tasks: of the clips.
            segments: `things`, `stuff` or `all`; see `ShapePositionCues`.
        """
        things = self.thing_classes(sets, tasks)
        if segments == "things":
            return things
        is_class = self._of_clips(self.columns, sets) >= 0
        is_class[:, -1] = False
        return is_class if segments == "all" else is_class & ~things

    def _of_clips(self, table: Tensor, sets: Sequence[int]) -> Tensor:
        """Return the rows of a table (sets, W+1) for clips of some sets, (B, K+1)."""
        # A copy that is to be waited for would wait for all that the device has yet to do.
        rows = table[torch.tensor(sets).to(table.device, non_blocking=True)]
        num_classes = max(len(self.is_thing[index]) for index in sets)
        return torch.cat([rows[:, :num_classes], rows[:, -1:]], 1)

    def first_row(self, index: int) -> int:
        """Return the row of the first class of a set where all classes stand below each other."""
        return sum(len(of_set) for of_set in self.is_thing[:index])

    def semantic_rows(self, index: int, task: Task) -> list[int]:
        """Return the rows of the classes of a set that a task segments without telling apart."""
        if not task.has_stuff:
            return []
        first = self.first_row(index)
        return [
            first + position
            for position, is_thing in enumerate(self.is_thing[index])
            if not (is_thing and task.has_instances)
        ]


def _things_of_tables(dataset_names: Sequence[str]) -> dict[str, Sequence[bool]]:
    """Return which classes are things, by class table; datasets of one table share its columns."""
    is_thing: dict[str, Sequence[bool]] = {}
    first_name: dict[str, str] = {}
    for name in dataset_names:
        entry = _metadata(name)
        table = entry.class_table
        known = is_thing.setdefault(table, entry.class_is_thing)
        first = first_name.setdefault(table, name)
        if list(known) != list(entry.class_is_thing):
            raise ValueError(
                f"{name} and {first}, both in MODEL.GVSEG.LABEL_SETS, share the class table "
                f"{table!r} but not which of its classes are things; give one of them a table of "
                "another name."
            )
    return is_thing


def _things_of_one_set(cfg: CfgNode, num_classes: int) -> Sequence[bool]:
    task = model_task(cfg.MODEL.GVSEG.TASK)
    if task is not None and not (task.has_instances and task.has_stuff):
        return (task.has_instances,) * num_classes
    names = [*cfg.DATASETS.TRAIN, *cfg.DATASETS.TEST]
    if not names:
        raise ValueError(
            "The model has to know which classes are things; name a dataset in DATASETS.TRAIN or "
            "DATASETS.TEST."
        )
    things: Sequence[bool] = _metadata(names[0]).class_is_thing
    if len(things) != num_classes:
        raise ValueError(
            f"MODEL.SEM_SEG_HEAD.NUM_CLASSES is {num_classes}, but {names[0]} has {len(things)} "
            "classes."
        )
    return things


def _metadata(dataset_name: str) -> Metadata:
    metadata = MetadataCatalog.get(dataset_name)
    if not hasattr(metadata, "class_is_thing"):
        raise ValueError(
            f"Dataset {dataset_name!r} is not registered with gvseg; see docs/data.md for how to."
        )
    return metadata
