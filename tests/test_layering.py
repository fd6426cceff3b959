"""Imports point one way, and no file needs what an installation may lack."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A part may import itself and what stands in an earlier row.
LEVELS = (
    ("gvseg", "gvseg.structures", "gvseg.tasks", "gvseg.precision", "gvseg.ops"),
    ("gvseg.config", "gvseg.checkpoint", "gvseg.visualization"),
    ("gvseg.modeling", "gvseg.data"),
    ("gvseg.evaluation",),  # reads its ground truth through gvseg.data
    ("gvseg.inference",),
    ("gvseg.engine", "projects"),
    ("gvseg.cli", "train_net", "demo", "configs", "setup", "tools"),
)
LEVEL_OF = {part: level for level, parts in enumerate(LEVELS) for part in parts}
# Each project is a part of its own, so that none can import another.
NEVER = ("detectron2._C", "detectron2.model_zoo", "detectron2.projects")  # compiled or not packaged


def wrong_imports(root):
    """One line for each import in the sources under `root` that the levels forbid."""
    sources = [path for path in root.rglob("*.py") if not is_ignored(path.relative_to(root))]
    return [problem for path in sorted(sources) for problem in wrong_imports_of(path, root)]


def is_ignored(path):
    """Tests import what they test; folders such as .venv and build are not ours."""
    return path.parts[0] in ("tests", "build", "output") or any(
        name.startswith(".") for name in path.parts
    )


def wrong_imports_of(path, root):
    module = module_name(path.relative_to(root))
    importer = part_of(module)
    if importer is None:
        yield f"{path.relative_to(root)}: {module} belongs to no level"
        return
    for line, target in imported_modules(path, module):
        if not is_allowed(importer, target):
            yield f"{path.relative_to(root)}:{line}: {importer} imports {target}"


def is_allowed(importer, target):
    if target.startswith(NEVER):
        return False
    part = part_of(target)
    if part is None:  # a third party, or a name that is no module of ours
        return target.split(".")[0] not in ("gvseg", "projects")
    return part == importer or level(part) < level(importer)


def module_name(path):
    names = path.with_suffix("").parts
    return ".".join(names[:-1] if names[-1] == "__init__" else names)


def part_of(module):
    """Unit of the levels that a module belongs to, None for one of somebody else."""
    names = module.split(".")
    if names[0] == "projects":
        return ".".join(names[:2])
    if names[0] == "gvseg":
        part = ".".join(names[:2])
        return part if part in LEVEL_OF else None
    return names[0] if names[0] in LEVEL_OF else None


def level(part):
    return LEVEL_OF["projects" if part.startswith("projects") else part]


def imported_modules(path, module):
    """Line and absolute name of each import anywhere in a file, types and lazy ones included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = absolute(node, path, module)
            if source in ("gvseg", "projects", "detectron2"):  # their names are mostly modules
                yield from ((node.lineno, f"{source}.{alias.name}") for alias in node.names)
            else:
                yield node.lineno, source


def absolute(node, path, module):
    if not node.level:
        return node.module
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def test_imports_point_one_way():
    assert wrong_imports(ROOT) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("gvseg/modeling/head.py", "from gvseg.inference import VideoPredictor"),
        ("gvseg/modeling/head.py", "from gvseg.data.clip import Clip"),
        ("gvseg/modeling/head.py", "from gvseg import inference"),
        ("gvseg/modeling/head.py", "from ..inference import VideoPredictor"),
        ("gvseg/modeling/head.py", "def build():\n    import gvseg.engine.trainer"),
        ("gvseg/structures.py", "import gvseg.modeling"),
        ("gvseg/engine/__init__.py", "from projects.tube_link import add_config"),
        ("gvseg/config.py", "import projects"),
        ("gvseg/ops/__init__.py", "import detectron2._C"),
        ("gvseg/ops/__init__.py", "from detectron2 import model_zoo"),
        ("projects/maxtron/model.py", "from projects.tube_link.model import TubeLink"),
        ("projects/maxtron/model.py", "from ..tube_link import model"),
        ("projects/maxtron/model.py", "from gvseg.cli import main"),
        ("gvseg/helpers.py", "import torch"),
        ("scripts/run.py", "import torch"),
    ],
)
def test_a_wrong_import_is_reported(tmp_path, path, source):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)

    problems = wrong_imports(tmp_path)

    assert len(problems) == 1
    assert problems[0].startswith(path)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("gvseg/modeling/head.py", "import torch\nfrom gvseg.ops import ms_deform_attn"),
        ("gvseg/modeling/head.py", "from . import losses\nfrom .losses import dice_loss"),
        ("gvseg/inference/runner.py", "from gvseg import structures"),
        ("projects/maxtron/model.py", "from gvseg.modeling.losses import dice_loss"),
        ("projects/maxtron/__init__.py", "from projects.maxtron.model import MaXTron"),
        ("train_net.py", "from gvseg.engine.trainer import Trainer"),
        ("tests/modeling/test_head.py", "from gvseg.inference import VideoPredictor"),
    ],
)
def test_a_right_import_passes(tmp_path, path, source):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source)

    assert wrong_imports(tmp_path) == []
