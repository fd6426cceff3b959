import pytest
import torch
import torch.nn.functional as F

from gvseg.modeling.task_oriented.class_memory import ClassMemory
from gvseg.modeling.task_oriented.query_init import (
    GridQueries,
    LearnedQueries,
    QueryRequest,
    TaskOrientedQueries,
    cell_means,
)
from gvseg.structures import ObjectFeatures


def grid(num_queries=16, **options):
    torch.manual_seed(0)
    return GridQueries(num_queries=num_queries, embed_dim=8, grid_size=4, **options).eval()


def test_learned_queries_are_the_same_for_every_clip():
    queries = LearnedQueries(num_queries=5, embed_dim=8)
    content, place, centres = queries(torch.randn(3, 2, 8, 6, 7))
    assert centres.isnan().all()
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


@pytest.mark.parametrize("size", [(8, 12), (16, 16), (4, 4)])
def test_cells_of_whole_pixels_are_their_plain_means(size):
    maps = torch.randn(2, 3, *size)
    means = cell_means(maps, torch.tensor([size] * 2).float(), 4)
    torch.testing.assert_close(means, F.adaptive_avg_pool2d(maps, 4))


def test_a_pixel_that_cells_share_counts_by_area_in_each():
    """By hand: three cells of 4.5 pixels along x, each 1.5 wide; the last half is padding."""
    maps = torch.tensor([1.0, 2, 4, 8, 16, 100]).expand(1, 1, 3, 6)
    means = cell_means(maps, torch.tensor([[3.0, 4.5]]), 3)
    expected = [(1 + 2 / 2) / 1.5, (2 / 2 + 4) / 1.5, (8 + 16 / 2) / 1.5]
    for row in means[0, 0].tolist():
        assert row == pytest.approx(expected)


def test_cells_are_those_of_the_frame_whatever_it_is_padded_with():
    """Two sizes in one batch, which end within pixels: as each alone on a smaller canvas."""
    torch.manual_seed(0)
    sizes = torch.tensor([[6.25, 9.5], [11.0, 8.0]])
    maps = torch.randn(2, 8, 12, 16)
    together = cell_means(maps, sizes, 4)
    for index, (rows, columns) in enumerate([(7, 10), (11, 8)]):
        alone = cell_means(maps[index, None, :, :rows, :columns], sizes[index, None], 4)
        torch.testing.assert_close(together[index, None], alone, atol=1e-6, rtol=1e-6)
    beyond = 1e4 * torch.randn_like(maps)
    for index, (rows, columns) in enumerate([(7, 10), (11, 8)]):
        beyond[index, :, :rows, :columns] = maps[index, :, :rows, :columns]
    assert torch.equal(cell_means(beyond, sizes, 4), together)


