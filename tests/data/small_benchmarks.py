"""CamVid and COCO128 in their own layouts, small and made up, for tests that need files."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

CAMVID_SIZE = (36, 48)  # height, width
# Two runs of one sequence with a hole between them, and another sequence with its letter.
CAMVID_FRAMES = {
    "train": ["0001TP_000030", "0001TP_000060", "0001TP_000090", "0001TP_000390", "0006R0_f00010"],
    "val": [f"0016E5_{number:05d}" for number in range(7959, 7959 + 2 * 10, 2)],
}
COCO_SIZES = {7: (40, 60), 3: (60, 40), 12: (48, 48)}  # (height, width) by image id


def write_camvid(root: Path) -> None:
    """Write frames of noise with labels in rectangles, void among them."""
    rng = np.random.default_rng(0)
    for split, names in CAMVID_FRAMES.items():
        images, labels = root / "camvid" / split, root / "camvid" / f"{split}annot"
        images.mkdir(parents=True)
        labels.mkdir()
        for name in names:
            Image.fromarray(rng.integers(0, 256, (*CAMVID_SIZE, 3), dtype=np.uint8)).save(
                images / f"{name}.png"
            )
            blocks = rng.integers(0, 12, (3, 4), dtype=np.uint8)
            Image.fromarray(np.kron(blocks, np.ones((12, 12), np.uint8))).save(
                labels / f"{name}.png"
            )


def write_coco128(root: Path) -> None:
    """Write two images with two objects each, the first with a crowd, and one without any."""
    folder = root / "coco128"
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for image_id, (height, width) in COCO_SIZES.items():
        name = f"{image_id:012d}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8)).save(
            folder / "images" / name
        )
        images.append({"id": image_id, "file_name": name, "height": height, "width": width})
    for image_id, category_id, box in [
        (7, 1, (4, 4, 20, 30)),
        (7, 90, (30, 10, 24, 16)),
        (3, 18, (5, 5, 30, 20)),
        (3, 1, (10, 30, 20, 25)),
    ]:
        annotations.append(box_annotation(len(annotations) + 1, image_id, category_id, box))
    annotations.append(crowd_annotation(99, 7, 1, COCO_SIZES[7]))
    (folder / "instances_train2017.json").write_text(
        json.dumps({"images": images, "categories": [], "annotations": annotations})
    )


def box_annotation(
    annotation_id: int, image_id: int, category_id: int, box: tuple[int, int, int, int]
) -> dict:
    """Return a polygon that fills a box (left, top, width, height)."""
    left, top, width, height = box
    right, bottom = left + width, top + height
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": 0,
        "area": width * height,
        "bbox": list(box),
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
    }


def crowd_annotation(
    annotation_id: int, image_id: int, category_id: int, size: tuple[int, int]
) -> dict:
    """Return plain run lengths of the rightmost three columns."""
    mask = np.zeros(size, dtype=np.uint8, order="F")
    mask[:, -3:] = 1
    ends = np.flatnonzero(np.diff(mask.ravel(order="F"))) + 1
    counts = np.diff([0, *ends, mask.size]).tolist()
    box = coco_mask.toBbox(coco_mask.encode(mask)).tolist()
    return {
        "id": annotation_id,
        "image_id": image_id,
        "category_id": category_id,
        "iscrowd": 1,
        "area": int(mask.sum()),
        "bbox": box,
        "segmentation": {"size": list(size), "counts": counts},
    }
