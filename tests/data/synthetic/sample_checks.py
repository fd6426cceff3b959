"""Samples compared with the videos that they were made up as, for tests of the way from disk."""

import numpy as np

from gvseg.data.benchmark import Benchmark, Record, annotated_frames
from gvseg.data.frames import read_frame
from gvseg.data.sample import Sample
from gvseg.data.segments import IGNORE_LABEL, class_map
from gvseg.data.synthetic.video import SyntheticVideo
from gvseg.tasks import Task
from tests.data.synthetic.round_trip import check_video


def check_targets(sample: Sample, record: Record, video: SyntheticVideo, benchmark: Benchmark):
    """Compare what a training sample asks for with the arrays made."""
    if benchmark.task.has_instances:
        identities = check_video(benchmark, record, video, sample["frame_indices"])
        _check_instances(sample, video, benchmark, identities)
    if benchmark.task.has_stuff:
        _check_sem_seg(sample, video, benchmark)
    assert ("instances" in sample) == benchmark.task.has_instances
    assert ("sem_seg" in sample) == benchmark.task.has_stuff
    if benchmark.task is Task.EVS:
        ids = [exemplar.object_id for exemplar in sample["exemplars"]]
        assert ids == sample["instances"][0].gt_ids.tolist()


def check_images(sample: Sample, record: Record):
    for image, frame_index in zip(sample["images"], sample["frame_indices"], strict=True):
        frame = read_frame(record["file_names"][frame_index])
        np.testing.assert_array_equal(image.numpy(), frame.transpose(2, 0, 1))


def _check_instances(
    sample: Sample, video: SyntheticVideo, benchmark: Benchmark, identities: dict[int, int]
):
    """Compare the objects of a clip, in any order, with the objects made that it shows.

    Args:
        sample: of the clip.
        video: what was made.
        benchmark: whose format it was written in.
        identities: by position in the labels made, as the format holds them.
    """
    segments = video.labels[0].segments
    is_object = np.array(benchmark.classes.is_thing)[segments.classes] & ~video.labels[0].is_crowd
    made = []
    for position in np.flatnonzero(is_object):
        masks = np.stack(
            [video.labels[index].segments.mask(position) for index in sample["frame_indices"]]
        )
        if masks.any():
            class_index = int(segments.classes[position])
            made.append((identities[position], class_index, masks.tobytes()))
    masks = np.stack([part.gt_masks.tensor.numpy() for part in sample["instances"]], axis=1)
    for part in sample["instances"]:
        ids, classes = part.gt_ids.tolist(), part.gt_classes.tolist()
        read = zip(ids, classes, [mask.tobytes() for mask in masks], strict=True)
        assert sorted(read) == sorted(made)
        assert len(set(ids)) == len(ids)


def _check_sem_seg(sample: Sample, video: SyntheticVideo, benchmark: Benchmark):
    is_thing = np.array(benchmark.classes.is_thing) & benchmark.task.has_instances
    hidden = np.flatnonzero(is_thing)
    for sem_seg, frame_index in zip(sample["sem_seg"], sample["frame_indices"], strict=True):
        classes = class_map(video.labels[frame_index].segments, IGNORE_LABEL)
        classes[np.isin(classes, hidden)] = IGNORE_LABEL
        np.testing.assert_array_equal(sem_seg.numpy(), classes)


def check_exemplars(sample: Sample, record: Record, video: SyntheticVideo):
    """Compare exemplars with the masks of the first annotated frame in which objects show."""
    frames = list(annotated_frames(record)) or range(len(video.frames))
    segments = video.labels[0].segments
    first = {
        object_id: next(
            (index for index in frames if video.labels[index].areas[position] > 0), None
        )
        for position, object_id in enumerate(segments.ids.tolist())
    }
    exemplars = {exemplar.object_id: exemplar for exemplar in sample["exemplars"]}
    assert len(exemplars) == len(sample["exemplars"])
    shown = [object_id for object_id, frame_index in first.items() if frame_index is not None]
    assert sorted(exemplars) == sorted(shown)
    for position, object_id in enumerate(segments.ids.tolist()):
        if object_id in exemplars:
            exemplar = exemplars[object_id]
            assert exemplar.frame_index == first[object_id]
            made = video.labels[exemplar.frame_index].segments.mask(position)
            np.testing.assert_array_equal(exemplar.mask, made)
