"""What MuJoCo compiles of a scene and a robot, against the numbers they were made from."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np
import pytest
import small_scene

from synthgen.core.errors import SceneError
from synthgen.core.pose import Pose, matrix_from_quat, quat_from_axis_angle, quat_rotate
from synthgen.core.project import builtin_root
from synthgen.core.scene import SceneSpec
from synthgen.embodiments import registry
from synthgen.embodiments.assets import AssetStore
from synthgen.sim.mujoco.model import build_model
from synthgen.sim.mujoco.robot import Purpose
from synthgen.sim.mujoco.scene_spec import FRICTION
from synthgen.usd.load import load_scene

ROOT_OF = AssetStore().root


def compiled(scene: SceneSpec, robot: str = "franka", purpose: Purpose = "physics") -> mujoco.MjModel:
    return build_model(scene, registry.load(robot), ROOT_OF, purpose=purpose)


def inertia_matrix(frame: np.ndarray, moments: np.ndarray) -> np.ndarray:
    r = matrix_from_quat(frame)
    return r @ np.diag(moments) @ r.T


@pytest.mark.parametrize("source", ["by hand", "tabletop"])
def test_masses_inertias_and_poses_are_the_scene_s(source: str) -> None:
    scene = small_scene.scene() if source == "by hand" else load_scene(builtin_root() / "scenes/tabletop.usda")
    model = compiled(scene)
    for path, body in scene.bodies.items():
        m = model.body(path)
        assert m.mass[0] == pytest.approx(body.mass, rel=1e-6)
        np.testing.assert_allclose(m.ipos, body.center_of_mass, atol=1e-9)
        got, wanted = inertia_matrix(m.iquat, m.inertia), inertia_matrix(body.inertia_frame, body.inertia)
        np.testing.assert_allclose(got, wanted, atol=1e-6 * wanted.max())
        np.testing.assert_allclose(m.pos, body.pose.position, atol=1e-9)
        assert abs(np.dot(m.quat, body.pose.orientation)) == pytest.approx(1.0, abs=1e-9)


def test_colliders_and_their_friction() -> None:
    scene = small_scene.scene()
    model = compiled(scene)
    cube, block, table = (model.geom(n) for n in ("/World/cube/shape", "/World/block/shape", "/World/table"))
    np.testing.assert_allclose(cube.friction, FRICTION)
    np.testing.assert_allclose(block.friction, [0.5, *FRICTION[1:]])
    np.testing.assert_allclose(cube.size, [0.025] * 3)
    assert cube.priority > table.priority  # an object's own friction prevails over the table's
    pieces = [model.geom(i).name for i in range(model.ngeom) if model.geom(i).name.startswith("/World/tetra")]
    assert pieces == ["/World/tetra/mesh", "/World/tetra/mesh#1"]
    assert model.opt.gravity[2] == -9.81


def test_only_hands_and_forearms_collide_in_the_physics() -> None:
    robot = registry.load("gr1")
    model = compiled(small_scene.scene(), "gr1")
    touching = {model.body(model.geom_bodyid[g]).name for g in range(model.ngeom) if model.geom_contype[g] & 2}
    assert touching <= set(robot.contact_bodies)
    assert touching >= {b for e in robot.end_effectors for b in e.hand_bodies if model.body(b).geomnum[0]}


@pytest.mark.parametrize("name", ["franka", "gr1", "g1"])
def test_all_purposes_agree_on_joints_bodies_and_kinematics(name: str) -> None:
    scene, robot = small_scene.scene(), registry.load(name)
    purposes: tuple[Purpose, ...] = ("physics", "planning", "visual")
    models = [compiled(scene, name, p) for p in purposes]
    datas = [mujoco.MjData(m) for m in models]
    rng = np.random.default_rng(3)
    joints = [models[0].joint(j) for j in robot.joints]
    for _ in range(20):
        for data in datas:
            data.qpos[:] = models[0].qpos0
        for j in joints:
            value = rng.uniform(*j.range)
            for data in datas:
                data.qpos[j.qposadr[0]] = value
        for model, data in zip(models, datas, strict=True):
            mujoco.mj_kinematics(model, data)
        for other_model, other in zip(models[1:], datas[1:], strict=True):
            for e in robot.end_effectors:
                np.testing.assert_allclose(other.site(e.site).xpos, datas[0].site(e.site).xpos, atol=1e-6)
                np.testing.assert_allclose(other.site(e.site).xmat, datas[0].site(e.site).xmat, atol=1e-6)
            np.testing.assert_allclose(other.xpos, datas[0].xpos, atol=1e-6)
            np.testing.assert_allclose(other_model.body_mass, models[0].body_mass, rtol=1e-6)


def test_the_robot_stands_at_mount_and_base() -> None:
    robot = registry.load("franka")
    mount = Pose.of((0.3, -0.2, 0.7), quat_from_axis_angle([0, 0, 1], 0.6))
    scene = small_scene.scene()
    scene = replace(scene, mounts=(replace(scene.mounts[0], pose=mount),))
    model = compiled(scene)
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    where = mount @ robot.base
    root = data.body("panda_base")
    np.testing.assert_allclose(root.xpos, where.position, atol=1e-9)
    np.testing.assert_allclose(root.xmat.reshape(3, 3), matrix_from_quat(where.orientation), atol=1e-9)


def test_planning_sees_arms_against_scene_and_hands_against_trunk() -> None:
    robot = registry.load("gr1")
    model = compiled(small_scene.scene(), "gr1", "planning")
    data = mujoco.MjData(model)

    def touching(pose: dict[str, float]) -> set[tuple[str, str]]:
        data.qpos[:] = model.qpos0
        for j, v in zip(robot.joints, robot.expand(robot.home_targets()), strict=True):
            data.qpos[model.joint(j).qposadr[0]] = pose.get(j, v)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        names = [[model.body(model.geom_bodyid[g]).name for g in pair] for pair in data.contact.geom]
        return {(min(p), max(p)) for p in names if not any(n.startswith("/World") for n in p)}

    assert touching({}) == set()
    arm = robot.end_effectors[0]
    hands = set(robot.contact_bodies)
    found: set[tuple[str, str]] = set()
    rng = np.random.default_rng(0)
    for _ in range(200):
        found |= touching({j: rng.uniform(*model.joint(j).range) for j in arm.arm_joints})
    assert any("torso" in a or "torso" in b for a, b in found), "a hand through the trunk goes unnoticed"
    assert all(a in hands or b in hands or "world" in (a, b) for a, b in found)


def test_joint_frames_axes_ranges_and_start() -> None:
    scene = small_scene.furniture()
    model = compiled(scene)
    data = mujoco.MjData(model)
    slide, hinge = model.joint("/World/slide"), model.joint("/World/hinge")
    np.testing.assert_allclose(slide.range, [0.0, 0.25])
    np.testing.assert_allclose(hinge.range, [-0.4, 1.2])
    for q_slide, q_hinge in ((0.0, 0.0), (0.1, 0.5), (0.25, -0.4)):
        data.qpos[slide.qposadr[0]], data.qpos[hinge.qposadr[0]] = q_slide, q_hinge
        mujoco.mj_kinematics(model, data)
        # The definition of a joint: child = parent @ frame_in_parent @ motion @ frame_in_child^-1.
        at = scene.bodies["/World/cabinet"].pose
        for joint, q in zip(scene.joints[1:], (q_slide, q_hinge), strict=True):
            moved = (
                Pose.of(q * joint.axis)
                if joint.kind == "prismatic"
                else Pose.of((0, 0, 0), quat_from_axis_angle(joint.axis, q))
            )
            at = at @ joint.frame_in_parent @ moved @ joint.frame_in_child.inverse()
            np.testing.assert_allclose(data.body(joint.child).xpos, at.position, atol=1e-9)
            x = quat_rotate(at.orientation, [1.0, 0.0, 0.0])
            np.testing.assert_allclose(data.body(joint.child).xmat.reshape(3, 3)[:, 0], x, atol=1e-9)


def test_bodies_that_joints_connect_do_not_collide() -> None:
    scene = small_scene.furniture()
    model = compiled(scene)
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    pairs = {frozenset(model.body(model.geom_bodyid[g]).name for g in pair) for pair in data.contact.geom}
    assert frozenset({"/World/cabinet", "/World/drawer"}) not in pairs
    assert frozenset({"/World/drawer", "/World/door"}) not in pairs


def test_a_scene_without_mount_is_refused() -> None:
    with pytest.raises(SceneError, match="mount"):
        compiled(replace(small_scene.scene(), mounts=()))


def test_two_joints_on_one_body_are_refused() -> None:
    scene = small_scene.furniture()
    extra = replace(scene.joints[1], path="/World/second", parent=None)
    with pytest.raises(SceneError, match="/World/second"):
        compiled(replace(scene, joints=(*scene.joints, extra)))


def test_joints_in_a_circle_are_refused() -> None:
    scene = small_scene.furniture()
    circle = (replace(scene.joints[0], parent="/World/door"), *scene.joints[1:])
    with pytest.raises(SceneError, match="loop"):
        compiled(replace(scene, joints=circle))


def test_what_mujoco_refuses_is_a_scene_error_that_names_it() -> None:
    scene = small_scene.scene()
    weightless = replace(scene.bodies["/World/cube"], mass=1e-20, inertia=np.zeros(3))
    with pytest.raises(SceneError, match="World/cube"):
        compiled(replace(scene, bodies={**scene.bodies, "/World/cube": weightless}))
