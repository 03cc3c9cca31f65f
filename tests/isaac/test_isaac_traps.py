"""The traps of Isaac Lab that cost days, each seen to be closed on a loaded simulation. Runs in .venv-isaac."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("isaaclab", reason="runs in .venv-isaac: make test-isaac")

from synthgen.core.errors import SimulatorError
from synthgen.core.pose import Pose, quat_from_axis_angle
from synthgen.core.simulator import RenderRequest, SimState
from synthgen.core.spec import EpisodeSpec
from synthgen.embodiments import registry
from synthgen.sim.isaac import lab, pictures
from synthgen.sim.isaac.robot_usd import forward_kinematics
from synthgen.sim.isaac.simulator import IsaacSimulator
from synthgen.usd.load import load_scene
from synthgen.usd.sample import sample_scene

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
KITCHEN = Path(__file__).parent / "kitchen.usda"
YARD = KITCHEN.with_name("yard.usda")
ENVS = 3


def samples(scene, count=ENVS, first=0):
    specs = [EpisodeSpec(task="t", embodiment="franka", slot=first + i, attempt=0, entropy=1) for i in range(count)]
    return {i: sample_scene(scene, spec) for i, spec in enumerate(specs)}


@pytest.fixture(scope="module", params=["ovphysx", "newton"])
def sim(request):
    simulator = IsaacSimulator(request.param)
    simulator.load(load_scene(KITCHEN), registry.load("franka"), fps=20, num_envs=ENVS)
    yield simulator
    simulator.close()


@pytest.fixture
def fresh(sim):
    sim.reset(samples(sim.scene))
    return sim


def hold(sim, periods):
    home = np.tile(sim.embodiment.home_targets(), (sim.num_envs, 1))
    for _ in range(periods):
        sim.step(home)
    return sim.state()


def test_every_environment_is_there(sim):
    assert len(sim.handles.origins) == ENVS and sim.handles.robot.num_instances == ENVS
    assert len({tuple(o) for o in sim.handles.origins.round(3)}) == ENVS


def test_a_simulation_that_lost_environments_is_refused(sim):
    with pytest.raises(SimulatorError, match="4 environments were asked for"):
        lab._count(sim.handles, ENVS + 1, sim._ready)


@pytest.mark.parametrize("engine", ["ovphysx", "newton"])
def test_a_yard_in_centimetres_grams_and_y_up_is_the_same_place(engine):
    """Isaac Lab ignores units and up-axis, and overwrites the transform of the prim it spawns."""
    scene = load_scene(YARD)
    simulator = IsaacSimulator(engine, rendering=False)
    simulator.load(scene, registry.load("franka"), fps=20, num_envs=2)
    try:
        for row, (path, body) in enumerate(scene.bodies.items()):
            placed = simulator.state().body_pose[:, row]
            np.testing.assert_allclose(placed, [body.pose.vector()] * 2, atol=1e-5, err_msg=path)
        after = hold(simulator, 20)
        for row, (path, body) in enumerate(scene.bodies.items()):
            for env in range(2):
                left = body.pose.inverse() @ Pose.from_vector(after.body_pose[env, row])
                assert np.abs(left.position).max() < 0.003, f"{path} moved by {left.position}"
                assert left.orientation[0] > 0.9999, f"{path} turned"
        for path, thing in simulator.handles.bodies.items():
            np.testing.assert_allclose(thing.data.body_mass.torch.flatten(), scene.bodies[path].mass, rtol=1e-2)
        state = simulator.state()
        simulator.set_state(replace(state, scene_joint_position=np.full((2, 1), -0.2)))
        row = list(scene.bodies).index("/World/cabinet/drawer")
        np.testing.assert_allclose(hold(simulator, 2).body_pose[:, row, 0], 0.65 - 0.2, atol=0.01)
    finally:
        simulator.close()


def test_gains_armature_and_limits_reach_the_engine(sim):
    """Without a DriveAPI OvPhysX drops gains in silence."""
    data, ids = sim.handles.robot.data, sim.handles.joint_ids
    joints = {j.source: j for j in sim.links.joints}
    for column, name in zip(ids, sim.embodiment.joints, strict=True):
        gain, joint = sim.embodiment.gains[name], joints[name]
        assert np.allclose(data.joint_stiffness.torch[:, column], gain.kp)
        assert np.allclose(data.joint_damping.torch[:, column], gain.kv + joint.damping)
        assert np.allclose(data.joint_armature.torch[:, column], joint.armature)
        assert np.allclose(data.joint_effort_limits.torch[:, column], gain.max_force)
        assert np.allclose(data.joint_pos_limits.torch[0, column], (joint.lower, joint.upper), atol=1e-4)


def test_links_weigh_what_they_should(sim):
    """PhysX gives a massless body 1 kg."""
    expected = {link.name: link.mass for link in sim.links.links}
    for i, name in enumerate(sim.handles.robot.body_names):
        assert np.allclose(sim.handles.robot.data.body_mass.torch[:, i], expected[name], rtol=1e-4)


def test_planning_model_and_simulated_robot_agree_within_a_tenth_of_a_millimetre(fresh):
    assert worst_difference(fresh) < 1e-4


@pytest.mark.parametrize("robot", ["gr1", "g1"])
def test_so_do_those_of_the_humanoids(robot):
    simulator = IsaacSimulator("ovphysx", rendering=False)
    simulator.load(load_scene(KITCHEN), registry.load(robot), fps=20, num_envs=2)
    try:
        assert worst_difference(simulator) < 1e-4
    finally:
        simulator.close()


def worst_difference(sim) -> float:
    """Metres between the origins of the simulated links and the planning model's, at random joint angles."""
    rng, state = np.random.default_rng(0), sim.state()
    joints = {j.source: j for j in sim.links.joints}
    limits = [(joints[name].lower, joints[name].upper) for name in sim.embodiment.joints]
    worst = 0.0
    for _ in range(4):
        q = np.array([[rng.uniform(*limit) for limit in limits] for _ in range(sim.num_envs)])
        sim.set_state(replace(state, joint_position=q))
        sim.handles.sim.forward()
        found = sim.handles.robot.data.body_link_pose_w.torch.numpy().astype(float)
        for env in range(sim.num_envs):
            poses = forward_kinematics(sim.links, dict(zip(sim.embodiment.joints, q[env], strict=True)))
            for i, name in enumerate(sim.handles.robot.body_names):
                expected = (sim.base @ poses[name]).position + sim.handles.origins[env]
                worst = max(worst, float(np.abs(found[env, i, :3] - expected).max()))
    return worst


