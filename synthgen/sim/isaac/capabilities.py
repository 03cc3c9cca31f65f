"""What each engine can do, as a table that ``synthgen doctor --simulators`` and docs/isaac.md print."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Support = Literal["yes", "no", "partly", "not executed"]


@dataclass(frozen=True, kw_only=True)
class Capability:
    """One row: what, and how far each engine does it. "not executed": written and checked against sources, never run.

    ``note`` says what "partly" and "no" mean.
    """

    name: str
    mujoco: Support
    ovphysx: Support
    newton: Support
    isaacsim: Support
    note: str = ""


COLUMNS = ("mujoco", "ovphysx", "newton", "isaacsim")


def _row(name: str, values: str, note: str = "") -> Capability:
    words: Mapping[str, Support] = {"y": "yes", "n": "no", "p": "partly", "?": "not executed"}
    mujoco, ovphysx, newton, isaacsim = values.split()
    return Capability(
        name=name,
        mujoco=words[mujoco],
        ovphysx=words[ovphysx],
        newton=words[newton],
        isaacsim=words[isaacsim],
        note=note,
    )


def capabilities() -> tuple[Capability, ...]:
    """The table."""
    return (
        _row("runs without a GPU", "y y y n"),
        _row("runs on a GPU", "n ? ? ?", "SYNTHGEN_DEVICE=cuda:0; needs an NVIDIA driver"),
        _row("several environments per process", "y y y ?"),
        _row("bitwise repeatable", "y n n n", "Isaac Lab computes in float32 and promises no order of contacts"),
        _row("object layout, absent objects", "y y y ?"),
        _row("object mass", "y y y ?"),
        _row("object friction", "y y y ?"),
        _row("drawers and doors", "y y y ?", "Isaac Lab takes no spherical joints"),
        _row("stages in other units or Y up", "y y y ?", "Isaac Lab gets a converted copy"),
        _row("rgb, depth, segmentation", "y y y ?"),
        _row("object and material colour", "y p p ?", "Newton-Warp does not tint textured surfaces"),
        _row("textures drawn anew", "y n n ?", "Newton-Warp keeps the authored ones; Isaac Sim by omni.replicator"),
        _row("lights of the stage", "y n n ?", "Newton-Warp has one directional light of its own"),
        _row("textures of dome lights", "n n n ?", "MuJoCo's ambient light has no direction"),
        _row("camera poses", "y y y ?"),
        _row("ray-traced pictures", "n ? ? ?", "RT cores; without Kit by --renderer ovrtx, its lights as authored"),
    )


def table() -> str:
    """The table as GitHub-flavoured Markdown."""
    rows = [f"| {c.name} | {' | '.join(getattr(c, k) for k in COLUMNS)} | {c.note} |" for c in capabilities()]
    head = f"| | {' | '.join(COLUMNS)} | note |"
    return "\n".join([head, "|---" * (len(COLUMNS) + 2) + "|", *rows])
