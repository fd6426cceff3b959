"""The formats that made-up videos can be written in, and what each of them can hold.

Classes, instances and stuff are those of the benchmark that the format belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from gvseg.data.benchmark import Benchmark, get_benchmark
from gvseg.data.synthetic.scene import SceneSpec
from gvseg.data.synthetic.video import Writer
from gvseg.data.synthetic.writers import (
    burst,
    camvid,
    cityscapes_vps,
    coco,
    davis,
    kitti_step,
    vipseg,
    vipseg_raw,
    vspw,
    youtube_vos,
    ytvis,
)

_NUM_FRAMES = 20  # long enough for things to leave and to return


@dataclass(frozen=True)
class Format:
    """One on-disk format.

    A writer writes every frame given; where the benchmark annotates only some frames, or hides the
    labels of a split, so does the writer.
    """

    dataset: str  # registered name of a split, such as "vipseg_{split}"
    write: Writer
    splits: tuple[str, ...] = ("train", "val")
    has_crowd: bool = False
    has_void: bool = False  # pixels that belong neither to a thing nor to stuff
    keeps_ids: bool = True  # identities read back are the numbers written, not only distinct
    is_still: bool = False  # each video is one image
    has_late_objects: bool = True  # objects may be out of sight in the first frame
    other_datasets: Mapping[str, str] = field(default_factory=dict)  # by split, if not `dataset`

    def dataset_name(self, split: str) -> str:
        """Return the name of a split in detectron2's catalogs.

        Raises:
            ValueError: the format has no such split.
        """
        if split not in self.splits:
            raise ValueError(f"There is no split {split!r}; choose one of {_listed(self.splits)}.")
        return self.other_datasets.get(split, self.dataset.format(split=split))

    def benchmark(self, split: str) -> Benchmark:
        """Return the benchmark whose files the writer writes."""
        return get_benchmark(self.dataset_name(split))

    def scene(
        self,
        split: str,
        *,
        size: tuple[int, int],
        num_frames: int | None = None,
        num_classes: int | None = None,
    ) -> SceneSpec:
        """Return what videos are to be made of, so that the writer can hold them.

        Args:
            split: one of the format's.
            size: height and width.
            num_frames: 1 where the format has still images, else 20 by default.
            num_classes: so many of the benchmark's are used; all where None.

        Raises:
            ValueError: a split or frames that the format does not have, or a size too small.
        """
        if self.is_still and num_frames not in (None, 1):
            raise ValueError(f"{num_frames} frames are wanted, but the format has still images.")
        benchmark = self.benchmark(split)
        default = 1 if self.is_still else _NUM_FRAMES
        return SceneSpec(
            classes=benchmark.classes,
            task=benchmark.task,
            size=size,
            num_frames=default if num_frames is None else num_frames,
            num_classes=num_classes,
            has_crowd=self.has_crowd,
            has_void=self.has_void,
            has_late_objects=self.has_late_objects,
        )


_vis = partial(Format, splits=("train", "valid", "test"), has_crowd=True, keeps_ids=False)
_coco = partial(
    Format, splits=("train2017", "val2017"), has_crowd=True, keeps_ids=False, is_still=True
)
_vps = partial(Format, splits=("train", "val", "test"), has_void=True, keeps_ids=False)
_vss = partial(Format, splits=("train", "val", "test"), has_void=True)

FORMATS = {
    "camvid": Format(
        "camvid_{split}", camvid.write, splits=("train", "val", "test"), has_void=True
    ),
    "davis": Format("davis2017_{split}", davis.write, has_late_objects=False),
    "youtube_vos": Format(
        "youtube_vos_2019_{split}", youtube_vos.write_2019, splits=("train", "valid", "test")
    ),
    "ytvis_2019": _vis("ytvis_2019_{split}", ytvis.write_ytvis_2019),
    "ytvis_2021": _vis("ytvis_2021_{split}", ytvis.write_ytvis_2021),
    "ytvis_2022": _vis("ytvis_2022_{split}", ytvis.write_ytvis_2022),
    "ovis": _vis("ovis_{split}", ytvis.write_ovis),
    "burst": Format(
        "burst_mask_{split}",
        burst.write,
        splits=("train", "val", "test"),
        other_datasets={"train": "burst_train"},
    ),
    "coco": _coco("coco_{split}", coco.write_instances),
    "coco_panoptic": _coco("coco_panoptic_{split}", coco.write_panoptic, has_void=True),
    "vipseg": _vps("vipseg_{split}", vipseg.write, has_crowd=True),
    "vipseg_raw": _vps("vipseg_raw_{split}", vipseg_raw.write),
    "kitti_step": _vps("kitti_step_{split}", kitti_step.write, has_crowd=True),
    "cityscapes_vps": _vps("cityscapes_vps_{split}", cityscapes_vps.write, has_crowd=True),
    "vspw": _vss("vspw_{split}", vspw.write_480p),
    "vspw_raw": _vss("vspw_raw_{split}", vspw.write_raw),
}


OTHER_NAMES = {"ytvis": "ytvis_2019"}  # what is short for which format


def get_format(name: str) -> Format:
    """Return the format called `name`, or raise a ValueError that lists the names."""
    known = OTHER_NAMES.get(name, name)
    if known not in FORMATS:
        raise ValueError(f"Unknown format {name!r}; choose one of {_listed(tuple(FORMATS))}.")
    return FORMATS[known]


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
