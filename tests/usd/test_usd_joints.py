"""A cabinet with a drawer and a door, and joints of every kind, in Z-up metres and Y-up centimetres."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, UsdPhysics
from usd_stages import Author

from synthgen.core.pose import Pose, quat_rotate
from synthgen.core.scene import Joint, SceneSpec
from synthgen.usd import load_scene


@pytest.fixture(params=[("Z", 1.0, 1.0), ("Y", 0.01, 1.0), ("Y", 0.01, 0.5)], ids=["Z m", "Y cm", "Y cm, 500 g"])
def author(request, tmp_path: Path) -> Author:
    return Author(tmp_path / "stage.usda", *request.param)


def cabinet(author: Author, open_by: float = 0.0) -> None:
    """Base fixed to the world at (0, 0.9, 0.3); a drawer sliding along -y, a door turning about a vertical hinge."""
    root = author.xform("/World/Cabinet", at=(0.0, 0.9, 0.3))
    UsdPhysics.ArticulationRootAPI.Apply(root.GetPrim())
    author.body("/World/Cabinet/base", mass=10.0)
    author.box("/World/Cabinet/base/back", (0.4, 0.02, 0.4), at=(0, 0.2, 0))
    author.body("/World/Cabinet/drawer", mass=1.0, at=(0.0, -open_by, 0.0))
    author.box("/World/Cabinet/drawer/front", (0.36, 0.02, 0.12), at=(0, -0.19, -0.04))
    author.body("/World/Cabinet/door", mass=1.0, at=(0.0, -0.25, 0.1))
    author.box("/World/Cabinet/door/panel", (0.36, 0.02, 0.15))
    author.joint(
        UsdPhysics.FixedJoint, "/World/Cabinet/fix", "/World/Cabinet", "/World/Cabinet/base", (0, 0, 0), (0, 0, 0)
    )
    slide = author.joint(
        UsdPhysics.PrismaticJoint,
        "/World/Cabinet/slide",
        "/World/Cabinet/base",
        "/World/Cabinet/drawer",
        (0, 0, 0),
        (0, 0, 0),
        axis="Y",
    )
    low, high = (-0.3, 0.0) if author.up == "Z" else (0.0, 0.3)  # local Z of a Y-up stage points to -y
    slide.CreateLowerLimitAttr(author.length(low))
    slide.CreateUpperLimitAttr(author.length(high))
    drive = UsdPhysics.DriveAPI.Apply(slide.GetPrim(), "linear")
    drive.CreateDampingAttr(author.mass(5.0))  # mass / second
    drive.CreateStiffnessAttr(author.mass(40.0))  # mass / second2
    drive.CreateTargetPositionAttr(author.length(0.1))
    drive.CreateMaxForceAttr(author.length(author.mass(25.0)))
    hinge = author.joint(
        UsdPhysics.RevoluteJoint,
        "/World/Cabinet/hinge",
        "/World/Cabinet/base",
        "/World/Cabinet/door",
        (-0.18, -0.25, 0.1),
        (-0.18, 0, 0),
        axis="Z",
        LowerLimit=-90.0,
        UpperLimit=0.0,
    )
    drive = UsdPhysics.DriveAPI.Apply(hinge.GetPrim(), "angular")
    per_degree = math.pi / 180 / author.kilogram / author.unit**2
    drive.CreateDampingAttr(0.5 * per_degree)
    drive.CreateStiffnessAttr(2.0 * per_degree)
    drive.CreateTargetPositionAttr(-30.0)


def at_zero(scene: SceneSpec, joint: Joint) -> Pose:
    """World pose of the child when the joint's coordinate is 0."""
    parent = scene.bodies[joint.parent].pose if joint.parent else Pose.of()
    return parent @ joint.frame_in_parent @ joint.frame_in_child.inverse()


def moved(scene: SceneSpec, joint: Joint, coordinate: float) -> Pose:
    """World pose of the child at a coordinate."""
    parent = scene.bodies[joint.parent].pose if joint.parent else Pose.of()
    if joint.kind == "prismatic":
        step = Pose.of(coordinate * joint.axis)
    else:
        step = Pose.of((0, 0, 0), [math.cos(coordinate / 2), *(math.sin(coordinate / 2) * joint.axis)])
    return parent @ joint.frame_in_parent @ step @ joint.frame_in_child.inverse()


def same(a: Pose, b: Pose) -> None:
    np.testing.assert_allclose(a.matrix(), b.matrix(), atol=2e-6)


