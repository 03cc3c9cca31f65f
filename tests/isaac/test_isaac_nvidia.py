"""NVIDIA's robots by our joint names. Their files cannot be reached here: a stand-in of another make is loaded instead.

Checked against the pinned isaaclab_assets: the configurations, and every name of theirs.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pxr import Gf, Sdf, Usd, UsdGeom, UsdPhysics

pytest.importorskip("isaaclab", reason="runs in .venv-isaac: make test-isaac")

from synthgen.core.errors import AssetError, MachineError, UsageError
from synthgen.core.spec import EpisodeSpec
from synthgen.embodiments import registry
from synthgen.embodiments.assets import AssetStore
from synthgen.sim.isaac import nvidia, robot_usd
from synthgen.sim.isaac.chain import anchors, read_chain
from synthgen.sim.isaac.links import links_of
from synthgen.sim.isaac.simulator import IsaacSimulator
from synthgen.usd.load import load_scene
from synthgen.usd.sample import sample_scene

pytestmark = pytest.mark.filterwarnings("ignore")
KITCHEN = Path(__file__).parent / "kitchen.usda"
ROBOTS = nvidia.known()
SPARE = "spare_joint"


def model_of(name):
    embodiment = registry.load(name)
    return embodiment, robot_usd.robot_model(embodiment, AssetStore().root)


def test_the_robots_that_both_have_are_mapped():
    assert ROBOTS == ("franka", "g1", "gr1")
    with pytest.raises(UsageError, match="no asset of NVIDIA's is mapped to the robot 'aloha'") as caught:
        nvidia.load("aloha")
    assert "franka, g1, gr1" in caught.value.remedy


@pytest.mark.parametrize("name", ROBOTS)
def test_every_simulated_joint_has_one_of_theirs(name):
    stock, (embodiment, model) = nvidia.load(name), model_of(name)
    assert set(stock.joints) == set(embodiment.joints)
    assert len(set(stock.joints.values())) == len(stock.joints)
    assert model.body(stock.root).id > 0


@pytest.mark.parametrize("name", ROBOTS)
def test_every_joint_of_theirs_is_driven_or_held_by_their_configuration(name):
    """Their actuators name joints by patterns; each of our joints is caught by exactly one, and so are the held."""
    stock = nvidia.load(name)
    config = nvidia.configuration(stock)
    patterns = [p for a in config.actuators.values() for p in a.joint_names_expr]
    for joint in stock.joints.values():
        caught = [p for p in (*patterns, *stock.held) if re.fullmatch(p, joint)]
        assert len(caught) == 1, f"{joint}: {caught}"
    for pattern in stock.held:
        assert not any(re.fullmatch(p, pattern.replace(".*", "x")) for p in patterns), f"{pattern} is driven already"


@pytest.mark.parametrize("name", ROBOTS)
def test_names_of_theirs_are_used_by_isaac_labs_own_tasks(name):
    """Their USD files are out of reach; what is known of the names in them is how Isaac Lab itself uses them."""
    import isaaclab_assets
    import isaaclab_tasks

    said = [Path(isaaclab_assets.__file__).parent / "robots", Path(isaaclab_tasks.__file__).parent]
    text = "".join(f.read_text() for folder in said for f in folder.rglob("*.py"))
    unknown = [j for j in nvidia.load(name).joints.values() if f'"{j}"' not in text]
    assert unknown in ([], [f"panda_joint{i}" for i in range(1, 8) if f"panda_joint{i}" in unknown])


def test_held_patterns_are_those_of_the_weaker_configuration():
    from isaaclab_assets.robots.fourier import GR1T2_CFG

    patterns = {p for a in GR1T2_CFG.actuators.values() for p in a.joint_names_expr}
    assert set(nvidia.load("gr1").held) <= patterns


@pytest.mark.parametrize("name", ROBOTS)
def test_what_is_spawned_is_theirs_with_a_fixed_labelled_base(name):
    from synthgen.core.pose import Pose

    stock = nvidia.load(name)
    published = nvidia.configuration(stock)
    config = nvidia.articulation(stock, Pose.of((1.0, 2.0, 3.0)))
    assert config.spawn.usd_path == published.spawn.usd_path
    assert config.spawn.fix_root_link and config.spawn.rigid_props.disable_gravity
    assert config.spawn.semantic_tags == [("class", "robot")]
    assert tuple(config.init_state.pos) == (1.0, 2.0, 3.0) and tuple(config.init_state.rot) == (0.0, 0.0, 0.0, 1.0)
    for key, actuator in published.actuators.items():
        assert config.actuators[key].stiffness == actuator.stiffness
        assert config.actuators[key].damping == actuator.damping
    assert nvidia.configuration(stock).spawn.semantic_tags != config.spawn.semantic_tags, "the published one is shared"


def test_an_asset_out_of_reach_is_said_before_anything_starts(monkeypatch, tmp_path):
    """A folder without the file stands for a server that cannot be reached: Isaac Lab's own look-up answers."""
    published = nvidia.configuration(nvidia.load("franka"))
    published.spawn.usd_path = str(tmp_path / "franka_panda.usda")
    monkeypatch.setattr(nvidia, "configuration", lambda stock: published)
    with pytest.raises(MachineError, match=r"franka_panda\.usda cannot be reached") as caught:
        IsaacSimulator("ovphysx", nvidia_assets=True, robots=("franka",))
    assert caught.value.exit_code == 2 and "leave out --isaac-assets" in caught.value.remedy


