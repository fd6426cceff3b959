"""Which class of one benchmark is which of another, so that both train one model.

The maps are those by which the field joins COCO to video benchmarks (VITA and after it GenVIS,
CTVIS, DVIS), written by name. They call bicycles motorbikes and skis a snowboard, where YouTube-VIS
has no class of their own; a bird of COCO has none in YouTube-VIS 2019, nor in OVIS, where it may be
a Bird, Poultry or a Parrot.
"""

from __future__ import annotations

from collections.abc import Mapping

from gvseg.data.class_table import ClassTable

_SAME_IN_YTVIS = (
    *("person", "airplane", "train", "truck", "boat", "cat", "dog", "horse", "cow", "elephant"),
    *("bear", "zebra", "giraffe", "snowboard", "skateboard", "surfboard"),
)
_IN_EVERY_YTVIS = {name: name for name in _SAME_IN_YTVIS} | {
    "bicycle": "motorbike",
    "motorcycle": "motorbike",
    "skis": "snowboard",
    "tennis racket": "tennis_racket",
}
COCO_TO_YTVIS_2019 = _IN_EVERY_YTVIS | {"car": "sedan"}
COCO_TO_YTVIS_2021 = _IN_EVERY_YTVIS | {"car": "car", "bird": "bird", "frisbee": "flying_disc"}
COCO_TO_OVIS = {
    "person": "Person",
    "cat": "Cat",
    "dog": "Dog",
    "horse": "Horse",
    "sheep": "Sheep",
    "cow": "Cow",
    "elephant": "Elephant",
    "bear": "Bear",
    "zebra": "Zebra",
    "giraffe": "Giraffe",
    "bicycle": "Bicycle",
    "motorcycle": "Motorcycle",
    "airplane": "Airplane",
    "boat": "Boat",
    "car": "Vehical",
    "bus": "Vehical",
    "truck": "Vehical",
}


def index_of_category(
    source: ClassTable, target: ClassTable, name_of_name: Mapping[str, str]
) -> dict[int, int]:
    """Return the contiguous index in `target` by the category id in the files of `source`.

    Args:
        source: the classes of the files.
        target: the classes of the model.
        name_of_name: the name in `target` by the name in `source`; others are in neither.

    Raises:
        ValueError: a name that its table does not have.
    """
    for table, names in ((source, name_of_name.keys()), (target, name_of_name.values())):
        unknown = sorted(set(names) - set(table.names))
        if unknown:
            raise ValueError(f"{table.name} has no class {', '.join(unknown)}.")
    return {
        id_: target.names.index(name_of_name[name])
        for id_, name in zip(source.ids, source.names, strict=True)
        if name in name_of_name
    }
