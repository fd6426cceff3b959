import importlib.util
import json
import logging
import os
import subprocess
import sys
from importlib.machinery import ModuleSpec

import pytest
import torch

from gvseg import ops
from gvseg.ops import library
from tests.ops.samples import make_arguments

needs_library = pytest.mark.skipif(not ops.is_compiled(), reason="the kernels were not built")
PYRAMID = ((5, 7), (3, 4), (1, 1))
CAPABILITIES = ("DEFAULT", "AVX2", "AVX512")


@needs_library
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_forward_is_a_well_formed_operator(dtype):
    arguments = make_arguments(PYRAMID).to(dtype)
    value, locations, weights = (tensor.requires_grad_() for tensor in arguments.tensors)

    checks = torch.library.opcheck(
        torch.ops.gvseg.ms_deform_attn.default, (value, arguments.sizes, locations, weights)
    )

    assert set(checks.values()) == {"SUCCESS"}


@needs_library
def test_backward_is_a_well_formed_operator():
    arguments = make_arguments(PYRAMID)
    value, locations, weights = arguments.tensors
    grad_output = torch.randn(2, 7, 24)

    checks = torch.library.opcheck(
        torch.ops.gvseg.ms_deform_attn_backward.default,
        (grad_output, value, arguments.sizes, locations, weights),
    )

    assert set(checks.values()) == {"SUCCESS"}


@needs_library
def test_second_derivative_is_refused_in_words():
    arguments = make_arguments(PYRAMID)
    value, locations, weights = (tensor.requires_grad_() for tensor in arguments.tensors)
    output = ops.ms_deform_attn(value, PYRAMID, locations, weights)
    (grad,) = torch.autograd.grad(output.sum(), locations, create_graph=True)

    with pytest.raises(NotImplementedError, match="no second derivative"):
        grad.sum().backward()


@needs_library
@pytest.mark.parametrize("shape", [(2, 7, 25), (2, 8, 24), (24,)])
def test_backward_refuses_a_gradient_of_another_shape(shape):
    arguments = make_arguments(PYRAMID)
    value, locations, weights = arguments.tensors

    with pytest.raises(ValueError, match="grad_output must be"):
        torch.ops.gvseg.ms_deform_attn_backward(
            torch.randn(shape), value, arguments.sizes, locations, weights
        )


@needs_library
@pytest.mark.parametrize("capability", CAPABILITIES)
def test_each_instruction_set_follows_the_definition(capability):
    here = torch.backends.cpu.get_cpu_capability()
    if here not in CAPABILITIES or CAPABILITIES.index(here) < CAPABILITIES.index(capability):
        pytest.skip(f"this CPU has {here}")

    # PyTorch reads the variable once, so another process has to.
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": capability.lower()}
    report = subprocess.run(
        [sys.executable, "-m", "tests.ops.capability_probe"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    found = json.loads(report)
    assert found["capability"] == capability
    assert found["forward"] < 1e-5
    assert found["gradients"] < 1e-4


def test_no_library_means_the_definition(monkeypatch, caplog):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(library, "_COMPILED_DEVICES", library._load())
    library.log_backend.cache_clear()
    arguments = make_arguments(PYRAMID)

    assert not ops.is_compiled()
    assert "install a C++ compiler" in ops.backend_summary()
    with caplog.at_level(logging.INFO):
        ops.MSDeformAttn(embed_dim=8, num_heads=2, num_levels=3, num_points=2)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    output = ops.ms_deform_attn(arguments.value, PYRAMID, *arguments.tensors[1:])
    reference = ops.ms_deform_attn_reference(arguments.value, PYRAMID, *arguments.tensors[1:])
    assert torch.equal(output, reference)
    library.log_backend.cache_clear()


def test_a_library_that_does_not_load_is_an_error(monkeypatch, tmp_path):
    broken = tmp_path / "_C.abi3.so"
    broken.write_text("no library")
    spec = ModuleSpec("gvseg.ops._C", None, origin=str(broken))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)

    with pytest.raises(ImportError, match=r"_C\.abi3\.so does not load"):
        library._load()


@needs_library
def test_the_backend_is_logged_once(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    library.log_backend.cache_clear()

    with caplog.at_level(logging.INFO, logger="gvseg.ops"):
        for _ in range(2):
            ops.MSDeformAttn(embed_dim=8, num_heads=2, num_levels=1, num_points=2)

    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "compiled kernels for CPU" in caplog.text
    library.log_backend.cache_clear()


@needs_library
def test_a_gpu_without_kernels_is_warned_about(monkeypatch, caplog):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(library, "_COMPILED_DEVICES", frozenset({"cpu"}))
    library.log_backend.cache_clear()

    with caplog.at_level(logging.INFO, logger="gvseg.ops"):
        library.log_backend()

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "has a GPU" in caplog.text
    library.log_backend.cache_clear()
