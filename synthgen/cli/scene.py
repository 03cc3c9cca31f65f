"""``synthgen scene``: what synthgen sees in a USD stage, and what is wrong with it."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from synthgen.core.project import Project
from synthgen.core.scene import Geom, Joint, Range, SceneSpec

if TYPE_CHECKING:
    from rich.console import Console

    from synthgen.usd import Problem

Row = dict[str, Any]


@click.group()
def scene() -> None:
    """USD scenes: what is in them, and whether a run can use them.

    \b
    Examples:
      synthgen scene check tabletop
      synthgen scene check my_lab/scenes/kitchen.usda --json
    """


@scene.command("check")
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(ctx: click.Context, file: str, as_json: bool) -> None:
    """Show what is in FILE (a USD file, or a built-in scene's name) and every problem with its remedy.

    Exit code 2 when a problem is an error, 0 otherwise.

    \b
    Examples:
      synthgen scene check scenes/tabletop.usda
      synthgen scene check tiny --json
    """
    from synthgen.usd import examine

    path = Path(file) if Path(file).suffix or Path(file).exists() else Project.of().scene(file)
    found = examine(path)
    if as_json:
        problems = [asdict(p) for p in found.problems]
        contents = describe(found.scene) if found.scene else None
        digest = found.scene.digest if found.scene else None
        state = {"file": str(path), "usable": found.usable, "digest": digest, "problems": problems, "scene": contents}
        click.echo(json.dumps(state, indent=2))
    else:
        _print(path, found.scene, found.problems)
    ctx.exit(0 if found.usable else 2)


def describe(spec: SceneSpec) -> dict[str, list[Row]]:
    """What a scene holds, as rows of plain values: metres, kilograms, degrees."""
    joint_of = {j.child: j for j in spec.joints}
    return {
        "bodies": [
            {
                "path": b.path,
                "mass": round(b.mass, 4),
                "colliders": _colliders(b.geoms),
                "visuals": sum(g.visible for g in b.geoms),
                "moves": _moves(joint_of.get(b.path), b.kinematic),
            }
            for b in spec.bodies.values()
        ],
        "static": [{"colliders": _colliders(spec.static_geoms), "visuals": sum(g.visible for g in spec.static_geoms)}],
        "joints": [_joint(j) for j in spec.joints],
        "objects": [
            {
                "name": o.name,
                "described": " ".join((*o.attributes.values(), o.noun)),
                "shape": o.shape,
                "size": _numbers(o.extents),
                "mass_scale": _range(o.mass_scale),
                "friction_scale": _range(o.friction_scale),
            }
            for o in spec.objects.values()
        ],
        "receptacles": [
            {
                "name": r.name,
                "described": " ".join((*r.attributes.values(), r.noun)),
                "floor": _numbers([2 * h for h in r.half_extents]),
                "height": round(r.height, 4),
                "body": r.body or "static",
            }
            for r in spec.receptacles.values()
        ],
        "regions": [
            {
                "name": r.name,
                "size": _numbers([2 * h for h in r.half_extents]),
                "center": _numbers(r.pose.position),
                "yaw": _range(r.yaw, math.degrees),
                "clearance": round(r.clearance, 4),
            }
            for r in spec.regions.values()
        ],
        "slots": [
            {
                "name": s.name,
                "role": s.role,
                "candidates": ", ".join(s.candidates),
                "regions": ", ".join(s.regions),
                "probability": round(s.probability, 4),
            }
            for s in spec.slots
        ],
        "mounts": [{"path": m.path, "position": _numbers(m.pose.position)} for m in spec.mounts],
        "lights": [
            {"path": x.path, "kind": x.kind, "intensity": round(x.intensity, 3), "color": _numbers(x.color)}
            for x in spec.lights
        ],
        "cameras": [
            {"name": c.name, "path": c.path, "on": c.parent or "world", "fovy": round(math.degrees(c.fovy), 2)}
            for c in spec.cameras
        ],
        "randomized": [
            {
                "path": x.path,
                "intensity": _range(x.intensity_scale),
                "temperature": _range(x.temperature) if x.temperature else "",
                "direction": round(math.degrees(x.direction_jitter), 2),
                "position": round(x.position_jitter, 4),
                "color": round(x.color_jitter, 3),
                "yaw": _range(x.yaw, math.degrees),
                "textures": ", ".join(x.textures),
            }
            for x in spec.looks
        ],
    }


def _joint(joint: Joint) -> Row:
    turn = joint.kind in ("revolute", "spherical")
    unit: Callable[[float], float] = math.degrees if turn else float
    ends = [None if x is None else round(unit(x), 4) for x in (joint.lower, joint.upper)]
    drive = joint.drive
    return {
        "path": joint.path,
        "kind": joint.kind,
        "moves": f"{joint.parent or 'world'} -> {joint.child}",
        "range": "" if joint.kind == "fixed" else f"{ends[0]} .. {ends[1]} {'deg' if turn else 'm'}",
        "at": round(unit(joint.initial), 4),
        "drive": f"stiffness {drive.stiffness:.4g}, damping {drive.damping:.4g}" if drive else "",
    }


def _moves(joint: Joint | None, kinematic: bool) -> str:
    if kinematic:
        return "by hand only"
    if joint is None:
        return "freely"
    return f"on {joint.parent or 'the world'}, {joint.kind}"


def _colliders(geoms: tuple[Geom, ...]) -> str:
    kinds = Counter(f"mesh of {len(g.hulls)} hulls" if g.kind == "mesh" else g.kind for g in geoms if g.collides)
    return ", ".join(f"{n} {kind}" for kind, n in sorted(kinds.items())) or "none"


def _numbers(values: Any) -> list[float]:
    return [round(float(v), 4) for v in values]


def _range(span: Range, unit: Callable[[float], float] = float) -> list[float] | str:
    return "" if span.low == span.high else [round(unit(span.low), 3), round(unit(span.high), 3)]


def _print(path: Path, spec: SceneSpec | None, problems: tuple[Problem, ...]) -> None:
    from rich.console import Console

    console = Console(emoji=False)  # property names have colons, as emoji codes do
    if not console.is_terminal:
        console = Console(width=180, emoji=False)
    if spec is not None:
        console.print(f"[bold]{path}[/bold]   digest {spec.digest[:12]}", highlight=False)
        for title, rows in describe(spec).items():
            if rows:
                _table(console, title, rows)
    errors = sum(p.severity == "error" for p in problems)
    console.print(f"\n{errors} errors, {len(problems) - errors} warnings", style="bold", highlight=False)
    for p in problems:
        style = "red" if p.severity == "error" else "yellow"
        place = f"{p.path}: " if p.path else ""
        console.print(f"{p.severity} {p.code}: ", style=style, end="", markup=False, highlight=False)
        console.print(f"{place}{p.message}", markup=False, highlight=False, soft_wrap=True)
        if p.remedy:
            console.print(f"  remedy: {p.remedy}", markup=False, highlight=False, soft_wrap=True)


def _table(console: Console, title: str, rows: list[Row]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, title=f"\n{title}", title_justify="left", title_style="bold cyan")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(v)) for v in row.values()))
    console.print(table)


def _cell(value: Any) -> str:
    return " ".join(f"{v:g}" for v in value) if isinstance(value, list) else str(value)