@pytest.mark.parametrize("name", ROBOTS)
def test_the_joints_of_a_file_are_found_where_the_planning_model_has_them(name, tmp_path):
    """Our own robots, read from their USD as if they were foreign: every joint's place and axis, at home."""
    embodiment, model = model_of(name)
    robot_usd.write_robot(model, links := links_of(model, name=name), tmp_path / "robot.usdc")
    chain = read_chain(Usd.Stage.Open(str(tmp_path / "robot.usdc")), robot_usd.ROOT)
    assert {j.name for j in chain.joints} == {j.name for j in links.joints}
    stock = replace(nvidia.load(name), root="world", joints={j.source: j.name for j in links.joints})
    assert set(nvidia.signs(stock, embodiment, chain, model, {}).values()) == {1.0}


def foreign(path: Path, model, links, *, reverse: str, longer: float = 0.0) -> dict[str, str]:
    """Another maker's file of the robot: other joint names, one joint turning the other way, one more joint.

    ``longer``: metres by which the last arm joint lies further out. Returns our joint -> theirs.
    """
    robot_usd.write_robot(model, links, path)
    stage = Usd.Stage.Open(str(path))
    layer, names = stage.GetRootLayer(), {}
    for joint in links.joints:
        prim = UsdPhysics.Joint(stage.GetPrimAtPath(f"{robot_usd.ROOT}/{joint.child}/{joint.name}"))
        if joint.source == reverse:
            half = Gf.Quatf(0.0, 0.0, 0.0, 1.0)
            for attribute in (prim.GetLocalRot0Attr(), prim.GetLocalRot1Attr()):
                attribute.Set(attribute.Get() * half)
            turning = UsdPhysics.RevoluteJoint(prim)
            low, high = turning.GetLowerLimitAttr().Get(), turning.GetUpperLimitAttr().Get()
            turning.GetLowerLimitAttr().Set(-high)
            turning.GetUpperLimitAttr().Set(-low)
        if longer and joint.source == "panda_joint7":
            prim.GetLocalPos0Attr().Set(prim.GetLocalPos0Attr().Get() + Gf.Vec3f(0.0, longer, 0.0))
        names[joint.source] = f"Their_{joint.name}"
        old = prim.GetPath()
        Sdf.CopySpec(layer, old, layer, old.ReplaceName(names[joint.source]))
        stage.RemovePrim(old)
    tip = links.links[-1].name
    spare = UsdGeom.Xform.Define(stage, f"{robot_usd.ROOT}/spare_link")
    spare.AddTranslateOp().Set(tuple(links.links[-1].pose.position.tolist()))
    UsdPhysics.RigidBodyAPI.Apply(spare.GetPrim())
    mass = UsdPhysics.MassAPI.Apply(spare.GetPrim())
    mass.CreateMassAttr(0.01)
    mass.CreateDiagonalInertiaAttr((1e-5, 1e-5, 1e-5))
    held = UsdPhysics.RevoluteJoint.Define(stage, f"{robot_usd.ROOT}/spare_link/{SPARE}")
    held.CreateAxisAttr("X")
    held.CreateBody0Rel().SetTargets([f"{robot_usd.ROOT}/{tip}"])
    held.CreateBody1Rel().SetTargets([f"{robot_usd.ROOT}/spare_link"])
    held.CreateLowerLimitAttr(-90.0)
    held.CreateUpperLimitAttr(90.0)
    UsdPhysics.DriveAPI.Apply(held.GetPrim(), "angular").CreateTypeAttr("force")
    layer.Save()
    return names


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """``stand_in(**kw)`` lets franka's asset be a foreign file; its gains are those NVIDIA publishes."""

    def make(**changes):
        from isaaclab.actuators import ImplicitActuatorCfg

        _, model = model_of("franka")
        names = foreign(tmp_path / "their_robot.usda", model, links_of(model, name="franka"), **changes)
        published = nvidia.load("franka")
        stock = replace(published, root="world", joints=names, held=(SPARE,))
        config = nvidia.configuration(published)
        config.spawn.usd_path, config.spawn.variants = str(tmp_path / "their_robot.usda"), None
        config.init_state.joint_pos = {SPARE: 0.4, "Their_panda_joint4": 2.0}
        gains = {"joint_effort_limit": 200.0}
        config.actuators = {
            "arm": ImplicitActuatorCfg(
                joint_names_expr=["Their_panda_joint.*"], stiffness=400.0, damping=80.0, **gains
            ),
            "hand": ImplicitActuatorCfg(joint_names_expr=["Their_panda_finger.*"], stiffness=2e3, damping=1e2, **gains),
        }
        monkeypatch.setattr(nvidia, "load", lambda name: stock)
        monkeypatch.setattr(nvidia, "configuration", lambda stock: config.copy())
        return stock

    return make


