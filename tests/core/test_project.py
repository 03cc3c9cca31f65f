"""Tasks, exporters and scenes are found in the user's folder first, then in the built-in one."""

from pathlib import Path

import pytest

from synthgen.core.errors import UsageError
from synthgen.core.project import Project, builtin_root, pick

PLUGIN = "class Thing:\n    name = {name!r}\n    origin = {origin!r}\n{attribute} = Thing()\n"


def write(root: Path, kind: str, stem: str, *, name: str, attribute: str, origin: str = "user") -> None:
    (root / kind).mkdir(parents=True, exist_ok=True)
    (root / kind / f"{stem}.py").write_text(PLUGIN.format(name=name, origin=origin, attribute=attribute))


def test_a_dropped_in_file_is_found_and_wins_over_later_roots(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    write(mine, "tasks", "stack", name="stack", attribute="task")
    write(theirs, "tasks", "stack", name="stack", attribute="task", origin="later root")
    write(theirs, "tasks", "pour", name="pour", attribute="task")
    write(mine, "tasks", "_helper", name="helper", attribute="task")
    found = Project(roots=(mine, theirs)).load("tasks", "task")
    assert sorted(found) == ["pour", "stack"]
    assert found["stack"].origin == "user"


def test_the_users_folder_comes_before_the_built_in_one(tmp_path: Path) -> None:
    assert Project.of(tmp_path).roots == (tmp_path, builtin_root())
    assert Project.of(None).roots == (builtin_root(),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("task = (", "cannot be imported: SyntaxError"),
        ("raise RuntimeError('boom')", "RuntimeError: boom"),
        ("x = 1", "defines no 'task'"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "bad.py").write_text(text)
    with pytest.raises(UsageError, match=r"bad\.py") as info:
        Project(roots=(tmp_path,)).load("tasks", "task")
    assert message in str(info.value)


def test_a_missing_project_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such folder"):
        Project.of(tmp_path / "nowhere")


def test_scenes_by_path_by_name_and_with_a_suggestion(tmp_path: Path) -> None:
    (tmp_path / "scenes").mkdir()
    file = tmp_path / "scenes" / "kitchen.usda"
    file.write_text("#usda 1.0\n")
    project = Project(roots=(tmp_path,))
    assert project.scene("kitchen") == project.scene("scenes/kitchen.usda") == project.scene(str(file)) == file
    with pytest.raises(UsageError, match="did you mean 'kitchen'"):
        project.scene("kichen")


def test_pick_suggests_the_nearest_name() -> None:
    assert pick("task", "a", {"a": 1}) == 1
    with pytest.raises(UsageError, match="unknown task 'pick_plase'") as info:
        pick("task", "pick_plase", {"pick_place": 1})
    assert "did you mean 'pick_place'?" in str(info.value)
