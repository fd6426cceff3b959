"""The CUDA kernels on a GPU: `pytest -m gpu tests/ops`."""

from dataclasses import replace

import pytest
import torch

from gvseg import ops
from tests.ops.samples import (
    Arguments,
    make_arguments,
    reference_run,
    relative_error,
    with_pixel_0_alone_touched_first,
)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not ops.is_compiled("cuda"), reason="the CUDA kernels were not built"),
]
PYRAMID = ((5, 7), (3, 4), (1, 1))
HD_PYRAMID = ((92, 160), (46, 80), (23, 40))  # strides 8, 16, 32 of 736 x 1280
PIXELS = 48


def _to_gpu(arguments: Arguments) -> Arguments:
    value, locations, weights = (tensor.cuda() for tensor in arguments.tensors)
    return Arguments(value, arguments.spatial_shapes, locations, weights)


def _run(arguments, grad_output):
    """Output and gradients of value, locations and weights."""
    tensors = [tensor.detach().requires_grad_() for tensor in arguments.tensors]
    output = ops.ms_deform_attn(tensors[0], arguments.spatial_shapes, *tensors[1:])
    return output.detach(), *torch.autograd.grad(output, tensors, grad_output)


def _random_gradient(arguments):
    batch, _, heads, channels = arguments.value.shape
    shape = (batch, arguments.attention_weights.shape[1], heads * channels)
    return torch.randn(shape).to(arguments.value)


def _assert_follows_definition(arguments, tolerance=1e-5):
    grad_output = _random_gradient(arguments)

    results = _run(arguments, grad_output)

    expected = reference_run(arguments, grad_output)
    assert relative_error(results[0], expected[0]) < tolerance
    for result, reference in zip(results[1:], expected[1:], strict=True):
        assert relative_error(result, reference) < max(1e-4, tolerance)


@pytest.mark.parametrize("queries", [1, 37, PIXELS])
@pytest.mark.parametrize("channels", [1, 5, 8, 24, 32, 64, 136, 264])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_output_and_gradients_follow_the_definition(dtype, channels, queries):
    arguments = make_arguments(PYRAMID, queries=queries, channels=channels, points=3)
    _assert_follows_definition(_to_gpu(arguments.to(dtype)))


@pytest.mark.parametrize("channels", [5, 8, 32, 40])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_float32_run_rounded(dtype, channels):
    arguments = _to_gpu(make_arguments(PYRAMID, queries=PIXELS, channels=channels).to(dtype))
    grad_output = _random_gradient(arguments)

    results = _run(arguments, grad_output)

    exact = _run(arguments.to(torch.float32), grad_output.float())
    assert [result.dtype for result in results] == [dtype, dtype, torch.float32, torch.float32]
    step = torch.finfo(dtype).eps
    for result, reference in zip(results, exact, strict=True):
        assert relative_error(result, reference.double()) < step


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_pixels_of_a_720p_frame_are_the_queries(dtype):
    queries = sum(height * width for height, width in HD_PYRAMID)
    arguments = make_arguments(
        HD_PYRAMID, batch=1, queries=queries, heads=8, channels=32, points=4
    ).to(dtype)
    tolerance = 2**-7 if dtype == torch.bfloat16 else 1e-5
    _assert_follows_definition(_to_gpu(arguments), tolerance)


@pytest.mark.parametrize(("levels", "points"), [(1, 1), (1, 40), (32, 3)])
def test_any_number_of_levels_and_points(levels, points):
    shapes = tuple((1 + level % 3, 1 + level % 5) for level in range(levels))
    _assert_follows_definition(_to_gpu(make_arguments(shapes, queries=19, points=points)))


def test_more_levels_than_the_kernels_hold_are_refused():
    arguments = _to_gpu(make_arguments(((1, 1),) * 33))

    with pytest.raises(ValueError, match="spatial_shapes may hold up to 32 levels"):
        _run(arguments, _random_gradient(arguments))


