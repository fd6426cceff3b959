import pytest
import torch

from gvseg.modeling.task_oriented.query_init import GridQueries, LearnedQueries


def grid(num_queries=16, **options):
    torch.manual_seed(0)
    return GridQueries(num_queries=num_queries, embed_dim=8, grid_size=4, **options).eval()


def test_learned_queries_are_the_same_for_every_clip():
    queries = LearnedQueries(num_queries=5, embed_dim=8)
    content, place, centres = queries(torch.randn(3, 2, 8, 6, 7))
    assert (centres == 0.5).all()
    assert content.shape == place.shape == (3, 5, 8)
    assert torch.equal(content[0], content[2])
    assert torch.equal(content[0], queries.content.weight)


def test_each_query_holds_what_its_cell_shows():
    """16 queries of 4x4 cells: a change in one cell of 2x2 pixels changes that query alone."""
    queries, features = grid(), torch.randn(1, 1, 8, 8, 8)
    before = queries(features)[0]
    features[0, 0, :, 2:4, 6:8] += torch.randn(8, 2, 2)  # row 1, column 3
    changed = (queries(features)[0] - before).abs().amax((0, 2)) > 1e-6
    assert changed.nonzero().flatten().tolist() == [7]


def test_a_query_looks_at_the_middle_of_its_cell():
    """Of 24x24 pixels in 4x4 cells, those whose encoding is most like a query's are the central."""
    torch.manual_seed(0)
    queries = GridQueries(num_queries=16, embed_dim=64, grid_size=4).eval()
    _, place, centres = queries(torch.randn(1, 1, 64, 24, 24))
    pixels = queries.position_encoding((1, 24, 24), torch.device("cpu"))[0]
    for cell in range(16):
        likeness = (pixels * place[0, cell]).sum(-1)
        row, column = divmod(int(likeness.argmax()), 24)
        centre = (6 * (cell // 4) + 2.5, 6 * (cell % 4) + 2.5)
        assert abs(row - centre[0]) <= 1.5
        assert abs(column - centre[1]) <= 1.5
        x, y = (24 * centres[0, cell] - 0.5).tolist()
        assert (y, x) == pytest.approx(centre, abs=1e-5)


def test_a_cell_is_the_mean_over_the_frames():
    queries, features = grid(), torch.randn(2, 3, 8, 8, 8)
    mean = features.mean(1, keepdim=True)
    torch.testing.assert_close(queries(features)[0], queries(mean)[0])


def test_cells_are_fixed_at_inference_and_drawn_in_training():
    queries, features = grid(num_queries=6), torch.randn(2, 1, 8, 8, 8)
    assert torch.equal(queries(features)[0], queries(features)[0])
    # Evenly spread over the 16 cells, the first and the last among them.
    assert queries._choose(1, features.device)[0].tolist() == [0, 3, 6, 9, 12, 15]
    queries.train()
    draws = {tuple(queries._choose(1, features.device)[0].tolist()) for _ in range(20)}
    assert len(draws) > 1
    assert all(len(set(draw)) == 6 for draw in draws)


def test_frames_smaller_than_the_grid_still_give_queries():
    content = grid()(torch.randn(1, 1, 8, 2, 3)).content
    assert content.shape == (1, 16, 8)
    assert content.isfinite().all()


def test_more_queries_than_cells_are_refused():
    with pytest.raises(ValueError, match=r"17, more than the 16 cells"):
        grid(num_queries=17)
