"""VPQ, STQ, mIoU and mVC as their definitions read, pixel by pixel: slow, and the tests' judge.

Windows are stacked and counted anew each time with `np.unique`, as the benchmarks' scripts do.
"""

import numpy as np

from tests.evaluation.panoptic_videos import PanopticFrame, PanopticVideo

_OFFSET = 1 << 32


def plain_vpq(videos: list[PanopticVideo], window: int, num_classes: int) -> dict[str, np.ndarray]:
    """Return the sums of IoU, and the hits, false and missed tubes of each class."""
    sums = {name: np.zeros(num_classes) for name in ("iou", "hits", "false", "missed")}
    for video in videos:
        for start in range(len(video.truth) - window + 1):
            frames = slice(start, start + window)
            _score_window(video.truth[frames], video.prediction[frames], sums)
    return sums


def _score_window(
    true_frames: tuple[PanopticFrame, ...],
    predicted_frames: tuple[PanopticFrame, ...],
    sums: dict[str, np.ndarray],
) -> None:
    true_pixels = np.stack([frame.numbers for frame in true_frames]).astype(np.uint64)
    predicted_pixels = np.stack([frame.numbers for frame in predicted_frames]).astype(np.uint64)
    truth, prediction = _tubes(true_frames), _tubes(predicted_frames)
    for number, count in zip(*np.unique(predicted_pixels, return_counts=True), strict=True):
        if number:
            prediction[int(number)]["area"] = int(count)
    pairs, counts = np.unique(
        true_pixels * np.uint64(_OFFSET) + predicted_pixels, return_counts=True
    )
    shared = {
        (int(pair) // _OFFSET, int(pair) % _OFFSET): int(count)
        for pair, count in zip(pairs, counts, strict=True)
    }
    hit = set()
    for (number, other), count in shared.items():
        if number == 0 or other == 0 or truth[number]["is_crowd"]:
            continue
        class_index = truth[number]["class"]
        if class_index != prediction[other]["class"]:
            continue
        union = truth[number]["area"] + prediction[other]["area"] - count
        union -= shared.get((0, other), 0)
        if count / union > 0.5:
            sums["iou"][class_index] += count / union
            sums["hits"][class_index] += 1
            hit |= {("true", number), ("predicted", other)}
    _count_unmatched(truth, prediction, shared, hit, sums)


def _count_unmatched(
    truth: dict[int, dict],
    prediction: dict[int, dict],
    shared: dict[tuple[int, int], int],
    hit: set[tuple[str, int]],
    sums: dict[str, np.ndarray],
) -> None:
    crowd_of_class = {}
    for number, tube in truth.items():
        if tube["is_crowd"]:
            crowd_of_class[tube["class"]] = number
        elif ("true", number) not in hit:
            sums["missed"][tube["class"]] += 1
    for number, tube in prediction.items():
        ignored = shared.get((0, number), 0)
        ignored += shared.get((crowd_of_class.get(tube["class"]), number), 0)
        if ("predicted", number) not in hit and ignored / tube["area"] <= 0.5:
            sums["false"][tube["class"]] += 1


def _tubes(frames: tuple[PanopticFrame, ...]) -> dict[int, dict]:
    tubes: dict[int, dict] = {}
    for frame in frames:
        for segment in frame.segments:
            tube = tubes.setdefault(
                segment.number,
                {"class": segment.class_index, "is_crowd": segment.is_crowd, "area": 0},
            )
            tube["area"] += segment.area
    return tubes


def quality(sums: dict[str, np.ndarray]) -> np.ndarray:
    """Return PQ of each class, NaN where it does not occur."""
    total = sums["hits"] + sums["false"] / 2 + sums["missed"] / 2
    return np.array([iou / t if t else np.nan for iou, t in zip(sums["iou"], total, strict=True)])


def plain_stq(videos: list[PanopticVideo], is_thing: tuple[bool, ...]) -> dict[str, float]:
    """Return STQ, SQ and AQ."""
    num_classes = len(is_thing)
    confusion = np.zeros((num_classes + 1, num_classes + 1), dtype=np.int64)
    association, num_tubes = 0.0, 0
    things = np.flatnonzero(is_thing)
    for video in videos:
        sizes: list[dict[int, int]] = [{}, {}, {}]
        for true_frame, predicted_frame in zip(video.truth, video.prediction, strict=True):
            true_class, prediction_class = true_frame.class_map(), predicted_frame.class_map()
            rows = np.where(true_class == 255, num_classes, true_class)
            columns = np.where(prediction_class == 255, num_classes, prediction_class)
            np.add.at(confusion, (rows.ravel(), columns.ravel()), 1)
            crowd_numbers = [s.number for s in true_frame.segments if s.is_crowd]
            is_thing_pixel = np.isin(true_class, things)
            is_crowd = np.isin(true_frame.numbers, crowd_numbers) & is_thing_pixel
            is_true = is_thing_pixel & ~is_crowd
            is_predicted = np.isin(prediction_class, things) & ~is_crowd
            true_tubes = (true_class << 24) + true_frame.numbers
            predicted_tubes = (prediction_class << 24) + predicted_frame.numbers
            is_shared = is_true & is_predicted
            for seen, tubes in zip(
                sizes,
                (
                    true_tubes[is_true],
                    predicted_tubes[is_predicted],
                    true_tubes[is_shared] * _OFFSET + predicted_tubes[is_shared],
                ),
                strict=True,
            ):
                for tube, count in zip(*np.unique(tubes, return_counts=True), strict=True):
                    seen[int(tube)] = seen.get(int(tube), 0) + int(count)
        true_sizes, predicted_sizes, shared_sizes = sizes
        num_tubes += len(true_sizes)
        for true_tube, size in true_sizes.items():
            for tube, predicted_size in predicted_sizes.items():
                shared = shared_sizes.get(true_tube * _OFFSET + tube, 0)
                association += shared * shared / (size + predicted_size - shared) / size
    confusion[-1] = 0
    unions = confusion.sum(axis=0) + confusion.sum(axis=1) - np.diag(confusion)
    sq = (np.diag(confusion) / np.maximum(unions, 1)).sum() / np.count_nonzero(unions)
    aq = association / max(num_tubes, 1)
    return {"STQ": float(np.sqrt(sq * aq)), "SQ": float(sq), "AQ": aq}


def plain_confusion(truth: np.ndarray, prediction: np.ndarray, num_classes: int) -> np.ndarray:
    """Return pixels by true and predicted class, (K, K), of one frame without void predictions."""
    is_labelled = (truth >= 0) & (truth < num_classes)
    cells = num_classes * truth[is_labelled].astype(int) + prediction[is_labelled]
    return np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)
