"""Overlaps of masks in shared frames, worked by hand, and in a painted video."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from gvseg.inference.linking import TrackLinker, build_linker
from gvseg.inference.runner_settings import RunnerSettings
from gvseg.inference.sources import ArraySource
from gvseg.inference.stitching import HierarchicalMemory, OverlapMemory
from gvseg.inference.track_memory import AppearanceMemory, LocationAwareMemory
from gvseg.inference.video_runner import segment_video
from gvseg.structures import TubePrediction
from tests.inference.hand_made_tracks import linker_config
from tests.inference.painted_video import ColorSegmenter, crossing_video


def clip(tubes, embeds=None):
    """One clip whose query q has, in each of T frames, a mask of columns a to b in 4 rows of 10."""
    logits = torch.full((1, len(tubes), len(tubes[0]), 4, 10), -1.0)
    for query, tube in enumerate(tubes):
        for frame, (start, stop) in enumerate(tube):
            logits[0, query, frame, :, start:stop] = 1.0
    embeds = torch.ones(len(tubes), 3) if embeds is None else torch.tensor(embeds)
    return TubePrediction(
        torch.tensor([5.0, 0.0]).expand(1, len(tubes), -1), logits, embeds[None].float()
    )


def linker(memory, **changes):
    options = {"min_similarity": 0.5, "min_score": 0.1, "birth_score": 0.3, "max_age": 0}
    return TrackLinker(**({"memory": memory} | options | changes))


NOWHERE = (0, 0)


def test_likeness_is_the_iou_of_all_shared_frames():
    """Two shared frames: 4 of 6 and 2 of 4 columns are common, 6 of 10 together."""
    memory = OverlapMemory(num_shared=2)
    first = [cue.numpy() for cue in memory.cues(clip([[(7, 10), (0, 5), (0, 3)]]))]
    second = [cue.numpy() for cue in memory.cues(clip([[(1, 6), (1, 4), (8, 10)]]))]
    memory.start(first)
    assert memory.similarity(second) == pytest.approx(np.array([[6 / 10]]))


def test_padding_is_no_part_of_what_masks_share():
    """Masks with no column in common in a frame of six columns, and all in the padding."""
    memory = OverlapMemory(num_shared=1)
    clips = [clip([[(0, 2), (start, 10)]]) for start in (2, 6)]
    clips[1].mask_logits[..., :2] = 1.0
    clips[1].mask_logits[:, :, 0, :, 6:] = 1.0
    sizes = torch.tensor([[4.0, 6.0]])
    first, second = (
        [cue.numpy() for cue in memory.cues(replace(one, frame_sizes=sizes))] for one in clips
    )
    memory.start(first)
    assert memory.similarity(second).item() == 0


def test_identities_are_handed_on_by_the_shared_frame():
    stitcher = linker(OverlapMemory(num_shared=1))
    assert stitcher.link(clip([[(0, 2), (2, 4)], [(8, 10), (6, 8)]])).tolist() == [1, 2]
    # Places in other frames say the contrary, and the second mask fits less well.
    assert stitcher.link(clip([[(6, 8), (2, 4)], [(2, 5), (6, 8)]])).tolist() == [2, 1]
    # The last frame of the second clip has 2 in columns 2 to 4; nobody was in column 0.
    assert stitcher.link(clip([[(2, 4), NOWHERE], [(0, 1), NOWHERE]])).tolist() == [2, 3]


def test_who_is_not_in_the_shared_frame_is_forgotten():
    stitcher = linker(OverlapMemory(num_shared=1))
    assert stitcher.link(clip([[(0, 4), NOWHERE]])).tolist() == [1]
    assert stitcher.link(clip([[NOWHERE, (0, 4)]])).tolist() == [2]


def test_of_two_objects_with_one_mask_each_has_its_own_identity():
    stitcher = linker(OverlapMemory(num_shared=1))
    tube = [(0, 4), (0, 4)]
    stitcher.link(clip([tube]))
    assert sorted(stitcher.link(clip([tube, tube])).tolist()) == [1, 2]


def hierarchical():
    long_term = LocationAwareMemory(appearance=AppearanceMemory(momentum=0.2), temperature=1.0)
    overlap = OverlapMemory(num_shared=1)
    return HierarchicalMemory(overlap=overlap, long_term=long_term, min_iou=0.5)


def test_what_is_stitched_needs_no_looks_and_takes_no_one_elses_place():
    """The first query looks like track 2 and stands where 1 stood; the second is track 2 still."""
    first, second, new = np.eye(3)
    memory = linker(hierarchical(), max_age=3)
    memory.link(clip([[(0, 2), (0, 2)], [(8, 10), (4, 6)]], np.stack([first, second])))
    both = clip([[(0, 2), (0, 2)], [(8, 10), (8, 10)]], np.stack([second, second]))
    assert memory.link(both).tolist() == [1, 2]
    assert memory.link(clip([[(4, 6), (4, 6)]], new[None])).tolist() == [3]


def test_who_was_hidden_in_the_shared_frame_is_found_by_looks_and_place():
    memory = linker(hierarchical(), max_age=3)
    looks = np.eye(3)[:2]
    memory.link(clip([[(0, 2), NOWHERE], [(4, 8), (4, 8)]], looks))
    assert memory.link(clip([[(4, 8), (4, 8)]], looks[1:])).tolist() == [2]
    assert memory.link(clip([[NOWHERE, (1, 3)], [(4, 8), (4, 8)]], looks)).tolist() == [1, 2]


@pytest.mark.parametrize("name", ["VideoStitchingLinker", "LocationAwareLinker"])
@pytest.mark.parametrize(("window", "overlap"), [(2, 1), (3, 1), (4, 2)])
def test_identities_of_a_painted_video_hold(name, window, overlap):
    cfg = linker_config(name, overlap=overlap)
    cfg.MODEL.GVSEG.TEST.WINDOW = window
    cfg.INPUT.FORMAT = "RGB"
    cfg.INPUT.MIN_SIZE_TEST = 0
    cfg.MODEL.GVSEG.TEST.SCORE_THRESHOLD = 0.5
    settings = RunnerSettings.from_config(cfg)
    model = ColorSegmenter(shuffle_seed=0)
    stream = segment_video(
        model, ArraySource(crossing_video(15)), settings, linker=build_linker(cfg)
    )
    pairs = {
        p for frame in stream for p in zip(frame.classes.tolist(), frame.ids.tolist(), strict=True)
    }
    assert len(pairs) == 3
    assert {identity for _, identity in pairs} == {1, 2, 3}


def test_stitching_needs_frames_that_are_shared():
    with pytest.raises(ValueError, match=r"TEST\.OVERLAP is 0; set it to 1 or more"):
        build_linker(linker_config("VideoStitchingLinker"))


def test_hila_stitches_where_frames_are_shared():
    assert isinstance(
        build_linker(linker_config("LocationAwareLinker")).memory, LocationAwareMemory
    )
    memory = build_linker(linker_config("LocationAwareLinker", overlap=1)).memory
    assert isinstance(memory, HierarchicalMemory)
