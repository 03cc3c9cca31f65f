"""What the MuJoCo simulator promises beyond the conformance suite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import small_scene
from PIL import Image

from synthgen.core.errors import MachineError, SimulatorError, SynthgenError
from synthgen.core.pose import Pose, quat_from_axis_angle
from synthgen.core.sample import BodySample, LightSample, SceneSample
from synthgen.core.scene import LookRange, SceneSpec
from synthgen.core.simulator import RenderRequest, SimState
from synthgen.embodiments import registry
from synthgen.embodiments.assets import AssetStore
from synthgen.sim.mujoco import gl
from synthgen.sim.mujoco.model import build_model
from synthgen.sim.mujoco.simulator import MujocoSimulator

FRANKA = registry.load("franka")
ROOT_OF = AssetStore().root


def loaded(scene: SceneSpec, *, fps: int = 20, rendering: bool = False) -> MujocoSimulator:
    sim = MujocoSimulator(root_of=ROOT_OF, rendering=rendering)
    sim.load(scene, FRANKA, fps=fps)
    return sim


def hold(sim: MujocoSimulator, seconds: float) -> None:
    for _ in range(round(seconds * 20)):
        sim.step(FRANKA.home_targets()[None])


def row(sim: MujocoSimulator, path: str) -> int:
    return sim.layout().bodies.index(path)


# ---- commands ----------------------------------------------------------------------------------------------------


def test_commands_move_linearly_over_the_physics_steps() -> None:
    scene = small_scene.scene()
    sample = small_scene.sample(scene)
    sim = loaded(scene)
    sim.reset({0: sample})
    start = FRANKA.home_targets()
    end = start + 0.02
    sim.step(end[None])

    model = build_model(scene, FRANKA, ROOT_OF, purpose="physics", timestep=sim.info().timestep)
    data = mujoco.MjData(model)
    for j, v in zip(FRANKA.joints, FRANKA.expand(start), strict=True):
        data.qpos[model.joint(j).qposadr[0]] = v
    substeps = round(0.05 / sim.info().timestep)
    assert substeps == 25
    for i in range(1, substeps + 1):
        for j, a, b in zip(FRANKA.joints, FRANKA.expand(start), FRANKA.expand(end), strict=True):
            data.ctrl[model.actuator(j).id] = a + i / substeps * (b - a)
        mujoco.mj_step(model, data)
    expected = [data.qpos[model.joint(j).qposadr[0]] for j in FRANKA.joints]
    np.testing.assert_allclose(sim.state().joint_position[0], expected, atol=1e-12)


def test_the_physics_step_divides_any_control_period() -> None:
    for fps in (15, 20, 30, 50):
        sim = loaded(small_scene.scene(), fps=fps)
        step = sim.info().timestep
        assert step <= FRANKA.timestep + 1e-12
        assert 1 / fps / step == pytest.approx(round(1 / fps / step), rel=1e-9)


# ---- samples -----------------------------------------------------------------------------------------------------


def test_a_sampled_mass_acts_as_if_compiled_with_it() -> None:
    scene = small_scene.scene()
    cube = scene.bodies["/World/cube"]
    sim = loaded(scene)
    sim.reset({0: small_scene.sample(scene, cube=BodySample(active=True, pose=cube.pose, mass=0.35))})
    heavy = replace(cube, mass=0.35, inertia=3.5 * cube.inertia)
    wanted = build_model(replace(scene, bodies={**scene.bodies, cube.path: heavy}), FRANKA, ROOT_OF, purpose="physics")
    got = sim._models[0]
    for name in ("body_mass", "body_inertia", "body_invweight0", "dof_invweight0", "dof_M0", "body_subtreemass"):
        np.testing.assert_allclose(getattr(got, name), getattr(wanted, name), rtol=1e-9, err_msg=name)
    sim.reset({0: small_scene.sample(scene)})
    assert sim._models[0].body("/World/cube").mass[0] == cube.mass


def test_friction_acts_as_sampled() -> None:
    """A sliding block stops after v^2 / (2 mu g)."""
    scene = small_scene.scene()
    block = scene.bodies["/World/block"]
    for scale in (0.4, 1.0):
        mu = 0.5 * scale
        sim = loaded(scene)
        flat = quat_from_axis_angle([0.0, 1.0, 0.0], np.pi / 2)  # lying, so that it does not topple
        pose = Pose.of((0.6, 0.3, small_scene.TABLE + 0.02), flat)
        sim.reset({0: small_scene.sample(scene, block=BodySample(active=True, pose=pose, friction_scale=scale))})
        state = sim.state()
        velocity = state.body_velocity.copy()
        velocity[0, row(sim, block.path), 1] = -0.7
        sim.set_state(replace(state, body_velocity=velocity), previous_targets=FRANKA.home_targets()[None])
        hold(sim, 1.5)
        slid = 0.3 - sim.state().body_pose[0, row(sim, block.path), 1]
        assert slid == pytest.approx(0.7**2 / (2 * mu * 9.81), rel=0.1)


def test_two_environments_keep_their_own_masses() -> None:
    scene = small_scene.scene()
    cube = scene.bodies["/World/cube"]
    sim = MujocoSimulator(root_of=ROOT_OF, rendering=False)
    sim.load(scene, FRANKA, fps=20, num_envs=2)
    heavy = small_scene.sample(scene, cube=BodySample(active=True, pose=cube.pose, mass=0.35))
    sim.reset({0: heavy, 1: small_scene.sample(scene)})
    assert [m.body(cube.path).mass[0] for m in sim._models] == [0.35, cube.mass]


def test_absent_bodies_cost_nothing() -> None:
    scene = small_scene.scene()
    away = {n: BodySample(active=False, pose=Pose.of()) for n in ("cube", "block", "tetra")}
    sim = loaded(scene)
    sim.reset({0: small_scene.sample(scene, **away)})
    hold(sim, 0.1)
    assert sim._data[0].nv_awake == len(FRANKA.joints)
    assert sim._data[0].ncon == 0


def test_a_kinematic_body_stands_where_the_sample_says_and_does_not_move() -> None:
    scene = small_scene.scene()
    shelf = small_scene.box("/World/shelf", (0.5, 0.4, 0.9), (0.1, 0.1, 0.01), kinematic=True)
    scene = replace(scene, bodies={**scene.bodies, shelf.path: shelf})
    sim = loaded(scene)
    there = Pose.of((0.55, -0.35, 0.95))
    on_it = BodySample(active=True, pose=Pose.of((0.55, -0.35, 0.985)))
    sim.reset({0: small_scene.sample(scene, shelf=BodySample(active=True, pose=there), cube=on_it)})
    hold(sim, 0.5)
    state = sim.state()
    np.testing.assert_array_equal(state.body_pose[0, row(sim, shelf.path)], there.vector())
    np.testing.assert_allclose(state.body_pose[0, row(sim, "/World/cube"), :3], on_it.pose.position, atol=1e-3)


# ---- furniture ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_force", [None, 50.0])
def test_drives_take_drawer_and_door_to_their_targets(max_force: float | None) -> None:
    scene = small_scene.furniture(max_force=max_force)
    sim = loaded(scene)
    sim.reset({0: SceneSample(slots={}, bodies={})})
    assert sim.layout().scene_joints == ("/World/slide", "/World/hinge")
    np.testing.assert_allclose(sim.state().scene_joint_position[0], [0.03, 0.2])
    hold(sim, 4.0)
    # The drawer's axis is tilted: its spring also carries the weight of drawer and door.
    sag = 0.8 * 9.81 * np.sin(0.2) / 200.0
    np.testing.assert_allclose(sim.state().scene_joint_position[0], [0.12 - sag, 0.7], atol=5e-4)


def test_poses_of_linked_bodies_follow_their_joints() -> None:
    scene = small_scene.furniture()
    sim = loaded(scene)
    sim.reset({0: SceneSample(slots={}, bodies={})})
    hold(sim, 0.3)
    state = sim.state()
    slide = scene.joints[1]
    q = state.scene_joint_position[0, 0]
    wanted = (
        scene.bodies["/World/cabinet"].pose
        @ slide.frame_in_parent
        @ Pose.of(q * slide.axis)
        @ slide.frame_in_child.inverse()
    )
    np.testing.assert_allclose(state.body_pose[0, row(sim, "/World/drawer"), :3], wanted.position, atol=1e-9)
    moved = state.body_velocity[0, row(sim, "/World/drawer"), :3]
    assert np.linalg.norm(moved) == pytest.approx(abs(state.scene_joint_velocity[0, 0]), rel=1e-6)
    sim.set_state(state)
    for name in SimState.FIELDS:
        np.testing.assert_allclose(getattr(sim.state(), name), getattr(state, name), atol=1e-12)


# ---- failure -----------------------------------------------------------------------------------------------------


def test_a_diverged_state_shows_and_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scene = small_scene.scene()
    sim = loaded(scene)
    sim.reset({0: small_scene.sample(scene)})
    state = sim.state()
    velocity = state.joint_velocity.copy()
    velocity[0, 0] = 1e12
    sim.set_state(replace(state, joint_velocity=velocity))
    hold(sim, 0.2)
    assert not sim.state().finite()
    assert sim.health()["envs_finite"] == 0
    assert sim.health()["warnings"] > 0
    assert list(tmp_path.iterdir()) == []
    sim.reset({0: small_scene.sample(scene)})
    assert sim.state().finite() and sim.health()["warnings"] == 0


def test_no_opengl_is_said_when_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str, width: int, height: int) -> None:
        raise ImportError(f"no {name}")

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(gl, "_open", nothing)
    monkeypatch.setattr(gl, "_forget", lambda name: None)
    with pytest.raises(MachineError, match=r"libegl1 .*libosmesa6"):
        loaded(small_scene.scene(), rendering=True)
    loaded(small_scene.scene(), rendering=False)


def test_an_unusable_mujoco_gl_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "glfw")
    with pytest.raises(MachineError, match="MUJOCO_GL=glfw"):
        gl.open_context(16, 16)


def test_states_of_another_scene_are_refused() -> None:
    sim = loaded(small_scene.scene())
    other = loaded(small_scene.furniture())
    with pytest.raises(SimulatorError, match="does not fit"):
        sim.set_state(other.state())


# ---- pictures ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawing() -> MujocoSimulator:
    sim = loaded(small_scene.scene(), rendering=True)
    sim.reset({0: small_scene.sample(small_scene.scene())})
    return sim


def shot(sim: MujocoSimulator, sample: SceneSample, *, width: int = 128, height: int = 96) -> np.ndarray:
    request = RenderRequest(cameras=("agentview",), width=width, height=height, modes=("rgb",))
    rgb = sim.render(request, sim.state(), {0: sample})["agentview"].rgb
    assert rgb is not None
    return rgb[0].astype(int)


def region(sim: MujocoSimulator, sample: SceneSample, path: str) -> np.ndarray:
    request = RenderRequest(cameras=("agentview",), width=128, height=96, modes=("segmentation",))
    seen = sim.render(request, sim.state(), {0: sample})["agentview"].segmentation
    assert seen is not None
    return seen[0] == 3 + row(sim, path)


def test_sampled_colours_are_drawn(drawing: MujocoSimulator) -> None:
    scene = small_scene.scene()
    plain = small_scene.sample(scene)
    cube, block = (region(drawing, plain, f"/World/{n}") for n in ("cube", "block"))
    before = shot(drawing, plain)
    assert before[cube].mean(0).argmax() == 2 and before[block].mean(0).argmax() == 1
    red = BodySample(active=True, pose=scene.bodies["/World/cube"].pose, color=(0.8, 0.02, 0.02))
    painted = replace(small_scene.sample(scene, cube=red), material_colors={"/World/paint": (0.8, 0.02, 0.02)})
    after = shot(drawing, painted)
    assert after[cube].mean(0).argmax() == 0 and after[block].mean(0).argmax() == 0
    np.testing.assert_array_equal(shot(drawing, plain), before)


def test_sampled_textures_are_drawn(tmp_path: Path) -> None:
    """A texture on a block that has none as authored; without a draw the block is as it was."""
    images = {name: tmp_path / f"{name}.png" for name in ("red", "blue")}
    for name, rgb in (("red", (200, 10, 10)), ("blue", (10, 10, 200))):
        Image.new("RGB", (8, 8), rgb).save(images[name])
    scene = small_scene.scene()
    white = replace(scene.materials["/World/paint"], color=(1.0, 1.0, 1.0))
    looks = (LookRange(path="/World/paint", textures=images),)
    scene = replace(scene, looks=looks, materials={"/World/paint": white})
    sim = loaded(scene, rendering=True)
    plain = small_scene.sample(scene)
    block, before = region(sim, plain, "/World/block"), shot(sim, plain)
    assert np.ptp(before[block].mean(0)) < 25
    for name, channel in (("red", 0), ("blue", 2), ("red", 0)):
        seen = shot(sim, replace(plain, material_textures={"/World/paint": name}))
        assert seen[block].mean(0).argmax() == channel and np.ptp(seen[block].mean(0)) > 60
        np.testing.assert_array_equal(seen[~block], before[~block])
    np.testing.assert_array_equal(shot(sim, plain), before)
    sim.close()


def test_sampled_lights_and_cameras_are_used(drawing: MujocoSimulator) -> None:
    scene = small_scene.scene()
    plain = small_scene.sample(scene)
    before = shot(drawing, plain)
    sun, sky = scene.lights
    dim = {x.path: LightSample(pose=x.pose, color=x.color, intensity=0.2 * x.intensity) for x in (sun, sky)}
    assert shot(drawing, replace(plain, lights=dim)).mean() < 0.8 * before.mean()
    warm = {sun.path: LightSample(pose=sun.pose, color=(1.0, 0.5, 0.2), intensity=sun.intensity)}
    tinted = shot(drawing, replace(plain, lights=warm)).mean((0, 1))
    assert tinted[2] / tinted[0] < 0.95 * before.mean((0, 1))[2] / before.mean((0, 1))[0]
    moved = small_scene.look_at((1.0, 0.5, 1.4), (0.4, 0.0, 0.8))
    request = RenderRequest(cameras=("agentview",), width=64, height=48)
    images = drawing.render(request, drawing.state(), {0: replace(plain, cameras={"agentview": moved})})["agentview"]
    np.testing.assert_allclose(images.extrinsics[0, :3, 3], moved.position, atol=1e-9)
    np.testing.assert_array_equal(shot(drawing, plain), before)


def test_shadows_are_an_option(drawing: MujocoSimulator) -> None:
    sample = small_scene.sample(small_scene.scene())
    sim = MujocoSimulator(root_of=ROOT_OF, shadows=True)
    sim.load(small_scene.scene(), FRANKA, fps=20)
    sim.reset({0: sample})
    darker = shot(drawing, sample).sum(-1) - shot(sim, sample).sum(-1)
    on_table = drawing.render(
        RenderRequest(cameras=("agentview",), width=128, height=96, modes=("segmentation",)),
        drawing.state(),
        {0: sample},
    )["agentview"].segmentation
    assert on_table is not None
    shaded = (darker > 60) & (on_table[0] == 1)
    assert 0.001 < shaded.mean() < 0.3
    sim.close()


def test_sizes_may_change_from_picture_to_picture(drawing: MujocoSimulator) -> None:
    sample = small_scene.sample(small_scene.scene())
    before = shot(drawing, sample)
    assert shot(drawing, sample, width=333, height=201).shape == (201, 333, 3)
    np.testing.assert_array_equal(shot(drawing, sample), before)
    with pytest.raises(SynthgenError, match="4096"):
        shot(drawing, sample, width=4096)


def test_another_simulator_draws_the_same_pixels(drawing: MujocoSimulator) -> None:
    sample = small_scene.sample(small_scene.scene())
    other = loaded(small_scene.scene(), rendering=True)
    other.reset({0: sample})
    drawing.reset({0: sample})
    np.testing.assert_array_equal(shot(other, sample), shot(drawing, sample))
    other.close()


def test_a_state_that_is_not_finite_is_not_drawn(drawing: MujocoSimulator) -> None:
    state = drawing.state()
    broken = replace(state, joint_position=np.full_like(state.joint_position, np.nan))
    with pytest.raises(SimulatorError, match="not finite"):
        drawing.render(RenderRequest(cameras=("agentview",)), broken, {0: small_scene.sample(small_scene.scene())})
