"""The compiled library of the operators: whether it was built, and what PyTorch is told about it.

The choice between its kernels and the plain PyTorch definition is made here, once, by looking. A
library that is there but does not load is an error.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
from typing import Any

import torch
from torch import Tensor

from gvseg.ops.reference import check_arguments

_logger = logging.getLogger(__name__)
_REBUILD = "pip install --no-build-isolation -e ."


def is_compiled(device_type: str = "cpu") -> bool:
    """Whether tensors of a device ("cpu", "cuda") take a compiled kernel."""
    return device_type in _COMPILED_DEVICES


def backend_summary() -> str:
    """One line on what the operators run on, and on how to get the fast kernels if they are not."""
    if not _COMPILED_DEVICES:
        return (
            "ms_deform_attn: plain PyTorch, for the kernels were not built. For the fast path "
            f"install a C++ compiler and run `{_REBUILD}` in the clone."
        )
    cpu = f"CPU ({torch.backends.cpu.get_cpu_capability()})"
    devices = f"{cpu} and CUDA" if is_compiled("cuda") else cpu
    return f"ms_deform_attn: compiled kernels for {devices}, plain PyTorch on other devices."


@functools.cache
def log_backend() -> None:
    """Say once which kernels a model will run on; a warning where faster ones could be built."""
    lacks_cuda = torch.cuda.is_available() and not is_compiled("cuda")
    if is_compiled() and lacks_cuda:
        _logger.warning(
            "%s This machine has a GPU: with the CUDA toolkit installed, run `%s` for its kernels.",
            backend_summary(),
            _REBUILD,
        )
    else:
        _logger.log(logging.INFO if is_compiled() else logging.WARNING, backend_summary())


def _load() -> frozenset[str]:
    """Load the library if it was built and return the devices it has kernels for."""
    spec = importlib.util.find_spec("gvseg.ops._C")
    if spec is None or spec.origin is None:
        return frozenset()
    try:
        torch.ops.load_library(spec.origin)
    except OSError as error:
        raise ImportError(
            f"{spec.origin} does not load, most likely because it was built for another PyTorch "
            f"than {torch.__version__}; run `{_REBUILD}` in the clone: {error}"
        ) from error
    torch.library.register_fake("gvseg::ms_deform_attn", _fake_forward)
    torch.library.register_fake("gvseg::ms_deform_attn_backward", _fake_backward)
    torch.library.register_autograd(
        "gvseg::ms_deform_attn", _backward, setup_context=_save_for_backward
    )
    torch.library.register_autograd("gvseg::ms_deform_attn_backward", _refuse_second_derivative)
    return frozenset(torch.ops.gvseg.compiled_devices().split(","))


def _fake_forward(
    value: Tensor,
    spatial_shapes: list[int],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> Tensor:
    pairs = zip(spatial_shapes[::2], spatial_shapes[1::2], strict=True)
    check_arguments(value, list(pairs), sampling_locations, attention_weights)
    batch, _, heads, channels = value.shape
    return value.new_empty((batch, sampling_locations.shape[1], heads * channels))


def _fake_backward(
    grad_output: Tensor,
    value: Tensor,
    spatial_shapes: list[int],
    sampling_locations: Tensor,
    attention_weights: Tensor,
) -> tuple[Tensor, Tensor, Tensor]:
    # As the kernels do: contiguous whatever the inputs are.
    return (
        value.new_empty(value.shape),
        sampling_locations.new_empty(sampling_locations.shape),
        attention_weights.new_empty(attention_weights.shape),
    )


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ANN401
    value, spatial_shapes, sampling_locations, attention_weights = inputs
    ctx.save_for_backward(value, sampling_locations, attention_weights)
    ctx.spatial_shapes = spatial_shapes


def _backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor, None, Tensor, Tensor]:  # noqa: ANN401
    value, sampling_locations, attention_weights = ctx.saved_tensors
    grad_value, grad_locations, grad_weights = torch.ops.gvseg.ms_deform_attn_backward(
        grad_output, value, ctx.spatial_shapes, sampling_locations, attention_weights
    )
    return grad_value, None, grad_locations, grad_weights


def _refuse_second_derivative(ctx: Any, *grads: Tensor) -> None:  # noqa: ANN401
    raise NotImplementedError("ms_deform_attn has no second derivative.")


_COMPILED_DEVICES = _load()