def test_cabinet(author: Author) -> None:
    cabinet(author)
    scene = load_scene(author.save())
    joints = {j.path.rsplit("/", 1)[1]: j for j in scene.joints}
    assert scene.joints[0].path.endswith("/fix")
    np.testing.assert_allclose(scene.bodies["/World/Cabinet/door"].pose.position, [0, 0.65, 0.4], atol=1e-6)
    fix = joints["fix"]
    assert (fix.kind, fix.parent, fix.child) == ("fixed", None, "/World/Cabinet/base")
    slide, hinge = joints["slide"], joints["hinge"]
    assert slide.parent == hinge.parent == "/World/Cabinet/base"
    for joint in scene.joints:
        same(at_zero(scene, joint), scene.bodies[joint.child].pose)
        assert joint.initial == pytest.approx(0.0, abs=1e-6)
    assert slide.lower is not None and slide.upper is not None
    assert slide.upper - slide.lower == pytest.approx(0.3, rel=1e-6)
    pulled = moved(scene, slide, slide.lower if author.up == "Z" else slide.upper)
    np.testing.assert_allclose(pulled.position, [0, 0.6, 0.3], atol=1e-6)  # 30 cm towards -y
    assert slide.drive is not None
    assert slide.drive.stiffness == pytest.approx(40.0, rel=1e-5)
    assert slide.drive.damping == pytest.approx(5.0, rel=1e-5)
    assert slide.drive.target == pytest.approx(0.1, rel=1e-5)
    assert slide.drive.max_force == pytest.approx(25.0, rel=1e-5)
    assert (hinge.lower, hinge.upper) == (pytest.approx(-math.pi / 2), pytest.approx(0.0))
    assert hinge.drive is not None
    assert hinge.drive.stiffness == pytest.approx(2.0, rel=1e-5)
    assert hinge.drive.damping == pytest.approx(0.5, rel=1e-5)
    assert hinge.drive.target == pytest.approx(-math.pi / 6, rel=1e-5)
    assert hinge.drive.max_force is None
    # Open by 90 degrees clockwise seen from above: the door's centre swings from beside the hinge to before it.
    opened = moved(scene, hinge, hinge.lower or 0.0)
    np.testing.assert_allclose(opened.position, [-0.18, 0.65 - 0.18, 0.4], atol=1e-6)


def test_coordinate_at_the_authored_poses(author: Author) -> None:
    cabinet(author, open_by=0.12)
    scene = load_scene(author.save())
    slide = next(j for j in scene.joints if j.kind == "prismatic")
    assert slide.initial == pytest.approx(-0.12 if author.up == "Z" else 0.12, abs=1e-6)
    same(moved(scene, slide, slide.initial), scene.bodies[slide.child].pose)
    assert not scene.warnings


@pytest.mark.parametrize("turned", [False, True])
def test_a_turned_hinge_between_turned_scaled_bodies(author: Author, turned: bool) -> None:
    """Body 1 stands 50 degrees open; the joint reads so from either side, and anchors follow the bodies' scale."""
    author.body("/World/a", mass=1.0, at=(0.5, 0, 0), turn=((0, 0, 1), 25), scale=(2.0, 2.0, 2.0))
    author.box("/World/a/g", (0.1, 0.1, 0.1))
    # The hinge is at a's local (0.1, 0, 0), 0.2 m from its origin, and at b's local (-0.3, 0, 0).
    c, s = math.cos(math.radians(25)), math.sin(math.radians(25))
    hinge = np.array([0.5 + 0.2 * c, 0.2 * s, 0.0])
    c, s = math.cos(math.radians(75)), math.sin(math.radians(75))
    author.body("/World/b", mass=1.0, at=tuple(hinge + 0.3 * np.array([c, s, 0.0])), turn=((0, 0, 1), 75))
    author.box("/World/b/g", (0.1, 0.1, 0.1))
    ends = [("/World/a", (0.1, 0, 0)), ("/World/b", (-0.3, 0, 0))]
    (p0, at0), (p1, at1) = reversed(ends) if turned else ends
    author.joint(UsdPhysics.RevoluteJoint, "/World/hinge", p0, p1, at0, at1, LowerLimit=-100.0, UpperLimit=100.0)
    scene = load_scene(author.save())
    (joint,) = scene.joints
    assert joint.parent == p0 and joint.child == p1
    assert joint.initial == pytest.approx(math.radians(-50 if turned else 50), abs=1e-6)
    same(moved(scene, joint, joint.initial), scene.bodies[joint.child].pose)
    assert not scene.warnings


