"""Rules that hold for every line of source: nothing is unpickled, evaluated or handed to a shell."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(p for folder in ("synthgen", "tasks", "exporters", "cluster") for p in (ROOT / folder).rglob("*.py"))

# Modules that turn bytes into code or objects of any type.
MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal", "jsonpickle", "pty"}
CALLS = {
    "eval", "exec", "compile", "__import__", "os.system", "os.popen", "subprocess.getoutput",
    "subprocess.getstatusoutput", "yaml.load", "yaml.unsafe_load", "torch.load", "pandas.read_pickle", "pd.read_pickle",
}  # fmt: skip
# The one place where files of a project folder are executed; see docs/security.md.
MAY_EXECUTE = {"synthgen/core/project.py"}
SPAWN = {"run", "Popen", "call", "check_call", "check_output"}


def name_of(node: ast.expr) -> str:
    """`a.b.c` of an expression, or ""."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = name_of(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def offences(tree: ast.AST, *, may_execute: bool = False) -> Iterator[str]:
    """What in a module breaks the rules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Call):
            called = name_of(node.func)
            if called in CALLS:
                yield called
            if called.endswith(".exec_module") and not may_execute:
                yield called
            arguments = {k.arg: k.value for k in node.keywords}
            if "shell" in arguments:
                yield f"{called}(shell=...)"
            pickles = arguments.get("allow_pickle")
            if pickles is not None and not (isinstance(pickles, ast.Constant) and pickles.value is False):
                yield f"{called}(allow_pickle=...)"
            if called in {f"subprocess.{s}" for s in SPAWN} and node.args and isinstance(node.args[0], ast.JoinedStr):
                yield f"{called}(one string)"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_is_unpickled_evaluated_or_handed_to_a_shell(path: Path) -> None:
    where = str(path.relative_to(ROOT))
    assert not list(offences(ast.parse(path.read_text()), may_execute=where in MAY_EXECUTE))


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from dill import loads",
        "eval(x)",
        "import os; os.system('ls')",
        "subprocess.run('ls', shell=True)",
        "subprocess.run(f'ls {x}')",
        "np.load(x, allow_pickle=True)",
        "np.load(x, allow_pickle=flag)",
        "spec.loader.exec_module(m)",
        "yaml.load(x)",
    ],
)
def test_the_rules_see_what_breaks_them(text: str) -> None:
    assert list(offences(ast.parse(text)))


def test_only_project_folders_are_executed() -> None:
    executing = {
        str(p.relative_to(ROOT)) for p in SOURCES if p.parts[-2] != "cluster" and "exec_module" in p.read_text()
    }
    assert executing == MAY_EXECUTE
