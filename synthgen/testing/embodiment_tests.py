"""Conformance suite of an embodiment. Subclass it, say which robot it is, and pytest does the rest::

class TestMyRobot(EmbodimentTests):
    def embodiment(self):
        return MY_ROBOT

    def asset_root_of(self, pack):
        return AssetStore().root(pack)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from synthgen.core.embodiment import Embodiment, EndEffector, HandGrasp
from synthgen.core.pose import Array, Pose, matrix_from_quat, quat_from_axis_angle
from synthgen.testing.embodiment_rig import Rig


class EmbodimentTests:
    """What must be true of every embodiment.

    Attributes:
        table: x and y extent in metres of the table that stands at the mount, for the check of the home pose.
        held_mass: kg, what a hand must hold by friction.
        arrival: rad (m for a slide), how near its target a joint must come to rest.
        mirror_position, mirror_angle: metres and radians that the left arm may differ from the right one's mirror
            image (published models are not perfectly symmetric).
    """

    table: tuple[float, float] = (0.8, 1.4)
    held_mass: float = 0.3
    arrival: float = 0.03
    mirror_position: float = 1e-3
    mirror_angle: float = 5e-3

    def embodiment(self) -> Embodiment:
        """The robot under test."""
        raise NotImplementedError

    def asset_root_of(self, pack: str) -> Any:
        """The folder of an asset pack, as ``Embodiment.build`` wants it."""
        raise NotImplementedError

    def scene_models(self) -> Mapping[str, tuple[Any, Pose]]:
        """Models in which a simulator uses this robot: name -> (mujoco.MjModel, the robot's base in its world).

        The default puts the robot beside a table with plain MuJoCo. Override it to add your simulator's own models.
        """
        base = Pose.of((0.4, -0.2, 0.8), quat_from_axis_angle((0.1, 0.2, 1.0), 0.7))
        rig = Rig.build(self.embodiment(), self.asset_root_of, base=base, table=(0.8, 1.4))
        return {"plain": (rig.model, base)}

    @pytest.fixture(scope="class")
    def robot(self) -> Embodiment:
        """The embodiment, once per class."""
        return self.embodiment()

    @pytest.fixture(scope="class")
    def rig(self, robot: Embodiment) -> Rig:
        """The robot alone, compiled without its visuals, once per class."""
        return Rig.build(robot, self.asset_root_of)

    # -- the description ---------------------------------------------------------------------------------------------

    def test_names_are_consistent(self, robot: Embodiment, rig: Rig) -> None:
        """Groups, constants, driven joints, followers and the model's joints and actuators name the same things."""
        names = robot.dataset_joints
        assert len(set(names)) == len(names)
        assert len({g.name for g in robot.groups}) == len(robot.groups)
        assert set(robot.constants) <= set(names)
        assert set(robot.joints) == set(rig.joint_names), "driven joints and followers are not the model's joints"
        assert {f.leader for f in robot.followers} <= set(robot.driven)
        assert not {f.joint for f in robot.followers} & set(robot.driven)
        assert set(robot.home) <= set(robot.driven)
        assert set(robot.gains) == set(robot.joints)
        assert set(robot.limits) == set(robot.driven)
        assert rig.actuated == {name: name for name in robot.joints}, "one actuator per joint, named like it"
        for e in robot.end_effectors:
            assert set((*e.arm_joints, *e.hand_joints)) <= set(robot.driven)
            assert len(e.arm_joints) == len(e.rest) == len(e.weights)
            assert len(e.hand_joints) == len(e.open) == len(e.close)
            assert set(e.hand_bodies) <= set(robot.contact_bodies) <= rig.body_names
            assert rig.has_site(e.site)

    def test_data_set_vectors(self, robot: Embodiment) -> None:
        """Slices tile the vector; driven values survive the round trip; constants are written."""
        slices = list(robot.group_slices().values())
        assert [a for a, _ in slices] == [0, *(b for _, b in slices[:-1])]
        assert slices[-1][1] == len(robot.dataset_joints)
        driven = np.arange(2 * len(robot.driven), dtype=float).reshape(2, -1) + 100.0
        vector = robot.to_dataset(driven)
        assert np.array_equal(robot.from_dataset(vector), driven)
        for name, value in robot.constants.items():
            assert np.all(vector[:, robot.dataset_joints.index(name)] == value)

    def test_fixed_base_and_simple_joints(self, rig: Rig) -> None:
        """No free joint: every joint has one coordinate and limits."""
        assert rig.model.nq == rig.model.nv == rig.model.njnt
        assert rig.model.jnt_limited.all()

    def test_targets_are_within_limits(self, robot: Embodiment, rig: Rig) -> None:
        """Home, rest, open, close and every grasp, with the followers they imply."""
        for what, driven in _targets(robot):
            for name, value in zip(robot.joints, robot.expand(driven), strict=True):
                low, high = rig.range_of(name)
                assert low - 1e-9 <= value <= high + 1e-9, f"{what}: {name} = {value} outside [{low}, {high}]"

    def test_followers_stay_within_range(self, robot: Embodiment, rig: Rig) -> None:
        """Wherever the leader may go, the follower may follow."""
        for f in robot.followers:
            low, high = rig.range_of(f.joint)
            for end in rig.range_of(f.leader):
                assert low - 1e-9 <= f.ratio * end + f.offset <= high + 1e-9, f.joint

    def test_gains_are_the_actuators(self, robot: Embodiment, rig: Rig) -> None:
        """``Embodiment.gains`` is what the built model has, so that another engine can use the same."""
        for name, gain in robot.gains.items():
            a = rig.model.actuator(name)
            assert a.gainprm[0] == pytest.approx(gain.kp)
            assert a.biasprm[1] == pytest.approx(-gain.kp)
            assert a.biasprm[2] == pytest.approx(-gain.kv)
            if gain.max_force is not None:
                assert a.forcerange[1] == pytest.approx(gain.max_force)

    def test_motion_limits_are_positive(self, robot: Embodiment) -> None:
        """Planning divides by them."""
        assert all(x.velocity > 0 and x.acceleration > 0 for x in robot.limits.values())

    def test_collision_convention(self, robot: Embodiment) -> None:
        """Colliders: group 3, contype 2, conaffinity 1. Visuals: group 2, no contacts. Contact bodies have some."""
        spec = robot.build(self.asset_root_of)
        colliding: set[str] = set()
        for geom in spec.geoms:
            masks = (geom.group, geom.contype, geom.conaffinity)
            assert masks in ((3, 2, 1), (2, 0, 0)), f"{geom.name}: group, contype, conaffinity = {masks}"
            if geom.group == 3:
                colliding.add(geom.parent.name)
        assert set(robot.contact_bodies) & colliding
        assert not list(spec.lights)

    def test_cameras(self, robot: Embodiment, rig: Rig) -> None:
        """Unique names, bodies that exist, sensible lenses."""
        assert len({c.name for c in robot.cameras}) == len(robot.cameras)
        for c in robot.cameras:
            assert c.parent in rig.body_names, c.name
            assert 0.3 < c.fovy < 2.3, c.name
            assert np.linalg.norm(c.pose.orientation) == pytest.approx(1.0)

    # -- the model ---------------------------------------------------------------------------------------------------

    def test_home_touches_nothing(self, robot: Embodiment) -> None:
        """At home no part of the robot overlaps another, or a table whose edge and surface are at the mount."""
        rig = Rig.build(robot, self.asset_root_of, base=robot.base, table=self.table)
        assert rig.overlaps(robot.home_targets()) == []

    def test_kinematics_equal_in_every_model(self, robot: Embodiment, rig: Rig) -> None:
        """Forward kinematics of the robot alone and in each scene model agree to 1e-6 at random postures."""
        import mujoco

        rng = np.random.default_rng(7)
        frames = sorted({c.parent for c in robot.cameras if c.parent} | set(robot.contact_bodies))
        for name, (model, base) in self.scene_models().items():
            data = mujoco.MjData(model)
            for _ in range(5):
                q = robot.expand(rig.random_driven(rng))
                rig.set(q)
                for joint, value in zip(robot.joints, q, strict=True):
                    data.qpos[model.joint(joint).qposadr[0]] = value
                mujoco.mj_kinematics(model, data)
                there = [(data.body(b).xpos, data.body(b).xmat) for b in frames]
                there += [(data.site(e.site).xpos, data.site(e.site).xmat) for e in robot.end_effectors]
                here = [rig.body(b) for b in frames] + [rig.site(e.site) for e in robot.end_effectors]
                for (p, r), (q_here, r_here) in zip(there, here, strict=True):
                    assert np.abs(base.apply(q_here) - p).max() < 1e-6, name
                    turned = matrix_from_quat(base.orientation) @ r_here
                    assert np.abs(turned - r.reshape(3, 3)).max() < 1e-6, name

    # -- the physics -------------------------------------------------------------------------------------------------

    def test_stays_at_home(self, robot: Embodiment, rig: Rig) -> None:
        """Commanded to stay, the robot does: gravity is compensated and nothing drifts or shakes."""
        home = robot.home_targets()
        rig.start(robot.expand(home))
        rig.follow(robot, home, home, seconds=1.0)
        assert np.abs(rig.qpos - robot.expand(home)).max() < self.arrival
        assert np.abs(rig.qvel).max() < 0.02

    def test_closures_reach_their_targets(self, robot: Embodiment, rig: Rig) -> None:
        """Every hand opens and closes to its default targets and to each grasp's, followers included."""
        for e in robot.end_effectors:
            pairs = [(e.open, e.close), *((g.open, g.close) for g in e.grasps)]
            for opened, closed in pairs:
                at = _with_hand(robot, e, opened)
                rig.start(robot.expand(robot.home_targets()))
                for target in (at, _with_hand(robot, e, closed), at):
                    rig.follow(robot, rig.target, target, seconds=0.6)
                    rig.follow(robot, target, target, seconds=0.6)
                    error = np.abs(rig.qpos - robot.expand(target))
                    worst = int(np.argmax(error))
                    assert error[worst] < self.arrival, f"{e.name}: {robot.joints[worst]} is {error[worst]:.3f} away"

    def test_arms_arrive(self, robot: Embodiment, rig: Rig) -> None:
        """A motion at the joints' own speed limits ends where it was sent."""
        home = robot.home_targets()
        target = home.copy()
        seconds = 0.5
        for i, name in enumerate(robot.driven):
            low, high = rig.range_of(name)
            step = min(0.3, 0.25 * (high - low), 0.5 * robot.limits[name].velocity * seconds)
            target[i] += step if home[i] + step < high - 0.02 else -step
        target = np.clip(target, *np.transpose([rig.range_of(j) for j in robot.driven]))
        rig.start(robot.expand(home))
        rig.follow(robot, home, target, seconds=seconds)
        rig.follow(robot, target, target, seconds=0.7)
        assert np.abs(rig.qpos - robot.expand(target)).max() < self.arrival

    def test_hands_hold_by_friction(self, robot: Embodiment) -> None:
        """Each grasp holds its shape of ``held_mass`` kg against gravity and a shake of 0.3 g to every side."""
        for e in robot.end_effectors:
            for shape, size, grasp in _objects(e):
                rig = Rig.build(robot, self.asset_root_of, held=(shape, size, self.held_mass))
                slip = rig.hold(robot, e, grasp)
                assert slip < 0.02, f"{e.name}: {shape} {size} slipped {slip * 1e3:.0f} mm"

    # -- left and right ----------------------------------------------------------------------------------------------

    def test_left_mirrors_right(self, robot: Embodiment, rig: Rig) -> None:
        """Mirrored postures give mirrored grasp frames, and the left hand's grasps are the right one's, mirrored."""
        names = {e.name: e for e in robot.end_effectors}
        if not {"left", "right"} <= set(names):
            pytest.skip("one arm only")
        left, right = names["left"], names["right"]
        signs = rig.mirror_signs({r: r.replace("right", "left") for r in robot.joints if "right" in r})
        flip = np.diag([1.0, -1.0, 1.0])
        rng = np.random.default_rng(3)
        for _ in range(20):
            posture = dict(zip(robot.joints, robot.expand(_only_right(robot, rig, rng)), strict=True))
            for r, sign in signs.items():
                posture[r.replace("right", "left")] = sign * posture[r]
            rig.set(np.array([posture[j] for j in robot.joints]))
            (p_left, r_left), (p_right, r_right) = rig.site(left.site), rig.site(right.site)
            assert np.abs(p_left - flip @ p_right).max() < self.mirror_position
            mirrored = flip @ r_right @ np.diag([1.0, 1.0, -1.0])
            angle = np.arccos(np.clip((np.trace(mirrored.T @ r_left) - 1) / 2, -1.0, 1.0))
            assert angle < self.mirror_angle
            for body in right.hand_bodies:
                there = rig.body(body.replace("right", "left"))[0]
                assert np.abs(there - flip @ rig.body(body)[0]).max() < 2 * self.mirror_position, body
        sign = np.array([signs[j] for j in right.hand_joints])
        assert [j.replace("right", "left") for j in right.hand_joints] == list(left.hand_joints)
        assert np.allclose(sign * right.open, left.open)
        assert np.allclose(sign * right.close, left.close)
        for a, b in zip(right.grasps, left.grasps, strict=True):
            assert (a.shape, a.girth, a.pitch) == (b.shape, b.girth, b.pitch)
            assert np.cos(a.roll) == pytest.approx(-np.cos(b.roll))
            assert np.sin(a.roll) == pytest.approx(np.sin(b.roll))
            for x, y in ((a.center, b.center), (a.approach, b.approach)):
                assert np.allclose(np.array(x) * [1, 1, -1], y)
            assert np.allclose(sign * a.open, b.open)
            assert np.allclose(sign * a.close, b.close)


def _with_hand(robot: Embodiment, effector: EndEffector, values: tuple[float, ...]) -> Array:
    """(Jd,) the home targets with one hand's joints at ``values``."""
    out = robot.home_targets()
    for joint, value in zip(effector.hand_joints, values, strict=True):
        out[robot.driven.index(joint)] = value
    return out


def _targets(robot: Embodiment) -> Iterator[tuple[str, Array]]:
    """Every driven target (Jd,) that the description names, with what it is."""
    yield "home", robot.home_targets()
    for e in robot.end_effectors:
        rest = robot.home_targets()
        for joint, value in zip(e.arm_joints, e.rest, strict=True):
            rest[robot.driven.index(joint)] = value
        yield f"{e.name} rest", rest
        yield f"{e.name} open", _with_hand(robot, e, e.open)
        yield f"{e.name} close", _with_hand(robot, e, e.close)
        for i, g in enumerate(e.grasps):
            yield f"{e.name} grasp {i} open", _with_hand(robot, e, g.open)
            yield f"{e.name} grasp {i} close", _with_hand(robot, e, g.close)


def _objects(effector: EndEffector) -> Iterator[tuple[str, tuple[float, ...], HandGrasp]]:
    """What each grasp is for: (shape, MuJoCo size in metres, grasp); a jaw gets boxes of three widths."""
    for g in effector.grasps:
        sizes = {"cylinder": (g.girth, 0.055), "box": (g.girth,) * 3, "sphere": (g.girth,)}
        yield g.shape, sizes[g.shape], g
    if effector.kind == "parallel_jaw":
        for half in (0.006, 0.5 * 0.05, 0.5 * effector.max_width - 0.001):
            jaw = HandGrasp(
                shape="box",
                girth=half,
                pitch=0.0,
                roll=0.0,
                center=(0.0, 0.0, 0.0),
                approach=(0.0, 0.0, -0.1),
                open=effector.open,
                close=effector.close,
            )
            yield "box", (0.02, half, 0.02), jaw


def _only_right(robot: Embodiment, rig: Rig, rng: np.random.Generator) -> Array:
    """(Jd,) random joints of the right side; joints of the middle (waist, neck) at zero."""
    q = rig.random_driven(rng)
    for i, name in enumerate(robot.driven):
        if "right" not in name:
            q[i] = 0.0
    return q
