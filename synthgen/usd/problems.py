"""What can be wrong with a scene, by stable code. ``docs/scenes.md`` explains each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from synthgen.core.scene import SceneWarning

Severity = Literal["error", "warning"]
ERROR: Severity = "error"
WARNING: Severity = "warning"


class Code(NamedTuple):
    """How bad a kind of problem is, and what it is about."""

    severity: Severity
    meaning: str


CODES: Mapping[str, Code] = {
    # the stage itself
    "unreadable": Code(ERROR, "no such file, not USD, or damaged; or two prims of one name"),
    "missing-reference": Code(ERROR, "a reference, payload or sublayer does not resolve"),
    "missing-texture": Code(ERROR, "an image file is not where a material says"),
    "no-default-prim": Code(WARNING, "the root layer names no defaultPrim, so Isaac Lab cannot reference the stage"),
    "several-physics-scenes": Code(WARNING, "only the first PhysicsScene counts"),
    # geometry
    "mesh-invalid": Code(ERROR, "a mesh without faces, or with indices or points that make no sense, is left out"),
    "gprim-skipped": Code(
        WARNING, "curves, points and other gprims without a volume are neither drawn nor collided with"
    ),
    "instancer-skipped": Code(WARNING, "a PointInstancer is not read"),
    "subdivision-ignored": Code(WARNING, "a subdivision cage is used as it is"),
    "shear-approximated": Code(WARNING, "a turned primitive below an uneven scale loses its shear; meshes keep it"),
    "degenerate-scale": Code(WARNING, "a gprim with a scale of 0 is left out"),
    "concave-face": Code(WARNING, "a concave polygon is cut as if it were convex"),
    # collision
    "collider-not-gprim": Code(WARNING, "CollisionAPI on something without a shape does nothing"),
    "collider-flat": Code(WARNING, "a mesh collider without thickness is given 1 mm behind its faces"),
    "collider-hull": Code(WARNING, "a concave mesh on a moving body collides as its convex hull"),
    "collider-decomposed": Code(WARNING, "a static concave mesh collides as convex pieces"),
    "cone-approximated": Code(WARNING, "a cone, or a cylinder with two radii, becomes a mesh with 32 sides"),
    "elliptic-approximated": Code(WARNING, "a cylinder with an elliptic section becomes a mesh with 32 sides"),
    "capsule-stretched": Code(WARNING, "an unevenly scaled capsule keeps round caps"),
    "plane-on-body": Code(WARNING, "a plane on a moving body does not collide"),
    "collision-group-ignored": Code(WARNING, "filtering between collision groups is not kept"),
    "filtered-pairs-ignored": Code(WARNING, "filtered pairs are not kept"),
    # bodies and mass
    "nested-body": Code(WARNING, "a rigid body below another one"),
    "mass-default": Code(WARNING, "a body with neither mass nor collider weighs 1 kg"),
    "mass-ambiguous": Code(WARNING, "a mass above several bodies is not used"),
    "inertia-impossible": Code(WARNING, "authored principal moments that no solid has"),
    "velocity-ignored": Code(WARNING, "initial velocities are not kept"),
    # joints
    "joint-unsupported": Code(WARNING, "distance joints and generic joints with several free directions are left out"),
    "joint-invalid": Code(WARNING, "a joint that does not connect two bodies, or one with the world"),
    "joint-loop": Code(WARNING, "a joint that closes a loop is left out"),
    "joint-apart": Code(WARNING, "the joint's two frames do not coincide at the authored poses"),
    "joint-limit": Code(WARNING, "a cone with two different angles becomes the narrower one"),
    "drive-acceleration": Code(WARNING, "an acceleration drive becomes a force drive"),
    "drive-velocity": Code(WARNING, "a drive's target velocity is not kept"),
    # looks
    "material-unsupported": Code(
        WARNING, "a material with neither UsdPreviewSurface nor OmniPBR shows the display colour"
    ),
    "texture-without-coordinates": Code(WARNING, "a textured material on a mesh without texture coordinates"),
    "texture-channel-ignored": Code(WARNING, "textures other than the base colour's are not kept"),
    "light-unsupported": Code(WARNING, "a kind of light that does not shine"),
    "light-texture-ignored": Code(WARNING, "a dome's or rect light's texture, which only Isaac Sim shows"),
    "no-light": Code(WARNING, "the stage has no light; a plain one is used"),
    "camera-orthographic": Code(WARNING, "an orthographic camera is drawn in perspective"),
    "camera-offset": Code(WARNING, "aperture offsets are not kept"),
    "camera-unnamed": Code(WARNING, "a camera without SynthgenCameraAPI is called after its prim"),
    "camera-duplicate": Code(ERROR, "two cameras have one name"),
    "no-camera": Code(WARNING, "the stage has no camera; only the robot's can be recorded"),
    # meaning
    "value-invalid": Code(ERROR, "a synthgen property is missing or out of its range"),
    "object-not-body": Code(ERROR, "SynthgenObjectAPI on a prim that is no rigid body"),
    "object-without-collider": Code(ERROR, "an object that a hand cannot touch"),
    "object-lies": Code(WARNING, "an object's up axis does not point up where it is authored"),
    "object-color-flattened": Code(WARNING, "colorJitter on an object of several colours paints it in one"),
    "slot-invalid": Code(ERROR, "a slot without candidates or regions, or that names a prim without the schema"),
    "slot-indistinct": Code(WARNING, "candidates of one slot that no words tell apart"),
    "region-too-small": Code(ERROR, "a candidate of a slot does not fit one of its regions"),
    "region-tilted": Code(ERROR, "a spawn region that is not level"),
    "receptacle-tilted": Code(ERROR, "a receptacle that is not authored upright"),
    "receptacle-too-small": Code(ERROR, "a receptacle that no object fits into"),
    "randomize-nothing": Code(WARNING, "SynthgenRandomizeAPI on a prim it has no meaning for"),
    "no-mount": Code(ERROR, "a robot has nowhere to stand"),
    "several-mounts": Code(WARNING, "only the first mount is used"),
    "mount-tilted": Code(ERROR, "a mount that is not upright"),
    "no-receptacle": Code(ERROR, "nowhere to put things"),
    "no-spawn-region": Code(ERROR, "nowhere to place things"),
    "no-slot": Code(ERROR, "nothing says what an episode contains"),
    "no-object": Code(ERROR, "nothing to handle"),
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with a scene.

    Attributes:
        severity: "error" (the scene cannot be used as it is) or "warning" (something is lost or suspicious).
        code: a key of ``CODES``.
        path: prim path, or "" for the whole stage.
        message: what is wrong; remedy: what the author can do.
    """

    severity: Severity
    code: str
    path: str
    message: str
    remedy: str = ""


class Notes:
    """Collects what the importer could not keep, each once."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], SceneWarning] = {}

    def add(self, code: str, path: object, message: str, remedy: str = "") -> None:
        """Note something; ``code`` must be a key of ``CODES``."""
        assert code in CODES, code
        note = SceneWarning(code=code, path=str(path), message=message, remedy=remedy)
        self._found.setdefault((code, note.path), note)

    def all(self) -> tuple[SceneWarning, ...]:
        """Everything noted, in the order it came up."""
        return tuple(self._found.values())


def make(code: str, path: str, message: str, remedy: str) -> Problem:
    """A problem with the severity of its code."""
    return Problem(severity=CODES[code].severity, code=code, path=path, message=message, remedy=remedy)


def problem(note: SceneWarning) -> Problem:
    """A note of the importer as a problem."""
    return make(note.code, note.path, note.message, note.remedy)
