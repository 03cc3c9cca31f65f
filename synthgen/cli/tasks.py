"""``synthgen tasks``: which tasks there are, and what they ask for."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import click

from synthgen.core.project import Project, pick
from synthgen.core.task import Task

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_project = click.option(
    "--project", type=click.Path(path_type=Path, file_okay=False), help="A folder of your own with tasks/."
)


@click.group()
def tasks() -> None:
    """The tasks: files in tasks/ of the project folder, and those of installed packages.

    \b
    Examples:
      synthgen tasks list
      synthgen tasks show pick_place
    """


@tasks.command("list")
@_project
@_json
def list_tasks(project: Path | None, as_json: bool) -> None:
    """List the tasks: name and what they are about.

    \b
    Example:
      synthgen tasks list --project my_lab
    """
    found = Project.of(project).load("tasks", "task")
    if as_json:
        click.echo(json.dumps([{"name": t.name, "summary": t.summary} for t in found.values()], indent=2))
        return
    width = max((len(name) for name in found), default=0)
    for name, task in found.items():
        click.echo(f"{name:<{width}}  {task.summary}")


@tasks.command("show")
@click.argument("name")
@_project
@_json
def show(name: str, project: Path | None, as_json: bool) -> None:
    """Show the task NAME: what it needs, its subtasks, its time limit and where it is defined.

    \b
    Example:
      synthgen tasks show pick_place --json
    """
    task: Task = pick("task", name, Project.of(project).load("tasks", "task"))
    details = _details(task)
    if as_json:
        click.echo(json.dumps(details, indent=2))
        return
    click.echo(f"{task.name}: {task.summary}\n")
    if details["description"]:
        click.echo(f"{details['description']}\n")
    click.echo(f"slots         {', '.join(task.needs.slots) or 'none'}")
    click.echo(f"arms          {task.needs.arms}")
    click.echo(f"capabilities  {', '.join(task.needs.capabilities)}")
    click.echo(f"subtasks      {', '.join(task.subtasks)}")
    click.echo(f"time limit    {task.time_limit:g} s, success held for {task.dwell:g} s")
    click.echo(f"file          {details['file']}")


def _details(task: Task) -> dict[str, Any]:
    module = inspect.getmodule(type(task))
    text = inspect.getdoc(module) or "" if module else ""
    return {
        "name": task.name,
        "summary": task.summary,
        # The module's first line repeats the summary.
        "description": "\n".join(text.splitlines()[1:]).strip(),
        "needs": {
            "slots": list(task.needs.slots),
            "arms": task.needs.arms,
            "capabilities": list(task.needs.capabilities),
        },
        "subtasks": list(task.subtasks),
        "time_limit": task.time_limit,
        "dwell": task.dwell,
        "file": str(getattr(module, "__file__", "") or ""),
    }