def test_the_arm_does_not_sag(fresh):
    """Gravity compensation needs one fragment for PhysX and another for Newton."""
    state = hold(fresh, 20)
    home = fresh.embodiment.expand(fresh.embodiment.home_targets())
    assert np.abs(state.joint_position - home).max() < 0.005


def test_a_reset_leaves_no_velocities(fresh):
    """Resetting from beyond a joint's limit leaves large ones when only positions are written."""
    fresh.reset(samples(fresh.scene))
    state = fresh.state()
    assert not state.joint_velocity.any() and not state.body_velocity.any()
    after = hold(fresh, 1)
    assert np.abs(after.joint_velocity).max() < 0.05


def test_the_drawer_is_in_its_place_in_every_environment(fresh):
    """A joint anchored to the world shifts it on Newton in all environments but the first."""
    state = hold(fresh, 5)
    row = list(fresh.scene.bodies).index("/World/cabinet/frame")
    for env in range(ENVS):
        np.testing.assert_allclose(state.body_pose[env, row, :3], (0.65, 0.4, 0.5), atol=2e-3)


def test_the_drawer_opens_when_its_state_says_so(fresh):
    state = fresh.state()
    fresh.set_state(replace(state, scene_joint_position=np.full((ENVS, 1), -0.2)))
    found = fresh.state()
    np.testing.assert_allclose(found.scene_joint_position, -0.2, atol=1e-6)
    after = hold(fresh, 2)
    row = list(fresh.scene.bodies).index("/World/cabinet/drawer")
    np.testing.assert_allclose(after.body_pose[:, row, 0], 0.65 - 0.2, atol=0.01)


