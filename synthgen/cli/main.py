"""The ``synthgen`` command. Subcommands are imported when they are used, so that ``--help`` is quick."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from typing import NamedTuple

import click

import synthgen
from synthgen.cli.errors import guarded


class _Where(NamedTuple):
    """Module and attribute of a command, and its line in ``--help`` (so that help imports nothing)."""

    module: str
    attribute: str
    help: str


COMMANDS = {
    "run": _Where("run", "run", "Make demonstrations."),
    "status": _Where("status", "status", "What a run has reached, from its folder alone."),
    "replay": _Where("replay", "replay", "Run one slot again in this process, to debug it."),
    "gc": _Where("gc", "gc", "Remove files that no commit names."),
    "verify": _Where("dataset", "verify", "Re-read a data set or a run and say what is damaged."),
    "inspect": _Where("dataset", "inspect", "Show what a data set holds."),
    "merge": _Where("dataset", "merge", "Join data sets."),
    "split": _Where("dataset", "split", "Divide a data set."),
    "export": _Where("dataset", "export", "Write a data set in another format."),
    "render": _Where("render", "render", "Render recorded episodes again."),
    "scene": _Where("scene", "scene", "Check scenes."),
    "tasks": _Where("tasks", "tasks", "List and show tasks."),
    "embodiments": _Where("embodiments", "embodiments", "List and show robots."),
    "assets": _Where("assets", "assets", "Fetch and list robot assets."),
    "doctor": _Where("doctor", "doctor", "What this machine can run."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the commands whose modules exist."""
        return [name for name, where in COMMANDS.items() if _exists(where)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        where = COMMANDS.get(cmd_name)
        if where is None or not _exists(where):
            return None
        return getattr(importlib.import_module(f"synthgen.cli.{where.module}"), where.attribute, None)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with the nearest name in the error."""
        from synthgen.core.project import nearest

        name = args[0]
        if self.get_command(ctx, name) is None:
            ctx.fail(f"no such command {name!r}; {nearest(name, self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name].help) for name in self.list_commands(ctx)])


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    no_args_is_help=True,
)
@click.version_option(synthgen.__version__, prog_name="synthgen")
def cli() -> None:
    """Synthetic robot demonstrations: USD scenes in, checked LeRobot data sets out.

    \b
    Examples:
      synthgen doctor
      synthgen run --tasks pick_place --n 12 --workers 2 --out data/demo
      synthgen status data/demo
    """


def main() -> None:
    """Entry point: runs the command line and exits with its code."""
    code = guarded(lambda: cli.main(prog_name="synthgen", standalone_mode=False))
    if "ray" in sys.modules:
        # Everything was given back already; Ray's own clearing up would wait for a cluster that may be gone.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _exists(where: _Where) -> bool:
    return importlib.util.find_spec(f"synthgen.cli.{where.module}") is not None


if __name__ == "__main__":
    main()
