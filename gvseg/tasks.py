"""The four tasks and what each asks of instances and of stuff."""

from __future__ import annotations

from enum import Enum


class Task(str, Enum):
    """A video segmentation task, named as in configs, catalogs and samples."""

    VIS = "vis"
    VSS = "vss"
    VPS = "vps"
    EVS = "evs"

    @property
    def has_instances(self) -> bool:
        """Whether objects of one class are told apart and tracked."""
        return self is not Task.VSS

    @property
    def has_stuff(self) -> bool:
        """Whether regions without instances are segmented by class."""
        return self in (Task.VSS, Task.VPS)

    @classmethod
    def parse(cls, name: str) -> Task:
        """Return the task called `name`, or raise a ValueError that lists the names."""
        try:
            return cls(name)
        except ValueError:
            names = ", ".join(task.value for task in cls)
            raise ValueError(f"Unknown task {name!r}; choose one of {names}.") from None


def model_task(name: str) -> Task | None:
    """Return the task that `MODEL.GVSEG.TASK` names, None for `mixed`: that of each dataset.

    Raises:
        ValueError: it is none of these.
    """
    names = [task.value for task in Task]
    if name not in (*names, "mixed"):
        raise ValueError(f"MODEL.GVSEG.TASK is {name!r}; choose {', '.join(names)} or mixed.")
    return None if name == "mixed" else Task(name)
