import pytest

from gvseg.data.synthetic.formats import FORMATS, get_format


def test_unknown_format_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"Unknown format 'vipseq'; choose one of .*camvid"):
        get_format("vipseq")


def test_unknown_split_is_answered_with_the_known_ones():
    with pytest.raises(ValueError, match=r"no split 'val'; choose one of train, valid, test"):
        get_format("youtube_vos").scene("val", size=(64, 64))


def test_every_split_is_one_of_a_registered_benchmark():
    for row in FORMATS.values():
        for split in row.splits:
            benchmark = row.benchmark(split)
            assert row.dataset_name(split) in benchmark.dataset_names


def test_scene_is_what_the_format_can_hold():
    spec = get_format("davis").scene("val", size=(64, 80), num_classes=1)
    assert (spec.size, spec.num_frames, spec.num_classes) == ((64, 80), 20, 1)
    assert not spec.has_late_objects
    assert not spec.has_crowd
    assert get_format("coco").scene("train2017", size=(64, 80)).num_frames == 1


def test_still_images_have_one_frame():
    with pytest.raises(ValueError, match="5 frames are wanted, but the format has still images"):
        get_format("coco").scene("train2017", size=(64, 80), num_frames=5)


def test_no_frame_is_refused_not_replaced():
    with pytest.raises(ValueError, match="0 frames is empty"):
        get_format("davis").scene("val", size=(64, 80), num_frames=0)
