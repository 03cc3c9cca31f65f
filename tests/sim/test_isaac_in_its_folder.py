"""The same scenes, tasks, experts, recorder, exporters and commit for every engine: none of them knows of Isaac."""

from __future__ import annotations

import ast
from pathlib import Path

import synthgen
from synthgen.core.project import builtin_root

PACKAGE = Path(synthgen.__file__).parent
HOME = PACKAGE / "sim" / "isaac"
ENGINES = {"ovphysx", "newton", "isaacsim"}
THEIR_MODULES = {"isaaclab", "isaacsim", "ovphysx", "newton", "warp", "omni", "carb", "torch"}
# Who may name an engine: the registry, how long each may be silent, and what this machine has.
NAMING = {"sim/registry.py": ENGINES, "engine/settings.py": {"newton", "isaacsim"}, "cli/doctor.py": {"isaacsim"}}
# The one that shows the table of what each engine does.
SHOWING = {"cli/doctor.py"}


def elsewhere():
    """(short name, syntax tree) of every Python file that is not in Isaac's folder."""
    files = [p for p in PACKAGE.rglob("*.py") if not p.is_relative_to(HOME)]
    for folder in ("tasks", "exporters"):
        files += (builtin_root() / folder).rglob("*.py")
    for path in files:
        at = path.relative_to(PACKAGE) if path.is_relative_to(PACKAGE) else path.relative_to(builtin_root())
        yield at.as_posix(), ast.parse(path.read_text())


def imported(tree: ast.Module) -> set[str]:
    found = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return found | {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}


def test_nobody_else_imports_isaac_lab_or_what_it_brings():
    for name, tree in elsewhere():
        for module in imported(tree):
            top = module.split(".")[0]
            assert not {m for m in THEIR_MODULES if top == m or top.startswith(f"{m}_")}, f"{name}: {module}"
            assert not module.startswith("synthgen.sim.isaac") or name in SHOWING, f"{name}: {module}"


def test_nobody_else_asks_which_engine_it_is():
    for name, tree in elsewhere():
        words = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and n.value in ENGINES}
        assert words <= NAMING.get(name, set()), name