def test_masses_and_friction_of_a_sample_reach_the_engine(fresh):
    scene, path = fresh.scene, "/World/things/block"
    drawn = samples(scene)
    for env, mass, friction in ((0, 0.07, 0.5), (1, 0.13, 1.0), (2, None, 2.0)):
        body = replace(drawn[env].bodies[path], mass=mass, friction_scale=friction)
        drawn[env] = replace(drawn[env], bodies={**drawn[env].bodies, path: body})
    for _ in range(2):  # applying it twice must not scale twice
        fresh.reset(drawn)
    block = fresh.handles.bodies[path]
    np.testing.assert_allclose(block.data.body_mass.torch.flatten(), (0.07, 0.13, 0.1), rtol=1e-5)
    inertia = block.data.body_inertia.torch.reshape(ENVS, -1)[:, 0].numpy()
    np.testing.assert_allclose(inertia / inertia[2], (0.7, 1.3, 1.0), rtol=1e-3)
    authored = 0.8 if fresh.engine.name == "newton" else 0.9  # Newton has one friction, and takes the dynamic one
    np.testing.assert_allclose(_friction(fresh, block), np.array([0.5, 1.0, 2.0]) * authored, rtol=1e-4)


def _friction(sim, body):
    import warp as wp

    if sim.engine.name == "newton":
        model = sim.handles.sim.physics_manager.get_model()
        return wp.to_torch(body._root_view.get_attribute("shape_material_mu", model)[:, 0])[:, 0].numpy()
    from isaaclab_ov import tensor_types

    kind = tensor_types.RIGID_BODY_SHAPE_FRICTION_AND_RESTITUTION
    return wp.to_torch(body.root_view.get_attribute(kind))[:, 0, 0].numpy()


def test_slippery_things_slide_and_rough_ones_do_not(fresh):
    """Push two blocks alike; only the friction drawn for them differs."""
    path = "/World/things/block"
    drawn = samples(fresh.scene)
    for env, friction in ((0, 0.1), (1, 1.0), (2, 1.0)):
        body = replace(
            drawn[env].bodies[path], active=True, mass=None, friction_scale=friction, pose=Pose.of((0.25, 0.0, 0.525))
        )
        others = {p: replace(b, active=False) for p, b in drawn[env].bodies.items()}
        drawn[env] = replace(drawn[env], bodies={**others, path: body})
    fresh.reset(drawn)
    state = fresh.state()
    row = list(fresh.scene.bodies).index(path)
    velocity = state.body_velocity.copy()
    velocity[:, row, 0] = 0.5
    fresh.set_state(replace(state, body_velocity=velocity))
    after = hold(fresh, 20)
    moved = after.body_pose[:, row, 0] - 0.25
    assert moved[0] > moved[1] + 0.02
    assert moved[1] == pytest.approx(moved[2], abs=2e-3)


def test_a_can_set_down_tilted_comes_to_rest(fresh):
    """It danced on its rim for ever with Isaac Lab's solver defaults."""
    path = "/World/things/can"
    drawn = samples(fresh.scene)
    for env in range(ENVS):
        tilt = quat_from_axis_angle((1.0, 0.3 * env, 0.0), 0.2)
        body = replace(drawn[env].bodies[path], active=True, pose=Pose.of((0.29, -0.24, 0.575), tilt))
        drawn[env] = replace(drawn[env], bodies={**drawn[env].bodies, path: body})
    fresh.reset(drawn)
    state = hold(fresh, 60)
    row = list(fresh.scene.bodies).index(path)
    assert np.linalg.norm(state.body_velocity[:, row, 3:], axis=-1).max() < 0.5
    assert np.linalg.norm(state.body_velocity[:, row, :3], axis=-1).max() < 0.03


def test_absent_things_are_out_of_reach_of_the_floor(fresh):
    """The floor is a half-space: what is parked below it is thrown out."""
    hold(fresh, 40)
    for path, thing in fresh.handles.bodies.items():
        row = list(fresh.scene.bodies).index(path)
        heights = thing.data.root_link_pose_w.torch[:, 2].numpy()
        for env in range(ENVS):
            if not samples(fresh.scene)[env].bodies[path].active:
                assert heights[env] > 30.0 and row >= 0


def test_draws_do_not_depend_on_the_engine_or_the_number_of_environments(fresh):
    """Isaac Lab's own seeds give other draws on other engines; ours are drawn outside and written."""
    drawn = samples(fresh.scene)
    state = fresh.state()
    for env, sample in drawn.items():
        for path, body in sample.bodies.items():
            row = list(fresh.scene.bodies).index(path)
            np.testing.assert_allclose(state.body_pose[env, row], body.pose.vector(), atol=1e-5)


