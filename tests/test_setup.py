"""What setup.py decides to build, and what it says about it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gvseg import __version__

ROOT = Path(__file__).parents[1]
needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("c++", "g++", "clang++"))), reason="needs a C++ compiler"
)


def _ask(**environment):
    """Run setup.py up to the point where it knows what it would build."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in ("CXX", "GVSEG_CUDA", "CUDA_HOME", "CUDA_PATH", "TORCH_CUDA_ARCH_LIST")
    }
    command = [sys.executable, "setup.py", "--quiet", "--version"]
    return subprocess.run(
        command, cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True
    )


@pytest.fixture
def toolkit(tmp_path):
    """A folder that looks like a CUDA toolkit of release 5.5."""
    (tmp_path / "include").mkdir()
    (tmp_path / "include/cuda_runtime.h").touch()
    (tmp_path / "bin").mkdir()
    nvcc = tmp_path / "bin/nvcc"
    nvcc.write_text("#!/bin/sh\necho 'Cuda compilation tools, release 5.5, V5.5.0'\n")
    nvcc.chmod(0o755)
    return str(tmp_path)


def test_without_a_compiler_the_installation_goes_on_and_says_so(tmp_path):
    run = _ask(PATH=str(tmp_path))

    assert run.returncode == 0
    assert "no C++ compiler was found: the pure-PyTorch path will be used" in run.stdout
    assert "install one, such as g++" in run.stdout
    assert run.stdout.splitlines()[-1] == __version__


@needs_compiler
@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"CXX": "no-such-compiler"}, "CXX=no-such-compiler names no program"),
        ({"GVSEG_CUDA": "yes"}, "GVSEG_CUDA=yes is neither 0 nor 1"),
    ],
)
def test_a_wrong_request_is_an_error(environment, message):
    run = _ask(**environment)

    assert run.returncode != 0
    assert message in run.stderr


@needs_compiler
def test_a_toolkit_of_another_release_is_not_used(toolkit):
    if torch.version.cuda is None:
        pytest.skip("this PyTorch was built without CUDA")

    run = _ask(GVSEG_CUDA="1", CUDA_HOME=toolkit)

    assert run.returncode != 0
    assert f"{toolkit} is CUDA 5.5, but PyTorch was built for {torch.version.cuda}" in run.stderr


@needs_compiler
@pytest.mark.skipif(torch.cuda.is_available(), reason="builds for the GPUs that are here")
@pytest.mark.parametrize(
    ("environment", "gpus"),
    [
        ({}, "8.0;9.0+PTX"),
        ({"TORCH_CUDA_ARCH_LIST": ""}, "8.0;9.0+PTX"),
        ({"TORCH_CUDA_ARCH_LIST": "7.5"}, "7.5"),
    ],
)
def test_gpus_to_build_for_are_those_named_or_common_ones(toolkit, environment, gpus):
    if torch.version.cuda is None:
        pytest.skip("this PyTorch was built without CUDA")
    nvcc = Path(toolkit) / "bin/nvcc"
    nvcc.write_text(nvcc.read_text().replace("release 5.5", f"release {torch.version.cuda}"))

    run = _ask(GVSEG_CUDA="1", CUDA_HOME=toolkit, **environment)

    assert run.returncode == 0, run.stderr
    assert f"CUDA kernels with {toolkit}, for GPUs {gpus}." in run.stdout


@needs_compiler
def test_cuda_can_be_left_out(toolkit):
    run = _ask(GVSEG_CUDA="0", CUDA_HOME=toolkit)

    assert run.returncode == 0
    assert "no CUDA kernels: GVSEG_CUDA=0." in run.stdout
    assert "building CPU kernels with" in run.stdout
