import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from tools import install as script

PYTHON = Path(sys.executable)
PINS = """\
# Versions that are tested.
numpy==2.2.6; python_version < "3.11"
sympy==1.14.0
torch==2.14.1
torchvision==0.29.1
"""


@pytest.fixture
def installed(monkeypatch):
    """Pretend that the environment has a certain torch, and record what pip is asked for."""
    requests = []
    monkeypatch.setattr(script, "pip", lambda python, *arguments: requests.append(arguments))

    def pretend(version):
        monkeypatch.setattr(script, "output", lambda python, *arguments: version + "\n")
        return requests

    return pretend


def write_pins(tmp_path):
    path = tmp_path / "constraints.txt"
    path.write_text(PINS)
    return path


@pytest.mark.parametrize("version", ["", "2.14.1", "2.14.1+cpu"])
def test_pins_hold_without_another_torch(installed, tmp_path, version):
    installed(version)
    pins = write_pins(tmp_path)

    script.install_torch(PYTHON, pins, index=None)

    assert pins.read_text() == PINS


def test_pins_give_way_to_a_torch_that_is_there(installed, tmp_path, capsys):
    installed('2.9.0+cu128\nsympy==1.13.1; python_version >= "3.9"\nnetworkx')
    pins = write_pins(tmp_path)

    script.install_torch(PYTHON, pins, index=None)

    assert pins.read_text().splitlines() == [*PINS.splitlines()[:2], "torch==2.9.0+cu128"]
    assert "keeping torch 2.9.0+cu128" in capsys.readouterr().out


def test_this_torch_is_found():
    version, *requirements = script.output(PYTHON, "-c", script.PRINT_TORCH).splitlines()

    assert script.release(version) == script.release(torch.__version__)
    assert "sympy" in map(script.project_name, requirements)


def test_too_old_torch_is_replaced(installed, tmp_path, capsys):
    installed("2.5.1")
    pins = write_pins(tmp_path)

    script.install_torch(PYTHON, pins, index=None)

    assert pins.read_text() == PINS
    assert "2.5.1, which is too old" in capsys.readouterr().out


def test_torch_comes_from_the_index_that_is_named_and_all_else_from_the_usual(
    tmp_path, monkeypatch
):
    usual, of_torch = tmp_path / "usual", tmp_path / "of_torch"
    write_wheel(usual, "torch", "2.14.1", ["sympy", "numpy"])
    write_wheel(usual, "torchvision", "0.29.1", ["torch"])
    write_wheel(usual, "sympy", "1.14.0")
    write_wheel(usual, "numpy", "2.2.6")
    write_wheel(of_torch, "torch", "2.14.1+cpu", ["sympy", "numpy", "rocm"])
    write_wheel(of_torch, "torchvision", "0.29.1+cpu", ["torch"])
    write_wheel(of_torch, "sympy", "1.13.0")  # not the one that is pinned
    write_wheel(of_torch, "rocm", "7.0")  # nowhere else
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", usual.as_uri())
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"

    script.install_torch(python, write_pins(tmp_path), index=of_torch.as_uri())

    freeze = [python, "-m", "pip", "freeze"]
    found = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout.split()
    assert {*found} == {
        *("torch==2.14.1+cpu", "torchvision==0.29.1+cpu"),
        *("numpy==2.2.6", "sympy==1.14.0", "rocm==7.0"),
    }


def write_wheel(index, name, version, requires=()):
    """Put a package of nothing into an index on disk, as pip reads it."""
    folder = index / name
    folder.mkdir(parents=True)
    about = f"{name}-{version}.dist-info"
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    metadata += [f"Requires-Dist: {requirement}" for requirement in requires]
    file = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr(f"{about}/METADATA", "\n".join([*metadata, ""]))
        wheel.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{about}/RECORD", "")
    url = file.name.replace("+", "%2B")
    (folder / "index.html").write_text(f'<a href="{url}">{file.name}</a>')


def test_existing_environment_is_used(tmp_path, capsys):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)

    assert script.make_venv(tmp_path) == tmp_path / "bin" / "python"
    assert "using the environment" in capsys.readouterr().out


def test_old_python_is_refused():
    with pytest.raises(ValueError, match=r"needs Python 3\.10 or newer, .* is 3\.9"):
        script.check_python((3, 9), PYTHON)


def test_python_without_venv_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: None)

    with pytest.raises(ValueError, match="cannot make virtual environments"):
        script.make_venv(tmp_path / "venv")


def test_failed_command_is_one_line(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(sys, "argv", ["install.py", "--venv", str(tmp_path / "venv")])
    monkeypatch.setattr(script, "make_venv", lambda venv: venv.mkdir() or PYTHON)
    monkeypatch.setattr(script, "pip", lambda python, *_: script.run(python, "-c", "exit(3)"))

    assert script.main() == 1
    error = capfd.readouterr().err
    assert error.startswith("Not installed: this command failed")
    assert error.count("\n") == 1


def distclean(venv):
    return subprocess.run(
        ["make", "distclean", f"VENV={venv}"], cwd=script.ROOT, capture_output=True, text=True
    )


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_only_an_environment_made_here_is_removed(tmp_path, monkeypatch):
    """`make distclean` in a copy of the Makefile, as it removes what is built too."""
    root = tmp_path / "root"
    (root / "gvseg" / "ops" / "csrc").mkdir(parents=True)
    built = root / "gvseg" / "ops" / "_C.so"
    built.touch()
    shutil.copy(script.ROOT / "Makefile", root)
    monkeypatch.setattr(script, "ROOT", root)
    monkeypatch.setattr(script.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(script, "run", lambda python, *arguments: None)
    made, theirs = tmp_path / "made", tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "pyvenv.cfg").touch()
    for venv in (made, theirs):
        script.make_venv(venv)

    kept = distclean(theirs)
    assert kept.returncode != 0
    assert "theirs has no mark of make install" in kept.stderr
    assert (theirs / "pyvenv.cfg").exists()
    assert built.exists()
    assert distclean(made).returncode == 0
    assert not made.exists()
    assert not built.exists()
    assert distclean(made).returncode == 0
    assert "without spaces" in distclean(tmp_path / "made here").stderr
