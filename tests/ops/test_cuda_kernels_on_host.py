"""The source of the CUDA kernels, compiled for the CPU, against the definition."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from gvseg import ops
from tests.ops.samples import (
    make_arguments,
    reference_run,
    relative_error,
    with_pixel_0_alone_touched_first,
)

FOLDER = Path(__file__).parent
PYRAMID = ((6, 9), (3, 5), (1, 1))
DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@pytest.fixture(scope="module")
def kernels(tmp_path_factory):
    from torch.utils.cpp_extension import include_paths, library_paths

    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler")
    target = tmp_path_factory.mktemp("cuda_on_host") / "kernels.so"
    sources = Path(ops.__file__).parent / "csrc"
    command = [compiler, "-std=c++20", "-O1", "-fPIC", "-shared", "-Wno-unknown-pragmas"]
    command += [f"-I{sources}", *(f"-I{path}" for path in include_paths())]
    command += [str(FOLDER / "cuda_kernels_on_host.cpp"), "-o", str(target)]
    command += [*(f"-L{path}" for path in library_paths()), "-lc10"]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(target))


def _call(function, numbers, *tensors):
    for tensor in tensors:
        assert tensor.is_contiguous()
    table = (ctypes.c_int64 * len(numbers))(*numbers)
    status = function(table, *(ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors))
    assert status == 0, "threads of a warp wait at different operations"


def _run(kernels, variant, arguments):
    """Output and gradients of all arguments from the kernels, and the gradient put in."""
    value, locations, weights = arguments.tensors
    batch, _, heads, channels = value.shape
    queries, points = weights.shape[1], weights.shape[4]
    numbers = [batch, heads, channels, queries, points, weights.shape[3], *arguments.sizes]
    generator = torch.Generator().manual_seed(1)
    # What the kernels do not write stays NaN and shows.
    output = value.new_full((batch, queries, heads * channels), torch.nan)
    grad_output = torch.randn(output.shape, generator=generator).to(value.dtype)
    grads = (
        weights.new_zeros(value.shape),
        torch.full_like(locations, torch.nan),
        torch.full_like(weights, torch.nan),
    )
    _call(getattr(kernels, f"forward_{variant}"), numbers, value, locations, weights, output)
    backward = getattr(kernels, f"backward_{variant}")
    _call(backward, numbers, grad_output, value, locations, weights, *grads)
    return grad_output, (output, *grads)


@pytest.mark.parametrize("queries", [37, sum(h * w for h, w in PYRAMID)])
@pytest.mark.parametrize(
    ("variant", "channels"),
    [
        ("float32_by_4", 8),
        ("float32_by_4", 24),
        ("float32_by_4", 32),
        ("float32_by_4", 136),
        ("float32_by_1", 5),
        ("float32_by_1", 40),
        ("float64_by_1", 3),
        ("bfloat16_by_8", 32),
        ("bfloat16_by_8", 72),
        ("float16_by_8", 32),
    ],
)
def test_cuda_kernels_follow_the_definition(kernels, variant, channels, queries):
    dtype = DTYPES[variant.split("_")[0]]
    arguments = make_arguments(PYRAMID, queries=queries, heads=2, channels=channels, points=3)
    arguments = arguments.to(dtype)

    grad_output, results = _run(kernels, variant, arguments)

    expected = reference_run(arguments, grad_output)
    output_tolerance = 2**-8 if dtype in (torch.bfloat16, torch.float16) else 1e-5
    assert relative_error(results[0], expected[0]) < output_tolerance
    for result, reference in zip(results[1:], expected[1:], strict=True):
        assert relative_error(result, reference) < 1e-5


@pytest.mark.parametrize(("levels", "points"), [(1, 1), (1, 40), (4, 8), (32, 1)])
def test_any_number_of_levels_and_points(kernels, levels, points):
    shapes = tuple((1 + level % 3, 1 + level % 5) for level in range(levels))
    arguments = make_arguments(shapes, queries=19, heads=2, points=points)

    grad_output, results = _run(kernels, "float32_by_4", arguments)

    expected = reference_run(arguments, grad_output)
    for result, reference in zip(results, expected, strict=True):
        assert relative_error(result, reference) < 1e-5


def test_locations_far_outside_or_not_numbers_sample_nothing(kernels):
    arguments = make_arguments(PYRAMID, queries=6)
    locations = arguments.sampling_locations
    for query, place in enumerate((1e30, -1e30, torch.inf, -torch.inf, torch.nan, 3.0)):
        locations[:, query] = place

    _, results = _run(kernels, "float32_by_4", arguments)

    for result in results:
        assert torch.count_nonzero(result) == 0


@pytest.mark.parametrize("variant", ["float32_by_4", "float16_by_8"])
def test_a_pixel_that_is_not_finite_does_not_spread(kernels, variant):
    arguments = make_arguments(((4, 4),), heads=1, channels=8, points=1)
    arguments = arguments.to(DTYPES[variant.split("_")[0]])
    with_pixel_0_alone_touched_first(arguments)

    _, results = _run(kernels, variant, arguments)

    assert results[0][:, 0].isinf().all()
    assert results[0][:, 1:].isfinite().all()
