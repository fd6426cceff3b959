"""Make a virtual environment with gvseg and everything it needs, saying what is done at each step.

    python tools/install.py [--venv FOLDER] [--torch-index URL] [--detectron2 auto|github|pypi]

`make install` runs this. Versions come from constraints.txt. A torch or torchvision that the
environment has already is kept where gvseg works with it; the rest of the pins then give way to it.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST_PYTHON = (3, 10)
OLDEST_TORCH = (2, 6)
NUM_STEPS = 5
MADE = ".gvseg-made"  # in an environment that this made, which `make distclean` may remove


def main() -> int:
    """Install everything and return the exit code."""
    parser = argparse.ArgumentParser(description="Install gvseg into a virtual environment.")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="made if missing")
    parser.add_argument("--torch-index", help="package index to take torch and torchvision from")
    parser.add_argument("--detectron2", choices=("auto", "github", "pypi"), default="auto")
    args = parser.parse_args()
    try:
        install(args.venv.absolute(), args.torch_index, args.detectron2)
    except (OSError, ValueError) as error:
        print(f"Not installed: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        print(f"Not installed: this command failed, see above: {command}", file=sys.stderr)
        return 1
    return 0


def install(venv: Path, torch_index: str | None, detectron2_source: str) -> None:
    """Run the steps in order.

    Raises:
        ValueError: Python or its venv module is too old or missing.
        OSError: the environment cannot be written.
        subprocess.CalledProcessError: a step failed.
    """
    python = make_venv(venv)
    constraints = venv / "constraints.txt"
    constraints.write_text(CONSTRAINTS.read_text())

    step(2, "build tools (setuptools, wheel, ninja)")
    pip(python, "install", "--constraint", constraints, "setuptools", "wheel", "ninja")

    install_torch(python, constraints, torch_index)

    step(4, "detectron2")
    script = ROOT / "tools" / "install_detectron2.py"
    run(python, script, "--source", detectron2_source, "--constraint", constraints)

    step(5, "gvseg with its compiled operator, and the tools for tests and lint")
    install_gvseg(python, constraints, log=venv / "gvseg-install.log")
    run(python, "-c", "from gvseg import ops; print(ops.backend_summary())")
    say(f"\ngvseg is installed in {venv}")


def make_venv(venv: Path) -> Path:
    """Make the environment, or find it, and return its Python."""
    python = venv / "bin" / "python"
    if python.is_file():
        step(1, f"using the environment {venv}")
        version = tuple(map(int, output(python, "-c", PRINT_PYTHON_VERSION).split()))
        check_python(version, python)
        return python
    check_python(sys.version_info[:2], Path(sys.executable))
    if importlib.util.find_spec("ensurepip") is None:
        raise ValueError(
            f"{sys.executable} cannot make virtual environments; "
            "install its venv package (python3-venv on Debian and Ubuntu)."
        )
    step(1, f"making the environment {venv} with Python {sys.version.split()[0]}")
    if not venv.exists() or not any(venv.iterdir()):
        venv.mkdir(parents=True, exist_ok=True)
        (venv / MADE).touch()
    run(Path(sys.executable), "-m", "venv", venv)
    return python


PRINT_PYTHON_VERSION = "import sys; print(*sys.version_info[:2])"


def check_python(version: tuple[int, ...], python: Path) -> None:
    """Raise a ValueError where gvseg does not support this Python."""
    if version < OLDEST_PYTHON:
        needed, found = (".".join(map(str, numbers)) for numbers in (OLDEST_PYTHON, version))
        raise ValueError(
            f"gvseg needs Python {needed} or newer, {python} is {found}; "
            "name another with `make PYTHON=...`."
        )


def install_torch(python: Path, constraints: Path, index: str | None) -> None:
    """Install torch and torchvision, or keep what is there, and write the pins that result."""
    found, *requirements = output(python, "-c", PRINT_TORCH).splitlines() or [""]
    pins = constraints.read_text()
    if found and release(found) >= OLDEST_TORCH:
        step(3, f"keeping torch {found}, with the torchvision that fits it")
        if f"torch=={found.split('+')[0]}" not in pins.splitlines():
            loose = ["torch", "torchvision", *map(project_name, requirements)]
            constraints.write_text(f"{without(pins, loose)}torch=={found}\n")
    else:
        reason = f" in place of torch {found}, which is too old" if found else ""
        step(3, f"torch and torchvision{reason} (with CUDA, some gigabytes)")
    request: list[str | Path] = ["install", "--constraint", constraints, "torch", "torchvision"]
    if not index:
        pip(python, *request)
        return
    # An index of torch has few versions of what torch requires, if any: that comes from where all
    # else does, but for what it alone has.
    pip(python, *request, "--no-deps", "--index-url", index)
    pip(python, *request, "--extra-index-url", index)


# The version of torch, then what it requires, one a line; nothing where there is no torch.
PRINT_TORCH = """
from importlib.metadata import PackageNotFoundError, distribution
try:
    torch = distribution("torch")
    print(torch.version, *(torch.requires or []), sep="\\n")
