"""What can be wrong with a scene, by stable code. ``docs/scenes.md`` explains each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from synthgen.core.scene import SceneWarning

ERROR, WARNING = "error", "warning"

SEVERITY: dict[str, str] = {
    # the stage itself
    "unreadable": ERROR,
    "missing-reference": ERROR,
    "missing-texture": ERROR,
    "no-default-prim": WARNING,
    "several-physics-scenes": WARNING,
    # geometry
    "mesh-invalid": ERROR,
    "gprim-skipped": WARNING,
    "instancer-skipped": WARNING,
    "subdivision-ignored": WARNING,
    "shear-approximated": WARNING,
    "degenerate-scale": WARNING,
    "concave-face": WARNING,
    # collision
    "collider-not-gprim": WARNING,
    "collider-flat": WARNING,
    "collider-hull": WARNING,
    "collider-decomposed": WARNING,
    "cone-approximated": WARNING,
    "elliptic-approximated": WARNING,
    "capsule-stretched": WARNING,
    "plane-on-body": WARNING,
    "collision-group-ignored": WARNING,
    "filtered-pairs-ignored": WARNING,
    # bodies and mass
    "nested-body": WARNING,
    "mass-default": WARNING,
    "mass-ambiguous": WARNING,
    "inertia-impossible": WARNING,
    "velocity-ignored": WARNING,
    # joints
    "joint-unsupported": WARNING,
    "joint-invalid": WARNING,
    "joint-loop": WARNING,
    "joint-apart": WARNING,
    "joint-limit": WARNING,
    "drive-acceleration": WARNING,
    "drive-velocity": WARNING,
    # looks
    "material-unsupported": WARNING,
    "texture-without-coordinates": WARNING,
    "texture-channel-ignored": WARNING,
    "light-unsupported": WARNING,
    "light-texture-ignored": WARNING,
    "no-light": WARNING,
    "camera-orthographic": WARNING,
    "camera-offset": WARNING,
    "camera-unnamed": WARNING,
    "camera-duplicate": ERROR,
    "no-camera": WARNING,
    # meaning
    "value-invalid": ERROR,
    "name-duplicate": ERROR,
    "object-not-body": ERROR,
    "object-without-collider": ERROR,
    "object-lies": WARNING,
    "object-color-flattened": WARNING,
    "slot-invalid": ERROR,
    "slot-indistinct": WARNING,
    "region-too-small": ERROR,
    "region-tilted": ERROR,
    "receptacle-too-small": ERROR,
    "receptacle-indistinct": WARNING,
    "randomize-nothing": WARNING,
    "no-mount": ERROR,
    "several-mounts": WARNING,
    "mount-tilted": ERROR,
    "no-receptacle": ERROR,
    "no-spawn-region": ERROR,
    "no-slot": ERROR,
    "no-object": ERROR,
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with a scene.

    Attributes:
        severity: "error" (the scene cannot be used as it is) or "warning" (something is lost or suspicious).
        code: a key of ``SEVERITY``.
        path: prim path, or "" for the whole stage.
        message: what is wrong; remedy: what the author can do.
    """

    severity: Literal["error", "warning"]
    code: str
    path: str
    message: str
    remedy: str = ""


class Notes:
    """Collects what the importer could not keep, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], SceneWarning] = {}

    def add(self, code: str, path: object, message: str, remedy: str = "") -> None:
        """Note something; ``code`` must be a key of ``SEVERITY``."""
        assert code in SEVERITY, code
        note = SceneWarning(code=code, path=str(path), message=message, remedy=remedy)
        self._found.setdefault((code, note.path), note)

    def all(self) -> tuple[SceneWarning, ...]:
        """Everything noted, in the order it came up."""
        return tuple(self._found.values())


def problem(note: SceneWarning) -> Problem:
    """A note of the importer with its severity."""
    severity = "error" if SEVERITY[note.code] == ERROR else "warning"
    return Problem(severity=severity, code=note.code, path=note.path, message=note.message, remedy=note.remedy)
