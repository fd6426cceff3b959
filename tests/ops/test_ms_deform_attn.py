from dataclasses import replace

import pytest
import torch

from gvseg import ops
from tests.ops.samples import (
    make_arguments,
    reference_run,
    relative_error,
    with_pixel_0_alone_touched_first,
)

PYRAMID = ((5, 7), (3, 4), (1, 1))
SHAPES = [
    ((1, 1),),
    ((1, 9),),
    ((8, 1), (1, 2)),
    PYRAMID,
    ((2, 3), (11, 4), (7, 7), (1, 5)),
]
needs_library = pytest.mark.skipif(not ops.is_compiled(), reason="the kernels were not built")


def _run(arguments, grad_output=None):
    """Output and gradients of value, locations and weights."""
    tensors = [tensor.detach().requires_grad_() for tensor in arguments.tensors]
    output = ops.ms_deform_attn(tensors[0], arguments.spatial_shapes, *tensors[1:])
    if grad_output is None:
        generator = torch.Generator().manual_seed(7)
        grad_output = torch.randn(output.shape, generator=generator).to(output.dtype)
    return output.detach(), *torch.autograd.grad(output, tensors, grad_output)


def _assert_follows_definition(arguments):
    generator = torch.Generator().manual_seed(7)
    batch, _, heads, channels = arguments.value.shape
    shape = (batch, arguments.attention_weights.shape[1], heads * channels)
    grad_output = torch.randn(shape, generator=generator).to(arguments.value.dtype)

    output, *grads = _run(arguments, grad_output)

    expected, *expected_grads = reference_run(arguments, grad_output)
    assert output.shape == expected.shape
    assert relative_error(output, expected) < 1e-5
    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        assert relative_error(grad, expected_grad) < 1e-4


@pytest.mark.parametrize("channels", [1, 5, 8, 24, 32, 33, 64, 136])
@pytest.mark.parametrize("shapes", SHAPES)
def test_output_and_gradients_follow_the_definition(shapes, channels):
    _assert_follows_definition(make_arguments(shapes, channels=channels, seed=channels))


@pytest.mark.parametrize(
    ("batch", "queries", "heads", "points"),
    [(1, 1, 1, 1), (3, 50, 2, 3), (1, 300, 1, 1), (1, 2, 2, 100)],
)
def test_any_number_of_queries_heads_and_points(batch, queries, heads, points):
    _assert_follows_definition(
        make_arguments(PYRAMID, batch=batch, queries=queries, heads=heads, points=points)
    )


def test_queries_that_are_the_pixels_of_a_larger_pyramid():
    shapes = ((30, 54), (15, 27), (8, 14))
    queries = sum(height * width for height, width in shapes)
    _assert_follows_definition(
        make_arguments(shapes, batch=1, queries=queries, heads=2, channels=32, points=4)
    )


def test_gradients_in_double_precision():
    arguments = make_arguments(((3, 4), (1, 2)), batch=1, queries=3, heads=2, channels=3)
    tensors = [tensor.requires_grad_() for tensor in arguments.to(torch.float64).tensors]

    assert torch.autograd.gradcheck(
        lambda value, locations, weights: ops.ms_deform_attn(
            value, arguments.spatial_shapes, locations, weights
        ),
        tensors,
    )


def test_positions_on_pixel_centres_and_on_the_border():
    # Sizes are powers of two, so that these positions are exact and both sides round alike.
    shapes = ((4, 8),)
    columns, rows = torch.meshgrid(
        torch.tensor([-1.5, -1.0, -0.5, 0.0, 3.0, 6.5, 7.0, 7.5, 8.0, 8.5]),
        torch.tensor([-1.0, -0.5, 0.0, 1.5, 3.0, 3.5, 4.0]),
        indexing="xy",
    )
    positions = torch.stack((columns, rows), dim=-1).view(1, -1, 1, 1, 1, 2)
    arguments = make_arguments(shapes, batch=1, queries=70, heads=1, points=1)
    locations = (positions + 0.5) / torch.tensor([8.0, 4.0])
    _assert_follows_definition(replace(arguments, sampling_locations=locations))


@needs_library
@pytest.mark.parametrize("place", [1e30, -1e30, torch.inf, -torch.inf, torch.nan, 3.0, -2.0])
def test_locations_far_outside_or_not_numbers_sample_nothing(place):
    arguments = make_arguments(PYRAMID)
    arguments.sampling_locations[:] = place

    results = _run(arguments)

    for result in results:
        assert torch.count_nonzero(result) == 0


@needs_library
def test_a_pixel_that_is_not_finite_does_not_spread():
    arguments = make_arguments(((4, 4),), heads=1, points=1)
    with_pixel_0_alone_touched_first(arguments)

    output, *_ = _run(arguments)

    assert output[:, 0].isinf().all()
    assert output[:, 1:].isfinite().all()


@needs_library
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_float32_run_rounded(dtype):
    arguments = make_arguments(PYRAMID, queries=40, channels=32).to(dtype)
    grad_output = torch.randn(2, 40, 96).to(dtype)

    results = _run(arguments, grad_output)

    exact = _run(arguments.to(torch.float32), grad_output.float())
    assert [result.dtype for result in results] == [dtype, dtype, torch.float32, torch.float32]
    for result, reference in zip(results, exact, strict=True):
        assert torch.equal(result, reference.to(result.dtype))