except PackageNotFoundError:
    pass
"""


def release(version: str) -> tuple[int, ...]:
    """Leading numbers of a version: `2.14.1+cpu` -> (2, 14, 1)."""
    return tuple(map(int, re.findall(r"\d+", version.split("+")[0])))


def without(constraints: str, names: Iterable[str]) -> str:
    """Constraints less the pins of some packages."""
    dropped = set(names)
    lines = constraints.splitlines(keepends=True)
    return "".join(line for line in lines if project_name(line) not in dropped)


def project_name(requirement: str) -> str:
    """Package that a requirement or a pin is about: `sympy==1.13.1; ...` -> sympy."""
    name = re.match(r"[\w.-]*", requirement)
    return name[0].lower().replace("_", "-") if name else ""


def install_gvseg(python: Path, constraints: Path, log: Path) -> None:
    """Install this checkout in place; everything that pip and the compiler say goes to `log`."""
    # The operator is built against the torch installed above, not one of an isolated build.
    editable = ["--no-build-isolation", "--editable", f"{ROOT}[dev]"]
    command = [str(python), "-m", "pip", "install", "--verbose", "--constraint", str(constraints)]
    shown = set()
    with (
        log.open("w") as file,
        subprocess.Popen(
            [*command, *editable],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            file.write(line)
            text = line.strip()
            # setup.py runs more than once; what it says of its choices is wanted once.
            if text.startswith(SHOWN) and text not in shown:
                shown.add(text)
                say(text)
    if process.returncode:
        sys.stderr.writelines(f"{line}\n" for line in log.read_text().splitlines()[-60:])
        say(f"The whole report is in {log}.")
        raise subprocess.CalledProcessError(process.returncode, [*command, *editable])


SHOWN = ("gvseg: ", "Collecting ", "Successfully ")


def step(number: int, text: str) -> None:
    """Announce a step."""
    say(f"\n==> [{number}/{NUM_STEPS}] {text}")


def pip(python: Path, *arguments: str | Path) -> None:
    """Run pip of the environment."""
    run(python, "-m", "pip", "--disable-pip-version-check", *arguments)


def run(python: Path, *arguments: str | Path) -> None:
    """Run Python with its output shown."""
    subprocess.run([str(python), *map(str, arguments)], check=True, env=environment())


def output(python: Path, *arguments: str) -> str:
    """Run Python and return what it prints."""
    command = [str(python), *arguments]
    return subprocess.run(
        command, check=True, env=environment(), stdout=subprocess.PIPE, text=True
    ).stdout


def environment() -> dict[str, str]:
    """Environment variables without those that would send pip or Python elsewhere."""
    leaks = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_USER", "PIP_PREFIX")
    return {name: value for name, value in os.environ.items() if name not in leaks}


def say(text: str) -> None:
    """Print at once, so that our lines stand where they belong among those of pip."""
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
