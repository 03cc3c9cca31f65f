"""Collision questions on the planning model: robot against scene, robot against itself, held object against scene."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import mujoco
import numpy as np
from numpy.typing import NDArray

from synthgen.core.pose import Array
from synthgen.experts.arm import Arm

# Contacts nearer than this are looked at, metres: the largest clearance that can be asked for.
MARGIN = 0.012

# Who may meet whom, as MuJoCo collision bits: two geoms meet when one's type shares a bit with the other's affinity.
_SCENE, _ROBOT, _BODY = 1, 2, 4
_FIRST_ARM = 8


@dataclass(frozen=True, kw_only=True, eq=False)
class Held:
    """An object in a hand: its body, its geoms and where it sits in the grasp frame (rotation (3, 3), offset (3,))."""

    body: int
    geoms: NDArray[np.int64]
    site: int
    rotation: Array
    offset: Array


class Collisions:
    """Owns the collision masks of the planning model and asks MuJoCo for contacts.

    Scene geoms never meet each other, nor does an arm meet itself; pairs of robot geoms that overlap at home
    (shoulder covers) are ignored for good.

    Args:
        model: the planning model; its masks and margins are rewritten.
        data: shared working data, at the home pose.
        arms: the robot's arms.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, arms: Iterable[Arm]) -> None:
        self._model, self._data = model, data
        self._quat = np.empty(4)
        self._pose_of: dict[int, tuple[Array, Array]] = {}
        self._carried = np.zeros(model.ngeom, bool)
        self.solid: NDArray[np.bool_] = (model.geom_contype != 0) | (model.geom_conaffinity != 0)
        names = [model.body(b).name for b in range(model.nbody)]
        scene_body = np.array([b == 0 or names[b].startswith("/") for b in range(model.nbody)])
        self.is_scene: NDArray[np.bool_] = scene_body[model.geom_bodyid]
        self.geoms_of: Mapping[str, NDArray[np.int64]] = {
            names[b]: self._subtree_geoms(b) for b in range(1, model.nbody) if scene_body[b]
        }
        self._on = dict.fromkeys(self.geoms_of, True)
        self._held: Held | None = None
        self._mask_robot(arms)
        self._overlaps: frozenset[tuple[int, int]] = frozenset()
        mujoco.mj_kinematics(model, data)
        self._overlaps = frozenset(self._robot_pairs())

    def _subtree_geoms(self, body: int) -> NDArray[np.int64]:
        """Solid geoms of a scene body and of what is welded to it."""
        model = self._model
        welded = model.body_weldid[model.geom_bodyid] == model.body_weldid[body]
        own = model.geom_bodyid == body
        return np.flatnonzero(self.solid & (own | (welded & (model.body_weldid[body] != 0))))

    def _mask_robot(self, arms: Iterable[Arm]) -> None:
        model = self._model
        robot = ~self.is_scene & self.solid
        moving = model.body_weldid[model.geom_bodyid] != 0
        every_arm = 0
        side = np.zeros(model.ngeom, int)
        arms = tuple(arms)
        for k, arm in enumerate(arms):
            bit = _FIRST_ARM << k
            every_arm |= bit
            side[robot & self._carried_by(arm, arms)] |= bit
        model.geom_contype[robot] = 0
        model.geom_conaffinity[robot] = every_arm
        model.geom_contype[robot & moving] |= _ROBOT
        for k in range(len(arms)):
            bit = _FIRST_ARM << k
            mine = side == bit
            model.geom_contype[mine] |= bit
            model.geom_conaffinity[mine] = every_arm & ~bit
        scene = self.is_scene & self.solid
        model.geom_contype[scene] = _SCENE
        model.geom_conaffinity[scene] = _ROBOT
        model.geom_margin[robot] = MARGIN
        # The broad phase goes by bodies.
        model.body_margin[np.unique(model.geom_bodyid[robot])] = MARGIN

    def _carried_by(self, arm: Arm, arms: tuple[Arm, ...]) -> NDArray[np.bool_]:
        """Geoms that this arm's own joints carry: those behind its first joint that no other arm shares."""
        model = self._model
        shared = {int(d) for other in arms if other is not arm for d in other.dofs}
        first = next(int(d) for d in arm.dofs if int(d) not in shared)
        if len(arms) == 1:
            # A lone arm: what its first two joints carry counts as the body, so that the hand can meet it.
            first = int(arm.dofs[min(2, len(arm.dofs) - 1)])
        root = int(model.dof_bodyid[first])
        behind = np.zeros(model.nbody, bool)
        for b in range(model.nbody):
            behind[b] = b == root or (b > 0 and behind[model.body_parentid[b]])
        return behind[model.geom_bodyid]

    def _robot_pairs(self) -> set[tuple[int, int]]:
        mujoco.mj_collision(self._model, self._data)
        pairs = set()
        for c in range(self._data.ncon):
            a, b = (int(g) for g in self._data.contact.geom[c])
            if not self.is_scene[a] and not self.is_scene[b]:
                pairs.add((min(a, b), max(a, b)))
        return pairs

    def put(self, body: int, position: Array, quat: Array) -> None:
        """Put a scene body at a world pose (takes effect with the next ``mj_kinematics``).

        Bodies with a free joint move by it; others, children of the world, have their model pose rewritten.

        Args:
            body: id; position: (3,) metres; quat: (4,) w x y z.
        """
        slots = self._pose_of.get(body)
        if slots is None:
            slots = self._pose_of[body] = self._pose_slots(body)
        slots[0][:] = position
        slots[1][:] = quat

    def _pose_slots(self, body: int) -> tuple[Array, Array]:
        """Views into model or data that hold a scene body's position and quaternion."""
        model, data = self._model, self._data
        joint = int(model.body_jntadr[body])
        if joint >= 0 and model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_FREE:
            at = int(model.jnt_qposadr[joint])
            return data.qpos[at : at + 3], data.qpos[at + 3 : at + 7]
        mocap = int(model.body_mocapid[body])
        if mocap >= 0:
            return data.mocap_pos[mocap], data.mocap_quat[mocap]
        return model.body_pos[body], model.body_quat[body]

    def enable(self, body: str, *, on: bool) -> None:
        """Let a scene body take part in collisions, or not."""
        if self._on[body] != on:
            self._on[body] = on
            geoms = self.geoms_of[body]
            self._model.geom_contype[geoms] = _SCENE if on else 0
            self._model.geom_conaffinity[geoms] = _ROBOT if on else 0

    def hold(self, held: Held | None) -> None:
        """Carry an object with the hand from now on; None = nothing. The object then meets the scene only."""
        model = self._model
        if self._held is not None:
            self._on[model.body(self._held.body).name] = True
            model.geom_contype[self._held.geoms] = _SCENE
            model.geom_conaffinity[self._held.geoms] = _ROBOT
            model.geom_margin[self._held.geoms] = 0.0
            model.body_margin[self._held.body] = 0.0
        self._held = held
        self._carried[:] = False
        if held is not None:
            self._carried[held.geoms] = True
            model.geom_contype[held.geoms] = _ROBOT
            model.geom_conaffinity[held.geoms] = 0
            model.geom_margin[held.geoms] = MARGIN
            model.body_margin[held.body] = MARGIN

    @property
    def held(self) -> Held | None:
        """What is being carried."""
        return self._held

    def collides(self, *, clearance: float = 0.0, held_clearance: float | None = None) -> bool:
        """Whether anything is nearer than allowed at the joint positions now in the data.

        Args:
            clearance: least distance of the robot, metres, at most ``MARGIN``; negative allows that much overlap.
            held_clearance: the same for the held object; None = ``clearance``.
        """
        model, data = self._model, self._data
        mujoco.mj_kinematics(model, data)
        if self._held is not None:
            self._carry(self._held)
        mujoco.mj_collision(model, data)
        if data.ncon == 0:
            return False
        distance = data.contact.dist
        if held_clearance is None or held_clearance == clearance:
            near = np.flatnonzero(distance < clearance)
        else:
            limit = np.full(data.ncon, clearance)
            limit[self._carried[data.contact.geom].any(axis=1)] = held_clearance
            near = np.flatnonzero(distance < limit)
        return any(not self._overlap(int(c)) for c in near)

    def pairs(self, *, clearance: float = 0.0) -> list[tuple[str, str, float]]:
        """Names of what is nearer than ``clearance`` after ``collides``, with the distance, for messages."""
        model, data = self._model, self._data
        out = []
        for c in range(data.ncon):
            if data.contact.dist[c] < clearance and not self._overlap(c):
                a, b = (int(model.geom_bodyid[g]) for g in data.contact.geom[c])
                out.append((model.body(a).name, model.body(b).name, float(data.contact.dist[c])))
        return out

    def _overlap(self, contact: int) -> bool:
        if not self._overlaps:
            return False
        a, b = (int(g) for g in self._data.contact.geom[contact])
        return (min(a, b), max(a, b)) in self._overlaps

    def _carry(self, held: Held) -> None:
        """Put the held object where the hand has it: writes the poses that the collision pipeline reads."""
        model, data = self._model, self._data
        turn = data.site_xmat[held.site].reshape(3, 3)
        mujoco.mju_mat2Quat(self._quat, (turn @ held.rotation).ravel())
        self.put(held.body, data.site_xpos[held.site] + turn @ held.offset, self._quat)
        mujoco.mj_kinematics(model, data)