def test_pictures_show_the_robot_the_things_and_their_drawn_colours(fresh):
    drawn = samples(fresh.scene)
    red, blue = (0.8, 0.0, 0.0), (0.0, 0.0, 0.8)
    path = "/World/things/can"
    images = {}
    for name, color in (("red", red), ("blue", blue)):
        body = replace(drawn[0].bodies[path], active=True, color=color)
        sample = replace(drawn[0], bodies={**drawn[0].bodies, path: body})
        fresh.reset({0: sample})
        request = RenderRequest(cameras=("agentview",), modes=("rgb", "segmentation"))
        images[name] = fresh.render(request, fresh.state().env(0), {0: sample})["agentview"]
    row = pictures.FIRST_BODY + list(fresh.scene.bodies).index(path)
    for name, channel in (("red", 0), ("blue", 2)):
        shown = images[name].segmentation[0] == row
        assert shown.sum() > 20 and (images[name].segmentation[0] == pictures.ROBOT).sum() > 500
        color = images[name].rgb[0][shown].mean(0)
        assert color.argmax() == channel and color[channel] > 2 * np.delete(color, channel).max()


def test_pictures_of_many_states_are_those_of_each_state(fresh):
    states = [fresh.state().env(0)]
    goal = fresh.embodiment.home_targets() + 0.2
    for k in range(5):
        fresh.step(np.tile(fresh.embodiment.home_targets() * (1 - k / 5) + goal * k / 5, (ENVS, 1)))
        states.append(fresh.state().env(0))
    sample = samples(fresh.scene)[0]
    request = RenderRequest(cameras=("agentview", "wrist"), modes=("rgb", "depth"))
    together = fresh.render(request, SimState.stack(states), {0: sample})
    for row in (0, 4):
        alone = fresh.render(request, states[row], {0: sample})
        for name in request.cameras:
            # Drawn in another environment, whose origin rounds differently: single pixels on edges may change.
            difference = np.abs(together[name].rgb[row].astype(int) - alone[name].rgb[0])
            assert (difference > 3).mean() < 1e-3
    first, last = together["agentview"].rgb[0].astype(int), together["agentview"].rgb[-1].astype(int)
    assert np.abs(first - last).max() > 30, "the pictures are frozen"


def test_a_renderer_that_does_not_see_the_robot_or_is_frozen_is_refused(fresh, monkeypatch):
    """The check after every start, with the renderer's answers replaced."""
    state, io = fresh.state(), fresh.io
    absent = np.zeros((ENVS, len(fresh.scene.bodies)), bool)
    pictures.self_test(fresh, io, "agentview", state, absent)
    real = pictures._shoot
    blind = {pictures.SEGMENTATION: np.zeros((1, 8, 8), np.int32)}
    monkeypatch.setattr(pictures, "_shoot", lambda *args: blind)
    with pytest.raises(SimulatorError, match="does not see it"):
        pictures.self_test(fresh, io, "agentview", state, absent)
    frozen = real(fresh, "agentview", [fresh.base] * ENVS, 1)
    frozen[pictures.SEGMENTATION][:] = pictures.ROBOT
    monkeypatch.setattr(pictures, "_shoot", lambda *args: frozen)
    with pytest.raises(SimulatorError, match="frozen"):
        pictures.self_test(fresh, io, "agentview", state, absent)


def test_black_pictures_are_refused(fresh):
    shot = {pictures.RGB: np.zeros((1, 8, 8, 3), np.uint8), pictures.SEGMENTATION: np.zeros((1, 8, 8), np.int32)}
    with pytest.raises(SimulatorError, match="black or empty"):
        pictures._check("agentview", shot)


def test_other_resolutions_come_at_the_price_of_a_restart_that_changes_nothing(fresh):
    before = hold(fresh, 3)
    request = RenderRequest(cameras=("agentview",), width=64, height=48)
    image = fresh.render(request, before.env(0), {0: samples(fresh.scene)[0]})["agentview"]
    assert image.rgb.shape == (1, 48, 64, 3)
    after = fresh.state()
    for name in SimState.FIELDS:
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), atol=1e-5)
