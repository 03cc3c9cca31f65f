"""The joints of an articulation in a USD stage, and where they are at given joint values. USD only, no engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from pxr import Sdf, Usd, UsdPhysics

from synthgen.core.errors import AssetError
from synthgen.core.pose import Array, Pose, quat_from_axis_angle, quat_rotate

AXES = {"X": (1.0, 0.0, 0.0), "Y": (0.0, 1.0, 0.0), "Z": (0.0, 0.0, 1.0)}


@dataclass(frozen=True, kw_only=True, eq=False)
class ChainJoint:
    """One joint between two links, named by their paths. ``axis`` (3,) in the joint's frame, None for a fixed joint."""

    name: str
    parent: str
    child: str
    frame_in_parent: Pose
    frame_in_child: Pose
    axis: Array | None
    prismatic: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """An articulation: path of its root link, and its joints, parents before children."""

    root: str
    joints: tuple[ChainJoint, ...]


def read_chain(stage: Usd.Stage, top: str) -> Chain:
    """The articulation below the prim ``top``. Joints to the world, and joints out of its tree, are left aside.

    Raises:
        AssetError: there are no joints, or they do not form one tree.
    """
    found = [j for p in _prims(stage, top) if (j := _joint(p)) is not None]
    children = {j.child for j in found}
    roots = list(dict.fromkeys(j.parent for j in found if j.parent not in children))
    if len(roots) != 1:
        raise AssetError(
            f"{top}: joints that form {len(roots)} trees instead of one robot: {', '.join(roots) or 'none'}",
            remedy="use the asset version that the pinned Isaac Lab names, or leave out --isaac-assets",
        )
    ordered: list[ChainJoint] = []
    known = {roots[0]}
    while more := [j for j in found if j.parent in known and j.child not in known]:
        ordered.append(more[0])
        known.add(more[0].child)
    return Chain(root=roots[0], joints=tuple(ordered))


def anchors(chain: Chain, values: Mapping[str, float]) -> dict[str, tuple[Array, Array]]:
    """Where each moving joint is and where its axis points, (3,) and (3,), in the root link's frame.

    ``values``: rad or metres by joint name; 0 where nothing is said.
    """
    poses = {chain.root: Pose.of()}
    found: dict[str, tuple[Array, Array]] = {}
    for joint in chain.joints:
        frame = poses[joint.parent] @ joint.frame_in_parent
        motion = Pose.of()
        if joint.axis is not None:
            value = values.get(joint.name, 0.0)
            found[joint.name] = (frame.position, quat_rotate(frame.orientation, joint.axis))
            if joint.prismatic:
                motion = Pose.of(joint.axis * value)
            else:
                motion = Pose.of(orientation=quat_from_axis_angle(joint.axis, value))
        poses[joint.child] = frame @ motion @ joint.frame_in_child.inverse()
    return found


def _prims(stage: Usd.Stage, top: str) -> Usd.PrimRange:
    return Usd.PrimRange(stage.GetPrimAtPath(top), Usd.TraverseInstanceProxies())


def _joint(prim: Usd.Prim) -> ChainJoint | None:
    joint = UsdPhysics.Joint(prim)
    if not joint or joint.GetExcludeFromArticulationAttr().Get() or joint.GetJointEnabledAttr().Get() is False:
        return None
    parent, child = (_target(r) for r in (joint.GetBody0Rel(), joint.GetBody1Rel()))
    if parent is None or child is None:
        return None
    revolute, prismatic = UsdPhysics.RevoluteJoint(prim), UsdPhysics.PrismaticJoint(prim)
    token = revolute.GetAxisAttr().Get() if revolute else prismatic.GetAxisAttr().Get() if prismatic else None
    return ChainJoint(
        name=prim.GetName(),
        parent=str(parent),
        child=str(child),
        frame_in_parent=_pose(joint.GetLocalPos0Attr(), joint.GetLocalRot0Attr()),
        frame_in_child=_pose(joint.GetLocalPos1Attr(), joint.GetLocalRot1Attr()),
        axis=None if token is None else np.array(AXES[str(token)]),
        prismatic=bool(prismatic),
    )


def _target(relation: Usd.Relationship) -> Sdf.Path | None:
    targets = relation.GetForwardedTargets()
    prim = relation.GetStage().GetPrimAtPath(targets[0]) if targets else None
    return prim.GetPath() if prim and prim.HasAPI(UsdPhysics.RigidBodyAPI) else None


def _pose(position: Usd.Attribute, rotation: Usd.Attribute) -> Pose:
    q = rotation.Get()
    return Pose.of(tuple(position.Get()), (q.GetReal(), *q.GetImaginary()))