def test_a_joint_whose_world_end_is_body_1_turns_round(author: Author) -> None:
    author.body("/World/a", mass=1.0, at=(0.2, 0, 0))
    author.box("/World/a/g", (0.1, 0.1, 0.1))
    author.joint(
        UsdPhysics.PrismaticJoint,
        "/World/slide",
        "/World/a",
        None,
        (0, 0, 0),
        (0.5, 0, 0),
        axis="X",
        LowerLimit=author.length(0.0),
        UpperLimit=author.length(1.0),
    )
    scene = load_scene(author.save())
    (joint,) = scene.joints
    assert joint.parent is None and joint.child == "/World/a"
    assert joint.initial == pytest.approx(0.3, abs=1e-6)  # the world's frame is 0.3 m ahead of the body's
    assert (joint.lower, joint.upper) == (pytest.approx(0.0), pytest.approx(1.0))
    same(moved(scene, joint, joint.initial), scene.bodies["/World/a"].pose)
    np.testing.assert_allclose(moved(scene, joint, 0.0).position, [0.5, 0, 0], atol=1e-6)


def test_agrees_with_usds_parser(author: Author) -> None:
    """Limits and drives of LoadUsdPhysicsFromRange, in its units."""
    cabinet(author)
    author.save()
    parsed = UsdPhysics.LoadUsdPhysicsFromRange(author.stage, ["/"])
    hinge = parsed[UsdPhysics.ObjectType.RevoluteJoint][1][0]
    slide = parsed[UsdPhysics.ObjectType.PrismaticJoint][1][0]
    joints = {j.kind: j for j in load_scene(author.path).joints}
    assert joints["revolute"].lower == pytest.approx(math.radians(hinge.limit.lower))
    assert joints["prismatic"].upper == pytest.approx(slide.limit.upper * author.unit)
    assert str(slide.body1) == joints["prismatic"].child
    for kind, desc in (("revolute", hinge), ("prismatic", slide)):
        local = np.array(desc.localPose1Position) * author.unit
        expected = local if author.up == "Z" else [local[0], -local[2], local[1]]
        np.testing.assert_allclose(joints[kind].frame_in_child.position, expected, atol=1e-6)
    rates = author.kilogram * author.unit**2 * 180 / math.pi
    assert joints["revolute"].drive is not None
    assert joints["revolute"].drive.damping == pytest.approx(hinge.drive.damping * rates, rel=1e-5)


def test_spherical_generic_and_unsupported(author: Author) -> None:
    for name in "abcd":
        author.body(f"/World/{name}", mass=1.0)
        author.box(f"/World/{name}/g", (0.1, 0.1, 0.1))
    ball = author.joint(UsdPhysics.SphericalJoint, "/World/ball", None, "/World/a", (0, 0, 0), (0, 0, 0))
    ball.CreateConeAngle0LimitAttr(30.0)
    ball.CreateConeAngle1LimitAttr(30.0)
    rail = author.joint(UsdPhysics.Joint, "/World/rail", None, "/World/b", (0, 0, 0), (0, 0, 0))
    vertical = "transZ" if author.up == "Z" else "transY"
    for freedom in sorted({"transX", "transY", "transZ", "rotX", "rotY", "rotZ"} - {vertical}):
        lock = UsdPhysics.LimitAPI.Apply(rail.GetPrim(), freedom)
        lock.CreateLowAttr(1.0)
        lock.CreateHighAttr(-1.0)
    limit = UsdPhysics.LimitAPI.Apply(rail.GetPrim(), vertical)
    limit.CreateLowAttr(author.length(-0.1))
    limit.CreateHighAttr(author.length(0.4))
    author.joint(UsdPhysics.DistanceJoint, "/World/rope", None, "/World/c", (0, 0, 0), (0, 0, 0))
    off = author.joint(UsdPhysics.FixedJoint, "/World/off", None, "/World/d", (0, 0, 0), (0, 0, 0))
    off.CreateJointEnabledAttr(False)
    author.joint(UsdPhysics.FixedJoint, "/World/lost", "/World/nowhere", "/World/d", (0, 0, 0), (0, 0, 0))
    scene = load_scene(author.save())
    joints = {j.path: j for j in scene.joints}
    assert set(joints) == {"/World/ball", "/World/rail"}
    assert (joints["/World/ball"].kind, joints["/World/ball"].upper) == ("spherical", pytest.approx(math.pi / 6))
    rail_joint = joints["/World/rail"]
    assert (rail_joint.kind, rail_joint.lower) == ("prismatic", pytest.approx(-0.1))
    along = quat_rotate(rail_joint.frame_in_parent.orientation, rail_joint.axis)
    np.testing.assert_allclose(along, [0, 0, 1], atol=1e-6)
    assert {(w.code, w.path) for w in scene.warnings} == {
        ("joint-unsupported", "/World/rope"),
        ("joint-invalid", "/World/lost"),
    }