def test_gradients_in_double_precision():
    arguments = make_arguments(((3, 4), (1, 2)), batch=1, queries=3, heads=2, channels=3)
    tensors = [tensor.requires_grad_() for tensor in _to_gpu(arguments.to(torch.float64)).tensors]

    assert torch.autograd.gradcheck(
        lambda value, locations, weights: ops.ms_deform_attn(
            value, arguments.spatial_shapes, locations, weights
        ),
        tensors,
        nondet_tol=1e-12,  # sums of gradients come in any order
    )


def test_operators_are_well_formed():
    arguments = _to_gpu(make_arguments(PYRAMID))
    value, locations, weights = (tensor.requires_grad_() for tensor in arguments.tensors)

    forward = torch.library.opcheck(
        torch.ops.gvseg.ms_deform_attn.default, (value, arguments.sizes, locations, weights)
    )
    tensors = [tensor.detach() for tensor in (value, locations, weights)]
    backward = torch.library.opcheck(
        torch.ops.gvseg.ms_deform_attn_backward.default,
        (_random_gradient(arguments), tensors[0], arguments.sizes, *tensors[1:]),
    )

    assert {*forward.values(), *backward.values()} == {"SUCCESS"}


def test_memory_that_vectors_cannot_load_is_loaded_one_by_one():
    arguments = _to_gpu(make_arguments(PYRAMID))
    grad_output = _random_gradient(arguments)
    shifted = torch.empty(arguments.value.numel() + 1, device="cuda")[1:]
    shifted = shifted.view_as(arguments.value).copy_(arguments.value)

    results = _run(replace(arguments, value=shifted), grad_output)

    for result, expected in zip(results, _run(arguments, grad_output), strict=True):
        torch.testing.assert_close(result, expected)


def test_inputs_need_not_be_contiguous():
    arguments = _to_gpu(make_arguments(PYRAMID))
    grad_output = _random_gradient(arguments)
    spread = Arguments(
        arguments.value.transpose(1, 2).contiguous().transpose(1, 2),
        PYRAMID,
        arguments.sampling_locations.mT.contiguous().mT,
        arguments.attention_weights.mT.contiguous().mT,
    )

    results = _run(spread, grad_output.mT.contiguous().mT)

    for result, expected in zip(results, _run(arguments, grad_output), strict=True):
        torch.testing.assert_close(result, expected)


@pytest.mark.parametrize(
    "empty", [{"batch": 0}, {"queries": 0}, {"heads": 0}, {"channels": 0}, {"points": 0}]
)
def test_empty_inputs_give_empty_or_zero_results(empty):
    arguments = _to_gpu(make_arguments(PYRAMID, **empty))

    for result in _run(arguments, _random_gradient(arguments)):
        assert torch.count_nonzero(result) == 0


@pytest.mark.parametrize("place", [1e30, -1e30, torch.inf, -torch.inf, torch.nan, 3.0, -2.0])
def test_locations_far_outside_or_not_numbers_sample_nothing(place):
    arguments = _to_gpu(make_arguments(PYRAMID))
    arguments.sampling_locations[:] = place

    for result in _run(arguments, _random_gradient(arguments)):
        assert torch.count_nonzero(result) == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_pixel_that_is_not_finite_does_not_spread(dtype):
    arguments = make_arguments(((4, 4),), heads=1, points=1).to(dtype)
    with_pixel_0_alone_touched_first(arguments)

    output, *_ = _run(_to_gpu(arguments), _random_gradient(arguments).cuda())

    assert output[:, 0].isinf().all()
    assert output[:, 1:].isfinite().all()


def test_offsets_of_a_batch_need_more_than_32_bits():
    shapes = ((511, 513),)
    small = make_arguments(shapes, batch=1, queries=37, heads=8, channels=112)
    small = _to_gpu(small.to(torch.bfloat16))
    grad_output = _random_gradient(small)
    expected = _run(small, grad_output)
    large = Arguments(*(
        part if part is small.spatial_shapes else part.expand(10, *part.shape[1:])
        for part in (small.value, shapes, small.sampling_locations, small.attention_weights)
    ))  # fmt: skip
    assert large.value.numel() > 2**31

    results = _run(large, grad_output.expand(10, -1, -1))

    for result, reference in zip(results, expected, strict=True):
        torch.testing.assert_close(result[-1:], reference)


