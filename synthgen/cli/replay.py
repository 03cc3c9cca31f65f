"""``synthgen replay``: run one slot of a run again in this process, with nothing around it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from synthgen.cli.place import RunPlace
from synthgen.core.errors import QuarantinedError
from synthgen.core.plan import Shard
from synthgen.core.project import Project, pick
from synthgen.store.place import Place, open_run
from synthgen.store.run import RunStore


@click.command()
@click.argument("run", type=RunPlace())
@click.option("--slot", type=click.IntRange(min=0), required=True, help="Index of the slot within its task and robot.")
@click.option("--task", help="Which task.  [default: the run's only one]")
@click.option("--embodiment", help="Which robot.  [default: the run's only one]")
@click.option("--project", "project_folder", type=click.Path(path_type=Path), help="Your own tasks/ and exporters/.")
@click.option("--asset-root", type=click.Path(path_type=Path), help="Your own robot assets.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON lines.")
def replay(
    *,
    run: Place,
    slot: int,
    task: str | None,
    embodiment: str | None,
    project_folder: Path | None,
    asset_root: Path | None,
    as_json: bool,
) -> None:
    """Run one slot again in this process: what a quarantined slot does, with every attempt's outcome and no restarts.

    An episode is a function of the plan and its slot, so it does what it did in the run. Nothing is written. A crash
    ends this command as it ended the worker. First prints what is known of the simulators the slot killed.

    \b
    Examples:
      synthgen replay data/demo --slot 17 --embodiment g1
      SYNTHGEN_DEBUG=1 synthgen replay /shared/run1 --task pick_place --embodiment franka --slot 4711
    """
    from synthgen.engine.sources import open_source

    store = open_run(run)
    tasks = dict.fromkeys(c.task for c in store.plan.cells)
    robots = dict.fromkeys(c.embodiment for c in store.plan.cells)
    task = task or (next(iter(tasks)) if len(tasks) == 1 else "")
    embodiment = embodiment or (next(iter(robots)) if len(robots) == 1 else "")
    pick("task of the run", task, tasks)
    pick("robot of the run", embodiment, robots)
    for strike in known_strikes(store, task, embodiment, slot):
        _say(as_json, {"strike": strike}, f"strike: {strike['cause']} in {strike['phase']} ({strike['worker']})")
        if strike.get("log") and not as_json:
            click.echo("\n".join(f"  | {line}" for line in str(strike["log"]).splitlines()))
    os.environ.setdefault("MUJOCO_GL", "egl")
    source = open_source(
        store.plan, task, embodiment, project=Project.of(project_folder), asset_root=asset_root, num_envs=1
    )
    try:
        for outcome, episode in source.run([slot], beat=lambda phase, slot, attempt: None):
            end = "success" if outcome.success else f"{outcome.reason} {outcome.detail}".strip()
            frames = f", {len(episode)} frames" if episode is not None else ""
            seconds = sum(outcome.seconds.values())
            _say(
                as_json,
                {
                    "attempt": outcome.attempt,
                    "success": outcome.success,
                    "reason": outcome.reason,
                    "detail": outcome.detail,
                    "seconds": dict(outcome.seconds),
                },
                f"attempt {outcome.attempt}: {end} ({outcome.steps} steps, {seconds:.2f} s{frames})",
            )
            if outcome.success:
                return
    finally:
        source.close()
    raise QuarantinedError(f"slot {slot} of {task}.{embodiment} did not succeed in {store.plan.max_attempts} attempts")


def known_strikes(store: RunStore, task: str, embodiment: str, slot: int) -> list[dict[str, object]]:
    """What storage knows of the simulators that died on the slot."""
    from synthgen.store.files import parse
    from synthgen.store.run import quarantine_file
    from synthgen.store.strikes import Strikes

    name = quarantine_file(f"{task}.{embodiment}", slot)
    bundle = store.read(name)
    if bundle is not None:
        return list(parse(f"{store.place}/{name}", bundle)["strikes"])
    for shard in store.plan.shards():
        if holds(shard, task, embodiment, slot):
            return [s.to_json() for s in Strikes(store, shard).by_slot().get(slot, [])]
    return []


def holds(shard: Shard, task: str, embodiment: str, slot: int) -> bool:
    """Whether the slot is one of the shard's."""
    return (shard.task, shard.embodiment) == (task, embodiment) and shard.start <= slot < shard.stop


def _say(as_json: bool, value: dict[str, object], text: str) -> None:
    click.echo(json.dumps(value) if as_json else text)
