"""``synthgen embodiments``: which robots there are, and what their data looks like."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import click

from synthgen.core.embodiment import Embodiment
from synthgen.embodiments.assets import AssetStore
from synthgen.embodiments.packs import PACKS
from synthgen.embodiments.registry import embodiments as known
from synthgen.embodiments.registry import load

_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def embodiments() -> None:
    """The robots: joint groups as Isaac-GR00T names them, hands, cameras, limits.

    \b
    Examples:
      synthgen embodiments list
      synthgen embodiments show gr1
    """


@embodiments.command("list")
@_json
def list_embodiments(as_json: bool) -> None:
    """List the robots: name, GR00T tag, length of the data set's vectors, cameras, hands.

    \b
    Example:
      synthgen embodiments list --json
    """
    robots = [_summary(e) for e in known().values()]
    if as_json:
        click.echo(json.dumps(robots, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("name", "title", "GR00T tag", "dims", "driven", "cameras", "hands"):
        table.add_column(column, justify="right" if column in ("dims", "driven") else "left")
    for r in robots:
        hands = ", ".join(h["name"] for h in r["hands"])
        cells = (
            r["name"],
            r["title"],
            r["gr00t_tag"],
            str(r["dims"]),
            str(r["driven"]),
            ", ".join(r["cameras"]),
            hands,
        )
        table.add_row(*cells)
    Console().print(table)


@embodiments.command("show")
@click.argument("name")
@click.option("--asset-root", type=click.Path(path_type=Path, file_okay=False), help="Your own robot assets.")
@_json
def show(name: str, asset_root: Path | None, as_json: bool) -> None:
    """Show the robot NAME: groups with their slices and joints, limits, hands, cameras, assets and licence.

    Position limits come from the robot's model and are left out while its assets are not fetched.

    \b
    Examples:
      synthgen embodiments show g1
      synthgen embodiments show franka --json
    """
    robot = load(name)
    ranges = _ranges(robot, AssetStore(asset_root=asset_root))
    details = _details(robot, ranges)
    if as_json:
        click.echo(json.dumps(details, indent=2))
        return
    click.echo(f"{robot.name}: {robot.title}  (GR00T tag {robot.gr00t_tag}, {details['dims']} values)")
    for group in details["groups"]:
        click.echo(f"\n{group['name']}  [{group['start']}:{group['end']}]")
        for joint in group["joints"]:
            click.echo(f"  {joint['name']:<32}{_limits(joint)}")
    click.echo("")
    for f in details["followers"]:
        click.echo(f"follower  {f['joint']} = {f['ratio']:g} x {f['leader']}")
    for h in details["hands"]:
        measured = f", {h['grasps']} measured grasps" if h["grasps"] else ""
        click.echo(f"hand      {h['name']}: {h['kind'].replace('_', ' ')}, grasp frame {h['site']!r}{measured}")
    for c in details["camera_mounts"]:
        click.echo(f"camera    {c['name']}: on {c['parent']}, vertical field of view {c['fovy_degrees']} degrees")
    click.echo(f"assets    {', '.join(p['name'] for p in details['packs'])}")
    click.echo(f"licence   {robot.licence}")
    if not ranges:
        click.echo("position limits are in the model: run 'synthgen assets fetch' to see them")


def _summary(robot: Embodiment) -> dict[str, Any]:
    return {
        "name": robot.name,
        "title": robot.title,
        "gr00t_tag": robot.gr00t_tag,
        "dims": len(robot.dataset_joints),
        "driven": len(robot.driven),
        "cameras": [c.name for c in robot.cameras],
        "hands": [{"name": e.name, "kind": e.kind, "joints": list(e.hand_joints)} for e in robot.end_effectors],
    }


def _details(robot: Embodiment, ranges: dict[str, tuple[float, float]]) -> dict[str, Any]:
    slices = robot.group_slices()
    return {
        **_summary(robot),
        "groups": [
            {
                "name": g.name,
                "start": slices[g.name][0],
                "end": slices[g.name][1],
                "joints": [_joint(robot, j, ranges) for j in g.joints],
            }
            for g in robot.groups
        ],
        "followers": [{"joint": f.joint, "leader": f.leader, "ratio": f.ratio} for f in robot.followers],
        "hands": [
            {"name": e.name, "kind": e.kind, "site": e.site, "joints": list(e.hand_joints), "grasps": len(e.grasps)}
            for e in robot.end_effectors
        ],
        "camera_mounts": [
            {"name": c.name, "parent": c.parent, "fovy_degrees": round(math.degrees(c.fovy), 1)} for c in robot.cameras
        ],
        "packs": [{"name": p, "licence": PACKS[p].licence if p in PACKS else None} for p in robot.packs],
        "licence": robot.licence,
    }


def _joint(robot: Embodiment, name: str, ranges: dict[str, tuple[float, float]]) -> dict[str, Any]:
    if name in robot.constants:
        return {"name": name, "constant": robot.constants[name]}
    limits = robot.limits[name]
    joint: dict[str, Any] = {"name": name, "velocity": limits.velocity, "acceleration": limits.acceleration}
    if name in ranges:
        joint["lower"], joint["upper"] = ranges[name]
    return joint


def _limits(joint: dict[str, Any]) -> str:
    if "constant" in joint:
        return f"constant {joint['constant']:g} (not simulated)"
    position = f"{joint['lower']:8.3f} .. {joint['upper']:.3f}" if "lower" in joint else ""
    return f"{position:<22}  at most {joint['velocity']:g}/s, {joint['acceleration']:g}/s2"


def _ranges(robot: Embodiment, store: AssetStore) -> dict[str, tuple[float, float]]:
    """Position limits by joint, rad (m), read from the built spec; empty while a pack is not there."""
    if any(p in store.packs and store.path(p) is None for p in robot.packs):
        return {}
    spec = robot.build(store.root)
    return {j: (float(spec.joint(j).range[0]), float(spec.joint(j).range[1])) for j in robot.driven}