@pytest.mark.parametrize("wanted", [(0,), (1,), (2,), (0, 2)])
def test_gradients_of_some_inputs_alone(wanted):
    arguments = _to_gpu(make_arguments(PYRAMID))
    grad_output = _random_gradient(arguments)
    expected = _run(arguments, grad_output)[1:]
    tensors = list(arguments.tensors)
    inputs = [tensors[index].requires_grad_() for index in wanted]

    output = ops.ms_deform_attn(tensors[0], PYRAMID, *tensors[1:])

    for index, grad in zip(wanted, torch.autograd.grad(output, inputs, grad_output), strict=True):
        torch.testing.assert_close(grad, expected[index])


def _module_and_arguments():
    module = ops.MSDeformAttn(embed_dim=32, num_heads=4, num_levels=3, num_points=2).cuda()
    query = torch.randn(1, PIXELS, 32, device="cuda")
    return module, (query, torch.rand(1, PIXELS, 3, 2, device="cuda"), query, PYRAMID)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_changes_the_values_alone(dtype):
    module, arguments = _module_and_arguments()
    exact = module(*arguments)

    with torch.autocast("cuda", dtype=dtype):
        output = module(*arguments)

    assert output.dtype == dtype
    assert relative_error(output, exact.double()) < 8 * torch.finfo(dtype).eps


def test_compiled_module_computes_the_same():
    module, arguments = _module_and_arguments()

    compiled = torch.compile(module, fullgraph=True)

    torch.testing.assert_close(compiled(*arguments), module(*arguments))


def test_module_can_be_captured_in_a_graph():
    module, arguments = _module_and_arguments()
    with torch.no_grad():
        module(*arguments)  # warms up
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            output = module(*arguments)
        arguments[0].copy_(torch.randn_like(arguments[0]))
        graph.replay()

        torch.testing.assert_close(output, module(*arguments))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
def test_work_goes_to_the_device_of_the_tensors():
    arguments = _to_gpu(make_arguments(PYRAMID))
    grad_output = _random_gradient(arguments)
    there = Arguments(*(
        part if part is PYRAMID else part.to("cuda:1")
        for part in (arguments.value, PYRAMID, *arguments.tensors[1:])
    ))  # fmt: skip

    results = _run(there, grad_output.to("cuda:1"))

    for result, expected in zip(results, _run(arguments, grad_output), strict=True):
        torch.testing.assert_close(result.to("cuda:0"), expected)


def test_work_goes_to_the_current_stream():
    arguments = _to_gpu(make_arguments(HD_PYRAMID, batch=1, queries=5000, heads=8, channels=32))
    grad_output = _random_gradient(arguments)
    expected = _run(arguments, grad_output)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())

    with torch.cuda.stream(stream):
        torch.cuda._sleep(10_000_000)  # what runs elsewhere would see the zeros
        late = replace(arguments, value=torch.zeros_like(arguments.value))
        late.value.copy_(arguments.value)
        results = _run(late, grad_output)
    stream.synchronize()

    for result, reference in zip(results, expected, strict=True):
        torch.testing.assert_close(result, reference)


def test_a_sum_in_any_order_is_refused_where_determinism_is_asked_for():
    arguments = _to_gpu(make_arguments(PYRAMID))
    torch.use_deterministic_algorithms(True)
    try:
        with pytest.raises(RuntimeError, match="ms_deform_attn_backward on CUDA"):
            _run(arguments, _random_gradient(arguments))
    finally:
        torch.use_deterministic_algorithms(False)


def test_no_call_waits_for_the_gpu():
    module, arguments = _module_and_arguments()
    arguments[0].requires_grad_()
    module(*arguments).sum().backward()

    torch.cuda.set_sync_debug_mode("error")
    try:
        module(*arguments).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
