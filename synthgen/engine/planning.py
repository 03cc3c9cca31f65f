"""From what the user asked for to a RunPlan, refusing early what could only fail later."""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import synthgen
from synthgen.core.errors import UsageError
from synthgen.core.plan import Cell, RunPlan
from synthgen.core.project import Project, pick
from synthgen.engine.sources import FAKE, known_exporters
from synthgen.sim.registry import check_choices, options_of, simulators

LARGEST_SHARD = 64
ROUNDS = 4  # slots per environment in a shard, at least: at its end, environments wait for the last one
SMALLEST_PICTURE, LARGEST_PICTURE = 16, 4096


@dataclass(frozen=True, kw_only=True)
class Request:
    """What ``synthgen run`` was asked for; None = the default that ``make_plan`` documents.

    ``local``: the workers run on this machine, so that it must have the simulator's engine. ``num_envs``: environments
    per simulator; decides the size of shards and nothing else. ``choices``: as in a plan.
    """

    tasks: tuple[str, ...]
    n: int
    embodiments: tuple[str, ...] | None = None
    scene: str = "tabletop"
    formats: tuple[str, ...] = ("lerobot",)
    fps: int = 20
    cameras: tuple[str, ...] | None = None
    width: int = 256
    height: int = 256
    simulator: str = "mujoco"
    seed: int = 0
    shard_size: int | None = None
    num_envs: int = 1
    max_attempts: int = 20
    project: Project
    asset_root: Path | None = None
    local: bool = True
    choices: Mapping[str, str] = field(default_factory=dict[str, str])


def make_plan(request: Request) -> RunPlan:
    """The plan of a request.

    ``n`` is shared evenly over the cells (tasks x embodiments, tasks first); of a remainder the first cells get one
    more each. Cameras, when not given: the robot's own (``ego_view``), and for a robot without an eye of its own the
    scene's ``agentview`` before them. Shards: see ``shard_size``.

    Raises:
        UsageError: something does not exist (suggests the nearest name) or cannot go together.
        SceneError, AssetError: the scene or a robot's assets cannot be had.
    """
    _check_numbers(request)
    if request.simulator != FAKE:
        pick("simulator", request.simulator, simulators())
    request = replace(request, choices=check_choices(request.simulator, request.choices))
    known = known_exporters(request.project, request.simulator, needed=request.formats)
    formats = {name: pick("format", name, known) for name in request.formats}
    if not formats:
        raise UsageError("--formats is empty", remedy="give at least one format")
    if request.simulator == FAKE:
        parts = _fake_parts(request)
    else:
        from synthgen.engine.real_parts import real_parts

        parts = real_parts(request)
    cells = share(request.n, request.tasks, parts.embodiments)
    return RunPlan(
        cells=cells,
        seed=request.seed,
        scene=str(Path(request.scene).resolve()) if Path(request.scene).is_file() else request.scene,
        scene_digest=parts.scene_digest,
        simulator=request.simulator,
        fps=request.fps,
        cameras={c.embodiment: parts.cameras[c.embodiment] for c in cells},
        width=request.width,
        height=request.height,
        formats=tuple(formats),
        shard_size=request.shard_size or shard_size(min(c.n for c in cells), request.num_envs),
        max_attempts=request.max_attempts,
        task_digests=parts.task_digests,
        version=synthgen.__version__,
        choices=request.choices,
    )


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What the names of a request turned out to be."""

    embodiments: tuple[str, ...]
    cameras: Mapping[str, tuple[str, ...]]
    scene_digest: str
    task_digests: Mapping[str, str]


def shard_size(smallest: int, num_envs: int) -> int:
    """Slots per shard when nobody says: an eighth of the smallest cell's slots, at least 1 and at most 64.

    So a small run, too, spreads over workers. Several environments per simulator get at least four slots each, as far
    as the cell has them, because they work on one shard at a time. The number of workers never counts.
    """
    usual = max(1, min(LARGEST_SHARD, smallest // 8))
    return usual if num_envs == 1 else max(usual, min(smallest, ROUNDS * num_envs))


def share(n: int, tasks: Sequence[str], embodiments: Sequence[str]) -> tuple[Cell, ...]:
    """Cells with their share of ``n``; cells without a share are left out."""
    pairs = [(t, e) for t in dict.fromkeys(tasks) for e in dict.fromkeys(embodiments)]
    each, rest = divmod(n, len(pairs))
    cells = (Cell(task=t, embodiment=e, n=each + (i < rest)) for i, (t, e) in enumerate(pairs))
    return tuple(c for c in cells if c.n)


def choose_cameras(
    wanted: Sequence[str] | None, default: Mapping[str, tuple[str, ...]], known: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Cameras by embodiment. ``wanted`` None = ``default``; an embodiment takes those of the wanted that it has.

    Raises:
        UsageError: nobody has a camera of that name, or an embodiment has none of them.
    """
    if wanted is None:
        return dict(default)
    everywhere = {name: None for names in known.values() for name in names}
    for name in wanted:
        pick("camera", name, everywhere)
    chosen: dict[str, tuple[str, ...]] = {}
    for embodiment, names in known.items():
        chosen[embodiment] = tuple(c for c in dict.fromkeys(wanted) if c in names)
        if wanted and not chosen[embodiment]:
            raise UsageError(
                f"{embodiment} has none of the cameras {', '.join(wanted)}",
                remedy=f"add one of its own: {', '.join(names) or 'none'}",
            )
    return chosen