def test_a_robot_of_other_dimensions_is_refused(stand_in, tmp_path):
    stock = stand_in(reverse="panda_joint4", longer=0.01)
    embodiment, model = model_of("franka")
    chain = read_chain(Usd.Stage.Open(str(tmp_path / "their_robot.usda")), robot_usd.ROOT)
    with pytest.raises(AssetError, match=r"not built like the robot .* panda_joint7 \(10\.0 mm, 0\.0 degrees\)"):
        nvidia.signs(stock, embodiment, chain, model, {})
    renamed = replace(stock, joints={**stock.joints, "panda_joint1": "shoulder"})
    with pytest.raises(AssetError, match="has no joint shoulder"):
        nvidia.signs(renamed, embodiment, chain, model, {})


def test_a_file_without_a_robot_is_refused(tmp_path):
    stage = Usd.Stage.CreateInMemory()
    UsdGeom.Xform.Define(stage, "/Robot")
    with pytest.raises(AssetError, match="0 trees instead of one robot"):
        read_chain(stage, "/Robot")


def test_joints_out_of_the_tree_do_not_move_anything(tmp_path):
    _, model = model_of("franka")
    links = links_of(model, name="franka")
    foreign(tmp_path / "robot.usda", model, links, reverse="")
    chain = read_chain(Usd.Stage.Open(str(tmp_path / "robot.usda")), robot_usd.ROOT)
    free, turned = anchors(chain, {}), anchors(chain, {SPARE: 0.5})
    for name, (place, axis) in free.items():
        np.testing.assert_array_equal(turned[name][0], place)
        np.testing.assert_array_equal(turned[name][1], axis)


@pytest.mark.slow
def test_another_makers_robot_moves_as_ours_does(stand_in):
    """On PhysX: other names and order, one joint the other way round, one that we do not drive."""
    stand_in(reverse="panda_joint4")
    sim = IsaacSimulator("ovphysx", nvidia_assets=True, rendering=False, robots=("franka",))
    scene = load_scene(KITCHEN)
    sim.load(scene, registry.load("franka"), fps=20, num_envs=2)
    try:
        signs = dict(zip(sim.embodiment.joints, sim.handles.joint_signs, strict=True))
        assert {j for j, s in signs.items() if s < 0} == {"panda_joint4"}
        spec = EpisodeSpec(task="t", embodiment="franka", slot=0, attempt=0, entropy=1)
        sim.reset(dict.fromkeys((0, 1), sample_scene(scene, spec)))
        home = sim.embodiment.home_targets()
        state = sim.state()
        np.testing.assert_allclose(state.joint_position, np.tile(sim.embodiment.expand(home), (2, 1)), atol=1e-5)
        goal = home + np.array([0.2, -0.1, 0.1, 0.3, -0.2, 0.2, 0.1, -0.02])
        for share in np.linspace(0.0, 1.0, 20):
            sim.step(np.tile(home + share * (goal - home), (2, 1)))
        for _ in range(20):
            sim.step(np.tile(goal, (2, 1)))
        found = sim.state().joint_position
        np.testing.assert_allclose(found, np.tile(sim.embodiment.expand(goal), (2, 1)), atol=0.02)
        robot = sim.handles.robot
        spare = robot.data.joint_pos.torch[:, robot.joint_names.index(SPARE)]
        np.testing.assert_allclose(spare.numpy(), 0.4, atol=0.02)
        sim.set_state(state)
        np.testing.assert_allclose(sim.state().joint_position, state.joint_position, atol=1e-5)
        assert sim.info().details["robot"] == "FRANKA_PANDA_HIGH_PD_CFG"
    finally:
        sim.close()