def test_loops_and_gaps_are_noted(tmp_path: Path) -> None:
    author = Author(tmp_path / "stage.usda")
    for i, name in enumerate("abc"):
        author.body(f"/World/{name}", mass=1.0, at=(0.2 * i, 0, 0))
        author.box(f"/World/{name}/g", (0.1, 0.1, 0.1))
    author.joint(UsdPhysics.FixedJoint, "/World/ab", "/World/a", "/World/b", (0.2, 0, 0), (0, 0, 0))
    author.joint(UsdPhysics.FixedJoint, "/World/bc", "/World/b", "/World/c", (0.2, 0, 0), (0, 0, 0))
    author.joint(UsdPhysics.FixedJoint, "/World/ac", "/World/a", "/World/c", (0.45, 0, 0), (0, 0, 0))
    scene = load_scene(author.save())
    assert [j.path for j in scene.joints] == ["/World/ab", "/World/bc"]
    notes = {w.code: w for w in scene.warnings}
    assert notes["joint-loop"].path == "/World/ac"
    assert "50.0 mm" in notes["joint-apart"].message


def test_parents_come_before_children_whatever_the_order(tmp_path: Path) -> None:
    author = Author(tmp_path / "stage.usda")
    for i, name in enumerate("dcba"):
        author.body(f"/World/{name}", mass=1.0, at=(0.2 * i, 0, 0))
        author.box(f"/World/{name}/g", (0.1, 0.1, 0.1))
    for parent, child in ("cd", "bc", "ab"):
        author.joint(
            UsdPhysics.FixedJoint, f"/World/j{child}", f"/World/{parent}", f"/World/{child}", (-0.2, 0, 0), (0, 0, 0)
        )
    scene = load_scene(author.save())
    seen = {None, "/World/a"}
    for joint in scene.joints:
        assert joint.parent in seen
        seen.add(joint.child)
    assert len(seen) == 5


def test_acceleration_drive_is_scaled_by_the_moved_inertia(tmp_path: Path) -> None:
    author = Author(tmp_path / "stage.usda")
    author.body("/World/door", mass=3.0, at=(0.5, 0, 0))
    author.box("/World/door/g", (1.0, 0.1, 0.1))
    hinge = author.joint(UsdPhysics.RevoluteJoint, "/World/hinge", None, "/World/door", (0, 0, 0), (-0.5, 0, 0))
    drive = UsdPhysics.DriveAPI.Apply(hinge.GetPrim(), "angular")
    drive.CreateTypeAttr("acceleration")
    drive.CreateStiffnessAttr(2.0)
    (joint,) = load_scene(author.save()).joints
    about_hinge = 3.0 * (1.0**2 + 0.1**2) / 12 + 3.0 * 0.5**2
    assert joint.drive is not None
    assert joint.drive.stiffness == pytest.approx(2.0 * 180 / math.pi * about_hinge, rel=1e-5)


def test_joint_friction_of_physx(tmp_path: Path) -> None:
    author = Author(tmp_path / "stage.usda", unit=0.01)
    author.body("/World/door", mass=3.0)
    author.box("/World/door/g", (1.0, 0.1, 0.1))
    hinge = author.joint(UsdPhysics.RevoluteJoint, "/World/hinge", None, "/World/door", (0, 0, 0), (0, 0, 0))
    from pxr import Sdf

    hinge.GetPrim().CreateAttribute("physxJoint:jointFriction", Sdf.ValueTypeNames.Float).Set(400.0)
    (joint,) = load_scene(author.save()).joints
    assert joint.friction == pytest.approx(0.04)


def test_localrot_and_axis_together_give_the_hinge_line(tmp_path: Path) -> None:
    """Axis X turned by 90 degrees about z is y."""
    author = Author(tmp_path / "stage.usda")
    author.body("/World/lid", mass=1.0)
    author.box("/World/lid/g", (0.1, 0.1, 0.1))
    hinge = author.joint(UsdPhysics.RevoluteJoint, "/World/hinge", None, "/World/lid", (0, 0, 0), (0, 0, 0), axis="X")
    quat = Gf.Quatf(Gf.Rotation(Gf.Vec3d(0, 0, 1), 90).GetQuat())
    hinge.CreateLocalRot0Attr(quat)
    hinge.CreateLocalRot1Attr(quat)
    (joint,) = load_scene(author.save()).joints
    np.testing.assert_allclose(quat_rotate(joint.frame_in_parent.orientation, joint.axis), [0, 1, 0], atol=1e-6)