def task_digest(task: Any, files: Mapping[str, Path]) -> str:
    """sha256 of the source that defines a task: its file in a project folder, or its module."""
    path = files.get(task.name)
    source = path.read_bytes() if path is not None else inspect.getsource(cast("type[Any]", type(task))).encode()
    return hashlib.sha256(source).hexdigest()


def command_of(plan: RunPlan, out: str) -> str:
    """The command line that makes the plan again."""
    n = sum(c.n for c in plan.cells)
    tasks = dict.fromkeys(c.task for c in plan.cells)
    embodiments = dict.fromkeys(c.embodiment for c in plan.cells)
    cameras = dict.fromkeys(name for names in plan.cameras.values() for name in names)
    parts = [
        f"synthgen run --tasks {','.join(tasks)} --n {n} --embodiments {','.join(embodiments)} --scene {plan.scene}",
        f"--formats {','.join(plan.formats)} --fps {plan.fps} --cameras {','.join(cameras) or 'none'}",
        f"--resolution {plan.width}x{plan.height} --simulator {plan.simulator} --seed {plan.seed}",
        f"--shard-size {plan.shard_size} --max-attempts {plan.max_attempts} --out {out}",
        *options_of(plan.choices),
    ]
    return " ".join(parts)


def _check_numbers(request: Request) -> None:
    if request.n <= 0:
        raise UsageError(f"--n {request.n}: at least one trajectory must be asked for", remedy="give --n 1 or more")
    if not request.tasks:
        raise UsageError("--tasks is empty", remedy="see `synthgen tasks list`")
    for option, value in (("--fps", request.fps), ("--max-attempts", request.max_attempts)):
        if value <= 0:
            raise UsageError(f"{option} {value}: must be positive")
    if request.shard_size is not None and request.shard_size <= 0:
        raise UsageError(f"--shard-size {request.shard_size}: must be positive")
    if not 0 <= request.seed < 1 << 63:
        raise UsageError(f"--seed {request.seed}: must lie between 0 and 2^63 - 1")
    for side in (request.width, request.height):
        if not SMALLEST_PICTURE <= side <= LARGEST_PICTURE or side % 2:
            raise UsageError(
                f"--resolution {request.width}x{request.height}: sides must be even and between "
                f"{SMALLEST_PICTURE} and {LARGEST_PICTURE} pixels",
                remedy="give --resolution 256 or --resolution 320x240",
            )


def _fake_parts(request: Request) -> Parts:
    from synthgen.testing.fake_source import CAMERAS

    tasks = {**dict.fromkeys(request.project.files("tasks")), "pick_place": None, "fake": None}
    for task in request.tasks:
        pick("task", task, tasks)
    names = request.embodiments or tuple(CAMERAS)
    known = {name: tuple(pick("embodiment", name, CAMERAS)) for name in names}
    return Parts(
        embodiments=tuple(dict.fromkeys(names)),
        cameras=choose_cameras(request.cameras, known, known),
        scene_digest="none",
        task_digests=dict.fromkeys(request.tasks, os.environ.get("SYNTHGEN_FAKE", "")),
    )
