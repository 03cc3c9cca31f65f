"""``synthgen status``: from storage alone, so it works on another machine and with the driver dead."""

from __future__ import annotations

import json
import time

import click

from synthgen.cli.live import duration
from synthgen.cli.place import RunPlace
from synthgen.store.place import Place, open_run
from synthgen.store.status import RunStatus
from synthgen.store.status import status as read_status


@click.command()
@click.argument("run", type=RunPlace())
@click.option("--json", "as_json", is_flag=True, help="Print JSON (one line per reading with --watch).")
@click.option("--watch", is_flag=True, help="Keep reading until the run is complete.")
@click.option(
    "--every", type=click.FloatRange(min=0.2), default=5.0, show_default=True, help="Seconds between readings."
)
def status(run: Place, as_json: bool, watch: bool, every: float) -> None:
    """What a run has reached: done, missing, quarantined, rate, time to go, failure reasons, cost by phase.

    \b
    Examples:
      synthgen status data/demo
      synthgen status data/demo --json
      synthgen status /shared/run1 --watch
      synthgen status s3://bucket/run1
    """
    store = open_run(run)
    while True:
        state = read_status(store)
        if as_json:
            click.echo(json.dumps(state.to_json()))
        else:
            if watch:
                click.clear()
            _print(state)
        if not watch or state.complete:
            return
        time.sleep(every)


def _print(state: RunStatus) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    console.print(f"{state.root}   plan {state.plan[:12]}", highlight=False)
    table = Table(box=None, pad_edge=False)
    for heading in ("task", "robot"):
        table.add_column(heading, header_style="bold")
    for heading in ("requested", "committed", "waiting", "attempts", "success", "replayed", "s/trajectory"):
        table.add_column(heading, justify="right", header_style="bold")
    for c in state.cells:
        done = c.committed + c.spooled
        cost = sum(c.seconds.values())
        table.add_row(
            c.task,
            c.embodiment,
            str(c.requested),
            str(c.committed),
            str(c.spooled),
            str(c.attempts),
            "–" if c.success_rate is None else f"{100 * c.success_rate:.1f} %",
            str(c.replay_passed),
            f"{cost / done:.2f}" if done else "–",
        )
    console.print(table)
    for c in state.cells:
        if c.failures:
            reasons = ", ".join(f"{reason} {count}" for reason, count in c.failures.most_common())
            console.print(f"failures of {c.task}.{c.embodiment}: {reasons}", highlight=False)
    parts = [f"{state.shards_committed} of {state.shards} shards committed"]
    if state.complete:
        parts.append("complete")
    elif state.rate:
        parts.append(f"{state.rate:.2f} trajectories/s, {duration(state.eta)} to go")
    if state.quarantined:
        parts.append(f"{state.quarantined} slots quarantined")
    console.print("; ".join(parts), highlight=False)
    for c in state.cells:
        for q in c.quarantined[:5]:
            console.print(f"  quarantined: {c.task}.{c.embodiment} slot {q['slot']}: {q['detail']}", highlight=False)
