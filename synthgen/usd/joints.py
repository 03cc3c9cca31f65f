"""UsdPhysics joints in SI units, with their coordinate at the authored poses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pxr import Sdf, Usd, UsdPhysics

from synthgen.core.pose import Array, Pose, matrix_from_quat, quat_inv, quat_mul, quat_rotate
from synthgen.core.scene import Body, Drive, Joint, JointKind
from synthgen.usd.joint_tree import ordered, turned
from synthgen.usd.problems import Notes
from synthgen.usd.space import Space

AXES = {"X": (1.0, 0.0, 0.0), "Y": (0.0, 1.0, 0.0), "Z": (0.0, 0.0, 1.0)}
FREEDOMS = ("transX", "transY", "transZ", "rotX", "rotY", "rotZ")
APART = 1e-3
"""Metres (and radians) that the two joint frames may differ in a direction the joint does not allow."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Kind:
    """What a joint prim is.

    Attributes:
        kind: as in the scene.
        axis: (3,) in the joint frame.
        freedom: for a generic joint, its only free direction ("rotZ"), which limits and drives are named by.
    """

    kind: JointKind
    axis: Array
    freedom: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Side:
    """One end of a joint: body path or None for the world, and the joint frame in the world."""

    body: str | None
    frame: Pose


def read(prims: list[Usd.Prim], bodies: Mapping[str, Body], space: Space, notes: Notes) -> tuple[Joint, ...]:
    """The joints of a stage that form trees, parents before children, frames in the frames of ``bodies``.

    What cannot be kept (loops, kinds of joint without a counterpart) is noted.
    """
    reader = _Reader(bodies, space, notes)
    found = [j for p in prims if (j := reader.joint(p)) is not None]
    return ordered(found, bodies, notes)


def owner_of(path: Sdf.Path, bodies: Mapping[str, object]) -> str | None:
    """The nearest body at or above a path, or None."""
    while path != Sdf.Path.absoluteRootPath:
        if str(path) in bodies:
            return str(path)
        path = path.GetParentPath()
    return None