def test_queries_of_a_padded_frame_look_into_the_frame():
    """A frame of 12x18 pixels in 24x24: of all pixels, those most like a query are its cell's."""
    torch.manual_seed(0)
    queries = GridQueries(num_queries=16, embed_dim=64, grid_size=4).eval()
    sizes = torch.tensor([[12.0, 18.0]])
    _, place, centres = queries(torch.randn(1, 1, 64, 24, 24), frame_sizes=sizes)
    pixels = queries.position_encoding((1, 24, 24), torch.device("cpu"))[0]
    for cell in range(16):
        row, column = divmod(int((pixels * place[0, cell]).sum(-1).argmax()), 24)
        centre = (3 * (cell // 4) + 1, 4.5 * (cell % 4) + 1.75)
        assert abs(row - centre[0]) <= 1
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


FEATURES = torch.randn(1, 2, 8, 8, 8, generator=torch.Generator().manual_seed(1))


def task_oriented(num_queries=6, num_classes=4, **options):
    """Queries that remember class 2 only."""
    torch.manual_seed(0)
    memory = ClassMemory(num_classes=num_classes, embed_dim=8, momentum=0.9)
    memory.update(torch.tensor([2]), torch.full((1, 8), 7.0))
    return TaskOrientedQueries(
        num_queries=num_queries, embed_dim=8, grid_size=4, memory=memory, **options
    ).eval()


def objects(count):
    generator = torch.Generator().manual_seed(2)
    return ObjectFeatures(
        torch.randn(count, 8, generator=generator), torch.rand(count, 2, generator=generator)
    )


def of_request(queries, **request):
    """Content, place and centres (N, ...) for one clip."""
    return [part[0] for part in queries(FEATURES, [QueryRequest(**request)])]


def cells_of(queries):
    return [part[0] for part in queries(FEATURES)]


def test_instances_start_from_cells():
    """VIS asks for no classes and no objects: all queries are those of the grid."""
    queries = task_oriented()
    for part, cells in zip(of_request(queries), cells_of(queries), strict=True):
        torch.testing.assert_close(part, cells)


def test_there_may_be_more_cells_than_in_training_where_no_query_is_learnt():
    trained = task_oriented(num_queries=6, has_learned=False)
    queries = task_oriented(num_queries=16, has_learned=False)
    queries.load_state_dict(trained.state_dict())
    content, _, centres = of_request(queries, classes=(3,))
    assert len(content) == 16
    torch.testing.assert_close(content[0], trained.content.weight[3])
    assert len(centres[1:].unique(dim=0)) == 15
    with pytest.raises(RuntimeError, match="size mismatch"):
        task_oriented(num_queries=16).load_state_dict(task_oriented().state_dict())


def test_classes_start_from_their_memory_and_unseen_ones_from_learnt_queries():
    """VSS: queries 0, 1, 3 are learnt, 2 is remembered; the rest are other learnt queries."""
    queries = task_oriented()
    content, place, centres = of_request(queries, classes=(0, 1, 2, 3), fills_with_cells=False)
    learnt = queries.content.weight
    for row in (0, 1, 3, 4, 5):
        torch.testing.assert_close(content[row], learnt[row])
    assert (content[2] == 7).all()
    torch.testing.assert_close(place, queries.place.weight)
    assert centres.isnan().all()


def test_stuff_comes_first_and_cells_fill_up():
    """VPS with stuff classes 3 and 2; the four cells are spread over the six of the grid."""
    queries = task_oriented()
    content, place, centres = of_request(queries, classes=(3, 2))
    torch.testing.assert_close(content[0], queries.content.weight[3])
    assert (content[1] == 7).all()
    torch.testing.assert_close(place[:2], queries.place.weight[[3, 2]])
    spread = [0, 2, 3, 5]
    for part, cells in zip((content, place, centres), cells_of(queries), strict=True):
        torch.testing.assert_close(part[2:], cells[spread])


def test_objects_come_first_and_cells_fill_up():
    """EVS: the two objects in the order of their exemplars, then cells."""
    queries, pointed_out = task_oriented(), objects(2)
    content, place, centres = of_request(queries, objects=pointed_out)
    torch.testing.assert_close(centres[:2], pointed_out.centres)
    for part, cells in zip((content, place, centres), cells_of(queries), strict=True):
        torch.testing.assert_close(part[2:], cells[[0, 2, 3, 5]])
    swapped = ObjectFeatures(pointed_out.features.flip(0), pointed_out.centres.flip(0))
    other = of_request(queries, objects=swapped)[0]
    torch.testing.assert_close(other[:2], content[:2].flip(0))


def test_an_object_holds_its_features_and_place_through_the_same_network_as_a_cell():
    """An object read in the middle of a cell, with what the cell shows, starts as that cell."""
    queries = task_oriented(num_queries=16)
    cells = FEATURES.mean(1)[0].unfold(1, 2, 2).unfold(2, 2, 2).mean((-1, -2))
    cell = ObjectFeatures(cells[:, 1, 2][None], torch.tensor([[2.5 / 4, 1.5 / 4]]))
    content, place, centres = of_request(queries, objects=cell)
    for part, of_cells in zip((content, place, centres), cells_of(queries), strict=True):
        torch.testing.assert_close(part[0], of_cells[6], atol=1e-4, rtol=1e-4)


def test_learnt_queries_left_over_keep_clear_of_the_classes_asked_for():
    """Six queries and six rows: asked for rows 3 to 5 of a second label set, 0 to 2 are left."""
    queries = task_oriented(num_queries=6, num_classes=6)
    content, place, _ = of_request(queries, classes=(3, 4, 5), fills_with_cells=False)
    torch.testing.assert_close(content, queries.content.weight[[3, 4, 5, 0, 1, 2]])
    assert len(place.unique(dim=0)) == 6


@pytest.mark.parametrize(
    "request_", [{}, {"classes": (1, 2)}, {"objects": objects(3)}, {"fills_with_cells": False}]
)
def test_queries_of_any_task_are_fixed_at_inference(request_):
    queries = task_oriented()
    for first, second in zip(
        of_request(queries, **request_), of_request(queries, **request_), strict=True
    ):
        assert first.shape[0] == 6
        torch.testing.assert_close(first, second, rtol=0, atol=0, equal_nan=True)


def test_cells_beside_objects_are_drawn_in_training():
    queries = task_oriented().train()
    centres = [of_request(queries, objects=objects(2))[2] for _ in range(5)]
    assert all(torch.equal(drawn[:2], centres[0][:2]) for drawn in centres)
    assert any(not torch.equal(drawn[2:], centres[0][2:]) for drawn in centres)


def test_clips_of_a_batch_may_ask_for_different_things():
    queries = task_oriented()
    requests = [
        QueryRequest(),
        QueryRequest(classes=(0, 1, 2, 3), fills_with_cells=False),
        QueryRequest(classes=(2,)),
        QueryRequest(objects=objects(2)),
    ]
    batch = queries(FEATURES.expand(4, -1, -1, -1, -1), requests)
    for index, request in enumerate(requests):
        for part, alone in zip(batch, queries(FEATURES, [request]), strict=True):
            torch.testing.assert_close(part[index], alone[0], equal_nan=True)


def test_as_many_as_there_are_queries_leave_no_room_and_more_are_refused():
    queries, exact = task_oriented(), objects(6)
    torch.testing.assert_close(of_request(queries, objects=exact)[2], exact.centres)
    message = r"7 classes and objects .*NUM_OBJECT_QUERIES is 6; raise it"
    with pytest.raises(ValueError, match=message):
        of_request(queries, objects=objects(7))
    with pytest.raises(ValueError, match=message):
        of_request(queries, classes=(0, 1, 2, 3), objects=objects(3))


@pytest.mark.parametrize(
    "request_", [{}, {"classes": (0, 2), "fills_with_cells": False}, {"objects": objects(2)}]
)
def test_every_parameter_gets_a_gradient_whatever_is_asked_for(request_):
    """Distributed training waits for the gradients of all."""
    queries = task_oriented().train()
    of_request(queries, **request_)[0].sum().backward()
    assert all(parameter.grad is not None for parameter in queries.parameters())
