"""Where the numbers of a ``SimState`` lie in a MuJoCo model built by ``build_model``, for all three purposes alike."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np
from numpy.typing import NDArray

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import SimulatorError
from synthgen.core.pose import quat_inv, quat_rotate
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import SimState, StateLayout

Indices = NDArray[np.intp]


class StateMap:
    """Reads and writes states of one (scene, embodiment) pair.

    ``layout.bodies`` are all rigid bodies of the scene in stage order: free ones and placed (kinematic) ones, whose
    poses are state, and those that joints move, whose poses follow from ``scene_joints`` and are only reported.
    ``layout.scene_joints`` has one entry per revolute or prismatic joint and four (``<path>#w`` ... ``#z``, the
    quaternion; the velocity entries are 0 and the angular velocity in the joint's frame) per spherical joint.
    """

    def __init__(self, model: mujoco.MjModel, scene: SceneSpec, embodiment: Embodiment) -> None:
        joints = [model.joint(name) for name in embodiment.joints]
        self.joint_qpos: Indices = np.array([j.qposadr[0] for j in joints], np.intp)
        self.joint_dof: Indices = np.array([j.dofadr[0] for j in joints], np.intp)
        self._read_bodies(model, scene)
        self._read_joints(model, scene)
        paths = tuple(scene.bodies)
        self.layout = StateLayout(bodies=paths, scene_joints=tuple(self._names))
        self._free = {paths[row]: k for k, row in enumerate(self.free_rows)}
        self._placed = {paths[row]: int(self.mocap_ids[k]) for k, row in enumerate(self.mocap_rows)}
        self.rest = model.qpos0.copy()
        self.rest[self.scene_qpos] = self._initial

    def _read_bodies(self, model: mujoco.MjModel, scene: SceneSpec) -> None:
        rows: dict[str, list[int]] = {"free": [], "mocap": [], "linked": []}
        qpos: list[int] = []
        dof: list[int] = []
        mocap: list[int] = []
        self.body_ids: Indices = np.array([model.body(path).id for path in scene.bodies], np.intp)
        for row, body in enumerate(self.body_ids):
            first = model.body_jntadr[body]
            if first >= 0 and model.jnt_type[first] == mujoco.mjtJoint.mjJNT_FREE:
                rows["free"].append(row)
                qpos.append(model.jnt_qposadr[first])
                dof.append(model.jnt_dofadr[first])
            elif model.body_mocapid[body] >= 0:
                rows["mocap"].append(row)
                mocap.append(model.body_mocapid[body])
            else:
                rows["linked"].append(row)
        self.free_rows, self.mocap_rows, self.linked_rows = (np.array(r, np.intp) for r in rows.values())
        self.free_qpos: Indices = np.array(qpos, np.intp)[:, None] + np.arange(7)  # (F, 7)
        self.free_dof: Indices = np.array(dof, np.intp)[:, None] + np.arange(6)  # (F, 6)
        self.mocap_ids: Indices = np.array(mocap, np.intp)

    def _read_joints(self, model: mujoco.MjModel, scene: SceneSpec) -> None:
        self._names: list[str] = []
        self._initial: list[float] = []
        qpos: list[int] = []
        moving: list[int] = []  # entries that have a velocity
        dof: list[int] = []
        for joint in scene.joints:
            if joint.kind == "fixed":
                continue
            at = model.joint(joint.path)
            if joint.kind == "spherical":
                moving += [len(qpos) + k for k in (1, 2, 3)]
                self._names += [f"{joint.path}#{k}" for k in "wxyz"]
                self._initial += [1.0, 0.0, 0.0, 0.0]
                qpos += [int(at.qposadr[0]) + k for k in range(4)]
                dof += [int(at.dofadr[0]) + k for k in range(3)]
            else:
                moving.append(len(qpos))
                self._names.append(joint.path)
                self._initial.append(joint.initial)
                qpos.append(int(at.qposadr[0]))
                dof.append(int(at.dofadr[0]))
        self.scene_qpos: Indices = np.array(qpos, np.intp)
        self.scene_moving: Indices = np.array(moving, np.intp)
        self.scene_dof: Indices = np.array(dof, np.intp)

    def read(self, model: mujoco.MjModel, data: mujoco.MjData) -> SimState:
        """The state in ``data``, leading axis 1."""
        bodies, joints = len(self.body_ids), len(self.scene_qpos)
        qpos, qvel = data.qpos, data.qvel
        free, velocity = qpos.take(self.free_qpos), qvel.take(self.free_dof)
        # MuJoCo keeps a free joint's angular velocity in the body's frame. Most bodies rest: one by one is faster.
        for k, speed in enumerate(np.abs(velocity).sum(axis=1).tolist()):
            if speed:
                mujoco.mju_rotVecQuat(velocity[k, 3:], velocity[k, 3:].copy(), free[k, 3:])
        if len(self.free_rows) == bodies:  # in stage order
            pose, twist = free, velocity
        else:
            pose, twist = np.zeros((bodies, 7)), np.zeros((bodies, 6))
            pose[self.free_rows], twist[self.free_rows] = free, velocity
        if len(self.mocap_rows):
            pose[self.mocap_rows, :3] = data.mocap_pos[self.mocap_ids]
            pose[self.mocap_rows, 3:] = data.mocap_quat[self.mocap_ids]
        if len(self.linked_rows):
            self._read_linked(model, data, pose, twist)
        rates = np.zeros(joints)
        if joints:
            rates[self.scene_moving] = qvel[self.scene_dof]
        return SimState(
            joint_position=qpos.take(self.joint_qpos)[None],
            joint_velocity=qvel.take(self.joint_dof)[None],
            body_pose=pose[None],
            body_velocity=twist[None],
            scene_joint_position=qpos.take(self.scene_qpos)[None],
            scene_joint_velocity=rates[None],
        )

    def _read_linked(self, model: mujoco.MjModel, data: mujoco.MjData, pose: np.ndarray, twist: np.ndarray) -> None:
        # After a step the derived poses are those of the step's start: bring them up to date.
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        six = np.zeros(6)
        for row in self.linked_rows:
            body = int(self.body_ids[row])
            pose[row, :3], pose[row, 3:] = data.xpos[body], data.xquat[body]
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, body, six, 0)
            twist[row, :3], twist[row, 3:] = six[3:], six[:3]

    def write(self, data: mujoco.MjData, state: SimState, row: int) -> None:
        """Set positions and velocities of ``data`` to one row of ``state``; nothing is computed from them.

        Raises:
            SimulatorError: the state has other axes than this scene and embodiment.
        """
        expected = (len(self.joint_qpos), len(self.body_ids), len(self.scene_qpos))
        given = (state.joint_position.shape[1], state.body_pose.shape[1], state.scene_joint_position.shape[1])
        if expected != given:
            raise SimulatorError(
                f"a state with (joints, bodies, scene joints) = {given} does not fit this scene and robot: {expected}"
            )
        data.qpos[self.joint_qpos] = state.joint_position[row]
        data.qvel[self.joint_dof] = state.joint_velocity[row]
        free = state.body_pose[row, self.free_rows]
        twist = state.body_velocity[row, self.free_rows]
        data.qpos[self.free_qpos] = free
        data.qvel[self.free_dof[:, :3]] = twist[:, :3]
        data.qvel[self.free_dof[:, 3:]] = quat_rotate(quat_inv(free[:, 3:]), twist[:, 3:])
        data.mocap_pos[self.mocap_ids] = state.body_pose[row, self.mocap_rows, :3]
        data.mocap_quat[self.mocap_ids] = state.body_pose[row, self.mocap_rows, 3:]
        data.qpos[self.scene_qpos] = state.scene_joint_position[row]
        data.qvel[self.scene_dof] = state.scene_joint_velocity[row, self.scene_moving]

    def place(self, data: mujoco.MjData, path: str, pose: Sequence[float] | NDArray[np.float64]) -> None:
        """Put a free or placed body at ``pose`` (7,), at rest; a body that a joint moves is left alone."""
        if path in self._free:
            data.qpos[self.free_qpos[self._free[path]]] = pose
            data.qvel[self.free_dof[self._free[path]]] = 0.0
        elif path in self._placed:
            data.mocap_pos[self._placed[path]] = pose[:3]
            data.mocap_quat[self._placed[path]] = pose[3:]
