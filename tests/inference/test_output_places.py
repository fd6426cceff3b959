import pytest

from gvseg.inference.output_places import check_apart, output_folders


def test_folders_of_inputs(tmp_path):
    assert output_folders(tmp_path, ["clip"]) == [tmp_path]
    names = ["clip", "walk", "clip", "clip"]
    folders = ["clip", "walk", "clip~2", "clip~3"]
    assert output_folders(tmp_path, names) == [tmp_path / name for name in folders]


@pytest.mark.parametrize(
    ("given", "formats"),
    [
        ("out/frames", ["frames"]),
        ("out/frames/*.png", ["frames"]),
        ("out/frames/00000.png", ["frames"]),
        ("out/frames/morning", ["frames"]),
        ("other/../out/frames", ["frames"]),
        ("out/classes", ["masks"]),
        ("out/semantic", ["semantic"]),
        ("out/overlay.mp4", ["json", "video"]),
        ("out/overview.png", []),
        ("out", []),
        ("link", ["frames"]),
    ],
)
def test_input_that_would_be_written_over_is_refused(tmp_path, given, formats):
    places = files_of_a_run(tmp_path)
    (tmp_path / "link").symlink_to(places / "frames")
    with pytest.raises(ValueError, match=r"lies where results go, in .*out; choose another"):
        check_apart([tmp_path / given], places, formats)


def test_input_beside_results_is_taken(tmp_path):
    places = files_of_a_run(tmp_path)
    check_apart([places / "frames", places / "overlay.mp4"], places, ["masks", "json"])
    check_apart([places / "fr*", places / "burst"], places, ["frames", "burst", "json"])
    check_apart(["0", "-", tmp_path / "other", tmp_path / "none"], places, ["frames", "video"])


def test_input_that_an_earlier_run_wrote_is_refused(tmp_path):
    places = files_of_a_run(tmp_path)
    with pytest.raises(ValueError, match=r"overlay\.mp4 lies where results go"):
        check_apart([places / "overlay.mp4"], places, ["json"], [places / "overlay.mp4"])


def files_of_a_run(tmp_path):
    """Return a folder of results; beside it lies one of images."""
    places = tmp_path / "out"
    for name in ("frames/morning", "classes", "semantic", "burst", "../other"):
        (places / name).mkdir(parents=True)
    for name in ("frames/00000.png", "overlay.mp4", "overview.png"):
        (places / name).write_bytes(b"x")
    return places
