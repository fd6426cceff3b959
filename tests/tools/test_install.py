import sys
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


def test_torch_comes_from_the_index_that_is_named(installed, tmp_path):
    requests = installed("")

    script.install_torch(PYTHON, write_pins(tmp_path), index="file:///wheels")

    assert requests[0][-4:] == ("--index-url", "file:///wheels", "torch", "torchvision")


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
