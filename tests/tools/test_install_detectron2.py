import subprocess
import sys
import urllib.error
import zipfile

import pytest

from tools import install_detectron2 as script

PACKAGE = {
    "detectron2/__init__.py": '__version__ = "0.7"\n',
    "detectron2/config/__init__.py": "answer = 42\n",
    "detectron2/_C.cpython-310-x86_64-linux-gnu.so": "compiled for one torch",
}


def write_zip(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def write_wheel(folder):
    others = {"detectron2-0.7.dist-info/LICENSE": "terms", "tools/train_net.py": "not ours"}
    return write_zip(folder / "published.whl", PACKAGE | others)


def write_source_archive(folder):
    prefix = "detectron2-abc/"
    files = {prefix + name: text for name, text in PACKAGE.items()}
    nested = {prefix + "projects/detectron2/__init__.py": "", prefix + "projects/LICENSE": "other"}
    return write_zip(folder / "source.zip", nested | files | {prefix + "LICENSE": "terms"})


@pytest.mark.parametrize("write", [write_wheel, write_source_archive])
def test_packed_wheel_installs_and_imports(tmp_path, write):
    wheel = script.pack_wheel(write(tmp_path), tmp_path)
    target = tmp_path / "site"

    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", target, wheel]
    subprocess.run(install, check=True)
    code = (
        "import detectron2.config, importlib.metadata as metadata;"
        "print(detectron2.config.answer, metadata.version('detectron2'))"
    )
    command = [sys.executable, "-c", code]
    printed = subprocess.run(command, check=True, cwd=target, capture_output=True, text=True).stdout

    assert printed.split() == ["42", "0.7+python"]


@pytest.mark.parametrize("write", [write_wheel, write_source_archive])
def test_packed_wheel_holds_python_files_and_licence_only(tmp_path, write):
    with zipfile.ZipFile(script.pack_wheel(write(tmp_path), tmp_path)) as wheel:
        names = set(wheel.namelist())
        licence = wheel.read("detectron2-0.7+python.dist-info/LICENSE")

    package = {name for name in names if ".dist-info/" not in name}
    assert package == {"detectron2/__init__.py", "detectron2/config/__init__.py"}
    assert licence == b"terms"


def test_archive_without_the_package_is_refused(tmp_path):
    archive = write_zip(tmp_path / "page.zip", {"LICENSE": "", "elsewhere/__init__.py": ""})

    with pytest.raises(ValueError, match=r"page\.zip lacks a detectron2 package"):
        script.pack_wheel(archive, tmp_path)


def test_package_without_version_is_refused(tmp_path):
    archive = write_zip(tmp_path / "a.zip", {"LICENSE": "", "detectron2/__init__.py": ""})

    with pytest.raises(ValueError, match="states no version"):
        script.pack_wheel(archive, tmp_path)


@pytest.fixture
def sources(monkeypatch):
    """Record which sources are asked; the network is not."""
    asked = []
    monkeypatch.setattr(script, "fetch_github", lambda folder: asked.append("github"))
    monkeypatch.setattr(script, "fetch_pypi", lambda folder: asked.append("pypi"))
    return asked


def refuse(folder):
    raise urllib.error.URLError("no route")


def test_github_comes_first(sources, tmp_path):
    script.fetch("auto", tmp_path)

    assert sources == ["github"]


def test_pypi_follows_where_github_cannot_be_reached(sources, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(script, "fetch_github", refuse)

    script.fetch("auto", tmp_path)

    assert sources == ["pypi"]
    assert "GitHub cannot be reached" in capsys.readouterr().out


def test_named_source_is_the_only_one_asked(sources, monkeypatch, tmp_path):
    script.fetch("pypi", tmp_path)
    assert sources == ["pypi"]

    monkeypatch.setattr(script, "fetch_github", refuse)
    with pytest.raises(OSError, match="no route"):
        script.fetch("github", tmp_path)


def test_importable_detectron2_is_kept(sources, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["install_detectron2.py"])

    assert script.main() == 0
    assert sources == []
    assert "keeping" in capsys.readouterr().out


def test_wheel_of_another_content_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(script, "pip", lambda *arguments: write_wheel(tmp_path))

    with pytest.raises(ValueError, match="SHA-256"):
        script.fetch_pypi(tmp_path)
