"""``synthgen run``."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import click

from synthgen.cli.place import RunPlace, place_in, shown, shown_in
from synthgen.core.errors import (
    IncompleteRunError,
    MachineError,
    QuarantinedError,
    StorageError,
    SynthgenError,
    UsageError,
)
from synthgen.core.project import Project
from synthgen.engine.driver import Driver, Interrupts
from synthgen.engine.metrics import Metrics
from synthgen.engine.planning import Request, command_of, make_plan
from synthgen.engine.pool import InProcessPool, WorkerPool
from synthgen.engine.settings import Job, Settings
from synthgen.sim.registry import values
from synthgen.store.place import Place, create_run, plans_of
from synthgen.store.plans import joined
from synthgen.store.remote import check_store
from synthgen.store.run import RunStore
from synthgen.store.url import S3Url, base_asked_for, working_folder

FREE = 64 << 20  # bytes that must be free before a run starts
# What MuJoCo 3 takes on Linux; anything else is an error as soon as it is imported.
GL_NAMES = (
    "",
    "egl",
    "osmesa",
    "glfw",
    "glx",
    "disable",
    "disabled",
    "off",
    "false",
    "0",
    "enable",
    "enabled",
    "on",
    "true",
    "1",
)


def names(value: str | None) -> tuple[str, ...]:
    """A comma-separated option."""
    return tuple(dict.fromkeys(part.strip() for part in (value or "").split(",") if part.strip()))


@click.command()
@click.option("--tasks", required=True, metavar="A,B", help="Tasks (see `synthgen tasks list`).")
@click.option("--n", type=int, required=True, help="Successful trajectories in all.")
@click.option("--workers", type=int, default=1, show_default=True, help="Simulators at once; 0 = in this process.")
@click.option("--embodiments", metavar="A,B", help="Robots.  [default: franka,gr1,g1]")
@click.option("--scene", default="tabletop", show_default=True, help="A USD file, or a built-in scene's name.")
@click.option("--out", type=RunPlace(file_okay=False), required=True, help="The run folder, or s3://BUCKET/PREFIX.")
@click.option("--formats", default="lerobot", show_default=True, metavar="A,B", help="Data set formats.")
@click.option("--fps", type=int, default=20, show_default=True, help="Control and data set rate, Hz.")
@click.option("--cameras", default="default", show_default=True, metavar="A,B", help="Cameras; none = state only.")
@click.option("--resolution", default="256", show_default=True, metavar="W[xH]", help="Pixels.")
@click.option("--simulator", default="mujoco", show_default=True, help="Which engine simulates.")
@click.option("--isaac-assets", is_flag=True, help="NVIDIA's own robot assets (ovphysx, isaacsim).")
@click.option("--renderer", type=click.Choice(values("renderer")), help="Who draws (Isaac Lab's simulators).")
@click.option("--seed", type=int, default=0, show_default=True, help="Decides every random draw.")
@click.option("--address", metavar="ADDRESS", help="A Ray cluster: auto, HOST:PORT or ray://HOST:PORT.")
@click.option("--project", "project_folder", type=click.Path(path_type=Path), help="Your own tasks/ and exporters/.")
@click.option("--asset-root", type=click.Path(path_type=Path, file_okay=False), help="Your own robot assets.")
@click.option("--shard-size", type=int, help="Trajectories per shard.  [default: by n and num-envs]")
@click.option("--max-attempts", type=int, default=20, show_default=True, help="Attempts before a slot is given up.")
@click.option("--num-envs", type=int, default=1, show_default=True, help="Environments per simulator.")
@click.option("--cpus", type=float, default=1.0, show_default=True, help="CPUs a worker reserves on the cluster.")
@click.option("--gpus", type=float, default=0.0, show_default=True, help="GPUs (or a fraction) per worker.")
@click.option("--memory", type=float, default=12.0, show_default=True, help="GiB a simulator may use.")
@click.option("--deadline", "deadlines", multiple=True, metavar="PHASE=S", help="Longest silence in a phase, seconds.")
@click.option("--episodes-per-dataset", type=int, help="Episodes per data set; more make several.  [default: 50000]")
@click.option("--json", "as_json", is_flag=True, help="Print the end as JSON, and progress as JSON lines.")
def run(
    *,
    tasks: str,
    n: int,
    workers: int,
    embodiments: str | None,
    scene: str,
    out: Place,
    formats: str,
    fps: int,
    cameras: str,
    resolution: str,
    simulator: str,
    isaac_assets: bool,
    renderer: str | None,
    seed: int,
    address: str | None,
    project_folder: Path | None,
    asset_root: Path | None,
    shard_size: int | None,
    max_attempts: int,
    num_envs: int,
    cpus: float,
    gpus: float,
    memory: float,
    deadlines: tuple[str, ...],
    episodes_per_dataset: int | None,
    as_json: bool,
) -> None:
    """Make demonstrations: simulate, check, render, and write data sets.

    The same command run again resumes where it stopped. n is shared evenly over tasks and robots; of a remainder the
    first get one more each. Ctrl-C stops after the episodes under way, twice at once; nothing committed is lost.

    Exit codes: 0 complete, 2 usage, 3 incomplete but resumable, 4 complete but for quarantined slots.

    \b
    Examples:
      synthgen run --tasks pick_place --n 12 --workers 2 --out data/demo
      synthgen run --tasks pick_place --n 1000 --embodiments franka --cameras none --workers 8 --out data/states
      synthgen run --tasks pick_place --n 780000 --workers 256 --address auto --out /shared/run1
      synthgen run --tasks pick_place --n 780000 --workers 256 --address auto --out s3://bucket/run1
    """
    if workers < 0:
        raise UsageError(f"--workers {workers}: must not be negative", remedy="0 runs in this process, without Ray")
    width, height = parse_resolution(resolution)
    project = Project.of(project_folder)
    settings = Settings.for_simulator(
        simulator,
        parse_deadlines(deadlines),
        memory=int(memory * (1 << 30)),
        num_envs=positive("--num-envs", num_envs),
        cpus=cpus,
        gpus=gpus,
        environment={k: v for k, v in os.environ.items() if k.startswith(("SYNTHGEN_", "MUJOCO_"))},
    )
    check_gl(os.environ.get("MUJOCO_GL", ""))
    plan = make_plan(
        Request(
            tasks=names(tasks),
            n=n,
            embodiments=names(embodiments) or None,
            scene=scene,
            formats=names(formats),
            fps=fps,
            cameras=None if cameras == "default" else () if cameras == "none" else names(cameras),
            width=width,
            height=height,
            simulator=simulator,
            seed=seed,
            shard_size=shard_size,
            num_envs=num_envs,
            max_attempts=max_attempts,
            project=project,
            asset_root=asset_root,
            local=address is None,
            choices=({"assets": "nvidia"} if isaac_assets else {}) | ({"renderer": renderer} if renderer else {}),
        )
    )
    before = plans_of(out)
    if before:
        if shard_size is None:  # its default depends on n, which may have grown, and on num_envs
            plan = replace(plan, shard_size=before[-1].shard_size)
        joined(str(out), before[-1], plan)
    check_place(out)
    if simulator == "mujoco" and address is None and any(plan.cameras.values()):
        from synthgen.cli.doctor import require_egl

        require_egl()
    url = out if isinstance(out, S3Url) else None
    work = base_asked_for() if url is not None else None
    store = create_run(out, plan, work=work)
    job = Job(
        root=store.root,
        plan=store.plan,
        project=project,
        asset_root=asset_root,
        settings=settings,
        url=url,
        work=work,
    )
    if episodes_per_dataset is not None:
        positive("--episodes-per-dataset", episodes_per_dataset)
    execute(job, store, workers=workers, address=address, as_json=as_json, episodes_per_dataset=episodes_per_dataset)


def execute(
    job: Job,
    store: RunStore,
    *,
    workers: int,
    address: str | None,
    as_json: bool,
    episodes_per_dataset: int | None = None,
) -> None:
    """Run a job to its end, finalize it, and say where everything is.

    Raises:
        SynthgenError: with the exit code the command ends with.
    """
    from synthgen.cli.live import Journal, LinesView, TableView

    shown = TableView() if sys.stderr.isatty() and not as_json else LinesView()
    view = Journal(shown, store.root / "logs" / "driver.jsonl", run=store.digest)
    interrupts = Interrupts()
    resume = f"resume with: {resume_command(job, workers)}"
    try:
        with interrupts.installed():
            pool = _pool(job, workers, address)
            driver = Driver(
                store=store,
                pool=pool,
                settings=job.settings,
                workers=workers,
                view=view,
                interrupts=interrupts,
                metrics=(lambda: Metrics(store.name)) if workers else None,
            )
            driver.run()
    except IncompleteRunError as error:
        left = _left(store)
        raise IncompleteRunError(
            f"{error.message}; {left}", remedy="; ".join(filter(None, (error.remedy, resume)))
        ) from error
    except StorageError as error:
        raise type(error)(error.message, remedy="; ".join(filter(None, (error.remedy, resume)))) from error
    finally:
        view.close()
    try:
        finish(job, store, as_json=as_json, episodes_per_dataset=episodes_per_dataset)
    except KeyboardInterrupt:
        raise IncompleteRunError("stopped while the data sets were put together", remedy=resume) from None


def resume_command(job: Job, workers: int) -> str:
    """The command line that goes on with a run."""
    parts = [command_of(job.plan, shown(str(job.url or job.root))), f"--workers {workers}"]
    if len(job.project.roots) > 1:
        parts.append(f"--project {job.project.roots[0]}")
    if job.asset_root is not None:
        parts.append(f"--asset-root {job.asset_root}")
    return " ".join(parts)


def finish(job: Job, store: RunStore, *, as_json: bool, episodes_per_dataset: int | None = None) -> None:
    """Finalize a run whose every shard is committed, write the report, print where things are.

    Raises:
        QuarantinedError: some slots were given up.
    """
    from synthgen.engine.sources import exporters_of
    from synthgen.report.run import write_report
    from synthgen.store.finalize import EPISODES_PER_DATASET, finalize
    from synthgen.store.gc import sweep
    from synthgen.store.status import status

    command = command_of(job.plan, store.name)
    if len(job.project.roots) > 1:
        command += f" --project {job.project.roots[0].name}"
    if episodes_per_dataset is not None:
        command += f" --episodes-per-dataset {episodes_per_dataset}"
    made = finalize(
        store,
        exporters_of(job.plan, job.project),
        command=command,
        episodes_per_dataset=episodes_per_dataset or EPISODES_PER_DATASET,
    )
    sweep(store)
    report = write_report(store, command=command)
    state = status(store)
    if as_json:
        where = {"datasets": [place_in(store, d.root) for d in made], "report": place_in(store, report)}
        end = state.to_json() | where
        click.echo(json.dumps(end))
    else:
        for d in made:
            click.echo(f"data set  {shown_in(store, d.root)}  ({d.episodes} episodes, {d.frames} frames)")
        click.echo(f"report    {shown_in(store, report)}")
    if state.quarantined:
        first = [
            f"{c.task}.{c.embodiment} slot {q['slot']} ({q['detail']})" for c in state.cells for q in c.quarantined
        ]
        more = f" and {len(first) - 3} more" if len(first) > 3 else ""
        raise QuarantinedError(
            f"complete but for {state.quarantined} quarantined slots: {'; '.join(first[:3])}{more}",
            remedy=f"see `synthgen status {shown(store.place)}`",
        )


def check_place(out: Place) -> None:
    """Refuse a place that cannot take a run: see ``check_store`` and ``check_folder``.

    Raises:
        SynthgenError.
    """
    if isinstance(out, S3Url):
        check_store(out)
        check_folder(working_folder(out))
    else:
        check_folder(out)


def check_folder(out: Path) -> None:
    """Refuse an output folder that cannot be written to or has no room.

    Raises:
        StorageError.
    """
    from synthgen.store.files import storage_errors, token

    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".tmp-{token()}"
        try:
            probe.write_bytes(b"\0" * 4096)
        finally:
            probe.unlink(missing_ok=True)
        free = shutil.disk_usage(out).free
    if free < FREE:
        raise StorageError(
            f"{out}: only {free >> 20} MiB free", remedy="free some space, or choose an --out on another disk"
        )


def parse_resolution(text: str) -> tuple[int, int]:
    """ "256" or "320x240" -> (width, height) in pixels.

    Raises:
        UsageError.
    """
    width, _, height = text.lower().partition("x")
    try:
        return int(width), int(height or width)
    except ValueError:
        raise UsageError(f"--resolution {text}: not a size", remedy="give 256 or 320x240") from None


def parse_deadlines(pairs: tuple[str, ...]) -> dict[str, float]:
    """("step=5", …) -> {"step": 5.0}.

    Raises:
        UsageError.
    """
    found: dict[str, float] = {}
    for pair in pairs:
        phase, _, seconds = pair.partition("=")
        try:
            found[phase] = float(seconds)
        except ValueError:
            raise UsageError(f"--deadline {pair}: not PHASE=SECONDS") from None
    return found


def positive(option: str, value: int) -> int:
    """``value``, if it is positive.

    Raises:
        UsageError.
    """
    if value <= 0:
        raise UsageError(f"{option} {value}: must be positive")
    return value


def check_gl(value: str) -> None:
    """Refuse a value of MUJOCO_GL that MuJoCo would refuse while it is imported.

    Raises:
        MachineError.
    """
    if value.lower() not in GL_NAMES:
        raise MachineError(
            f"MUJOCO_GL={value}: no such way to draw", remedy="unset MUJOCO_GL, or set it to egl or osmesa"
        )


def _pool(job: Job, workers: int, address: str | None) -> WorkerPool:
    if workers == 0:
        return InProcessPool(job)
    from synthgen.engine.ray_pool import RayPool

    return RayPool(job, address=address)


def _left(store: RunStore) -> str:
    from synthgen.store.status import status

    try:
        state = status(store)
    except SynthgenError as error:
        return error.message
    done = sum(c.committed + c.spooled for c in state.cells)
    return f"{done} of {sum(c.requested for c in state.cells)} trajectories are safe in {shown(store.place)}"