class _Reader:
    def __init__(self, bodies: Mapping[str, Body], space: Space, notes: Notes) -> None:
        self._bodies = bodies
        self._space = space
        self._notes = notes

    def joint(self, prim: Usd.Prim) -> Joint | None:
        """The joint with its frames in the world; None when it is off, constrains nothing, or cannot be kept."""
        if UsdPhysics.Joint(prim).GetJointEnabledAttr().Get() is False:
            return None
        kind = self._kind(prim)
        if kind is None:
            return None
        zero, one = self._side(prim, 0), self._side(prim, 1)
        if zero is None or one is None or zero.body == one.body:
            self._notes.add(
                "joint-invalid",
                prim.GetPath(),
                "the joint does not connect two different rigid bodies, or one with the world",
                "mend physics:body0 and physics:body1",
            )
            return None
        lower, upper = self._limits(prim, kind)
        joint = Joint(
            path=str(prim.GetPath()),
            kind=kind.kind,
            parent=zero.body,
            child=one.body or "",
            frame_in_parent=zero.frame,
            frame_in_child=one.frame,
            axis=kind.axis,
            lower=lower,
            upper=upper,
            initial=self._coordinate(prim, zero.frame.inverse() @ one.frame, kind),
            drive=self._drive(prim, kind, one if one.body else zero),
            friction=self._friction(prim, kind.kind),
        )
        return joint if joint.child else turned(joint)

    def _kind(self, prim: Usd.Prim) -> _Kind | None:
        """What it is; a generic joint counts as what its locked degrees of freedom leave."""
        name = str(prim.GetTypeName())
        x = np.array(AXES["X"])
        if name == "PhysicsFixedJoint":
            return _Kind(kind="fixed", axis=x)
        if name == "PhysicsRevoluteJoint":
            return _Kind(kind="revolute", axis=_axis(UsdPhysics.RevoluteJoint(prim)))
        if name == "PhysicsPrismaticJoint":
            return _Kind(kind="prismatic", axis=_axis(UsdPhysics.PrismaticJoint(prim)))
        if name == "PhysicsSphericalJoint":
            return _Kind(kind="spherical", axis=_axis(UsdPhysics.SphericalJoint(prim)))
        if name == "PhysicsJoint":
            free = tuple(d for d in FREEDOMS if not _locked(prim, d))
            if free == FREEDOMS:
                return None
            if not free:
                return _Kind(kind="fixed", axis=x)
            if len(free) == 1:
                kind: JointKind = "prismatic" if free[0].startswith("trans") else "revolute"
                return _Kind(kind=kind, axis=np.array(AXES[free[0][-1]]), freedom=free[0])
            if free == FREEDOMS[3:]:
                return _Kind(kind="spherical", axis=x)
        self._notes.add(
            "joint-unsupported",
            prim.GetPath(),
            f"a {name} of this kind is left out; its bodies move freely",
            "use fixed, revolute, prismatic or spherical joints",
        )
        return None

    def _side(self, prim: Usd.Prim, index: int) -> _Side | None:
        api = UsdPhysics.Joint(prim)
        relation = (api.GetBody0Rel() if index == 0 else api.GetBody1Rel()).GetForwardedTargets()
        position = (api.GetLocalPos0Attr() if index == 0 else api.GetLocalPos1Attr()).Get()
        rotation = (api.GetLocalRot0Attr() if index == 0 else api.GetLocalRot1Attr()).Get()
        place, owner = self._space.world(), None
        if relation:
            target = prim.GetStage().GetPrimAtPath(relation[0])
            if not target:
                return None
            place, owner = self._space.of(target), owner_of(target.GetPath(), self._bodies)
        turn = np.array([rotation.GetReal(), *rotation.GetImaginary()], float)
        frame = Pose.of(place.point(position), quat_mul(place.pose.orientation, turn))
        return _Side(body=owner, frame=frame)

    def _limits(self, prim: Usd.Prim, kind: _Kind) -> tuple[float | None, float | None]:
        if kind.kind == "spherical":
            return self._cone(prim)
        if kind.kind == "fixed":
            return None, None
        if kind.freedom:
            if not prim.HasAPI(UsdPhysics.LimitAPI, kind.freedom):
                return None, None
            limit = UsdPhysics.LimitAPI(prim, kind.freedom)
            low, high = limit.GetLowAttr().Get(), limit.GetHighAttr().Get()
        else:
            joint = UsdPhysics.RevoluteJoint(prim) if kind.kind == "revolute" else UsdPhysics.PrismaticJoint(prim)
            low, high = joint.GetLowerLimitAttr().Get(), joint.GetUpperLimitAttr().Get()
        unit = self._unit(kind.kind)
        return float(low) * unit if np.isfinite(low) else None, float(high) * unit if np.isfinite(high) else None

    def _cone(self, prim: Usd.Prim) -> tuple[float | None, float | None]:
        if str(prim.GetTypeName()) != "PhysicsSphericalJoint":
            return None, None
        api = UsdPhysics.SphericalJoint(prim)
        cones = [float(a.Get()) for a in (api.GetConeAngle0LimitAttr(), api.GetConeAngle1LimitAttr())]
        bounded = [c for c in cones if c >= 0 and np.isfinite(c)]
        if not bounded:
            return None, None
        if cones[0] != cones[1]:
            self._notes.add(
                "joint-limit",
                prim.GetPath(),
                "the cone limits differ; the narrower one bounds the whole rotation",
                "author equal coneAngle0Limit and coneAngle1Limit",
            )
        return 0.0, float(np.radians(min(bounded)))

    def _coordinate(self, prim: Usd.Prim, between: Pose, kind: _Kind) -> float:
        """Coordinate of ``between``, frame 1 seen from frame 0: rad or metres, positive along the axis."""
        slide = between.position
        q = between.orientation if between.orientation[0] >= 0 else -between.orientation
        coordinate = 0.0
        if kind.kind == "revolute":
            coordinate = float(2.0 * np.arctan2(q[1:] @ kind.axis, q[0]))
            turn = np.concatenate([[np.cos(coordinate / 2)], np.sin(coordinate / 2) * kind.axis])
            q = quat_mul(quat_inv(turn), q)
        if kind.kind == "prismatic":
            coordinate = float(slide @ kind.axis)
            slide = slide - coordinate * kind.axis
        gap = float(np.linalg.norm(slide))
        angle = 0.0 if kind.kind == "spherical" else 2.0 * float(np.linalg.norm(q[1:]))
        if gap > APART or angle > APART:
            self._notes.add(
                "joint-apart",
                prim.GetPath(),
                f"the joint's frames are {gap * 1000:.1f} mm and {np.degrees(angle):.2f} degrees apart at the authored "
                "poses; a solver would snap the bodies together",
                "author localPos and localRot so that both frames coincide where the bodies stand",
            )
        return 0.0 if abs(coordinate) < 1e-9 else coordinate

    def _drive(self, prim: Usd.Prim, kind: _Kind, moving: _Side) -> Drive | None:
        """The drive in SI. USD's are per degree for rotations, and in the stage's mass and length units."""
        if kind.kind not in ("revolute", "prismatic"):
            return None
        name = kind.freedom or ("angular" if kind.kind == "revolute" else "linear")
        if not prim.HasAPI(UsdPhysics.DriveAPI, name):
            return None
        api, unit = UsdPhysics.DriveAPI(prim, name), self._unit(kind.kind)
        force = self._space.kilograms * self._space.meters ** (2 if kind.kind == "revolute" else 1)
        gain = force / unit
        if str(api.GetTypeAttr().Get()) == "acceleration" and moving.body is not None:
            per_coordinate = 1.0 if kind.kind == "prismatic" else 180.0 / np.pi
            gain = per_coordinate * _effective_mass(self._bodies[moving.body], moving.frame, kind)
            self._notes.add(
                "drive-acceleration",
                prim.GetPath(),
                "an acceleration drive becomes a force drive with the moved body's own inertia",
                'author the drive with type = "force"',
            )
        if api.GetTargetVelocityAttr().Get():
            self._notes.add("drive-velocity", prim.GetPath(), "its target velocity is left out", "set it to 0")
        limit = float(api.GetMaxForceAttr().Get())
        return Drive(
            stiffness=float(api.GetStiffnessAttr().Get()) * gain,
            damping=float(api.GetDampingAttr().Get()) * gain,
            target=float(api.GetTargetPositionAttr().Get()) * unit,
            max_force=limit * force if np.isfinite(limit) else None,
        )

    def _friction(self, prim: Usd.Prim, kind: JointKind) -> float:
        """PhysX's dry joint friction, N m or N, when authored (physxJoint:jointFriction)."""
        attribute = prim.GetAttribute("physxJoint:jointFriction")
        if kind not in ("revolute", "prismatic") or not attribute or not attribute.HasAuthoredValue():
            return 0.0
        return float(attribute.Get()) * self._space.kilograms * self._space.meters ** (2 if kind == "revolute" else 1)

    def _unit(self, kind: JointKind) -> float:
        """Radians per degree, or metres per stage unit."""
        return self._space.meters if kind == "prismatic" else np.pi / 180.0


def _axis(joint: UsdPhysics.RevoluteJoint | UsdPhysics.PrismaticJoint | UsdPhysics.SphericalJoint) -> Array:
    return np.array(AXES[str(joint.GetAxisAttr().Get())])


def _locked(prim: Usd.Prim, freedom: str) -> bool:
    if not prim.HasAPI(UsdPhysics.LimitAPI, freedom):
        return False
    api = UsdPhysics.LimitAPI(prim, freedom)
    return float(api.GetLowAttr().Get()) > float(api.GetHighAttr().Get())


def _effective_mass(body: Body, frame: Pose, kind: _Kind) -> float:
    """kg, or kg m2 about the joint's axis, of the moved body. ``frame``: the joint's, in the world."""
    if kind.kind == "prismatic":
        return body.mass
    turn = matrix_from_quat(quat_mul(body.pose.orientation, body.inertia_frame))
    inertia = turn @ np.diag(body.inertia) @ turn.T
    along = quat_rotate(frame.orientation, kind.axis)
    arm = np.cross(along, body.pose.apply(body.center_of_mass) - frame.position)
    return float(along @ inertia @ along + body.mass * arm @ arm)