def test_inputs_need_not_be_contiguous():
    arguments = make_arguments(PYRAMID, channels=16)
    spread = replace(
        arguments,
        value=arguments.value.permute(3, 1, 0, 2).contiguous().permute(2, 1, 3, 0),
        sampling_locations=arguments.sampling_locations.flip(-1).contiguous().flip(-1),
        attention_weights=arguments.attention_weights.mT.contiguous().mT,
    )
    spread.sampling_locations = arguments.sampling_locations.mT.contiguous().mT
    grad_output = torch.randn(48, 7, 2).permute(2, 1, 0)
    assert not any(tensor.is_contiguous() for tensor in (*spread.tensors, grad_output))

    results = _run(spread, grad_output)

    for result, expected in zip(results, _run(arguments, grad_output.contiguous()), strict=True):
        assert torch.equal(result, expected)


@pytest.mark.parametrize(
    "empty", [{"batch": 0}, {"queries": 0}, {"heads": 0}, {"channels": 0}, {"points": 0}]
)
def test_empty_inputs_give_empty_or_zero_results(empty):
    arguments = make_arguments(PYRAMID, **empty)

    output, *grads = _run(arguments)

    value, weights = arguments.value, arguments.attention_weights
    assert output.shape == (value.shape[0], weights.shape[1], value.shape[2] * value.shape[3])
    assert torch.count_nonzero(output) == 0
    for grad, tensor in zip(grads, arguments.tensors, strict=True):
        assert grad.shape == tensor.shape
        assert torch.count_nonzero(grad) == 0


@needs_library
def test_results_do_not_depend_on_the_number_of_threads():
    arguments = make_arguments(((20, 30), (10, 15)), batch=1, queries=400, heads=2, channels=32)
    before = torch.get_num_threads()
    runs = []
    try:
        for num_threads in (1, 2, 3, 8, 8):
            torch.set_num_threads(num_threads)
            runs.append(_run(arguments))
    finally:
        torch.set_num_threads(before)

    for run in runs[1:]:
        for result, expected in zip(run, runs[0], strict=True):
            assert torch.equal(result, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": torch.zeros(2, 48, 24)}, r"value must be \(B, S, M, D\)"),
        ({"value": torch.zeros(2, 48, 3, 8, dtype=torch.int64)}, "value must be float32, float64"),
        (
            {"sampling_locations": torch.zeros(2, 7, 3, 3, 2, 2, device="meta")},
            "sampling_locations must be on cpu like value, got meta",
        ),
        ({"value": torch.zeros(2, 47, 3, 8)}, "spatial_shapes"),
        ({"value": torch.zeros(2, 49, 3, 8)}, "spatial_shapes"),
        ({"spatial_shapes": ()}, "spatial_shapes"),
        ({"spatial_shapes": ((48, 1), (-1, 1), (1, 1))}, "spatial_shapes must be positive"),
        ({"spatial_shapes": ((2**62, 4), (3, 4), (1, 1))}, "spatial_shapes"),
        ({"spatial_shapes": ((6, 8),)}, "sampling_locations must be"),
        ({"sampling_locations": torch.zeros(2, 7, 3, 6, 2)}, "sampling_locations must be"),
        ({"sampling_locations": torch.zeros(2, 7, 4, 3, 2, 2)}, "sampling_locations must be"),
        ({"sampling_locations": torch.zeros(2, 7, 3, 3, 2, 3)}, "sampling_locations must be"),
        (
            {"sampling_locations": torch.zeros(2, 7, 3, 3, 2, 2).bfloat16()},
            "sampling_locations must be .*loat",
        ),
        ({"attention_weights": torch.zeros(2, 7, 3, 3, 3)}, "attention_weights must be"),
        ({"attention_weights": torch.zeros(2, 7, 3, 3, 2).double()}, "attention_weights must be"),
    ],
)
@pytest.mark.parametrize("function", [ops.ms_deform_attn, ops.ms_deform_attn_reference])
def test_errors_name_the_argument(function, changes, message):
    arguments = replace(make_arguments(PYRAMID), **changes)

    with pytest.raises(ValueError, match=message):
        function(
            arguments.value,
            arguments.spatial_shapes,
            arguments.sampling_locations,
            arguments.attention_weights,
        )


@pytest.mark.parametrize("dynamic", [False, True])
def test_compiles_into_one_graph(dynamic):
    compiled = torch.compile(
        lambda value, shapes, locations, weights: ops.ms_deform_attn(
            value.sin(), shapes, locations, weights
        ).cos(),
        fullgraph=True,
        backend="aot_eager",
        dynamic=dynamic,
    )
    for shapes, queries in ((PYRAMID, 7), (((6, 5), (4, 2), (2, 1)), 9)):
        arguments = make_arguments(shapes, queries=queries)
        tensors = [tensor.requires_grad_() for tensor in arguments.tensors]
        output = compiled(tensors[0], shapes, *tensors[1:])
        grads = torch.autograd.grad(output.sum(), tensors)

        plain = ops.ms_deform_attn(tensors[0].sin(), shapes, *tensors[1:]).cos()
        expected = torch.autograd.grad(plain.sum(), tensors)
        torch.testing.assert_close(output, plain)
        torch.testing.assert_close(grads, expected)
