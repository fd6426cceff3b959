import subprocess

from tools.check_file_length import long_files


def test_only_sources_over_the_limit_are_reported(tmp_path):
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "short.py").write_text("x\n" * 400)
    (tmp_path / "long.cu").write_text("x\n" * 401)
    (tmp_path / "long.txt").write_text("x\n" * 401)
    (tmp_path / "built.py").write_text("x\n" * 401)
    (tmp_path / ".gitignore").write_text("built.py\n")

    assert long_files(tmp_path) == [("long.cu", 401)]
