"""Robots as USD: links, joints and masses against the MuJoCo model they come from. Needs no Isaac Lab."""

from __future__ import annotations

import math

import mujoco
import numpy as np
import pytest
from pxr import Usd, UsdPhysics

from synthgen.core.errors import AssetError
from synthgen.core.pose import Pose, quat_inv, quat_mul
from synthgen.embodiments import registry
from synthgen.embodiments.assets import AssetStore
from synthgen.sim.isaac import robot_usd
from synthgen.sim.isaac.links import links_of, prim_name

ROBOTS = ("franka", "gr1", "g1")


@pytest.fixture(scope="module", params=ROBOTS)
def robot(request, tmp_path_factory):
    """Embodiment, compiled model, links and the opened USD stage."""
    embodiment = registry.load(request.param)
    model = robot_usd.robot_model(embodiment, AssetStore().root)
    links = links_of(model, name=embodiment.name)
    path = tmp_path_factory.mktemp("robots") / f"{request.param}.usdc"
    robot_usd.write_robot(model, links, path)
    return embodiment, model, links, Usd.Stage.Open(str(path))


def test_links_and_planning_model_agree_at_any_joint_angles(robot):
    _, model, links, _ = robot
    data, rng = mujoco.MjData(model), np.random.default_rng(0)
    for _ in range(20):
        q = {model.joint(j).name: rng.uniform(*model.jnt_range[j]) for j in range(model.njnt)}
        for name, value in q.items():
            data.qpos[model.joint(name).qposadr[0]] = value
        mujoco.mj_kinematics(model, data)
        poses = robot_usd.forward_kinematics(links, q)
        for name, (link, offset) in links.pose_of.items():
            body = model.body(name).id
            found = poses[link] @ offset
            assert np.abs(found.position - data.xpos[body]).max() < 1e-9
            turn = quat_mul(quat_inv(found.orientation), data.xquat[body])
            assert abs(abs(turn[0]) - 1.0) < 1e-9


def test_the_file_says_the_same_as_the_links(robot):
    """Walk the USD joints alone and compare with the links' own kinematics."""
    _, _, links, stage = robot
    rng = np.random.default_rng(1)
    q = {j.source: float(rng.uniform(j.lower, j.upper)) for j in links.joints}
    expected = robot_usd.forward_kinematics(links, q)
    source = {j.name: j.source for j in links.joints}
    poses = {links.links[0].name: links.links[0].pose}
    for prim in stage.Traverse():
        joint = UsdPhysics.Joint(prim)
        if not joint:
            continue
        value = q[source[prim.GetName()]]
        half = value / 2
        revolute = prim.IsA(UsdPhysics.RevoluteJoint)
        turn = (math.cos(half), math.sin(half), 0.0, 0.0)
        move = Pose.of(orientation=turn) if revolute else Pose.of((value, 0, 0))
        parent, child = (r.GetTargets()[0].name for r in (joint.GetBody0Rel(), joint.GetBody1Rel()))
        frame = [_pose(joint.GetLocalPos0Attr(), joint.GetLocalRot0Attr())]
        frame.append(_pose(joint.GetLocalPos1Attr(), joint.GetLocalRot1Attr()))
        poses[child] = poses[parent] @ frame[0] @ move @ frame[1].inverse()
    assert set(poses) == set(expected)
    for name, pose in poses.items():
        assert np.abs(pose.position - expected[name].position).max() < 1e-5  # float32 frames along the chain


def _pose(position, rotation):
    q = rotation.Get()
    return Pose.of(tuple(position.Get()), (q.GetReal(), *q.GetImaginary()))


def test_the_mass_is_that_of_the_model(robot):
    _, model, links, stage = robot
    assert sum(link.mass for link in links.links) == pytest.approx(float(model.body_mass.sum()), abs=0.02)
    for prim in stage.Traverse():
        if prim.HasAPI(UsdPhysics.RigidBodyAPI):
            api = UsdPhysics.MassAPI(prim)
            assert api.GetMassAttr().Get() >= 1e-3
            a, b, c = sorted(api.GetDiagonalInertiaAttr().Get())
            assert a > 0 and a + b >= c * (1 - 1e-3)


def test_it_is_canonical(robot):
    embodiment, model, links, stage = robot
    root = stage.GetDefaultPrim()
    roots = [p for p in stage.Traverse() if p.HasAPI(UsdPhysics.ArticulationRootAPI)]
    assert [p.GetName() for p in roots] == ["base_link"]
    joints = [p for p in stage.Traverse() if p.IsA(UsdPhysics.Joint)]
    assert len(joints) == len(embodiment.joints)
    for prim in joints:
        joint = UsdPhysics.Joint(prim)
        assert joint.GetBody0Rel().GetTargets() and joint.GetBody1Rel().GetTargets(), "no joint to the world"
        assert prim.HasAPI(UsdPhysics.DriveAPI), "OvPhysX ignores gains without a drive"
    bodies = [p for p in stage.Traverse() if p.HasAPI(UsdPhysics.RigidBodyAPI)]
    assert all(p.GetParent() == root for p in bodies), "no body below another"
    allowed = {links.pose_of[b][0] for b in embodiment.contact_bodies}
    colliders = [p for p in stage.Traverse() if p.HasAPI(UsdPhysics.CollisionAPI)]
    assert colliders and {p.GetParent().GetName() for p in colliders} <= allowed
    assert all(p.GetAttribute("purpose").Get() == "guide" for p in colliders)
    for link in links.joints:
        assert link.lower == pytest.approx(float(model.joint(link.source).range[0]))


def test_the_cache_is_used_again_and_survives_many_writers(tmp_path, monkeypatch):
    monkeypatch.setenv("SYNTHGEN_CACHE", str(tmp_path))
    monkeypatch.setenv("SYNTHGEN_ASSET_ROOT", "")
    franka = registry.load("franka")
    model = _one_joint()
    first = robot_usd.robot_file(franka, model)
    stamp = first.stat().st_mtime_ns
    assert robot_usd.robot_file(franka, model) == first and first.stat().st_mtime_ns == stamp
    first.unlink()
    assert robot_usd.robot_file(franka, model).is_file()
    assert not [p for p in first.parent.iterdir() if p.name.startswith(".")], "no half-written file stays"


def _one_joint(extra: str = "") -> mujoco.MjModel:
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco><worldbody><body name="arm" pos="0 0 1"><joint name="j" axis="0 1 0" range="-1 1"/>{extra}
        <geom size=".1" mass="1"/></body></worldbody></mujoco>"""
    )


def test_a_body_with_two_joints_is_refused():
    with pytest.raises(AssetError, match="'arm' needs exactly one"):
        links_of(_one_joint('<joint name="k" axis="1 0 0"/>'), name="odd")


def test_names_become_prim_names():
    assert prim_name("left/arm-1") == "left_arm_1"
    assert prim_name("1st") == "_1st"
