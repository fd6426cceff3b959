"""Ways in which the JSON of a benchmark can be wrong.

An edit changes the content of the file and returns what an error about it must say.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

Said = tuple[str, ...]
Edit = Callable[[dict[str, Any]], Said]


def repeated(key: str, identity: str = "id") -> Edit:
    """List an entry twice."""

    def edit(content: dict[str, Any]) -> Said:
        content[key].append(dict(content[key][1]))
        return (f"{identity} {content[key][1][identity]}",)

    return edit


def changed(key: str, **values: Any) -> Edit:
    """Change an entry; what an error says is the last value."""

    def edit(content: dict[str, Any]) -> Said:
        content[key][1].update(values)
        return (str(list(values.values())[-1]),)

    return edit


def _without_frames(content: dict[str, Any]) -> Said:
    content["videos"][1].update(file_names=[])
    return "video 2", "no frames"


def _file_that_is_nowhere(content: dict[str, Any]) -> Said:
    content["videos"][1]["file_names"][1] = "nowhere.jpg"
    return "nowhere.jpg", "does not exist"


def _masks_for_another_length(content: dict[str, Any]) -> Said:
    content["annotations"][1]["segmentations"].append(None)
    return "annotation 2", "4 masks"


def _run_lengths_of_another_size(content: dict[str, Any]) -> Said:
    annotation = content["annotations"][1]
    for mask in annotation.get("segmentations") or [annotation["segmentation"]]:
        if mask is not None:
            mask["size"] = [24, 128]
    return "annotation 2", "24x128"


def _run_lengths_cut_off(content: dict[str, Any]) -> Said:
    annotation = content["annotations"][1]
    for mask in annotation.get("segmentations") or [annotation["segmentation"]]:
        if mask is not None:
            mask["counts"] = mask["counts"][: len(mask["counts"]) // 2]
    return ("annotation 2", "run lengths")


_VIS: dict[str, Edit] = {
    "video that is nowhere": changed("annotations", video_id=99),
    "frame that is nowhere": _file_that_is_nowhere,
    "unknown category": changed("annotations", category_id=999),
    "annotation listed twice": repeated("annotations"),
    "video listed twice": repeated("videos"),
    "empty video": _without_frames,
    "masks for another length": _masks_for_another_length,
    "run lengths of another size": _run_lengths_of_another_size,
    "run lengths cut off": _run_lengths_cut_off,
}

_COCO: dict[str, Edit] = {
    "image that is not listed": changed("annotations", image_id=99),
    "image that is nowhere": changed("images", file_name="nowhere.jpg"),
    "unknown category": changed("annotations", category_id=999),
    "annotation listed twice": repeated("annotations"),
    "image listed twice": repeated("images"),
    "run lengths of another size": _run_lengths_of_another_size,
    "run lengths cut off": _run_lengths_cut_off,
}


def _sequence_frame_that_is_nowhere(content: dict[str, Any]) -> Said:
    for key in ("all_image_paths", "annotated_image_paths"):
        content["sequences"][1][key][1] = "nowhere.jpg"
    return "nowhere.jpg", "does not exist"


def _annotated_frame_that_is_not_listed(content: dict[str, Any]) -> Said:
    content["sequences"][1]["annotated_image_paths"][1] = "nowhere.jpg"
    return "video 1", "nowhere.jpg"


def _track_without_category(content: dict[str, Any]) -> Said:
    del content["sequences"][1]["track_category_ids"]["1"]
    return "video 1", "track 1 without a category"


def _track_of_unknown_category(content: dict[str, Any]) -> Said:
    content["sequences"][1]["track_category_ids"]["1"] = 9999
    return "video 1", "track 1 of category 9999"


def _sequence_without_frames(content: dict[str, Any]) -> Said:
    content["sequences"][1].update(all_image_paths=[])
    return "video 1", "no frames"


def _masks_of_another_size(content: dict[str, Any]) -> Said:
    other = coco_mask.encode(np.ones((24, 32), dtype=np.uint8, order="F"))["counts"].decode()
    for track in content["sequences"][1]["segmentations"][1].values():
        track["rle"] = other
    return (str(24 * 32),)


_BURST: dict[str, Edit] = {
    "frame that is nowhere": _sequence_frame_that_is_nowhere,
    "annotated frame that is not listed": _annotated_frame_that_is_not_listed,
    "track without category": _track_without_category,
    "unknown category": _track_of_unknown_category,
    "sequence listed twice": repeated("sequences"),
    "empty video": _sequence_without_frames,
    "run lengths of another size": _masks_of_another_size,
}


def _in_frame(change: Callable[[list[dict[str, Any]], int], Said]) -> Edit:
    """Change a list of panoptic entries at a position: by video in VIPSeg, else over all."""

    def edit(content: dict[str, Any]) -> Said:
        annotations = content["annotations"]
        if "annotations" in annotations[1]:
            annotations = annotations[1]["annotations"]
        return change(annotations, 1)

    return edit


def _unknown_category(frames: list[dict[str, Any]], position: int) -> Said:
    frames[position]["segments_info"][0]["category_id"] = 999
    return (frames[position]["file_name"], "999")


def _segment_listed_twice(frames: list[dict[str, Any]], position: int) -> Said:
    segments = frames[position]["segments_info"]
    segments.append(dict(segments[0]))
    return (frames[position]["file_name"], str(segments[0]["id"]))


def _segment_without_pixels(frames: list[dict[str, Any]], position: int) -> Said:
    segments = frames[position]["segments_info"]
    segments.append(dict(segments[0], id=12_345))
    return (frames[position]["file_name"], "12345")


def _labels_that_are_nowhere(frames: list[dict[str, Any]], position: int) -> Said:
    frames[position]["file_name"] = "nowhere.png"
    return ("nowhere.png",)


def _frame_listed_twice(frames: list[dict[str, Any]], position: int) -> Said:
    frames.append(dict(frames[position]))
    return (str(frames[position]["image_id"]),)


def _frame_that_is_not_listed(frames: list[dict[str, Any]], position: int) -> Said:
    image_id = str(frames[position]["image_id"])
    frames[position]["image_id"] = "elsewhere"
    return "has no annotation", image_id


def _video_without_frames(content: dict[str, Any]) -> Said:
    content["videos"][1]["images"].clear()
    content["annotations"][1]["annotations"].clear()
    return "train_00001", "without frames"


def _panoptic_frame_that_is_nowhere(content: dict[str, Any]) -> Said:
    content["videos"][1]["images"][1]["file_name"] = "nowhere.jpg"
    return "nowhere.jpg", "does not exist"


def _annotations_of_no_video(content: dict[str, Any]) -> Said:
    content["annotations"][1]["video_id"] = "elsewhere"
    return "has no annotation", "train_00001"


_PANOPTIC: dict[str, Edit] = {
    "unknown category": _in_frame(_unknown_category),
    "segment listed twice": _in_frame(_segment_listed_twice),
    "segment without pixels": _in_frame(_segment_without_pixels),
    "labels that are nowhere": _in_frame(_labels_that_are_nowhere),
    "annotation listed twice": _in_frame(_frame_listed_twice),
    "frame that is not listed": _in_frame(_frame_that_is_not_listed),
}

_VIPSEG: dict[str, Edit] = {
    "video listed twice": repeated("videos", "video_id"),
    "empty video": _video_without_frames,
    "frame that is nowhere": _panoptic_frame_that_is_nowhere,
    "video that is not listed": _annotations_of_no_video,
}


def _meta_video_that_is_nowhere(content: dict[str, Any]) -> Said:
    content["videos"]["nowhere"] = {"objects": {"1": {"category": "object", "frames": ["00000"]}}}
    return "nowhere", "does not exist"


def _object_in_a_frame_that_is_nowhere(content: dict[str, Any]) -> Said:
    content["videos"]["train_00001"]["objects"]["1"]["frames"].append("nowhere")
    return "train_00001", "nowhere"


def _object_without_frames(content: dict[str, Any]) -> Said:
    content["videos"]["train_00001"]["objects"]["1"]["frames"] = []
    return "train_00001", "object 1 without frames"


def _object_with_an_id_of_none(content: dict[str, Any]) -> Said:
    objects = content["videos"]["train_00001"]["objects"]
    objects["255"] = objects["1"]
    return "train_00001", "object '255'"


def _meta_without_video(content: dict[str, Any]) -> Said:
    del content["videos"]["train_00001"]
    return ("train_00001",)


_META: dict[str, Edit] = {
    "listed video that is nowhere": _meta_video_that_is_nowhere,
    "video that is not listed": _meta_without_video,
    "frame that is nowhere": _object_in_a_frame_that_is_nowhere,
    "object without frames": _object_without_frames,
    "object of the void": _object_with_an_id_of_none,
}

JSON_EDITS: dict[str, dict[str, Edit]] = {
    **dict.fromkeys(["ytvis_2019", "ytvis_2021", "ytvis_2022", "ovis"], _VIS),
    "coco": _COCO,
    "burst": _BURST,
    "coco_panoptic": _PANOPTIC | {"image listed twice": repeated("images")},
    "vipseg": _PANOPTIC | _VIPSEG,
    # Label images are found by the names of frames there, whatever the annotation says.
    "cityscapes_vps": {
        name: edit for name, edit in _PANOPTIC.items() if name != "labels that are nowhere"
    },
    "youtube_vos": _META,
}
