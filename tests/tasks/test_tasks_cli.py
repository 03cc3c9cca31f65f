"""``synthgen tasks``."""

import json

from click.testing import CliRunner

from synthgen.cli.errors import guarded
from synthgen.cli.tasks import tasks

OWN = '''"""Wave.

Waves at people."""
from synthgen.core.task import Needs


class Wave:
    name = "wave"
    summary = "Wave a hand."
    needs = Needs()
    subtasks = ("wave",)
    time_limit = 5.0
    dwell = 0.1

    def instructions(self, world):
        return ["wave"]

    def program(self, world):
        return iter(())

    def success(self, world):
        return True

    def failure_reason(self, world):
        return "not_successful"


task = Wave()
'''


def run(*args: str):
    return CliRunner().invoke(tasks, list(args))


def test_list_names_the_built_in_task():
    assert "pick_place  Pick an object up" in run("list").output
    assert {"name": "pick_place", "summary": "Pick an object up and put it into a receptacle."} in json.loads(
        run("list", "--json").output
    )


def test_show_says_what_it_needs():
    shown = json.loads(run("show", "pick_place", "--json").output)
    assert shown["needs"]["slots"] == ["target", "container"]
    assert shown["subtasks"][0] == "reach" and shown["dwell"] == 0.5
    assert "Success conditions:" in shown["description"]
    text = run("show", "pick_place").output
    assert "reach, grasp, lift, move, release, retreat" in text and "pick_place.py" in text


def test_a_file_in_a_project_folder_is_a_task(tmp_path):
    folder = tmp_path / "lab" / "tasks"
    folder.mkdir(parents=True)
    (folder / "wave.py").write_text(OWN)
    listed = json.loads(run("list", "--json", "--project", str(folder.parent)).output)
    assert [t["name"] for t in listed] == ["wave", "pick_place"]
    assert "Waves at people." in run("show", "wave", "--project", str(folder.parent)).output


def test_an_unknown_task_suggests_the_nearest(capsys):
    code = guarded(lambda: tasks.main(["show", "pick_plaice"], standalone_mode=False))
    said = capsys.readouterr().err
    assert code == 2
    assert "pick_plaice" in said and "'pick_place'" in said and "Traceback" not in said
