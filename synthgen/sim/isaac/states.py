# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
"""``SimState`` in and out of Isaac Lab, and a sample's physical values written into single environments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import SimulatorError
from synthgen.core.pose import Array, quat_inv, quat_mul
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import SimState, StateLayout
from synthgen.sim.isaac.friction import scale_friction
from synthgen.sim.isaac.lab import Handles, wxyz, xyzw
from synthgen.sim.isaac.scene_usd import ReadyScene


class StateIO:
    """Reads and writes all environments of a running simulation.

    ``layout.bodies`` are all rigid bodies of the scene in stage order, as on MuJoCo. Bodies that a sample does without
    wait on the shelf; their state reads as the sample's pose, at rest.
    """

    def __init__(self, handles: Handles, scene: SceneSpec, ready: ReadyScene, embodiment: Embodiment) -> None:
        import torch

        self._torch = torch
        self._handles = handles
        self._scene = scene
        self._ready = ready
        self._embodiment = embodiment
        self._envs = len(handles.origins)
        self._device = handles.sim.device
        joints = tuple(j.path for j in scene.joints if j.kind != "fixed")
        self.layout = StateLayout(bodies=tuple(scene.bodies), scene_joints=joints)
        self._row = {path: i for i, path in enumerate(self.layout.bodies)}
        self._joint_ids = torch.as_tensor(handles.joint_ids, device=self._device, dtype=torch.int32)
        self._free = [self._row[p] for p in ready.free]
        self._turns = np.array([ready.turns.get(p, (1.0, 0.0, 0.0, 0.0)) for p in scene.bodies]).reshape(-1, 4)
        self._absent = np.zeros((self._envs, len(scene.bodies)), bool)
        self._absent_pose = np.zeros((self._envs, len(scene.bodies), 7))
        self._mass = {p: b.data.body_mass.torch.clone() for p, b in handles.bodies.items()}
        self._inertia = {p: b.data.body_inertia.torch.clone() for p, b in handles.bodies.items()}
        self.applied: dict[int, SceneSample] = {}

    def rest(self, samples: Sequence[SceneSample]) -> SimState:
        """The start of an episode, one row per sample: robot at home, bodies where the sample puts them."""
        n, layout = len(samples), self.layout
        home = self._embodiment.expand(self._embodiment.home_targets())
        pose = np.stack([b.pose.vector() for b in self._scene.bodies.values()]) if layout.bodies else np.zeros((0, 7))
        poses = np.tile(pose, (n, 1, 1))
        for row, sample in enumerate(samples):
            for path, body in sample.bodies.items():
                poses[row, self._row[path]] = body.pose.vector()
        initial = np.array([j.initial for j in self._scene.joints if j.kind != "fixed"])
        return SimState(
            joint_position=np.tile(home, (n, 1)),
            joint_velocity=np.zeros((n, len(home))),
            body_pose=poses,
            body_velocity=np.zeros((n, len(layout.bodies), 6)),
            scene_joint_position=np.tile(initial, (n, 1)),
            scene_joint_velocity=np.zeros((n, len(initial))),
        )

    def apply_sample(self, env: int, sample: SceneSample) -> None:
        """Masses, friction and what is absent, for one environment."""
        self.applied[env] = sample
        self._absent[env] = False
        for path, body in sample.bodies.items():
            row = self._row[path]
            self._absent[env, row] = not body.active
            self._absent_pose[env, row] = body.pose.vector()
            thing = self._handles.bodies.get(path)
            if thing is None:
                continue  # part of a mechanism: stays as authored
            ids = self._ids([env])
            mass = self._mass[path][env : env + 1]
            factor = 1.0 if body.mass is None else body.mass / float(mass.sum())
            thing.set_masses_index(masses=mass * factor, env_ids=ids)
            thing.set_inertias_index(inertias=self._inertia[path][env : env + 1] * factor, env_ids=ids)
            scale_friction(self._handles, thing, env, body.friction_scale)

    def command(self, targets: Array) -> None:
        """Joint targets (E, J) of all simulated joints, for the next physics step."""
        self.commands(targets[None])[0]()

    def commands(self, targets: Array) -> list[Callable[[], None]]:
        """Joint targets (S, E, J) of the next S physics steps -> what to call before each of them.

        The targets are turned into the robot's own joint order and copied to the device at once, and written into the
        command buffer in place: Isaac Lab's setters cost as much as a physics step of one environment.
        """
        rows = np.empty((*targets.shape[:-1], len(self._handles.joint_rest)), np.float32)
        rows[:] = self._handles.joint_rest
        rows[..., self._handles.joint_ids] = targets * self._handles.joint_signs
        values = self._torch.as_tensor(rows, device=self._device)
        buffer = self._handles.robot.actuators.target_command.position.torch
        return [partial(buffer.copy_, row) for row in values]

    def write(self, state: SimState, envs: Sequence[int], *, absent: Array | None = None) -> None:
        """Set positions and velocities of the K environments ``envs`` to the K rows of ``state``.

        ``absent`` (K, B): which bodies wait on the shelf; None: as their samples say.

        Raises:
            SimulatorError: the state has other axes than this scene and embodiment.
        """
        self._refuse_misfit(state, len(envs))
        envs_ = list(envs)
        handles = self._handles
        ids, origins = self._ids(envs_), handles.origins[envs_]
        away = self._absent[envs_] if absent is None else absent
        poses = state.body_pose.copy()
        for path, row in self._row.items():
            if path in self._ready.parking:
                poses[:, row] = np.where(away[:, row, None], self._ready.parking[path].vector(), poses[:, row])
        poses[..., 3:] = self._turned(poses[..., 3:], self._turns)
        robot = self._handles.robot
        robot.write_joint_position_to_sim_index(
            position=self._tensor(state.joint_position * handles.joint_signs), joint_ids=self._joint_ids, env_ids=ids
        )
        robot.write_joint_velocity_to_sim_index(
            velocity=self._tensor(state.joint_velocity * handles.joint_signs), joint_ids=self._joint_ids, env_ids=ids
        )
        for path, thing in self._handles.bodies.items():
            row = self._row[path]
            speed = np.where(away[:, row, None], 0.0, state.body_velocity[:, row])
            thing.write_root_link_pose_to_sim_index(root_pose=self._pose(poses[:, row], origins), env_ids=ids)
            thing.write_root_link_velocity_to_sim_index(root_velocity=self._tensor(speed), env_ids=ids)
        for mechanism in self._ready.mechanisms:
            self._write_mechanism(mechanism.root, state, poses, ids, origins)
        robot.reset(ids)

    def _write_mechanism(self, root: str, state: SimState, poses: Array, ids: object, origins: Array) -> None:
        thing = self._handles.mechanisms[root]
        mechanism = next(m for m in self._ready.mechanisms if m.root == root)
        if not mechanism.fixed:
            row = self._row[root]
            thing.write_root_link_pose_to_sim_index(root_pose=self._pose(poses[:, row], origins), env_ids=ids)
            thing.write_root_link_velocity_to_sim_index(
                root_velocity=self._tensor(state.body_velocity[:, row]), env_ids=ids
            )
        if mechanism.joints:
            columns = [self.layout.scene_joints.index(j) for j in mechanism.joints]
            order = self._order(root)
            position, velocity = state.scene_joint_position[:, columns], state.scene_joint_velocity[:, columns]
            thing.write_joint_position_to_sim_index(position=self._tensor(position), joint_ids=order, env_ids=ids)
            thing.write_joint_velocity_to_sim_index(velocity=self._tensor(velocity), joint_ids=order, env_ids=ids)

    def _order(self, root: str) -> object:
        thing = self._handles.mechanisms[root]
        mechanism = next(m for m in self._ready.mechanisms if m.root == root)
        names = [j.rsplit("/", 1)[1] for j in mechanism.joints]
        return self._torch.tensor(
            [thing.joint_names.index(n) for n in names], dtype=self._torch.int32, device=self._device
        )

    def read(self) -> SimState:
        """A copy of the state of all environments."""
        handles = self._handles
        ids = handles.joint_ids
        bodies, joints = len(self.layout.bodies), len(self.layout.scene_joints)
        pose, twist = np.zeros((self._envs, bodies, 7)), np.zeros((self._envs, bodies, 6))
        q, qd = np.zeros((self._envs, joints)), np.zeros((self._envs, joints))
        for path, thing in handles.bodies.items():
            row = self._row[path]
            pose[:, row] = _array(thing.data.root_link_pose_w)
            twist[:, row] = _array(thing.data.root_link_vel_w)
        for mechanism in self._ready.mechanisms:
            thing = handles.mechanisms[mechanism.root]
            link_pose, link_twist = _array(thing.data.body_link_pose_w), _array(thing.data.body_link_vel_w)
            for path in mechanism.bodies:
                at = thing.body_names.index(path.rsplit("/", 1)[1])
                pose[:, self._row[path]], twist[:, self._row[path]] = link_pose[:, at], link_twist[:, at]
            for path in mechanism.joints:
                column, at = self.layout.scene_joints.index(path), thing.joint_names.index(path.rsplit("/", 1)[1])
                q[:, column] = _array(thing.data.joint_pos)[:, at]
                qd[:, column] = _array(thing.data.joint_vel)[:, at]
        pose[..., :3] -= handles.origins[:, None]
        pose[..., 3:] = self._turned(wxyz(pose[..., 3:]), quat_inv(self._turns))
        pose[self._absent] = self._absent_pose[self._absent]
        twist[self._absent] = 0.0
        return SimState(
            joint_position=_array(handles.robot.data.joint_pos)[:, ids] * handles.joint_signs,
            joint_velocity=_array(handles.robot.data.joint_vel)[:, ids] * handles.joint_signs,
            body_pose=pose,
            body_velocity=twist,
            scene_joint_position=q,
            scene_joint_velocity=qd,
        )

    def _turned(self, orientations: Array, turns: Array) -> Array:
        """Orientations (K, B, 4) of frames that stand at ``turns`` (B, 4) in those of the bodies."""
        return quat_mul(orientations, turns[None]) if self._ready.turns else orientations

    def absent_of(self, sample: SceneSample) -> Array:
        """(B,) which bodies a sample does without."""
        gone = {path for path, body in sample.bodies.items() if not body.active}
        return np.array([path in gone for path in self.layout.bodies], bool)

    def _refuse_misfit(self, state: SimState, rows: int) -> None:
        expected = (rows, len(self._embodiment.joints), len(self.layout.bodies), len(self.layout.scene_joints))
        given = (*state.joint_position.shape, state.body_pose.shape[1], state.scene_joint_position.shape[1])
        if expected != given:
            raise SimulatorError(
                f"a state with (rows, joints, bodies, scene joints) = {given} does not fit: {expected} was expected"
            )

    def _pose(self, pose: Array, origins: Array) -> object:
        return self._tensor(np.concatenate([pose[:, :3] + origins, xyzw(pose[:, 3:])], axis=1))

    def _tensor(self, values: Array) -> object:
        return self._torch.as_tensor(np.ascontiguousarray(values), dtype=self._torch.float32, device=self._device)

    def _ids(self, envs: Sequence[int]) -> object:
        return self._torch.tensor(list(envs), dtype=self._torch.int32, device=self._device)


def _array(proxy: object) -> Array:
    """A (copied) float64 array of one of Isaac Lab's buffers."""
    return proxy.torch.detach().cpu().numpy().astype(np.float64)
