"""What is known of the world at one moment, from a simulator's state: poses, contacts of hands, forward kinematics.

Contacts and kinematics are worked out on the MuJoCo planning model, so they mean the same whichever engine simulates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from synthgen.core.embodiment import Embodiment
from synthgen.core.errors import SceneError
from synthgen.core.pose import Array, Pose, quat_mul, quat_rotate
from synthgen.core.sample import SceneSample
from synthgen.core.scene import SceneSpec
from synthgen.core.simulator import SimState, StateLayout
from synthgen.core.world import ObjectState, ReceptacleState, World
from synthgen.episode.kinematics import SiteKinematics

# Hands nearer than this to an object touch it, metres: engines disagree about soft contacts by less.
TOUCH_DISTANCE = 0.001


class Observer:
    """Reads simulator states of one scene and one embodiment.

    Args:
        model: the planning model; robot joints, sites and bodies are named as in the embodiment, scene bodies and
            joints by prim path. It is taken over: collision masks are rewritten.
        layout: names of the state's axes.
        base: the robot's base in the world.
    """

    def __init__(
        self, scene: SceneSpec, embodiment: Embodiment, layout: StateLayout, model: Any, *, base: Pose
    ) -> None:
        import mujoco

        self.scene, self.embodiment, self.layout, self.base = scene, embodiment, layout, base
        self._mujoco = mujoco
        self._model, self._data = model, mujoco.MjData(model)
        self._index = {path: i for i, path in enumerate(layout.bodies)}
        self._surface = float(scene.mounts[0].pose.position[2]) if scene.mounts else 0.0
        self._joint_qpos = np.array([self._joint(j) for j in embodiment.joints], int)
        self._scene_qpos = np.array([self._scene_joint(j) for j in layout.scene_joints], int)
        free, placed = self._movable()
        self._free_rows, self._free_qpos = np.array(list(free), int), np.array(list(free.values()), int)[:, None]
        self._free_qpos = self._free_qpos + np.arange(7)
        self._placed_rows, self._mocap = np.array(list(placed), int), np.array(list(placed.values()), int)
        columns = {name: i for i, name in enumerate(embodiment.joints)}
        self._kinematics = {
            e.name: SiteKinematics(model, self._id(mujoco.mjtObj.mjOBJ_SITE, e.site, "site"), columns, base=base)
            for e in embodiment.end_effectors
        }
        self._hand_of, self._object_of = self._mask_contacts()

    # -- snapshots ---------------------------------------------------------------------------------------------------

    def snapshot(self, state: SimState, env: int, sample: SceneSample, *, time: float, targets: Array) -> World:
        """The world of one environment.

        Args:
            state: of all environments, environment ``env`` is read.
            sample: what its episode was drawn as; says which bodies are active.
            time: seconds since the episode began.
            targets: (Jd,) the last commanded joint targets.
        """
        objects: dict[str, ObjectState] = {}
        for name, prop in self.scene.objects.items():
            drawn = sample.bodies.get(prop.body)
            i = self._index.get(prop.body)
            if i is None or (drawn is not None and not drawn.active):
                continue
            v = state.body_velocity[env, i]
            objects[name] = ObjectState(
                prop=prop,
                pose=_pose(state.body_pose[env, i]),
                linear_velocity=v[:3].copy(),
                angular_velocity=v[3:].copy(),
            )
        receptacles = {
            name: ReceptacleState(receptacle=r, frame=self._body_pose(state, env, sample, r.body) @ r.pose)
            for name, r in self.scene.receptacles.items()
            if r.body is None or (drawn := sample.bodies.get(r.body)) is None or drawn.active
        }
        return World(
            scene=self.scene,
            sample=sample,
            time=time,
            objects=objects,
            receptacles=receptacles,
            joints=state.joint_position[env].copy(),
            targets=np.array(targets, float),
            touching=self.touching(state, env) & {(e, o) for e in self._kinematics for o in objects},
            surface_height=self._surface,
        )

    def touching(self, state: SimState, env: int) -> frozenset[tuple[str, str]]:
        """(end effector, object) for every hand within ``TOUCH_DISTANCE`` of an object."""
        data = self._data
        qpos = data.qpos
        qpos[self._joint_qpos] = state.joint_position[env]
        if len(self._scene_qpos):
            qpos[self._scene_qpos] = state.scene_joint_position[env]
        poses = state.body_pose[env]
        qpos[self._free_qpos] = poses[self._free_rows]
        if len(self._mocap):
            data.mocap_pos[self._mocap] = poses[self._placed_rows, :3]
            data.mocap_quat[self._mocap] = poses[self._placed_rows, 3:]
        self._mujoco.mj_kinematics(self._model, data)
        self._mujoco.mj_collision(self._model, data)
        if data.ncon == 0:
            return frozenset()
        found: set[tuple[str, str]] = set()
        for (a, b), distance in zip(data.contact.geom.tolist(), data.contact.dist.tolist(), strict=True):
            if distance > TOUCH_DISTANCE:
                continue
            hand = self._hand_of.get(a) or self._hand_of.get(b)
            thing = self._object_of.get(a) or self._object_of.get(b)
            if hand and thing:
                found.add((hand, thing))
        return frozenset(found)

    # -- kinematics --------------------------------------------------------------------------------------------------

    def eef_poses(self, joints: Array) -> dict[str, Array]:
        """Grasp frames in the robot's base frame: simulated joints (T, J) -> by end effector (T, 7) x y z w x y z.

        The signs of the quaternions are arbitrary, see ``continuous``.
        """
        return {name: site(joints) for name, site in self._kinematics.items()}

    def receptacle_poses(self, states: SimState, sample: SceneSample) -> dict[str, Array]:
        """Inner floor frames in the world of the active receptacles: by name (T, 7)."""
        out: dict[str, Array] = {}
        steps = len(states.joint_position)
        for name, r in self.scene.receptacles.items():
            drawn = None if r.body is None else sample.bodies.get(r.body)
            if drawn is not None and not drawn.active:
                continue
            if r.body in self._index:
                i = self._index[r.body]
                at, turn = states.body_pose[:, i, :3], states.body_pose[:, i, 3:]
                moved = at + quat_rotate(turn, r.pose.position)
                out[name] = np.concatenate([moved, quat_mul(turn, r.pose.orientation)], -1)
            else:
                out[name] = np.tile((self._body_pose(states, 0, sample, r.body) @ r.pose).vector(), (steps, 1))
        return out

    def object_poses(self, states: SimState, sample: SceneSample) -> dict[str, Array]:
        """Body poses in the world of the active objects: by name (T, 7)."""
        out: dict[str, Array] = {}
        for name, prop in self.scene.objects.items():
            drawn = sample.bodies.get(prop.body)
            if prop.body in self._index and (drawn is None or drawn.active):
                out[name] = states.body_pose[:, self._index[prop.body]].copy()
        return out

    def active_bodies(self, sample: SceneSample) -> list[int]:
        """Indices into the state's bodies of those that take part in this episode."""
        return [i for path, i in self._index.items() if path not in sample.bodies or sample.bodies[path].active]

    # -- names to numbers --------------------------------------------------------------------------------------------

    def _body_pose(self, state: SimState, env: int, sample: SceneSample, path: str | None) -> Pose:
        """A body's pose in the world; bodies that never move stand where they were drawn or authored."""
        if path is None:
            return Pose()
        i = self._index.get(path)
        if i is not None:
            return _pose(state.body_pose[env, i])
        drawn = sample.bodies.get(path)
        return self.scene.bodies[path].pose if drawn is None else drawn.pose

    def _id(self, kind: Any, name: str, word: str) -> int:
        found = self._mujoco.mj_name2id(self._model, kind, name)
        if found < 0:
            raise SceneError(f"planning model of {self.embodiment.name}: no {word} {name!r}")
        return found

    def _joint(self, name: str) -> int:
        return int(self._model.jnt_qposadr[self._id(self._mujoco.mjtObj.mjOBJ_JOINT, name, "joint")])

    def _scene_joint(self, name: str) -> int:
        """Address of a scene joint's coordinate; a spherical joint has four, ``<path>#w`` to ``#z``."""
        path, _, element = name.partition("#")
        return self._joint(path) + ("wxyz".index(element) if element else 0)

    def _movable(self) -> tuple[dict[int, int], dict[int, int]]:
        """By row of the state: address of a free body's coordinates; index of a placed body. Joints move the rest."""
        model = self._model
        free: dict[int, int] = {}
        placed: dict[int, int] = {}
        for path, row in self._index.items():
            body = self._id(self._mujoco.mjtObj.mjOBJ_BODY, path, "body")
            joint = model.body_jntadr[body]
            if joint >= 0 and model.jnt_type[joint] == self._mujoco.mjtJoint.mjJNT_FREE:
                free[row] = int(model.jnt_qposadr[joint])
            elif model.body_mocapid[body] >= 0:
                placed[row] = int(model.body_mocapid[body])
        return free, placed

    def _mask_contacts(self) -> tuple[Mapping[int, str], Mapping[int, str]]:
        """Let only hands meet objects; returns end effector by geom id and object by geom id."""
        model, obj = self._model, self._mujoco.mjtObj
        solid = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
        model.geom_contype[:] = 0
        model.geom_conaffinity[:] = 0
        hands: dict[int, str] = {}
        objects: dict[int, str] = {}
        owners = [
            (self._id(obj.mjOBJ_BODY, b, "body"), e.name, hands)
            for e in self.embodiment.end_effectors
            for b in e.hand_bodies
        ]
        owners += [(self._id(obj.mjOBJ_BODY, p.body, "body"), name, objects) for name, p in self.scene.objects.items()]
        for body, name, into in owners:
            for geom in np.flatnonzero((model.geom_bodyid == body) & solid).tolist():
                into[geom] = name
        model.geom_contype[list(hands)] = 1
        model.geom_conaffinity[list(objects)] = 1
        model.geom_margin[list(hands)] = TOUCH_DISTANCE
        return hands, objects


def _pose(vector: Array) -> Pose:
    return Pose(position=vector[:3].copy(), orientation=vector[3:].copy())
