"""Install detectron2 into the Python that runs this script, without compiling anything.

    python tools/install_detectron2.py [--source auto|github|pypi] [--constraint FILE]

detectron2 publishes no package of its own, and building its C++ operators fails on many machines.
gvseg uses none of those operators, so its Python files are enough. `auto` takes
the first that applies:

1. a detectron2 that can be imported already is kept, compiled operators and all;
2. the upstream source, where GitHub can be reached;
3. a wheel on PyPI with the Python files of upstream as of November 2024.

The Python files of 2 and 3 are packed into a wheel named `detectron2`, which pip then installs with
the libraries that it needs: `pip list`, `pip check` and `pip uninstall` work as for any package.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib
import re
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path, PurePosixPath

UPSTREAM_COMMIT = "fd27788985af0f4ca800bca563acdb700bb890e2"
UPSTREAM_ARCHIVE = f"https://github.com/facebookresearch/detectron2/archive/{UPSTREAM_COMMIT}.zip"
CONNECT_TIMEOUT = 10  # seconds for GitHub to answer before the next source is taken

PYPI_REQUIREMENT = "sal-detectron2==0.7.2"
PYPI_SHA256 = "491af0c7f79bdb2d178e46f6cb16a97c4ac968d45c41ea3f6b6435d59bbee561"

# What detectron2 imports at run time. Its own list adds `black`, which it uses only to print lazy
# configs, and upper bounds that newer releases of these libraries were seen to work beyond.
REQUIREMENTS = (
    "cloudpickle",
    "fvcore>=0.1.5",
    "hydra-core>=1.1",
    "iopath>=0.1.7",
    "matplotlib",
    "numpy",
    "omegaconf>=2.1",
    "packaging",
    "pillow>=7.1",
    "pycocotools>=2.0.2",
    "tabulate",
    "tensorboard",
    "termcolor>=1.1",
    "tqdm>4.29.0",
    "yacs>=0.1.8",
)


def main() -> int:
    """Install detectron2 from the chosen source and return the exit code."""
    parser = argparse.ArgumentParser(description="Install detectron2 without compiling anything.")
    parser.add_argument("--source", choices=("auto", "github", "pypi"), default="auto")
    parser.add_argument("--constraint", type=Path, help="constraints file for pip")
    args = parser.parse_args()
    if args.source == "auto" and (found := installed_detectron2()):
        say(f"detectron2: keeping {found}")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        try:
            archive = fetch(args.source, Path(folder))
            wheel = pack_wheel(archive, Path(folder))
            constraint = ["--constraint", str(args.constraint)] if args.constraint else []
            pip("install", *constraint, wheel)
        except (OSError, ValueError, subprocess.CalledProcessError) as error:
            print(f"detectron2: not installed: {error}", file=sys.stderr)
            return 1
    say(f"detectron2: installed {wheel.name}")
    return 0


def installed_detectron2() -> str:
    """Version and folder of the detectron2 that can be imported, or an empty string."""
    try:
        module = importlib.import_module("detectron2")
    except ImportError:
        return ""
    return f"{module.__version__} in {Path(module.__file__ or '').parent}"


def fetch(source: str, folder: Path) -> Path:
    """Download the archive of `source` into `folder` and return its path.

    Raises:
        OSError: GitHub was asked for and did not answer.
        ValueError: the downloaded wheel is not the expected one.
    """
    if source != "pypi":
        say(f"detectron2: asking GitHub for upstream at commit {UPSTREAM_COMMIT[:8]}")
        try:
            return fetch_github(folder)
        except OSError as error:
            if source == "github":
                raise
            say(f"detectron2: GitHub cannot be reached: {error}")
    say(f"detectron2: taking upstream's Python files from the wheel {PYPI_REQUIREMENT} on PyPI")
    return fetch_pypi(folder)


def fetch_github(folder: Path) -> Path:
    """Download upstream's source archive."""
    path = folder / "upstream.zip"
    with urllib.request.urlopen(UPSTREAM_ARCHIVE, timeout=CONNECT_TIMEOUT) as response:
        path.write_bytes(response.read())
    return path


def fetch_pypi(folder: Path) -> Path:
    """Download the wheel through pip, so that its mirrors and proxies are used."""
    # The wheel is tagged for Python 3.10 because of one compiled file, which is left out below.
    tags = ["--only-binary=:all:", "--python-version=3.10", "--implementation=cp"]
    pip("download", "--quiet", "--no-deps", *tags, "--dest", folder, PYPI_REQUIREMENT)
    path = next(folder.glob("*.whl"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != PYPI_SHA256:
        raise ValueError(f"{path.name} has SHA-256 {digest}, expected {PYPI_SHA256}.")
    return path


def pack_wheel(archive: Path, folder: Path) -> Path:
    """Write a wheel that any Python and platform accepts, and return its path.

    Args:
        archive: a zip of the source tree or a wheel, with `detectron2/` anywhere inside.
        folder: where to write.

    Raises:
        ValueError: the archive has no `detectron2` package, or one without a version.
    """
    files = package_files(archive)
    version = package_version(files)
    name = f"detectron2-{version}"
    info = f"{name}.dist-info"
    files[f"{info}/LICENSE"] = files.pop("LICENSE")
    requires = "".join(f"Requires-Dist: {requirement}\n" for requirement in REQUIREMENTS)
    files[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: detectron2\nVersion: {version}\nLicense: Apache-2.0\n"
        f"Summary: The Python files of detectron2, without its compiled operators\n{requires}"
    ).encode()
    files[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: gvseg\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    record = "".join(f"{path},{record_hash(data)},{len(data)}\n" for path, data in files.items())
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    wheel = folder / f"{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as target:
        for path, data in files.items():
            target.writestr(path, data)
    return wheel


def package_files(archive: Path) -> dict[str, bytes]:
    """Content of the licence and of every uncompiled file of the package, by path."""
    with zipfile.ZipFile(archive) as source:
        paths = [PurePosixPath(name) for name in source.namelist() if not name.endswith("/")]
        inits = [path for path in paths if path.match("detectron2/__init__.py")]
        licences = [path for path in paths if path.name == "LICENSE"]
        if not inits or not licences:
            raise ValueError(f"{archive.name} lacks a detectron2 package or its licence.")
        package = min(inits, key=depth).parent
        files = {
            str(path.relative_to(package.parent)): source.read(str(path))
            for path in paths
            if path.is_relative_to(package) and path.suffix not in (".so", ".pyd")
        }
        return files | {"LICENSE": source.read(str(min(licences, key=depth)))}


def depth(path: PurePosixPath) -> int:
    """Count of the folders above `path`; the repository has further packages of the same name."""
    return len(path.parents)


def package_version(files: dict[str, bytes]) -> str:
    """Version that the package states, with a label that tells it from a build with operators."""
    init = files["detectron2/__init__.py"].decode()
    version = re.search(r"^__version__ = \"([^\"]+)\"", init, re.MULTILINE)
    if version is None:
        raise ValueError("The detectron2 that was downloaded states no version.")
    return f"{version[1]}+python"


def record_hash(data: bytes) -> str:
    """Digest as a wheel's RECORD writes it."""
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=")
    return f"sha256={digest.decode()}"


def pip(*arguments: str | Path) -> None:
    """Run pip of this Python."""
    subprocess.run([sys.executable, "-m", "pip", *map(str, arguments)], check=True)


def say(text: str) -> None:
    """Print at once, so that our lines stand where they belong among those of pip."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
