"""The task written out in docs/tasks.md works, and so does its test."""

import re
from pathlib import Path

import pytest

from synthgen.core.project import Project

TEXT = (Path(__file__).parents[2] / "docs" / "tasks.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.S)


@pytest.fixture(scope="module")
def tidy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    (folder / "tasks").mkdir()
    (folder / "tasks" / "tidy.py").write_text(BLOCKS[0])
    return Project.of(folder).load("tasks", "task")["tidy"]


def test_the_documented_suite_passes(tidy):
    names: dict[str, object] = {"task": tidy}
    exec(BLOCKS[1], names)
    suite = names["TestTidy"]()
    suite.draws = 5
    # The fixture's own function, without pytest around it.
    worlds = type(suite).worlds.__wrapped__(suite)
    checks = [name for name in dir(suite) if name.startswith("test_")]
    assert len(checks) >= 8
    for name in checks:
        check = getattr(suite, name)
        check(worlds) if "worlds" in check.__code__.co_varnames else check()


def test_what_the_page_says_of_skills_is_so():
    from synthgen.experts import skills

    for name in re.findall(r"^\| `(\w+)\(", TEXT, re.M):
        if name[0].isupper():
            assert hasattr(skills, name)
